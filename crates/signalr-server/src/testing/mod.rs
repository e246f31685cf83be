//! Tests of hubs without a network.
//!
//! A [`TestClient`] speaks with a hub as a real client does, handshake and encoding included, and shows what the hub sent:
//!
//! ```
//! use std::sync::Arc;
//! use signalr_server::testing::TestClient;
//! use signalr_server::{CallContext, Hub, HubMethods, HubServer, SendError};
//!
//! struct Chat;
//!
//! impl Chat {
//!     async fn say(self: Arc<Self>, context: CallContext, text: String) -> Result<usize, SendError> {
//!         context.clients().all().send("said", (&text,)).await?;
//!         Ok(text.len())
//!     }
//! }
//!
//! impl Hub for Chat {
//!     fn methods(methods: &mut HubMethods<Self>) {
//!         methods.on("Say", Self::say);
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let hub = HubServer::new(Chat).unwrap();
//! let mut alice = TestClient::connect(&hub).await.unwrap();
//! let mut bob = TestClient::connect(&hub).await.unwrap();
//! assert_eq!(alice.invoke::<usize>("Say", ("hello",)).await, Ok(5));
//! assert_eq!(bob.received::<(String,)>("said").await, Ok(("hello".to_owned(),)));
//! # });
//! ```
//!
//! It speaks JSON over long polling, and does so in the background: it hears Close, answers questions and stays connected while
//! the test does something else. A panic in an answer goes on in whatever the client is asked to do next. Other transports,
//! MessagePack, reconnects and newer tokens are left to tests over a network.

mod builder;
mod call;
mod client;
mod error;
mod line;
mod request;

pub use builder::TestClientBuilder;
pub use call::TestStream;
pub use client::TestClient;
pub use error::TestError;
