//! What can go wrong, split by who is to blame: the peer, the network, the caller, a limit. What is wrong with messages and
//! values alone is told by the codec's own errors.

use core::time::Duration;

use crate::codec::{DecodeError, EncodeError, TransferFormat};

/// Why a command was refused. Nothing was written and the connection is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection to send on ([CB-23](crate::spec::client_behaviour#cb-23)).
    #[error("the connection is not active")]
    NotConnected,
    /// [`Limits::max_outgoing_bytes`](crate::Limits::max_outgoing_bytes) is reached: try again after `Event::Writable`.
    #[error("{waiting} bytes wait to be sent, which exceeds the limit of {limit}")]
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many calls wait for their completion.
    #[error("{limit} invocations wait for their completion, which is the limit")]
    TooManyInvocations {
        /// The limit.
        limit: usize,
    },
    /// The id names no upload stream, call or question that is still open.
    #[error("no open invocation or stream has this id")]
    UnknownId,
    /// A question to a client that is not welcomed yet, so that nobody reads ([SB-44](crate::spec::server_behaviour#sb-44)).
    #[error("Client results inside OnConnectedAsync Hub methods are not allowed.")]
    NotWelcomed,
    /// A call that cannot be made twice: a stream, one with upload streams, or one without an answer.
    #[error("only calls with one answer and without upload streams can be repeated")]
    NotRepeatable,
    /// A method without a name.
    #[error("a method needs a name")]
    EmptyTarget,
    /// The message could not be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A command that does not fit the state or the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// `start` outside of `Disconnected` ([CB-1](crate::spec::client_behaviour#cb-1)).
    #[error("the connection cannot be started if it is not in the Disconnected state")]
    NotDisconnected,
    /// The address is not an absolute http, https, ws or wss URL, or its port is none.
    #[error(
        "'{url}' is not the address of a hub: it must be absolute, begin with http://, https://, ws:// or wss://, and have a port of at most 65535, if any"
    )]
    InvalidUrl {
        /// The address, without what may be a secret: its query, and everything behind the scheme when there is an `@`.
        url: Box<str>,
    },
    /// The address holds a user name or password, which would not be sent.
    #[error(
        "the user name and password in the address would not be sent: take them out, and give an access token or an Authorization header instead"
    )]
    CredentialsInUrl,
    /// A header that HTTP does not allow.
    #[error("a header's name or value is not valid in HTTP")]
    InvalidHeader,
    /// A header by which HTTP and WebSockets themselves work: `Host`, `Connection`, `Upgrade`, those that say how long a body
    /// is, and `Sec-WebSocket-*`.
    #[error(
        "Host, Connection, Upgrade, TE, Trailer, Expect, Content-Length, Transfer-Encoding and Sec-WebSocket-* belong to the transport and cannot be set as headers"
    )]
    ReservedHeader,
    /// A command that needs a connection.
    #[error("the connection is not active")]
    NotConnected,
    /// A refresh where there is nothing to refresh ([TR-97](crate::spec::transports#tr-97)).
    #[error(
        "authentication can only be refreshed on a negotiated connection with an access token provider"
    )]
    NoRefresh,
    /// Negotiation skipped, with transports that need it ([TR-15](crate::spec::transports#tr-15)).
    #[error("negotiation can only be skipped when using the WebSocket transport directly")]
    SkippedNegotiation,
    /// An interval or timeout of zero.
    #[error("intervals and timeouts must be longer than zero")]
    ZeroInterval,
}

/// Why an access token could not be refreshed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The provider had no token.
    #[error("the access token provider gave no token")]
    NoToken,
    /// The provider failed.
    #[error("the access token provider failed: {detail}")]
    Provider {
        /// The provider's words.
        detail: Box<str>,
    },
    /// The server did not take the token ([TR-81](crate::spec::transports#tr-81)).
    #[error("the server answered the refresh of the access token with status {status}{}", Code(.error.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's code, such as `invalid_token`.
        error: Option<Box<str>>,
    },
    /// The answer is not what it should be.
    #[error("the server's answer to the refresh of the access token is not a JSON object")]
    Invalid,
    /// The request failed.
    #[error("{request} failed: {detail}")]
    Failed {
        /// The request.
        request: HttpRequest,
        /// What failed.
        detail: Box<str>,
    },
    /// The provider or the server took too long.
    #[error("the refresh of the access token took longer than {timeout:?}")]
    Timeout {
        /// The limit.
        timeout: Duration,
    },
}

struct Code<'a>(Option<&'a str>);

impl core::fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}

/// A transport that was not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportFailure {
    /// Its name, as the server spells it, without control characters and cut to 64 letters.
    pub transport: Box<str>,
    /// Why it was not used.
    pub reason: TransportFailureReason,
}

