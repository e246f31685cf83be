//! A SignalR client for [tokio](https://tokio.rs).
//!
//! ```no_run
//! use signalr_tokio::HubConnection;
//!
//! # fn main() {}
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     let connection = HubConnection::builder("http://localhost:5000/chat").build()?;
//!     connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//!     connection.start().await?;
//!     let greeting: String = connection.invoke("Greet", ("me",)).await?;
//!     println!("{greeting}");
//!     connection.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! | feature | default | |
//! |---|---|---|
//! | `tls-native-roots` | yes | https, with the certificates the system trusts |
//! | `tls-webpki-roots` | no | https, with the certificates Mozilla trusts |
//!
//! All limits and defaults are those of [`signalr_client`], whose types are found here too.

use core::time::Duration;
use std::io;

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

pub use signalr_client::*;

/// The runtime.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tokio;

/// A connection to a hub whose driver runs on this runtime.
pub type HubConnection = signalr_client::HubConnection<Tokio>;

/// A handle that does not keep the connection.
pub type WeakHubConnection = signalr_client::WeakHubConnection<Tokio>;

/// Configures a [`HubConnection`].
pub type HubConnectionBuilder = signalr_client::HubConnectionBuilder<Tokio>;

impl Runtime for Tokio {
    type Stream = Compat<TcpStream>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect((host, port)).await?;
        // Messages are small and gathered already: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        Ok(stream.compat())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Launch for Tokio {
    fn launcher(driver: Driver<NetTransport<Self>>) -> Launcher {
        Launcher::new(driver.run(), |driver| match Handle::try_current() {
            Ok(runtime) => {
                drop(runtime.spawn(driver));
                Ok(())
            }
            Err(_) => Err((
                LaunchError::new(
                    "start() must be called within a tokio runtime, for instance under #[tokio::main]",
                ),
                driver,
            )),
        })
    }
}
