//! What goes into and comes out of a server machine.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::Response;

use super::calls::CallId;
use super::identity::Identity;
use super::refusal::Failure;
use crate::codec::{DecodeError, Invocation, Outcome, Payload, Protocol, TransferFormat};
use crate::error::SequenceError;
use crate::time::Instant;
use crate::transport::{EndCause, OpId};

/// A request that belongs to a connection.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "built by endpoints and drivers")]
pub struct Arrival {
    /// Its name from now on. Never used twice on one connection.
    pub op: OpId,
    /// What it wants.
    pub port: Port,
    /// Who sends it, if that is known.
    pub identity: Option<Identity>,
}

/// What a request wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Port {
    /// To be its WebSocket.
    WebSocket,
    /// To be its event stream.
    Events,
    /// Its next messages.
    Poll,
    /// To bring messages of the client.
    Post,
    /// Its end.
    Delete,
    /// To present a newer token.
    Refresh,
}

/// Something that happened to the connection. The driver reports it with the time it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The deadline of the last `Wait` may have passed. An early or repeated one does nothing.
    Timeout,
    /// A request came, as the endpoint routed it.
    Arrived(Arrival),
    /// A piece of a POST's body came, cut anywhere.
    Body {
        /// The POST.
        op: OpId,
        /// The bytes; may be none.
        bytes: Bytes,
        /// Whether the body is complete.
        last: bool,
    },
    /// Bytes came on the WebSocket, cut anywhere. Whether they came as text or as binary does not matter.
    Received {
        /// The WebSocket.
        op: OpId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The transport took the last [`Send`](Action::Send), [`Chunk`](Action::Chunk) or
    /// [`Deliver`](Action::Deliver).
    Sent {
        /// What it was sent on.
        op: OpId,
    },
    /// The WebSocket or request is over: the client closed or left it.
    Ended {
        /// Which.
        op: OpId,
        /// Why.
        cause: EndCause,
    },
    /// The application is the slow side: no message is handed out and the client timeout stands still until `ReadResumed`.
    /// Everything else goes on, pings included.
    ReadPaused,
    /// The application takes messages again.
    ReadResumed,
}

impl Input {
    /// What it is about, unless it is about the connection as a whole.
    pub(super) const fn op(&self) -> Option<OpId> {
        match self {
            Self::Timeout | Self::Arrived(_) | Self::ReadPaused | Self::ReadResumed => None,
            Self::Body { op, .. }
            | Self::Received { op, .. }
            | Self::Sent { op }
            | Self::Ended { op, .. } => Some(*op),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "Timeout",
            Self::Arrived(_) => "Arrived",
            Self::Body { .. } => "Body",
            Self::Received { .. } => "Received",
            Self::Sent { .. } => "Sent",
            Self::Ended { .. } => "Ended",
            Self::ReadPaused => "ReadPaused",
            Self::ReadResumed => "ReadResumed",
        }
    }
}

/// What the driver must do next. One total order: carry them out as they come.
#[derive(Debug)]
#[must_use = "the driver must carry out every output"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must handle each, so a new one has to break it"
)]
pub enum Output {
    /// Do something to the transport.
    Action(Action),
    /// Tell the application something.
    Event(Event),
    /// Nothing more, until this deadline or the next input or command.
    Wait(Option<Instant>),
}

/// What the machine wants of the transport.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Answer a request. Nothing is reported about it any more.
    Respond {
        /// The request.
        op: OpId,
        /// The whole answer.
        response: Box<Response<Bytes>>,
    },
    /// Answer a poll with messages. Followed by [`Input::Sent`] when the client took them, and by
    /// [`Input::Ended`] when it did not: then the next poll brings them.
    Deliver {
        /// The poll.
        op: OpId,
        /// The whole answer.
        response: Box<Response<Bytes>>,
    },
    /// Begin an event stream: answer with this head, and keep the body open.
    Stream {
        /// The request.
        op: OpId,
        /// The head of the answer.
        head: Box<Response<()>>,
    },
    /// Write a piece of an event stream, and flush it. Answered by [`Input::Sent`]. Never two at a time.
    Chunk {
        /// The event stream.
        op: OpId,
        /// The bytes.
        bytes: Bytes,
    },
    /// End an event stream in an orderly way: everything has been sent. Nothing is reported about it any more.
    Finish {
        /// The event stream.
        op: OpId,
    },
    /// Answer 101 and open the WebSocket. What it brings is [`Input::Received`], and its end [`Input::Ended`].
    Accept {
        /// The request, which is now the WebSocket.
        op: OpId,
    },
    /// Send one message on the WebSocket. Answered by [`Input::Sent`]. Never two at a time.
    Send {
        /// The WebSocket.
        op: OpId,
        /// The message: a whole number of hub messages, or the answer to the handshake.
        bytes: Bytes,
        /// Whether it is a text message or a binary one ([TR-35](crate::spec::transports#tr-35)): text until the client has
        /// chosen MessagePack.
        format: TransferFormat,
    },
    /// Send a close frame with this code, wait for the client's for [`close_timeout`](super::ServerConfig::close_timeout), then
    /// drop the WebSocket. Nothing is reported about it any more.
    Close {
        /// The WebSocket.
        op: OpId,
        /// The code, 1000.
        code: u16,
    },
    /// Drop the WebSocket or request at once. Nothing is reported about it any more.
    Abort {
        /// Which.
        op: OpId,
    },
}

