//! What is asked of an async runtime.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

/// Sockets and time of an async runtime. [`NetTransport`](crate::NetTransport) makes HTTP and WebSockets of them.
///
/// Nothing has to be `Send`, unless connections are to run by themselves: see [`Spawn`].
///
/// ```
/// use std::{future::Future, io, pin::Pin, time::Duration};
/// use smol::net::TcpStream;
///
/// type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
///
/// #[derive(Clone, Debug)]
/// struct Mine;
///
/// impl signalr_net::Runtime for Mine {
///     type Stream = TcpStream;
///     type Connect = Boxed<io::Result<TcpStream>>;
///     type Sleep = Boxed<()>;
///
///     fn connect(&self, host: &str, port: u16) -> Self::Connect {
///         let host = host.to_owned();
///         Box::pin(async move { TcpStream::connect((host, port)).await })
///     }
///
///     fn sleep(&self, duration: Duration) -> Self::Sleep {
///         Box::pin(async move { _ = smol::Timer::after(duration).await })
///     }
/// }
/// ```
pub trait Runtime: Clone + 'static {
    /// A TCP connection.
    type Stream: AsyncRead + AsyncWrite + Unpin;
    /// What [`connect`](Self::connect) gives.
    type Connect: Future<Output = io::Result<Self::Stream>>;
    /// What [`sleep`](Self::sleep) gives.
    type Sleep: Future<Output = ()>;

    /// Resolves the name and connects. `host` is a name, an IPv4 address, or an IPv6 address without brackets.
    fn connect(&self, host: &str, port: u16) -> Self::Connect;

    /// Is done after this time.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

/// A runtime with an executor, on which connections run by themselves: what the builder's `build_on` takes.
pub trait Spawn:
    Runtime<Stream: Send, Connect: Send, Sleep: Send> + core::fmt::Debug + Send + Sync
{
    /// Whether [`spawn`](Self::spawn) can be called here and now. Default: yes.
    ///
    /// # Errors
    /// When it cannot: what is missing, in words for whoever starts a connection.
    fn ready(&self) -> Result<(), SpawnError> {
        Ok(())
    }

    /// Runs a task to its end in the background. Called after [`ready`](Self::ready), and once for each connection.
    fn spawn(&self, task: Task);
}

/// A task for an executor.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an executor takes no task here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SpawnError {
    detail: Box<str>,
}

impl SpawnError {
    /// An error with these words.
    pub fn new(detail: impl Into<Box<str>>) -> Self {
        Self {
            detail: detail.into(),
        }
    }
}
