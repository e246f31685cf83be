//! What goes into and comes out of a client machine.

use bytes::Bytes;
use bytestring::ByteString;
use core::time::Duration;

use super::config::RetryContext;
use crate::codec::{Arguments, Payload, TransferFormat};
use crate::error::{CloseReason, RefreshError};
use crate::time::Instant;
use crate::transport::negotiate::{AccessToken, TransportKind};
use crate::transport::{BodyMode, ConnectionId, EndCause, OpId};

/// The id of a call, stream or upload stream that this client began. Counts from 1 and is never used twice
/// ([CB-27](crate::spec::client_behaviour#cb-27)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub(crate) u64);

impl InvocationId {
    /// The id with this number, for drivers that keep plain numbers.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number; its decimal form is the id on the wire.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for InvocationId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A question of the server that waits for its one answer. Given back to
/// [`complete`](super::ClientConnection::complete), which takes it so that there cannot be two.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub(super) id: ByteString,
    /// The connection it came on: a later one must not see the answer ([CB-55](crate::spec::client_behaviour#cb-55)).
    pub(super) epoch: u32,
}

impl ReplyTo {
    /// The id the server chose.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A call that was begun: its id and those of its upload streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub(super) first_stream: u64,
    pub(super) end: u64,
    pub(super) position: u64,
}

impl Call {
    /// The id of the call, which its events carry.
    #[must_use]
    pub const fn id(&self) -> InvocationId {
        InvocationId(self.end)
    }

    /// The ids of its upload streams, in the order of the arguments.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = InvocationId> + use<> {
        let count = usize::try_from(self.end - self.first_stream).unwrap_or(usize::MAX);
        let first = self.first_stream;
        (0..count).map(move |offset| InvocationId(first + offset as u64))
    }

    /// Where the message ends in the stream of bytes sent: it was handed to the transport once
    /// [`sent_position`](super::ClientConnection::sent_position) reaches this.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }
}

/// What becomes of a call that meets no connection, or loses the one it was made on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// Waits while the connection is being made, for the first time or again, instead of failing. Not for calls with upload
    /// streams.
    pub wait: bool,
    /// Is made again, under the same id, when the connection is lost before the answer came and there is another one. The server
    /// may carry it out twice. Only for calls with one answer and without upload streams.
    pub repeat: bool,
}

impl CallOptions {
    /// The defaults: the call fails without a connection, and with the one it was made on.
    ///
    /// ```
    /// use signalr_proto::client::CallOptions;
    ///
    /// const PATIENT: CallOptions = CallOptions::new().wait(true).repeat(true);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wait: false,
            repeat: false,
        }
    }

    /// Sets [`wait`](Self::wait).
    #[must_use]
    pub const fn wait(self, wait: bool) -> Self {
        Self { wait, ..self }
    }

    /// Sets [`repeat`](Self::repeat).
    #[must_use]
    pub const fn repeat(self, repeat: bool) -> Self {
        Self { repeat, ..self }
    }
}

/// Something that happened to the machine. The driver reports it with the time it happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// The deadline of the last `Wait` may have passed. An early or repeated one does nothing.
    Timeout,
    /// The answer to [`Action::Request`]: whole, or the head alone when it was asked for streamed.
    Response {
        /// The request.
        op: OpId,
        /// The answer.
        response: http::Response<Bytes>,
    },
    /// The next piece of a streamed body, cut anywhere.
    Chunk {
        /// The request.
        op: OpId,
        /// The piece.
        bytes: Bytes,
    },
    /// The WebSocket of [`Action::OpenWebSocket`] is open.
    Opened {
        /// The action.
        op: OpId,
    },
    /// Bytes came on the WebSocket, cut anywhere. Whether they came as text or as binary does not matter. A close frame is
    /// [`Ended`](Self::Ended).
    Received {
        /// The action that opened the socket.
        op: OpId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The transport took the message of [`Action::Send`].
    Sent {
        /// The socket.
        op: OpId,
    },
    /// A request, a streamed body or a WebSocket is over, for the reason given. Nothing more comes for this `op`.
    Ended {
        /// The request, or the action that opened the socket.
        op: OpId,
        /// Why.
        cause: EndCause,
    },
    /// The answer to [`Action::GetAccessToken`]; an error ends the attempt to connect.
    AccessToken {
        /// The question.
        op: OpId,
        /// The token, none, or the provider's words.
        token: Result<Option<AccessToken>, Box<str>>,
    },
    /// The answer to [`Action::NextRetryDelay`]; `None` gives up.
    RetryDelay {
        /// The question.
        op: OpId,
        /// How long to wait before the next attempt.
        delay: Option<Duration>,
    },
    /// The application is the slow side and the driver stopped reading: the server timeout must not fire because of it.
    ReadPaused,
    /// The driver reads again.
    ReadResumed,
}

