//! The sockets, timers and tasks of [tokio](https://tokio.rs) for SignalR connections.
//!
//! `signalr` uses this by itself where its feature `tokio` is on, which it is by default: `HubConnection::builder(url).build()`. The
//! value is needed to run connections on a runtime other than the one they are started in, and for a
//! [`NetTransport`](signalr_net::NetTransport) of your own:
//!
//! ```
//! use signalr_net::{NetOptions, NetTransport, SetupError};
//! use signalr_tokio::Tokio;
//!
//! fn transport() -> Result<NetTransport<Tokio>, SetupError> {
//!     NetTransport::new(Tokio::default(), NetOptions::default())
//! }
//! # assert!(transport().is_ok());
//! ```

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use signalr_net::{Runtime, Spawn, SpawnError, Task};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// tokio: the runtime that a connection is started in, or a certain one.
#[derive(Clone, Debug, Default)]
pub struct Tokio {
    handle: Option<Handle>,
}

impl Tokio {
    /// Runs connections on this runtime, from wherever they are started: a thread without a runtime, too.
    ///
    /// ```
    /// # use signalr_tokio::Tokio;
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    /// let tokio = Tokio::on(runtime.handle().clone());
    /// # let _ = tokio;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn on(handle: Handle) -> Self {
        Self {
            handle: Some(handle),
        }
    }

    fn handle(&self) -> Option<Handle> {
        self.handle.clone().or_else(|| Handle::try_current().ok())
    }
}

impl Runtime for Tokio {
    type Stream = Compat<TcpStream>;
    type Connect = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;
    type Sleep = tokio::time::Sleep;

    fn connect(&self, host: &str, port: u16) -> Self::Connect {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Messages are small and gathered already: waiting for more would only delay them.
            stream.set_nodelay(true)?;
            Ok(stream.compat())
        })
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }
}

impl Spawn for Tokio {
    fn ready(&self) -> Result<(), SpawnError> {
        match self.handle() {
            Some(_) => Ok(()),
            None => Err(SpawnError::new(
                "start() must be called within a tokio runtime, for instance under #[tokio::main], or the connection be built on one with Tokio::on()",
            )),
        }
    }

    fn spawn(&self, task: Task) {
        if let Some(handle) = self.handle() {
            drop(handle.spawn(task));
        }
    }
}
