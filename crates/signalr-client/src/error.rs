//! What can go wrong, for the user of a connection: one type for each thing one does with it.
//!
//! The types of what takes an address say which (without its query), and calls name their method. `Display` does not repeat what
//! `source` gives.

use core::fmt;
use core::time::Duration;

use signalr_proto::{CloseReason, EncodeError, PayloadError, SendError, UsageError, client};

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
    /// The system refuses what a thread of the connection's own takes.
    #[cfg(feature = "blocking")]
    #[error("no runtime for the connection's thread: {detail}")]
    Thread {
        /// The system's words.
        detail: Box<str>,
    },
}

impl BuildError {
    /// Whether the same may succeed later: never.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        false
    }
}

/// What an error is about: an address, and the method of a call.
#[derive(Clone, PartialEq, Eq)]
struct About<K> {
    kind: K,
    address: Box<str>,
    method: Box<str>,
}

macro_rules! family {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Box<About<$kind>>);

        impl $name {
            /// What happened.
            #[must_use]
            pub const fn kind(&self) -> &$kind {
                &self.0.kind
            }

            /// What happened, without the rest.
            #[must_use]
            pub fn into_kind(self) -> $kind {
                self.0.kind
            }

            /// The address of the hub, without its query.
            #[must_use]
            pub const fn address(&self) -> &str {
                &self.0.address
            }

            /// Whether the same may well succeed later, without anything being changed, as far as can be told.
            #[must_use]
            pub fn is_transient(&self) -> bool {
                self.0.kind.is_transient()
            }
        }

        impl core::error::Error for $name {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                self.0.kind.source()
            }
        }
    };
}

family! {
    /// Why a connection was not made: what [`start`](crate::HubConnection::start) fails with. It is not tried again by itself.
    StartError, StartErrorKind
}

/// Why a connection was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// `start` was called in another state than Disconnected ([CB-1](signalr_proto::spec::client_behaviour#cb-1)).
    #[error("it is not in the Disconnected state")]
    NotDisconnected,
    /// The connection could not be made.
    #[error("it could not be made")]
    Failed(#[source] CloseReason),
    /// The configuration is not valid.
    #[error("it is configured wrongly")]
    Usage(#[source] UsageError),
    /// The runtime that is to run the connection is not there.
    #[error("{detail}")]
    NoRuntime {
        /// What is missing.
        detail: Box<str>,
    },
    /// The driver is gone: its runtime was shut down, or the future of `Driver::run` was dropped.
    #[error("{}", DRIVER_GONE)]
    DriverGone,
    /// A handler cannot wait for its own connection, whose thread it runs on.
    #[cfg(feature = "blocking")]
    #[error("{}", INSIDE_HANDLER)]
    InsideHandler,
}

impl StartErrorKind {
    fn is_transient(&self) -> bool {
        match self {
            Self::Failed(reason) => reason.is_transient(),
            Self::NotDisconnected | Self::Usage(_) | Self::NoRuntime { .. } | Self::DriverGone => {
                false
            }
            #[cfg(feature = "blocking")]
            Self::InsideHandler => false,
        }
    }
}

impl StartError {
    pub(crate) fn new(address: impl fmt::Display, kind: StartErrorKind) -> Self {
        Self(Box::new(About {
            kind,
            address: address.to_string().into(),
            method: Box::default(),
        }))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, kind) = (self.address(), self.kind());
        if matches!(kind, StartErrorKind::Failed(_)) {
            // Why it could not is the source's to tell.
            return write!(f, "could not connect to {address}");
        }
        write!(f, "the connection to {address} cannot be started: {kind}")
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError")
            .field("address", &self.0.address)
            .field("kind", &self.0.kind)
            .finish()
    }
}

