//! A SignalR client for [async-std](https://docs.rs/async-std).
//!
//! async-std is discontinued (RUSTSEC-2025-0052). This crate is for programs that still use it; new ones are better off with
//! `signalr-smol`, which is the same in use.
//!
//! ```no_run
//! use signalr_async_std::HubConnection;
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

use async_std::net::TcpStream;

pub use signalr_client::*;

/// The runtime.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AsyncStd;

/// A connection to a hub whose driver runs on this runtime.
pub type HubConnection = signalr_client::HubConnection<AsyncStd>;

/// A handle that does not keep the connection.
pub type WeakHubConnection = signalr_client::WeakHubConnection<AsyncStd>;

/// Configures a [`HubConnection`].
pub type HubConnectionBuilder = signalr_client::HubConnectionBuilder<AsyncStd>;

impl Runtime for AsyncStd {
    type Stream = TcpStream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect((host, port)).await?;
        // Messages are small and gathered already: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn sleep(&self, duration: Duration) {
        async_std::task::sleep(duration).await;
    }
}

impl Launch for AsyncStd {
    fn launcher(driver: Driver<NetTransport<Self>>) -> Launcher {
        Launcher::new(driver.run(), |driver| {
            drop(async_std::task::spawn(driver));
            Ok(())
        })
    }
}
