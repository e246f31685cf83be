//! The server role: one [`Endpoint`] for each hub route, one [`ServerConnection`] for each client.
//!
//! How far a connection has come:
//!
//! ```text
//!              handshake read            accept()
//! Handshaking ----------------> Greeting ---------> Open
//!      |                           |                 |
//!      | refused, late, too long   | reject(),       | Close of either side, fault of the client,
//!      |                           | close()         | client timeout, expired token
//!      v                           v                 v
//!   Closing <--------------------------------------- +
//!      | everything was sent (or nothing moves any more), or the transport ended
//!      v
//!   Closed
//! ```
//!
//! What it has for a transport, beside that:
//!
//! ```text
//!            first request            lost without a close frame
//!      +------------------> WebSocket -------------------------> Lost
//!      |                     |   ^ <------- another WebSocket ----- |
//!      |                     |   | another WebSocket                | disconnect timeout
//!      |                     |   +--- (stateful reconnect only)     |
//!      |                     |                                      |
//! None +------------------> Events                                  |
//!      |                     |                                      |
//!      |                     | the client left                      |
//!      |                     v                                      |
//!      |                    Over <----------------------------------+
//!      |                     ^
//!      |                     | DELETE
//!      +------------------> Polls: Away <--> Waiting <--> Delivering
//! ```
//!
//! A connection that no transport reaches, or no further poll, is over after the disconnect timeout, as one is whose transport does
//! not take what is sent. In `Over` the rest of what was received is handed out, if the application takes it soon. In `Lost` neither
//! state changes: messages that the application sends are kept, and all timers run on.
//!
//! In `Greeting` the handshake was answered and the application welcomes the client: it may send, and what the client sends
//! waits. Messages are decoded one at a time, when the driver polls for them, so that a driver that stops polling events
//! (after [`Input::ReadPaused`]) leaves the rest of the bytes as they are.
//!
//! ```
//! use bytes::Bytes;
//! use signalr_proto::server::*;
//! use signalr_proto::{Instant, OpId};
//!
//! # fn main() -> Result<(), signalr_proto::EncodeError> {
//! let now = Instant::ZERO;
//! let mut connection =
//!     ServerConnection::new(ServerConfig::default(), ConnectionOptions::default(), now);
//! let op = OpId::new(1);
//! let arrival = Arrival { op, port: Port::WebSocket, identity: None };
//! connection.handle_input(now, Input::Arrived(arrival));
//! let bytes = Bytes::from_static(
//!     b"{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\x1e",
//! );
//! connection.handle_input(now, Input::Received { op, bytes });
//! loop {
//!     match connection.poll_output() {
//!         Output::Action(Action::Send { op, bytes, .. }) => {
//!             println!("send {bytes:?}");
//!             connection.handle_input(now, Input::Sent { op });
//!         }
//!         Output::Action(_) => { /* carry it out */ }
//!         Output::Event(Event::Handshaken { .. }) => connection.accept(now),
//!         Output::Event(Event::Invocation { call, invocation, .. }) => {
//!             let sum: i32 = invocation.arguments.decode::<(i32, i32)>().map_or(0, |(a, b)| a + b);
//!             connection.finish(now, call, CallOutcome::Value(&sum))?;
//!         }
//!         Output::Event(_) => { /* tell the application */ }
//!         Output::Wait(_deadline) => break,
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod answers;
mod api;
mod calls;
mod config;
mod connection;
mod endpoint;
mod identity;
mod query;
mod refusal;
mod result_owners;

pub use api::{
    Action, Arrival, CallOutcome, DisconnectReason, Event, Ignored, Input, Misuse, Output, Port,
};
pub use calls::CallId;
pub use config::{BodyRate, ConnectionOptions, ServerConfig};
pub use connection::ServerConnection;
pub use endpoint::{
    ConnectionKey, Endpoint, EndpointConfig, FreshIds, Origins, RequestHead, Resource, Verdict,
};
pub use identity::Identity;
pub use query::{query_parameter, query_parameters};
pub use refusal::{Failure, Refusal};
pub use result_owners::ResultOwners;