impl Input {
    /// What it is about, unless it is about the connection as a whole.
    pub(super) const fn op(&self) -> Option<OpId> {
        match self {
            Self::Timeout | Self::ReadPaused | Self::ReadResumed => None,
            Self::Response { op, .. }
            | Self::Chunk { op, .. }
            | Self::Opened { op }
            | Self::Received { op, .. }
            | Self::Sent { op }
            | Self::Ended { op, .. }
            | Self::AccessToken { op, .. }
            | Self::RetryDelay { op, .. } => Some(*op),
        }
    }

    /// Its name, for logs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "Timeout",
            Self::Response { .. } => "Response",
            Self::Chunk { .. } => "Chunk",
            Self::Opened { .. } => "Opened",
            Self::Received { .. } => "Received",
            Self::Sent { .. } => "Sent",
            Self::Ended { .. } => "Ended",
            Self::AccessToken { .. } => "AccessToken",
            Self::RetryDelay { .. } => "RetryDelay",
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
    /// Do something to the outside world.
    Action(Action),
    /// Tell the application something.
    Event(Event),
    /// Nothing more, until this deadline or the next input or command.
    Wait(Option<Instant>),
}

impl Output {
    /// Whether this tells the application something about a call.
    pub(super) fn is_about(&self, id: InvocationId) -> bool {
        match self {
            Self::Event(
                Event::Completion { invocation_id, .. } | Event::StreamItem { invocation_id, .. },
            ) => *invocation_id == id,
            Self::Event(_) | Self::Action(_) | Self::Wait(_) => false,
        }
    }
}

/// What the machine wants of the outside world.
#[non_exhaustive]
pub enum Action {
    /// Send an HTTP request. Answered by `Response` (and `Chunk`s, `Ended`) or by `Ended`.
    Request {
        /// Names the request.
        op: OpId,
        /// The request, complete but for `Host`.
        request: Box<http::Request<Bytes>>,
        /// How the body of the answer is wanted.
        body: BodyMode,
    },
    /// Open a WebSocket. Answered by `Opened` or `Ended`; later `Received`s carry the same `op`.
    OpenWebSocket {
        /// Names the socket.
        op: OpId,
        /// The address (`ws` or `wss`) and the headers, without those of the WebSocket handshake itself.
        request: Box<http::Request<()>>,
    },
    /// Send one message on the WebSocket. Answered by `Sent`. Never two at a time.
    Send {
        /// The WebSocket.
        op: OpId,
        /// The message: a whole number of hub messages, or the handshake.
        bytes: Bytes,
        /// Whether it is a text message or a binary one ([TR-35](crate::spec::transports#tr-35)). The same for each of a
        /// connection, the handshake included ([HP-21](crate::spec::hub_protocol#hp-21)).
        format: TransferFormat,
    },
    /// Send a close frame with this code. It may follow a message that was not taken yet: it goes behind what has begun.
    /// The driver then waits a moment for the peer to close, too, and drops the WebSocket. What it hears meanwhile, the end most
    /// of all, it still tells, for a machine that is stopping waits for it; any other has forgotten this `op`.
    Close {
        /// The WebSocket.
        op: OpId,
        /// The code, 1000.
        code: u16,
    },
    /// Ask the application for an access token. Answered by `AccessToken`.
    GetAccessToken {
        /// Names the question.
        op: OpId,
    },
    /// Ask the application's reconnect policy. Answered by `RetryDelay`.
    NextRetryDelay {
        /// Names the question.
        op: OpId,
        /// What to decide by.
        context: RetryContext,
    },
    /// Give up `op` at once; no answer is needed and a late one is ignored.
    Abort {
        /// The request, socket or question.
        op: OpId,
    },
}