/// Why a transport was not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportFailureReason {
    /// A name from the future ([TR-29](crate::spec::transports#tr-29)).
    #[error("is not supported by this client")]
    Unknown,
    /// Not in [`ClientConfig::transports`](crate::client::ClientConfig::transports).
    #[error("is disabled by the client")]
    Disabled,
    /// It cannot carry the protocol's messages ([TR-28](crate::spec::transports#tr-28)).
    #[error("does not support {}", .format.name())]
    Format {
        /// What it would have to carry.
        format: TransferFormat,
    },
    /// It was tried.
    #[error("failed: {0}")]
    Failed(Box<CloseReason>),
}

impl core::fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.reason {
            TransportFailureReason::Failed(_) => write!(f, "{} {}", self.transport, self.reason),
            TransportFailureReason::Unknown
            | TransportFailureReason::Disabled
            | TransportFailureReason::Format { .. } => {
                write!(f, "'{}' {}", self.transport, self.reason)
            }
        }
    }
}

/// Why negotiation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiateError {
    /// A status other than 200 ([TR-4](crate::spec::transports#tr-4)).
    #[error("the server answered negotiate with status {status}{}", status_hint(*status))]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// A redirect that cannot be followed.
    #[error("the server redirects negotiate to {target} (status {status}){REDIRECT_HINT}")]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// Scheme, host and path of where to, or the path alone.
        target: Box<str>,
    },
    /// The body is compressed, although the request asked for one that is not.
    #[error("the answer to negotiate is compressed ({coding}){CODING_HINT}")]
    Compressed {
        /// How, as the server names it.
        coding: Box<str>,
    },
    /// Members of the answer are there under names with other capitals, which count (`url`, not `Url`).
    #[error("the answer to negotiate has members with wrong capitals: {detail}")]
    Misspelled {
        /// Which, and how they must be spelled.
        detail: Box<str>,
    },
    /// The server's own words in the member `error` ([TR-5](crate::spec::transports#tr-5)).
    #[error("{error}")]
    Refused {
        /// The words.
        error: Box<str>,
    },
    /// An ASP.NET (not Core) SignalR server ([TR-6](crate::spec::transports#tr-6)).
    #[error(
        "detected a connection attempt to an ASP.NET SignalR server; this client only supports connecting to an ASP.NET \
         Core SignalR server, see https://aka.ms/signalr-core-differences for details"
    )]
    AspNet,
    /// The body is not a negotiate response.
    #[error("invalid negotiation response received: {0}")]
    Invalid(DecodeError),
    /// More than 100 redirects ([TR-12](crate::spec::transports#tr-12)).
    #[error("negotiate redirection limit of {limit} exceeded")]
    RedirectLimit {
        /// The limit.
        limit: u32,
    },
    /// A redirect to something that is no URL.
    #[error("the server redirected to an address that is not an http or https URL")]
    RedirectUrl,
    /// Stateful reconnect was granted though not asked for ([TR-13](crate::spec::transports#tr-13)).
    #[error("client didn't negotiate Stateful Reconnect but the server did")]
    UnsolicitedStatefulReconnect,
    /// No transport is left: each with the reason why ([TR-32](crate::spec::transports#tr-32)).
    #[error("{}", NoTransport(.failures))]
    NoTransport {
        /// What was passed over, and what was tried.
        failures: Vec<TransportFailure>,
    },
}

const REDIRECT_HINT: &str = ": use the address of the hub that it leads to; if that is a page to log in, the server wants an access token";
const CODING_HINT: &str = ", which was not asked for and cannot be read: turn the compression off for the hub, on the server or in what stands before it";

struct NoTransport<'a>(&'a [TransportFailure]);

impl core::fmt::Display for NoTransport<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return f.write_str(
                "none of the transports supported by the client are supported by the server",
            );
        }
        f.write_str("unable to connect to the server with any of the available transports")?;
        for (index, failure) in self.0.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        Ok(())
    }
}

const fn status_hint(status: u16) -> &'static str {
    match status {
        401 => ": the server refused the token, or wants one",
        403 => ": the server forbids this",
        404 => {
            ": either this is not a SignalR endpoint or there is a proxy blocking the connection"
        }
        _ => "",
    }
}

/// The same for requests that belong to a connection, which was negotiated before, so that the place is right: 404 means something
/// else there.
const fn connection_hint(status: u16) -> &'static str {
    match status {
        404 => {
            ": it does not know this connection, which it has ended or another server holds (several servers need sticky sessions)"
        }
        _ => status_hint(status),
    }
}

