//! The server role: one [`Endpoint`] for each hub route, one [`ServerConnection`] for each client.
//!
//! ```text
//!              handshake read            accept()
//! Handshaking ----------------> Greeting ---------> Open
//!      |                           |                 |
//!      | refused, late, too long   | refuse(),       | Close of either side, protocol error,
//!      v                           v shutdown()      v client timeout, shutdown()
//!   Closing <--------------------------------------- +
//!      | everything was sent (or nothing moves any more), or the transport ended
//!      v
//!   Closed
//! ```
//!
//! With stateful reconnect a connection in `Greeting` or `Open` goes on when its WebSocket is lost without a close frame, until
//! another one [attaches](ServerConnection::attach) or the disconnect timeout has passed: neither state changes, messages that
//! the application sends are kept, and all timers run on.
//!
//! In `Greeting` the handshake was answered and the application welcomes the client: it may send, and what the client sends
//! waits. Messages are decoded one at a time, when the driver polls for them, so that a driver that stops polling events
//! (after [`ServerInput::ReadPaused`]) leaves the rest of the bytes as they are.

mod api;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the machine of a connection takes it over next")
)]
mod calls;
mod config;
mod connection;
mod endpoint;
mod query;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the machine of a connection takes it over next")
)]
mod refusal;

pub use api::{DisconnectReason, ServerAction, ServerEvent, ServerInput, ServerOutput};
pub use calls::CallId;
pub use config::ServerConfig;
pub use connection::ServerConnection;
pub use endpoint::{ConnectRequest, ConnectionSlot, Endpoint, FreshIds, Negotiated, Route};
pub use query::{query_parameter, query_parameters};
pub use refusal::{Failure, Refusal};
