//! A proxy over real sockets that breaks connections by a plan.
//!
//! It stands between a client and a server, or answers by itself, and understands just enough HTTP to know where an answer's head
//! ends and its body stops. A [`Plan`] is asked once for every accepted connection and once for every request, and says what goes
//! wrong with it: delays, stalls, resets and closes at any byte of either direction, lengths that are not true, chunks of one
//! byte, answers nobody asked for.
//!
//! Everything runs in tasks that end when the [`FaultProxy`] is dropped.
//!
//! ```no_run
//! # async fn example(server: std::net::SocketAddr) -> std::io::Result<()> {
//! use signalr_harness::fault_proxy::{At, End, Fault, FaultProxy, Once, RequestKind, Side};
//!
//! // The first negotiate answer is reset after its tenth byte; whatever comes later gets through.
//! let fault = Fault::cut(Side::Answer, At::Byte(10), End::Reset);
//! let proxy = FaultProxy::start(Some(server), Once::new(RequestKind::Negotiate, 0, fault)).await?;
//! println!("connect to {}", proxy.url());
//! # Ok(())
//! # }
//! ```

mod fault;
mod head;
mod serve;
mod shape;

pub use fault::{
    At, Cut, End, Exchange, Fault, Framing, Greeting, Once, Pace, Plan, RequestKind, Side,
};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// A running proxy. Dropping it ends all of its connections.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What all connections know.
struct Shared {
    upstream: Option<SocketAddr>,
    plan: Box<dyn Plan>,
    accepted: AtomicUsize,
    cuts: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Shared {
    /// Notes a request, and how many of its kind came before.
    fn note(
        &self,
        connection: usize,
        on_connection: usize,
        kind: RequestKind,
        path: String,
    ) -> Exchange {
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let nth = exchanges.iter().filter(|known| known.kind == kind).count();
        let exchange = Exchange {
            connection,
            on_connection,
            kind,
            nth,
            path,
        };
        exchanges.push(exchange.clone());
        exchange
    }
}

impl FaultProxy {
    /// Listens on a free port of this machine. Without an `upstream` every request must be answered by the plan.
    ///
    /// # Errors
    /// When nobody can listen.
    pub async fn start(upstream: Option<SocketAddr>, plan: impl Plan) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            plan: Box::new(plan),
            accepted: AtomicUsize::new(0),
            cuts: AtomicUsize::new(0),
            exchanges: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections ended or stalled at a place the plan gave.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// The requests seen so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl core::fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FaultProxy")
            .field("address", &self.address)
            .field("accepted", &self.accepted())
            .finish_non_exhaustive()
    }
}

/// Owns the tasks of all connections, so that they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let connection = shared.accepted.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve::serve(client, Arc::clone(&shared), connection));
        while connections.try_join_next().is_some() {}
    }
}
