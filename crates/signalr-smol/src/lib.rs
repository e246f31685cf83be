//! A SignalR client for [smol](https://docs.rs/smol).
//!
//! ```no_run
//! use signalr_smol::HubConnection;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     smol::block_on(async {
//!         let connection = HubConnection::builder("http://localhost:5000/chat").build()?;
//!         connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//!         connection.start().await?;
//!         let greeting: String = connection.invoke("Greet", ("me",)).await?;
//!         println!("{greeting}");
//!         connection.stop().await;
//!         Ok(())
//!     })
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

use smol::net::TcpStream;

pub use signalr_client::*;

/// The runtime.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Smol;

/// A connection to a hub whose driver runs on this runtime.
pub type HubConnection = signalr_client::HubConnection<Smol>;

/// A handle that does not keep the connection.
pub type WeakHubConnection = signalr_client::WeakHubConnection<Smol>;

/// Configures a [`HubConnection`].
pub type HubConnectionBuilder = signalr_client::HubConnectionBuilder<Smol>;

impl Runtime for Smol {
    type Stream = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect((host, port)).await?;
        // Messages are small and gathered already: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn sleep(&self, duration: Duration) {
        smol::Timer::after(duration).await;
    }
}

impl Launch for Smol {
    fn launcher(driver: Driver<NetTransport<Self>>) -> Launcher {
        Launcher::new(driver.run(), |driver| {
            smol::spawn(driver).detach();
            Ok(())
        })
    }
}