impl Action {
    /// Requests are large and rare: in a box they do not make every output as large.
    pub(super) fn request(op: OpId, request: http::Request<Bytes>, body: BodyMode) -> Self {
        Self::Request {
            op,
            request: Box::new(request),
            body,
        }
    }
}

/// Shows methods and hosts, but no addresses, headers or payloads: they may hold tokens.
impl core::fmt::Debug for Action {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Request { op, request, .. } => write!(
                f,
                "Request({op}, {} {})",
                request.method(),
                request.uri().path()
            ),
            Self::OpenWebSocket { op, request } => {
                write!(f, "OpenWebSocket({op}, {})", request.uri().path())
            }
            Self::Send { op, bytes, format } => {
                write!(f, "Send({op}, {} of {} bytes)", format.name(), bytes.len())
            }
            Self::Close { op, code } => write!(f, "Close({op}, {code})"),
            Self::GetAccessToken { op } => write!(f, "GetAccessToken({op})"),
            Self::NextRetryDelay { op, context } => write!(f, "NextRetryDelay({op}, {context:?})"),
            Self::Abort { op } => write!(f, "Abort({op})"),
        }
    }
}

/// What the application is told.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first start succeeded.
    Connected {
        /// The public id; none when negotiation was skipped.
        connection_id: Option<ConnectionId>,
        /// What it runs over.
        transport: TransportKind,
    },
    /// `start` failed. No `Closed` follows, and nothing is retried.
    StartFailed {
        /// Why.
        reason: CloseReason,
    },
    /// The first start failed, and [`ClientConfig::retry_start`](super::ClientConfig::retry_start) wants it repeated.
    StartRetry {
        /// Why it failed.
        reason: CloseReason,
        /// The time until the next attempt.
        delay: Duration,
        /// Which attempt that will be; the one of `start` was the first.
        attempt: u32,
    },
    /// A transport did not start, and the next one is tried.
    Fallback {
        /// What did not start.
        from: TransportKind,
        /// What is tried now.
        to: TransportKind,
        /// Why the first did not start.
        reason: CloseReason,
    },
    /// The connection was lost and the policy wants it back. All pending calls have been resolved before this.
    Reconnecting {
        /// Why it was lost.
        reason: CloseReason,
    },
    /// An attempt to have the connection back will be made; follows [`Reconnecting`](Self::Reconnecting) at once, and every
    /// attempt that failed and is not the last. Why the last failed is told by [`Closed`](Self::Closed).
    ReconnectAttempt {
        /// Counts from 1 with each loss.
        attempt: u32,
        /// The time until then.
        delay: Duration,
        /// Why the attempt before failed; before the first, why the connection was lost.
        reason: CloseReason,
    },
    /// The connection is back, as a new one: groups and pending calls of the old one are gone.
    Reconnected {
        /// The new public id; none when negotiation was skipped.
        connection_id: Option<ConnectionId>,
        /// What it runs over.
        transport: TransportKind,
    },
    /// The server calls a method here.
    Invocation {
        /// The method.
        target: ByteString,
        /// The arguments.
        arguments: Arguments,
        /// Where the answer goes, when the server wants one.
        reply_to: Option<ReplyTo>,
    },
    /// An item of a stream.
    StreamItem {
        /// The stream.
        invocation_id: InvocationId,
        /// The item.
        item: Payload,
    },
    /// A call or stream is over. Exactly one for each that was begun and not cancelled.
    Completion {
        /// The call or stream.
        invocation_id: InvocationId,
        /// Its result (`None` for void), or why there is none.
        outcome: Result<Option<Payload>, CallError>,
    },
    /// There is room again after [`SendError::Full`](crate::SendError::Full).
    Writable,
    /// Something from the server was passed over; for logs.
    Ignored(Ignored),
    /// The WebSocket of a stateful connection was lost and another one is being opened in its place. The connection goes on.
    Resuming {
        /// Why the WebSocket was lost.
        reason: CloseReason,
    },
    /// The connection has its new WebSocket, and nothing was lost. The public id stays.
    Resumed,
    /// Messages of the offline queue were too old to be sent, and were dropped.
    Expired {
        /// How many.
        messages: usize,
    },
    /// The server took a new access token ([TR-84](crate::spec::transports#tr-84)).
    AuthenticationRefreshed {
        /// How long it lives, if the server says so.
        lifetime: Option<Duration>,
    },
    /// A new access token was not to be had, or the server did not take it. The connection goes on with the old one.
    AuthenticationRefreshFailed {
        /// Why.
        error: RefreshError,
    },
    /// The connection is over. The last event until the next `start`.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a call or stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server's words, as it sent them.
    #[error("{error}")]
    Server {
        /// The words.
        error: Box<str>,
    },
    /// The connection ended before the answer came. Whether the server carried out the call is unknown.
    #[error("the invocation was canceled because the connection ended: {0}")]
    ConnectionLost(CloseReason),
    /// A stream item came for a call that is not a stream ([CB-25](crate::spec::client_behaviour#cb-25)).
    #[error("the method is a stream: call it with `stream`")]
    UnexpectedItem,
    /// A stream's completion came with a result ([CB-31](crate::spec::client_behaviour#cb-31)).
    #[error("server provided a result in a completion response to a streamed invocation")]
    ResultOfStream,
}

