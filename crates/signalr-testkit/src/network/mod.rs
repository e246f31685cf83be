//! The way between a connection and a hub, without sockets.

mod error;
mod faults;
#[cfg(feature = "server")]
mod hub;
#[cfg(feature = "server")]
mod pipe;
mod socket;
mod transport;

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use signalr_client::{HubConnection, HubConnectionBuilder};

pub use error::MemoryError;
pub use faults::Refusal;
pub(crate) use socket::{HubBody, HubSocket};
pub use socket::{MemoryBody, MemorySocket};
pub use transport::MemoryTransport;

use crate::recording::Recorder;
use crate::runtime::{Clock, Patience, words};
use faults::Faults;

/// Connects clients to one hub without sockets, and breaks what connects them when the test wants it to.
///
/// The client is the real one, with its real driver. To a real hub ([`Network::to`]) it speaks over all transports, WebSocket frames
/// and HTTP included; to a [`ScriptedHub`](crate::ScriptedHub) over WebSockets, with or without negotiation. Addresses may be any,
/// `https` too: all of them lead to the hub. Options of real networks (proxies, certificates, cookies) have no place here.
///
/// Faults concern all clients of this network and its clones.
#[derive(Clone)]
pub struct Network {
    transport: Maker,
    faults: Arc<Faults>,
    clock: Clock,
}

/// Makes the hub's side anew for each connection, so that none sees another's cookies.
type Maker = Arc<dyn Fn() -> HubSide + Send + Sync>;

/// The hub's side of a connection.
#[derive(Clone)]
pub(crate) enum HubSide {
    #[cfg(feature = "server")]
    Hub(hub::Pipes),
    Script(Arc<dyn Script>),
}

/// A hub that a test plays.
pub(crate) trait Script: Send + Sync {
    fn request(&self, request: &Request<Bytes>) -> Response<Bytes>;
    fn open_web_socket(
        &self,
        request: &Request<()>,
    ) -> Result<Pin<Box<dyn HubSocket>>, MemoryError>;
}

impl HubSide {
    async fn request(&self, request: Request<Bytes>) -> Result<Response<HubBody>, MemoryError> {
        match self {
            #[cfg(feature = "server")]
            Self::Hub(pipes) => pipes.request(request).await,
            Self::Script(script) => Ok(script.request(&request).map(whole)),
        }
    }

    async fn open_web_socket(
        &self,
        request: Request<()>,
    ) -> Result<Pin<Box<dyn HubSocket>>, MemoryError> {
        match self {
            #[cfg(feature = "server")]
            Self::Hub(pipes) => pipes.open_web_socket(request).await,
            Self::Script(script) => script.open_web_socket(&request),
        }
    }
}

fn whole(bytes: Bytes) -> HubBody {
    let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
    Box::pin(futures_util::stream::iter(bytes.map(Ok)))
}

impl Network {
    /// To a real hub.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use signalr_server::{Hub, HubMethods, HubServer};
    /// use signalr_client::HubConnection;
    /// use signalr_testkit::Network;
    /// # struct Calculator;
    /// # impl Hub for Calculator {
    /// #     fn methods(methods: &mut HubMethods<Self>) {
    /// #         methods.on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b);
    /// #     }
    /// # }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let hub = HubServer::new(Calculator).unwrap();
    /// let connection = Network::to(&hub).connect(HubConnection::builder("http://test/calc")).await;
    /// assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of [`run`](crate::run) and of tokio.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn to(hub: &signalr_server::HubServer) -> Self {
        let clock = Clock::current();
        let (hub, of) = (hub.clone(), clock.clone());
        Self {
            transport: Arc::new(move || HubSide::Hub(hub::Pipes::new(&hub, &of))),
            faults: Arc::new(Faults::new(&clock)),
            clock,
        }
    }

    pub(crate) fn to_script(script: Arc<dyn Script>, clock: Clock) -> Self {
        Self {
            transport: Arc::new(move || HubSide::Script(Arc::clone(&script))),
            faults: Arc::new(Faults::new(&clock)),
            clock,
        }
    }

    /// A connection over this network that is not started yet, and runs beside the test.
    ///
    /// # Panics
    /// When it is configured wrongly.
    #[track_caller]
    pub fn build(&self, builder: HubConnectionBuilder) -> HubConnection {
        match builder.build_with(self.transport()) {
            Ok((connection, driver)) => {
                self.clock.spawn(Box::pin(driver.run()));
                connection
            }
            Err(error) => panic!("the connection cannot be built: {error}"),
        }
    }

    /// A connection over this network that is started.
    ///
    /// # Panics
    /// When it is configured wrongly, or cannot be started.
    #[track_caller]
    pub fn connect(&self, builder: HubConnectionBuilder) -> impl Future<Output = HubConnection> {
        let (at, connection) = (Location::caller(), self.build(builder));
        async move {
            let started = connection.start();
            match Patience::DEFAULT.wait(&self.clock, started).await {
                Ok(Ok(())) => connection,
                Ok(Err(error)) => panic!("{at}: {}", with_causes(&error)),
                Err(waited) => panic!("{at}: not connected within {}", words(waited)),
            }
        }
    }

    /// A connection that is not started yet, and what keeps a record of what it says and hears.
    ///
    /// # Panics
    /// When it is configured wrongly.
    #[track_caller]
    pub fn record(
        &self,
        builder: HubConnectionBuilder,
    ) -> (HubConnection, Recorder<MemoryTransport>) {
        let recorder = Recorder::new(self.transport());
        match builder.build_with(recorder.clone()) {
            Ok((connection, driver)) => {
                self.clock.spawn(Box::pin(driver.run()));
                (connection, recorder)
            }
            Err(error) => panic!("the connection cannot be built: {error}"),
        }
    }

    /// The transport of one connection, for `build_with` or to be wrapped in another.
    #[must_use]
    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport {
            side: (self.transport)(),
            faults: Arc::clone(&self.faults),
            clock: self.clock.clone(),
        }
    }

    /// Cuts all connections and requests under way, without a word, as a pulled cable does. New ones can be made at once.
    pub fn cut(&self) {
        self.faults.cut();
    }

    /// Everything takes this long from now on, in both directions: requests, their answers and messages. Zero ends that.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay(delay);
    }

    /// Nothing comes from the hub any more, though connections stay open and the hub hears everything: until
    /// [`resume`](Self::resume).
    pub fn silence(&self) {
        self.faults.silence(true);
    }

    /// What the hub said since [`silence`](Self::silence) arrives, and so does all that follows.
    pub fn resume(&self) {
        self.faults.silence(false);
    }

    /// The next attempts to connect find no server. Connections that are there stay.
    pub fn refuse(&self, attempts: usize) {
        self.refuse_with(attempts, &Refusal::Connect);
    }

    /// The next attempts to connect fail in this way, after those that are to fail already.
    ///
    /// ```
    /// # use signalr_testkit::{Network, Refusal};
    /// # fn example(network: Network) {
    /// network.refuse_with(2, &Refusal::Negotiate { status: 503 });
    /// network.refuse_with(1, &Refusal::Handshake { error: "not yet".into() });
    /// # }
    /// ```
    pub fn refuse_with(&self, attempts: usize, refusal: &Refusal) {
        self.faults.refuse(attempts, refusal);
    }

    /// All attempts work again.
    pub fn accept(&self) {
        self.faults.accept_all();
    }

    /// How many refusals are left.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.faults.refusals()
    }

    /// How often a client has begun to connect so far: negotiations, and WebSockets without one. One that falls back to another
    /// transport negotiates again.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.faults.attempts()
    }
}

/// An error and what caused it.
fn with_causes(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