/// Why a connection ended, could not be made, or is being made again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// `stop` was called, or the last handle was dropped.
    #[error("the connection was stopped")]
    Stopped,
    /// The server's Close message ([CB-60](crate::spec::client_behaviour#cb-60), [CB-61](crate::spec::client_behaviour#cb-61)).
    #[error("the server closed the connection{}", ServerError(.error.as_deref()))]
    ClosedByServer {
        /// The server's words; `Some("")` when it gave an empty error.
        error: Option<Box<str>>,
        /// Whether the server invites the client to connect again.
        allow_reconnect: bool,
    },
    /// The transport ended cleanly without a Close message ([CB-62](crate::spec::client_behaviour#cb-62)).
    #[error("the server closed the connection without a Close message")]
    TransportEnded,
    /// The WebSocket was closed with a code other than 1000 ([TR-41](crate::spec::transports#tr-41)).
    #[error("WebSocket closed with status code {code} ({})", if .reason.is_empty() { "no reason given" } else { .reason })]
    WebSocketClosed {
        /// The code; 1006 when the socket ended without a close frame.
        code: u16,
        /// The peer's words.
        reason: Box<str>,
    },
    /// The network, TLS or HTTP failed before there was a connection.
    #[error("{detail}")]
    TransportFailed {
        /// What failed.
        detail: Box<str>,
    },
    /// The network, TLS or HTTP failed under an established connection: whatever is written about it, the server is a hub.
    #[error("the connection broke: {detail}")]
    ConnectionBroken {
        /// What failed.
        detail: Box<str>,
    },
    /// The server refused the WebSocket with an HTTP status.
    #[error("the server refused the WebSocket with status {status}{}", connection_hint(*.status))]
    UpgradeRefused {
        /// The HTTP status.
        status: u16,
    },
    /// The server answered a request of an HTTP transport with a status that ends the connection
    /// ([TR-60](crate::spec::transports#tr-60), [TR-72](crate::spec::transports#tr-72)).
    #[error("the server answered {request} with status {status}{}", connection_hint(*.status))]
    RequestRefused {
        /// The request.
        request: HttpRequest,
        /// The HTTP status.
        status: u16,
    },
    /// The server answered a request of an established connection with status 404: whatever stands before it, the connection was
    /// there, and is not any more.
    #[error(
        "the server no longer knows this connection (it answered {request} with status 404): it has ended it, or was started again"
    )]
    Forgotten {
        /// The request.
        request: HttpRequest,
    },
    /// The server answered the WebSocket or a request of an HTTP transport with a redirect that cannot be followed.
    #[error("the server redirects to {target} (status {status}){REDIRECT_HINT}")]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// Scheme, host and path of where to, or the path alone.
        target: Box<str>,
    },
    /// The server compressed what it sent, although the request asked for it as it is.
    #[error("the answer to {request} is compressed ({coding}){CODING_HINT}")]
    Compressed {
        /// The request.
        request: HttpRequest,
        /// How, as the server names it.
        coding: Box<str>,
    },
    /// The answer to the request for an event stream is something else.
    #[error(
        "the answer to the request for the event stream is no event stream: something between here and the server answered"
    )]
    NotAnEventStream,
    /// The server took too long to answer a request of an HTTP transport.
    #[error("the server did not answer {request} within {timeout:?}")]
    RequestTimeout {
        /// The request.
        request: HttpRequest,
        /// The limit.
        timeout: Duration,
    },
    /// Negotiation, WebSocket opening or the answer to a request took too long.
    #[error("connecting took longer than {timeout:?}")]
    ConnectTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// No handshake response in time ([CB-3](crate::spec::client_behaviour#cb-3)).
    #[error("the server sent no handshake response within {timeout:?}")]
    HandshakeTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The server's words in its handshake response ([HP-22](crate::spec::hub_protocol#hp-22)).
    #[error("unable to complete handshake with the server due to an error: {error}")]
    HandshakeRefused {
        /// The words.
        error: Box<str>,
    },
    /// The transport ended before the handshake response came.
    #[error("the server disconnected before sending a handshake response")]
    HandshakeEnded,
    /// Nothing was received for the server timeout ([CB-10](crate::spec::client_behaviour#cb-10)).
    #[error("server timeout ({timeout:?}) elapsed without receiving a message from the server")]
    ServerTimeout {
        /// The limit.
        timeout: Duration,
    },
    /// The peer broke the protocol ([CB-65](crate::spec::client_behaviour#cb-65)).
    #[error("protocol error: {0}")]
    Protocol(DecodeError),
    /// The server's count of messages on a resumed connection cannot be true ([CB-86](crate::spec::client_behaviour#cb-86)).
    #[error(transparent)]
    Sequence(SequenceError),
    /// The server began a resumed connection with another message than Sequence.
    #[error("the server resumed the connection without telling which message follows")]
    MissingSequence,
    /// The driver handed in more than it polled.
    #[error("{waiting} received bytes wait to be processed, which exceeds the limit of {limit}")]
    IncomingLimit {
        /// Bytes that wait.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// Negotiation failed.
    #[error(transparent)]
    Negotiate(#[from] NegotiateError),
    /// The access token provider failed.
    #[error("the access token provider failed: {detail}")]
    AccessToken {
        /// The provider's words.
        detail: Box<str>,
    },
    /// The reconnect policy gave up ([CB-70](crate::spec::client_behaviour#cb-70)).
    #[error(
        "reconnect retries have been exhausted after {attempts} failed attempts and {elapsed:?} elapsed; the last one failed with: {last}"
    )]
    RetriesExhausted {
        /// Failed attempts.
        attempts: u32,
        /// Time since the connection was lost.
        elapsed: Duration,
        /// Why the last attempt failed.
        last: Box<Self>,
    },
    /// The driver is gone: its runtime was shut down, or whoever ran it dropped it. Drivers say so and no machine does.
    #[error("the task that ran the connection is gone, with its runtime or because it was dropped")]
    DriverGone,
}

