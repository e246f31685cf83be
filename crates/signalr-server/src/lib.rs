//! SignalR hubs for async Rust.
//!
//! A [`Hub`] is a type with methods that clients call; a [`HubServer`] serves it. With the feature `axum` (on by default)
//! `HubServer::router` gives the routes for an axum application:
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
//! axum::serve(listener, app).await?;
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! Methods are functions: `async fn(self: Arc<Self>, ...)` whose parameters are arguments, [`CallContext`]s and
//! [`UploadStream`]s in any order, and whose result is a value, a `Result` or, for [`HubMethods::stream`], a stream. What a
//! client sees of an error is decided by [`HubError`].
//!
//! The protocol itself is in `signalr-proto`; this crate adds tokio, and takes any WebSocket that is a stream and a sink
//! ([`Accepted::serve`]). Server-sent events, long polling and stateful reconnect are not offered yet.
//!
//! | feature | default | |
//! |---|---|---|
//! | `axum` | yes | `HubServer::router` for axum 0.8 |

#[cfg(feature = "axum")]
mod axum;
mod call;
mod clients;
mod connection;
mod dispatch;
mod driver;
mod error;
pub mod handler;
mod hub;
mod options;
mod registry;
mod request;
mod server;
mod serving;
mod slots;
mod upload;

pub use call::CallContext;
pub use clients::{Audiences, Client, Clients};
pub use error::{AskError, BuildError, HubError, UploadError};
pub use hub::{Hub, HubMethods};
pub use options::HubOptions;
pub use request::{HubRequest, User};
pub use server::{Accepted, HubServer, HubServerBuilder};
pub use signalr_proto::server::DisconnectReason;
pub use signalr_proto::{Payload, Protocol};
pub use upload::UploadStream;