/// What the application is told.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done: welcome the client, then call [`accept`](super::ServerConnection::accept) or
    /// [`reject`](super::ServerConnection::reject). Until then what the client sends waits.
    Handshaken {
        /// The encoding the client chose.
        protocol: Protocol,
    },
    /// The client calls a method. Every call must come to an end: [`finish`](super::ServerConnection::finish) or
    /// [`refuse`](super::ServerConnection::refuse).
    Invocation {
        /// Its name.
        call: CallId,
        /// Whether the client wants a stream of results.
        streaming: bool,
        /// What is called. Its uploads are its `stream_ids`, and counted in their order.
        invocation: Invocation,
    },
    /// A call has to wait for another one's permit, and everything behind it too. It comes as an
    /// [`Invocation`](Self::Invocation), under another name, when it is its turn. One that cannot be run whenever that is, since there
    /// is no such method or its arguments do not fit, need not wait: [`refuse`](super::ServerConnection::refuse) it. A call of a stream
    /// that lacks its id comes so, too; unless it is refused it ends the connection ([SB-16](crate::spec::server_behaviour#sb-16)).
    Held {
        /// Its name until its turn comes.
        call: CallId,
        /// What is called.
        invocation: Invocation,
    },
    /// The client no longer wants the answer to this call, which has to be finished all the same.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// An item of an upload.
    StreamItem {
        /// The call it belongs to.
        call: CallId,
        /// Which upload of the call.
        upload: usize,
        /// The item.
        item: Payload,
    },
    /// The end of an upload.
    UploadEnded {
        /// The call it belongs to.
        call: CallId,
        /// Which upload of the call.
        upload: usize,
        /// What went wrong, in the words of the client or the machine.
        error: Option<Box<str>>,
    },
    /// The answer to a question of [`invoke`](super::ServerConnection::invoke).
    Completion {
        /// The question.
        invocation_id: ByteString,
        /// The answer.
        outcome: Outcome,
    },
    /// The answer to a question that this connection was not asked, or not any more. What to make of it is for
    /// [`ResultOwners::judge`](super::ResultOwners::judge) to say; hand its error to
    /// [`close_for`](super::ServerConnection::close_for).
    UnknownCompletion {
        /// The question.
        invocation_id: ByteString,
    },
    /// The client presents a newer token: decide with [`reauthenticate`](super::ServerConnection::reauthenticate).
    Reauthenticate {
        /// The request that brought it, which waits.
        op: OpId,
        /// What the token says.
        identity: Identity,
    },
    /// The newer token took the place of the old one.
    Reauthenticated {
        /// What it says.
        identity: Identity,
    },
    /// There is room again after [`SendError::Full`](crate::SendError::Full).
    Writable,
    /// The WebSocket is lost, and the connection goes on without one until another arrives or the disconnect timeout has
    /// passed. Only with stateful reconnect.
    Detached {
        /// Why.
        cause: EndCause,
    },
    /// The connection goes on with a new WebSocket.
    Resumed,
    /// Something had no effect.
    Ignored(Ignored),
    /// The connection is over, with all its calls, uploads and questions. The last event.
    Closed {
        /// Why.
        reason: DisconnectReason,
    },
}

/// Inputs that have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// The driver said something that it cannot have meant. What it brought is lost.
    Misuse {
        /// The operation that it named.
        op: OpId,
        /// What is wrong.
        misuse: Misuse,
    },
}

