//! The SignalR protocol as state machines: bytes and timers go in, actions and events come out.
//!
//! Nothing in this crate opens a socket, reads a clock, starts a thread or draws a random number. A *driver* owns those: it
//! feeds a machine with [`client::Input`]s and carries out the [`client::Output`]s it polls. `signalr-client` is such a driver
//! for async runtimes; writing one for a transport of your own takes a loop:
//!
//! ```
//! use signalr_proto::client::{Action, ClientConfig, ClientConnection, Event, Input, Output};
//! use signalr_proto::Instant;
//!
//! # fn main() -> Result<(), signalr_proto::UsageError> {
//! let config = ClientConfig::new("http://localhost:5000/chat")?;
//! let mut connection = ClientConnection::new(config, 42);
//! let now = Instant::ZERO;
//! connection.start(now)?;
//! loop {
//!     match connection.poll_output() {
//!         Output::Action(Action::Request { op, request, .. }) => {
//!             assert_eq!(request.uri(), "http://localhost:5000/chat/negotiate?negotiateVersion=1");
//!             // Send it, and hand the answer back; here there is no network.
//!             let cause = signalr_proto::EndCause::Failed { detail: "no network".into() };
//!             connection.handle_input(now, Input::Ended { op, cause });
//!         }
//!         Output::Action(_) => { /* carry it out */ }
//!         Output::Event(Event::StartFailed { reason }) => println!("not connected: {reason}"),
//!         Output::Event(_) => { /* tell the application */ }
//!         Output::Wait(None) => break,
//!         Output::Wait(Some(_deadline)) => { /* sleep until then or until something happens */ }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#[macro_use]
mod arity;
pub mod backplane;
pub mod client;
pub mod codec;
mod decimal;
#[cfg(feature = "idna")]
pub mod domain;
mod error;
mod incoming;
mod limits;
mod outbox;
mod replay;
pub mod server;
pub mod spec;
mod time;
mod timers;
mod timestamp;
pub mod transport;

pub use client::InvocationId;
pub use codec::{
    ArgumentReader, ArgumentWriter, Arguments, CompletionOutcome, DecodeError, DecodeErrorKind,
    Encode, EncodeError, FromArguments, HubArguments, HubMessage, Payload, PayloadError, Protocol,
    Spread, TransferFormat, WithUploads,
};
pub use error::{
    CloseReason, HttpRequest, NegotiateError, RefreshError, SendError, SequenceError, UsageError,
};
pub use limits::Limits;
pub use time::Instant;
pub use timestamp::{ParseTimestampError, Timestamp};
pub use transport::HubUrl;
pub use transport::negotiate::{AccessToken, TransportKind};
pub use transport::{BodyMode, ConnectionId, EndCause, OpId};