/// Messages and inputs that have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// The driver said something that it cannot have meant. What it brought is lost.
    Misuse {
        /// The operation that it named.
        op: OpId,
        /// What is wrong.
        misuse: Misuse,
    },
    /// A message of a type that is not known here ([HP-60](crate::spec::hub_protocol#hp-60)).
    UnknownType,
    /// A message that servers do not send to clients ([HP-65](crate::spec::hub_protocol#hp-65)).
    NotForClients,
    /// A completion for no pending call ([HP-64](crate::spec::hub_protocol#hp-64)).
    Completion {
        /// Its id.
        invocation_id: ByteString,
    },
    /// A stream item for no pending stream ([HP-64](crate::spec::hub_protocol#hp-64)).
    StreamItem {
        /// Its id.
        invocation_id: ByteString,
    },
}

/// A mistake of the driver. Late answers to what was aborted or is over are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// [`Received`](Input::Received) or [`Sent`](Input::Sent) for a WebSocket that is being opened.
    #[error("the WebSocket was not reported as `Opened`")]
    NotOpened,
    /// A [`Chunk`](Input::Chunk) of a streamed body, whose head was not reported.
    #[error("the head of the answer was not reported by `Response`")]
    NoHead,
    /// A [`Response`](Input::Response) with a body to a request that wants it [streamed](BodyMode::Streamed): it belongs into
    /// `Chunk`s.
    #[error("a streamed body came with its head: it belongs into `Chunk`s")]
    BodyWithHead,
    /// An `op` that no action has named.
    #[error("no action named this operation")]
    UnknownOp,
    /// An answer of another kind than the action wants, or the second one.
    #[error("`{input}` is no answer to this action, or the second one")]
    Unexpected {
        /// The name of the input.
        input: &'static str,
    },
}

/// The public state of a connection ([table](crate::spec::client_behaviour)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum ConnectionState {
    /// Not started, or over.
    Disconnected,
    /// `start` is under way.
    Connecting,
    /// Calls can be made.
    Connected,
    /// Lost, and being made again.
    Reconnecting,
    /// `stop` is under way.
    Disconnecting,
}
