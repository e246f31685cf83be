//! What can go wrong, for the user of a connection.

use core::time::Duration;

use signalr_proto::client::CallError;
use signalr_proto::{CloseReason, EncodeError, PayloadError, RefreshError, SendError, UsageError};

/// Why an operation of a [`HubConnection`](crate::HubConnection) failed. `Display` says what to do about it where that can be
/// known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no connection to call on.
    #[error("the connection is not active: call start() first, or wait until it is reconnected")]
    NotConnected,
    /// `start` was called in another state than Disconnected.
    #[error("the connection cannot be started if it is not in the Disconnected state")]
    NotDisconnected,
    /// The connection could not be made. It is not tried again by itself.
    #[error("could not connect: {0}")]
    Start(CloseReason),
    /// The server's words, as it sent them.
    #[error("{error}")]
    Server {
        /// The words.
        error: Box<str>,
    },
    /// The connection ended before the answer came. Whether the server carried out the call is unknown.
    #[error("the connection ended before the call was done: {0}")]
    ConnectionLost(CloseReason),
    /// No answer came in time; the call was cancelled.
    #[error("no answer came within {after:?}")]
    Timeout {
        /// The time it was given.
        after: Duration,
    },
    /// The method is a stream.
    #[error("the method is a stream: call it with `stream`")]
    UnexpectedItem,
    /// The server ended a stream with a result.
    #[error("server provided a result in a completion response to a streamed invocation")]
    ResultOfStream,
    /// More items of a stream waited to be taken than [`OpenStream::max_waiting`](crate::OpenStream::max_waiting) allows. The
    /// stream was cancelled.
    #[error(
        "more than {limit} items of the stream waited to be taken, and it was cancelled: take them faster, or raise max_waiting()"
    )]
    StreamOverflow {
        /// The limit.
        limit: usize,
    },
    /// The result or item is not of the type asked for.
    #[error("the server's answer does not fit the type asked for: {0}")]
    Decode(#[source] PayloadError),
    /// The method has no name. Nothing was sent.
    #[error("a method needs a name")]
    EmptyTarget,
    /// The call is not of the kind that can be made twice. Nothing was sent.
    #[error(
        "only invocations without upload streams can be repeated: use another handle than `idempotent()`"
    )]
    NotRepeatable,
    /// An argument could not be written. Nothing was sent.
    #[error("an argument cannot be sent: {0}")]
    Encode(#[source] EncodeError),
    /// Too many calls wait for their answer.
    #[error(
        "{limit} invocations wait for their completion, which is the limit: wait for some, or raise Limits::max_pending_invocations"
    )]
    TooManyInvocations {
        /// The limit.
        limit: usize,
    },
    /// The access token of the connection could not be replaced. It goes on with the old one.
    #[error("the access token was not refreshed: {0}")]
    Refresh(#[source] RefreshError),
    /// The connection was configured wrongly, or is not of the kind that the operation needs.
    #[error(transparent)]
    Usage(UsageError),
    /// The connection's runtime is not there.
    #[cfg(feature = "net")]
    #[error(transparent)]
    Spawn(#[from] signalr_net::SpawnError),
    /// The driver is gone: its runtime was shut down, or the future of `Driver::run` was dropped.
    #[error(
        "the task that ran the connection is gone, with its runtime or because it was dropped: build a new connection"
    )]
    DriverGone,
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Server { error } => Self::Server { error },
            CallError::ConnectionLost(reason) => Self::ConnectionLost(reason),
            CallError::UnexpectedItem => Self::UnexpectedItem,
            CallError::ResultOfStream => Self::ResultOfStream,
            other => Self::Server {
                error: other.to_string().into(),
            },
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooManyInvocations { limit } => Self::TooManyInvocations { limit },
            SendError::Encode(error) => Self::Encode(error),
            SendError::EmptyTarget => Self::EmptyTarget,
            SendError::NotRepeatable => Self::NotRepeatable,
            // `Full` is waited for and ids are ours, so neither comes here.
            SendError::NotConnected
            | SendError::NotWelcomed
            | SendError::Full { .. }
            | SendError::UnknownId
            | _ => Self::NotConnected,
        }
    }
}

/// Why a connection cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address, a header or an interval is not valid.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A certificate cannot be read, the address of a proxy is not valid, or no TLS is compiled in.
    #[cfg(feature = "net")]
    #[error(transparent)]
    Network(#[from] signalr_net::SetupError),
    /// An option of the network was set for a connection over a transport of the application's own, which would not obey it.
    #[error(
        "`{option}` is an option of the network, and build_with() is given another: tell NetOptions, or the transport itself"
    )]
    NetworkOption {
        /// The option's name.
        option: &'static str,
    },
}