family! {
    /// Why a call, a send or a stream failed.
    ///
    /// ```
    /// # use signalr_client::{CallError, CallErrorKind, HubConnection};
    /// # async fn example(connection: HubConnection) -> Result<(), CallError> {
    /// match connection.invoke::<i32>("Add", (1, 2)).await {
    ///     Ok(sum) => println!("{sum}"),
    ///     Err(error) if error.is_transient() => println!("later, perhaps: {error}"),
    ///     Err(error) => match error.kind() {
    ///         CallErrorKind::Server { error } => println!("the server says: {error}"),
    ///         _ => return Err(error),
    ///     },
    /// }
    /// # Ok(())
    /// # }
    /// ```
    CallError, CallErrorKind
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// There is no connection to call on ([CB-23](signalr_proto::spec::client_behaviour#cb-23)).
    #[error("the connection is not active: call start() first, or wait until it is reconnected")]
    NotConnected,
    /// The server's words, as it sent them.
    #[error("{error}")]
    Server {
        /// The words.
        error: Box<str>,
    },
    /// The connection ended before the answer came. Whether the server carried out the call is unknown.
    #[error("the connection ended before the call was done")]
    ConnectionLost(#[source] CloseReason),
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
    #[error("the server's answer does not fit the type asked for")]
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
    #[error("an argument cannot be sent")]
    Encode(#[source] EncodeError),
    /// Too many calls wait for their answer.
    #[error(
        "{limit} invocations wait for their completion, which is the limit: wait for some, or raise Limits::max_pending_invocations"
    )]
    TooManyInvocations {
        /// The limit.
        limit: usize,
    },
    /// The driver is gone: its runtime was shut down, or the future of `Driver::run` was dropped.
    #[error("{}", DRIVER_GONE)]
    DriverGone,
    /// A handler cannot wait for its own connection, whose thread it runs on.
    #[cfg(feature = "blocking")]
    #[error("{}", INSIDE_HANDLER)]
    InsideHandler,
}

impl CallErrorKind {
    const fn is_transient(&self) -> bool {
        match self {
            Self::NotConnected | Self::Timeout { .. } | Self::TooManyInvocations { .. } => true,
            // Whoever stopped it has to start it.
            Self::ConnectionLost(reason) => !matches!(reason, CloseReason::Stopped),
            Self::Server { .. }
            | Self::UnexpectedItem
            | Self::ResultOfStream
            | Self::StreamOverflow { .. }
            | Self::Decode(_)
            | Self::EmptyTarget
            | Self::NotRepeatable
            | Self::Encode(_)
            | Self::DriverGone => false,
            #[cfg(feature = "blocking")]
            Self::InsideHandler => false,
        }
    }
}

impl CallError {
    pub(crate) fn new(address: impl fmt::Display, method: &str, kind: CallErrorKind) -> Self {
        Self(Box::new(About {
            kind,
            address: address.to_string().into(),
            method: method.into(),
        }))
    }

    /// The method that was called.
    #[must_use]
    pub const fn method(&self) -> &str {
        &self.0.method
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, address, kind) = (self.method(), self.address(), self.kind());
        write!(f, "calling '{method}' at {address} failed: {kind}")
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("method", &self.0.method)
            .field("address", &self.0.address)
            .field("kind", &self.0.kind)
            .finish()
    }
}

impl From<client::CallError> for CallErrorKind {
    fn from(error: client::CallError) -> Self {
        match error {
            client::CallError::Server { error } => Self::Server { error },
            client::CallError::ConnectionLost(reason) => Self::ConnectionLost(reason),
            client::CallError::UnexpectedItem => Self::UnexpectedItem,
            client::CallError::ResultOfStream => Self::ResultOfStream,
            other => Self::Server {
                error: other.to_string().into(),
            },
        }
    }
}

