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
//! | `client` | yes | [`HubConnection`] and what belongs to it; all of it is under [`client`] |
//! | `tokio` | yes | connections on tokio: `HubConnection::builder(url).build()` |
//! | `blocking` | no | connections for threads without an async runtime: `client::blocking` |
//! | `smol` | no | connections on smol: `.build_on(Smol)` |
//! | `async-std` | no | connections on async-std, which is discontinued: `.build_on(AsyncStd)` |
//! | `server` | no | the server: `server` |
//! | `axum` | no | routers of hubs for axum |
//! | `redis` | no | Redis between the servers of a farm: `RedisBackplane` |
//! | `redis-tls` | no | the same over TLS |
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

pub mod prelude;

#[cfg(feature = "client")]
pub use signalr_client as client;
pub use signalr_proto as proto;
#[cfg(feature = "server")]
pub use signalr_server as server;

#[cfg(feature = "async-std")]
pub use signalr_async_std::AsyncStd;
#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
pub use signalr_client::Proxy;
#[cfg(feature = "client")]
pub use signalr_client::{
    Argument, Arguments, BuildError, CallArguments, CallError, CallErrorKind, CloseReason,
    ConnectionId, ConnectionState, FromArguments, Handler, HandlerError, HubArgument,
    HubConnection, HubConnectionBuilder, Invoke, ItemStream, LifecycleEvent, Payload,
    ReconnectPolicy, RefreshError, RefreshErrorKind, RetryContext, RetryPolicy, StartError,
    StartErrorKind, Subscription, TransportKind, Upload, WeakHubConnection,
};
pub use signalr_proto::{Limits, Protocol, Spread, Timestamp};
#[cfg(feature = "redis")]
pub use signalr_redis::{RedisBackplane, redis as redis_client};
#[cfg(feature = "smol")]
pub use signalr_smol::Smol;
#[cfg(feature = "tokio")]
pub use signalr_tokio::Tokio;

/// The examples of the README are tests.
#[doc = include_str!("../../../README.md")]
#[cfg(all(doctest, feature = "axum", feature = "blocking"))]
struct Readme;

/// So are those of the guide to farms.
#[doc = include_str!("../../../docs/scale-out.md")]
#[cfg(all(doctest, feature = "axum", feature = "redis", feature = "tokio"))]
struct ScaleOutGuide;

/// So are those of the guide to the server.
#[doc = include_str!("../../../docs/server.md")]
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
struct ServerGuide;

#[doc = include_str!("../../../docs/client.md")]
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
struct ClientGuide;
