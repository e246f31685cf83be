//! What goes into and comes out of a server machine.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::codec::{Invocation, Outcome, Payload, Protocol};
use crate::error::DecodeError;
use crate::replay::SequenceError;
use crate::time::Instant;
use crate::transport::{EndCause, WsMessage};

/// Something that happened to the connection. The driver reports it with the time it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerInput {
    /// The deadline of the last `Wait` may have passed. An early or repeated one does nothing.
    Timeout,
    /// Bytes came from the client, cut anywhere. Whether they came as text or as binary does not matter.
    Received {
        /// The bytes.
        bytes: Bytes,
    },
    /// The transport took the message of the last [`ServerAction::Send`].
    Sent,
    /// The transport is over, and nothing more comes or goes.
    Ended {
        /// Why.
        cause: EndCause,
    },
    /// The application is the slow side: no message is handed out and the client timeout stands still until `ReadResumed`.
    /// Everything else goes on, pings included.
    ReadPaused,
    /// The application takes messages again.
    ReadResumed,
}

/// What the driver must do next. One total order: carry them out as they come.
#[derive(Debug)]
#[must_use = "the driver must carry out every output"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must handle each, so a new one has to break it"
)]
pub enum ServerOutput {
    /// Do something to the transport.
    Action(ServerAction),
    /// Tell the application something.
    Event(ServerEvent),
    /// Nothing more, until this deadline or the next input or command.
    Wait(Option<Instant>),
}

/// What the machine wants of the transport.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerAction {
    /// Send a message. Answered by [`ServerInput::Sent`]. Never two at a time.
    Send {
        /// The message.
        message: WsMessage,
    },
    /// Close the WebSocket with this code: everything has been sent.
    Close {
        /// The code, 1000.
        code: u16,
    },
    /// Drop the transport at once: it does not take what must be sent. With stateful reconnect the connection may outlive it;
    /// the events tell.
    Abort,
}

/// What the application is told.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// The handshake is done: welcome the client, then call [`accept`](super::ServerConnection::accept). Until then what the
    /// client sends waits.
    Handshaken {
        /// The encoding the client chose.
        protocol: Protocol,
    },
    /// The client calls a method.
    Invocation {
        /// Whether it wants a stream of results.
        streaming: bool,
        /// The call.
        invocation: Invocation,
    },
    /// An item of an upload stream. Ignore it when there is no stream of that id.
    StreamItem {
        /// The stream.
        stream_id: ByteString,
        /// The item.
        item: Payload,
    },
    /// The end of an upload stream, or the answer to a question. Ignore it when there is neither (`SB-45`).
    Completion {
        /// The stream or question.
        id: ByteString,
        /// How it ended.
        outcome: Outcome,
    },
    /// The client no longer wants the answer to this call. Ignore it when there is no such call.
    Cancel {
        /// The call.
        invocation_id: ByteString,
    },
    /// There is room again after [`SendError::Full`](crate::SendError::Full).
    Writable,
    /// The WebSocket is lost, and the connection goes on without one until another [attaches] or the disconnect timeout has
    /// passed. Only with stateful reconnect.
    ///
    /// [attaches]: super::ServerConnection::attach
    Detached {
        /// Why.
        cause: EndCause,
    },
    /// The connection goes on with a new WebSocket.
    Resumed,
    /// The connection is over. The last event.
    Closed {
        /// Why.
        reason: DisconnectReason,
    },
}

/// Why a server's connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client sent a Close message.
    #[error("the client closed the connection{}{}", if .error.is_some() { " with the error: " } else { "" }, .error.as_deref().unwrap_or_default())]
    ClosedByClient {
        /// The client's words.
        error: Option<Box<str>>,
    },
    /// The application closed the connection, or the server shuts down.
    #[error("the server closed the connection")]
    ClosedByServer,
    /// The transport ended cleanly without a Close message.
    #[error("the client left")]
    TransportEnded,
    /// The transport failed.
    #[error("{detail}")]
    TransportFailed {
        /// What failed.
        detail: Box<str>,
    },
    /// The handshake was refused, or never came. The application has not heard of this client.
    #[error("the handshake failed: {error}")]
    HandshakeFailed {
        /// What the client was told.
        error: Box<str>,
    },
    /// Nothing was received for the client timeout (`SB-34`).
    #[error(
        "client hasn't sent a message/ping within the configured client timeout of {timeout:?}"
    )]
    ClientTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The client did not take what was sent to it (`SB-50`).
    #[error("the client took no data for {timeout:?}")]
    SendTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The client broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(DecodeError),
    /// The client's counting of messages cannot be true (`SB-58`).
    #[error("protocol error: {0}")]
    Sequence(SequenceError),
    /// The client answered a question that was put to another one (`SB-42`).
    #[error("the client answered a question that was put to another connection")]
    ForeignAnswer,
    /// The driver handed in more than it polled.
    #[error("{waiting} received bytes wait to be processed, which exceeds the limit of {limit}")]
    IncomingLimit {
        /// Bytes that wait.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
}

impl DisconnectReason {
    /// Whether this is a failure rather than an orderly end.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        match self {
            Self::ClosedByClient { error } => error.is_some(),
            Self::ClosedByServer | Self::TransportEnded => false,
            Self::TransportFailed { .. }
            | Self::HandshakeFailed { .. }
            | Self::ClientTimeout { .. }
            | Self::SendTimeout { .. }
            | Self::Protocol(_)
            | Self::Sequence(_)
            | Self::ForeignAnswer
            | Self::IncomingLimit { .. } => true,
        }
    }
}