impl From<SendError> for CallErrorKind {
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

family! {
    /// Why the access token of a connection was not replaced: what
    /// [`refresh_authentication`](crate::HubConnection::refresh_authentication) fails with. The connection goes on with the old one, if
    /// there is one.
    RefreshError, RefreshErrorKind
}

/// Why an access token was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshErrorKind {
    /// The provider or the server did not do it.
    #[error("the provider or the server refused")]
    Failed(#[source] signalr_proto::RefreshError),
    /// There is no connection, or none that can be refreshed.
    #[error("there is nothing to refresh")]
    Usage(#[source] UsageError),
    /// The connection ended meanwhile.
    #[error("the connection ended meanwhile")]
    ConnectionLost(#[source] CloseReason),
    /// The driver is gone: its runtime was shut down, or the future of `Driver::run` was dropped.
    #[error("{}", DRIVER_GONE)]
    DriverGone,
}

impl RefreshErrorKind {
    const fn is_transient(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_transient(),
            Self::Usage(error) => matches!(error, UsageError::NotConnected),
            Self::ConnectionLost(reason) => !matches!(reason, CloseReason::Stopped),
            Self::DriverGone => false,
        }
    }
}

impl RefreshError {
    pub(crate) fn new(address: impl fmt::Display, kind: RefreshErrorKind) -> Self {
        Self(Box::new(About {
            kind,
            address: address.to_string().into(),
            method: Box::default(),
        }))
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, kind) = (self.address(), self.kind());
        write!(
            f,
            "the access token of the connection to {address} was not refreshed: {kind}"
        )
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshError")
            .field("address", &self.0.address)
            .field("kind", &self.0.kind)
            .finish()
    }
}

#[cfg(feature = "blocking")]
const INSIDE_HANDLER: &str = "a handler cannot wait for its own connection: let it be async, and call by a WeakHubConnection";
const DRIVER_GONE: &str = "the task that ran the connection is gone, with its runtime or because it was dropped: build a new connection";

#[cfg(test)]
mod tests {
    use core::error::Error as _;

    use super::*;

    const ADDRESS: &str = "http://localhost:5000/chat";

    fn refused() -> CloseReason {
        CloseReason::TransportFailed {
            detail: "localhost:5000 cannot be reached: refused".into(),
        }
    }

    #[test]
    fn errors_say_what_and_where_and_leave_why_to_their_sources() {
        let error = StartError::new(ADDRESS, StartErrorKind::Failed(refused()));
        assert_eq!(
            (error.to_string(), error.source().map(ToString::to_string)),
            (
                "could not connect to http://localhost:5000/chat".into(),
                Some(refused().to_string())
            )
        );
        let error = StartError::new(ADDRESS, StartErrorKind::NotDisconnected);
        assert_eq!(
            (error.to_string(), error.source().is_none()),
            (
                "the connection to http://localhost:5000/chat cannot be started: it is not in the Disconnected state".into(),
                true
            )
        );
        let lost = CallErrorKind::ConnectionLost(CloseReason::TransportEnded);
        let error = CallError::new(ADDRESS, "Add", lost);
        assert_eq!(
            (error.to_string(), error.source().map(ToString::to_string)),
            (
                "calling 'Add' at http://localhost:5000/chat failed: the connection ended before the call was done".into(),
                Some("the server closed the connection without a Close message".into())
            )
        );
        let refusal = signalr_proto::RefreshError::NoToken;
        let error = RefreshError::new(ADDRESS, RefreshErrorKind::Failed(refusal));
        assert_eq!(
            error.source().map(ToString::to_string),
            Some("the access token provider gave no token".into())
        );
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let start = |reason| StartError::new(ADDRESS, StartErrorKind::Failed(reason));
        let status =
            |status| CloseReason::Negotiate(signalr_proto::NegotiateError::Status { status });
        assert!(start(refused()).is_transient());
        assert!(start(status(503)).is_transient() && !start(status(404)).is_transient());
        assert!(!start(CloseReason::Stopped).is_transient());
        let call = |kind| CallError::new(ADDRESS, "Add", kind).is_transient();
        assert!(call(CallErrorKind::NotConnected));
        assert!(call(CallErrorKind::ConnectionLost(refused())));
        assert!(!call(CallErrorKind::ConnectionLost(CloseReason::Stopped)));
        assert!(!call(CallErrorKind::Server { error: "no".into() }));
        assert!(!call(CallErrorKind::DriverGone));
    }

    #[test]
    fn errors_are_small() {
        assert_eq!(size_of::<CallError>(), size_of::<usize>());
        assert_eq!(size_of::<StartError>(), size_of::<usize>());
    }
}