/// The requests of the HTTP transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpRequest {
    /// `GET` for the stream of events.
    EventStream,
    /// `GET` for the next messages.
    Poll,
    /// `POST` of messages.
    Send,
    /// `POST` of a new access token.
    Refresh,
}

impl core::fmt::Display for HttpRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::EventStream => "the request for the event stream",
            Self::Poll => "a poll",
            Self::Send => "a send",
            Self::Refresh => "the refresh of the access token",
        })
    }
}

struct ServerError<'a>(Option<&'a str>);

impl core::fmt::Display for ServerError<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(error) => write!(f, " with the following error: {error}"),
        }
    }
}

/// Whether a server that answers so may answer otherwise soon.
const fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504)
}

impl RefreshError {
    /// Whether the same may well succeed later, without anything being changed, as far as can be told.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Timeout { .. } => true,
            Self::Refused { status, .. } => is_transient_status(*status),
            Self::NoToken | Self::Provider { .. } | Self::Invalid => false,
        }
    }
}

impl NegotiateError {
    /// Whether the same may well succeed later, without anything being changed, as far as can be told.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status } => is_transient_status(*status),
            Self::NoTransport { failures } => failures.iter().any(TransportFailure::is_transient),
            Self::Redirected { .. }
            | Self::Compressed { .. }
            | Self::Misspelled { .. }
            | Self::Refused { .. }
            | Self::AspNet
            | Self::Invalid(_)
            | Self::RedirectLimit { .. }
            | Self::RedirectUrl
            | Self::UnsolicitedStatefulReconnect => false,
        }
    }
}

impl CloseReason {
    /// Whether another attempt to connect may well succeed later, without anything being changed, as far as can be told: the network
    /// or the server failed, not the application or its configuration. A certificate that is not trusted fails as the network does.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TransportEnded
            | Self::WebSocketClosed { .. }
            | Self::TransportFailed { .. }
            | Self::ConnectionBroken { .. }
            | Self::Forgotten { .. }
            | Self::RequestTimeout { .. }
            | Self::ConnectTimeout { .. }
            | Self::HandshakeTimeout { .. }
            | Self::HandshakeEnded
            | Self::ServerTimeout { .. } => true,
            Self::ClosedByServer {
                allow_reconnect, ..
            } => *allow_reconnect,
            Self::UpgradeRefused { status } | Self::RequestRefused { status, .. } => {
                is_transient_status(*status)
            }
            Self::Negotiate(error) => error.is_transient(),
            Self::RetriesExhausted { last, .. } => last.is_transient(),
            Self::Stopped
            | Self::Redirected { .. }
            | Self::Compressed { .. }
            | Self::NotAnEventStream
            | Self::HandshakeRefused { .. }
            | Self::Protocol(_)
            | Self::Sequence(_)
            | Self::MissingSequence
            | Self::IncomingLimit { .. }
            | Self::AccessToken { .. }
            | Self::DriverGone => false,
        }
    }

    /// The same reason for the end of a connection that was established.
    pub(crate) fn of_established(self) -> Self {
        if let Self::TransportFailed { detail } = self {
            return Self::ConnectionBroken { detail };
        }
        if let Self::RequestRefused {
            request,
            status: 404,
        } = self
        {
            return Self::Forgotten { request };
        }
        self
    }

    /// Whether this is an orderly end rather than a failure.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::TransportEnded | Self::ClosedByServer { error: None, .. }
        )
    }
}

/// Why a Sequence message cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// Messages before it never came.
    #[error("sequence ID greater than amount of messages we've received")]
    Ahead,
    /// Messages are counted from 1.
    #[error("sequence ID less than 1")]
    Zero,
}
