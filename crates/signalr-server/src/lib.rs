//! SignalR hubs for async Rust.
//!
//! A [`Hub`] is a type with methods that clients call; a [`HubServer`] serves it over WebSockets, server-sent events and long
//! polling, in JSON and in MessagePack. With the feature `axum` (on by default) `HubServer::router` gives the routes for an axum
//! application:
//!
//! ```no_run
//! use std::sync::Arc;
//! use signalr_server::{CallContext, Hub, HubError, HubMethods, HubServer};
//!
//! struct Chat;
//!
//! impl Chat {
//!     async fn say(self: Arc<Self>, context: CallContext, text: String) -> Result<(), HubError> {
//!         context.clients().all().send("Said", (context.connection_id(), text)).await?;
//!         Ok(())
//!     }
//! }
//!
//! impl Hub for Chat {
//!     fn methods(methods: &mut HubMethods<Self>) {
//!         methods.on("Say", Self::say);
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = HubServer::new(Chat)?;
//! # #[cfg(feature = "axum")] {
//! let app = axum::Router::new().merge(hub.router("/chat"));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//! signalr_server::serve(listener, app).await?;
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! Methods are functions: `async fn(self: Arc<Self>, ...)` whose parameters are arguments, [`CallContext`]s,
//! [`CancellationToken`]s and [`UploadStream`]s in any order, and whose result is a value, a `Result` or, for
//! [`HubMethods::stream`], a stream. What a client sees of an error is decided by [`HubError`].
//!
//! [`HubServerBuilder`] says who may connect, which filters stand around calls, and the [options](HubOptions).
//! [`HubServer::service`] is the hub without axum, and [`testing`] tests hubs without a network. The guide to all of it is
//! `docs/server.md` in the repository.
//!
//! # Logs
//!
//! Through `tracing`: `error` tells of failures that clients are not told, with the method, the error and its causes, and of panics;
//! `warn` of a backplane that cannot be reached; `info` of calls and requests that were refused, by target and reason; `debug` of
//! connections that open, resume and close, and of failures that clients are told. Tokens, headers and payloads are never
//! logged, but the words of the application's errors and panics are. Of an `Err` that serde can serialize and that is more than
//! a text, the log has the name of its type.
//!
//! # Crates and features
//!
//! The protocol itself is in `signalr-proto`; this crate runs methods and carries out what the machines want of the network.
//!
//! | feature | default | |
//! |---|---|---|
//! | `tokio` | yes | hubs on tokio, and [`serve`] |
//! | `axum` | yes | `HubServer::router` for axum 0.8 |
//! | `metrics` | no | counts and durations of connections through the `metrics` facade |

mod application;
mod authorize;
#[cfg(feature = "axum")]
mod axum;
mod backplane;
mod body;
mod builder;
mod call;
mod client;
mod clients;
mod connection;
mod dispatch;
mod error;
mod extensions;
mod filter;
mod frames;
mod groups;
pub mod handler;
mod hub;
mod ids;
mod limit;
mod locks;
mod method;
mod options;
mod patience;
mod registry;
mod report;
mod request;
mod request_body;
mod runtime;
#[cfg(feature = "tokio")]
mod serve;
mod server;
mod service;
mod shared;
mod slow;
mod telemetry;
pub mod testing;
mod upload;
mod user;
mod web_socket;

/// For fuzz targets, and nobody else.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    /// A byte that says how a client's stream of WebSocket frames is cut, then the stream: cuts make no difference, and no bytes make
    /// more of themselves.
    pub fn web_socket_frames(data: &[u8]) {
        crate::web_socket::frames::check(data);
    }
}

pub use authorize::Denial;
pub use backplane::{
    Backplane, BackplaneFault, BackplaneHandle, BackplaneHealth, BackplaneLink, MemoryBackplane,
    Publisher, Subscriber,
};
pub use body::HubBody;
pub use builder::HubServerBuilder;
pub use call::CallContext;
pub use client::{Client, Invoke};
pub use clients::{Audiences, Clients};
pub use error::{BodyError, BuildError, GroupError, HubError, InvokeError, SendError, UploadError};
pub use extensions::Extensions;
pub use filter::{
    HubCall, HubFilter, HubReply, LogCalls, Next, NextConnected, NextDisconnected, RateLimit,
};
pub use groups::Groups;
pub use hub::{Hub, HubMethods, MethodEntry};
pub use options::{HubOptions, SlowClients};
pub use request::{HubRequest, PeerAddress};
pub use runtime::Runtime;
#[cfg(feature = "tokio")]
pub use runtime::Tokio;
#[cfg(feature = "tokio")]
pub use serve::{Serve, serve};
pub use server::HubServer;
pub use service::{HubFuture, HubService};
pub use signalr_proto::backplane::{
    BackplaneConfig, BackplaneCounters, BackplaneError, BackplaneState, JoinRefusal, Message,
    WhenAway,
};
/// A client that leaves of its own accord is not always [`ClosedByClient`](DisconnectReason::ClosedByClient). Microsoft's JavaScript
/// client says Close in `stop()`; on WebSockets that comes first, while with server-sent events and long polling it is a request
/// of its own, which the end of the others may overtake. That, as a page or program that is closed, is
/// [`TransportEnded`](DisconnectReason::TransportEnded).
#[doc(inline)]
pub use signalr_proto::server::DisconnectReason;
pub use signalr_proto::server::{EndpointConfig, Origins, ServerConfig};
pub use signalr_proto::{Payload, Protocol, Spread, TransportKind};
pub use slow::SlowClientStats;
pub use tokio_util::sync::CancellationToken;
pub use upload::UploadStream;
pub use user::User;
