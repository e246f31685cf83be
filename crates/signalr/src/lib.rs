//! SignalR for Rust: real-time calls between servers and clients, in both directions.
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # mod example {
//! use signalr::HubConnection;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = HubConnection::builder("http://localhost:5000/chat").build()?;
//! connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//! connection.start().await?;
//! connection.call("Send", ("me", "hello")).await?;
//! connection.stop().await;
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! | feature | default | |
//! |---|---|---|
//! | `client` | yes | the client's types, under [`client`] |
//! | `tokio` | yes | the client on tokio: [`tokio`], and [`HubConnection`] |
//! | `smol` | no | the client on smol: `smol` |
//! | `async-std` | no | the client on async-std, which is discontinued: `async_std` |
//! | `server` | no | the server: `server` |
//! | `axum` | no | routers of hubs for axum |
//! | `metrics` | no | counts and durations of the server's connections through the `metrics` facade |
//! | `tls-native-roots` | yes | https, with the certificates the system trusts |
//! | `tls-webpki-roots` | no | https, with the certificates Mozilla trusts |
//!
//! Features add things and change nothing that is there without them. Both encodings of messages, JSON and MessagePack, are
//! always there; which one a connection speaks is chosen with [`Protocol`].
//!
//! The log goes through [`tracing`](https://docs.rs/tracing): `RUST_LOG=signalr=debug` shows it, with a subscriber that reads that
//! variable. `warn` tells of connections that are given up, of calls of the server that no handler could take, and of handlers that
//! block the connection; `info` of connections, failed attempts and fallbacks; `debug` of requests; `trace` of each message by its
//! target and size. Tokens and payloads are never logged.
//!
//! The protocol itself, free of any network or runtime, is [`proto`].

#[cfg(feature = "async-std")]
pub use signalr_async_std as async_std;
#[cfg(feature = "client")]
pub use signalr_client as client;
pub use signalr_proto as proto;
#[cfg(feature = "server")]
pub use signalr_server as server;
#[cfg(feature = "smol")]
pub use signalr_smol as smol;
#[cfg(feature = "tokio")]
pub use signalr_tokio as tokio;

#[cfg(feature = "client")]
pub use signalr_client::{
    Argument, Arguments, BuildError, CallArguments, CloseReason, ConnectionState, Error,
    FromArguments, Handler, HandlerError, HubArgument, Invoke, ItemStream, LifecycleEvent, Payload,
    Proxy, ReconnectPolicy, RetryContext, RetryPolicy, Spread, Subscription, TlsOptions,
    TransportKind, Upload,
};
pub use signalr_proto::{Limits, Protocol, Timestamp};
#[cfg(feature = "tokio")]
pub use signalr_tokio::{HubConnection, HubConnectionBuilder, WeakHubConnection};

/// The examples of the README are tests.
#[doc = include_str!("../../../README.md")]
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
struct Readme;

/// So are those of the guide to the server.
#[doc = include_str!("../../../docs/server.md")]
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
struct ServerGuide;

#[doc = include_str!("../../../docs/client.md")]
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
struct ClientGuide;