/// A mistake of the driver. News of a request or WebSocket that is over already are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// An `op` that did not [arrive](Input::Arrived) at this connection.
    #[error("no arrival named this operation")]
    UnknownOp,
    /// News of a kind that such a request or WebSocket never has.
    #[error("`{input}` is no news of such a request")]
    Unexpected {
        /// The name of the input.
        input: &'static str,
    },
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum CallOutcome<'a, T: ?Sized> {
    /// Without a value. A plain call is answered with null ([SB-17](crate::spec::server_behaviour#sb-17)), a stream ends without a
    /// result ([SB-26](crate::spec::server_behaviour#sb-26)).
    Done,
    /// With a value. A stream has none, and ends as with `Done`.
    Value(&'a T),
    /// The method failed: `An unexpected error occurred invoking '…' on the server.`
    Failed(Failure<'a>),
    /// The stream failed after it had begun: `An error occurred on the server while streaming results.`
    StreamFailed(Failure<'a>),
}

/// Outcomes without a value, for which no type has to be named.
impl<'a> CallOutcome<'a, ()> {
    /// [`Done`](Self::Done).
    #[must_use]
    pub const fn done() -> Self {
        Self::Done
    }

    /// [`Failed`](Self::Failed).
    #[must_use]
    pub const fn failed(failure: Failure<'a>) -> Self {
        Self::Failed(failure)
    }

    /// [`StreamFailed`](Self::StreamFailed).
    #[must_use]
    pub const fn stream_failed(failure: Failure<'a>) -> Self {
        Self::StreamFailed(failure)
    }
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
    /// The application turned the client away instead of welcoming it.
    #[error("the application turned the client away")]
    Rejected,
    /// The client's token expired ([TR-85](crate::spec::transports#tr-85)).
    #[error("the client's authentication expired")]
    AuthenticationExpired,
    /// The application did not accept a newer token that a poll or a WebSocket presented ([TR-83](crate::spec::transports#tr-83)).
    #[error("the client's new authentication was rejected")]
    AuthenticationRejected,
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
    /// Nothing was received for the client timeout ([SB-34](crate::spec::server_behaviour#sb-34)).
    #[error(
        "client hasn't sent a message/ping within the configured client timeout of {timeout:?}"
    )]
    ClientTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The client did not take what was sent to it ([SB-50](crate::spec::server_behaviour#sb-50)).
    #[error("the client took no data for {timeout:?}")]
    SendTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// More waited for the client than may, and the application does not wait for it. Given by drivers, whose queue that is.
    #[error(
        "the client was too slow: {waiting} bytes waited for it, which exceeds the limit of {limit}"
    )]
    SlowClient {
        /// Bytes that waited.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// No transport came, or no further poll ([TR-26](crate::spec::transports#tr-26), [TR-63](crate::spec::transports#tr-63)).
    #[error("the client had no transport for {timeout:?}")]
    DisconnectTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The client broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(DecodeError),
    /// The client's counting of messages cannot be true ([SB-58](crate::spec::server_behaviour#sb-58)).
    #[error("protocol error: {0}")]
    Sequence(SequenceError),
    /// The client went on sending and acknowledged nothing, so that it could not be answered.
    #[error(
        "the client acknowledged no message while {waiting} bytes of its own waited, which exceeds the limit of {limit}"
    )]
    Unacknowledged {
        /// What its messages cost that wait.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// The client answered a question that was put to another one ([SB-42](crate::spec::server_behaviour#sb-42)).
    #[error("the client answered a question that was put to another connection")]
    ForeignAnswer,
    /// The driver handed in bytes that were not [asked for](super::ServerConnection::reading).
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
            Self::ClosedByServer | Self::AuthenticationExpired | Self::TransportEnded => false,
            Self::Rejected
            | Self::AuthenticationRejected
            | Self::TransportFailed { .. }
            | Self::HandshakeFailed { .. }
            | Self::ClientTimeout { .. }
            | Self::SendTimeout { .. }
            | Self::SlowClient { .. }
            | Self::DisconnectTimeout { .. }
            | Self::Protocol(_)
            | Self::Sequence(_)
            | Self::Unacknowledged { .. }
            | Self::ForeignAnswer
            | Self::IncomingLimit { .. } => true,
        }
    }
}
