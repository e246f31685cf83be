//! What a client connection is told before it starts.

use core::time::Duration;

use http::{HeaderMap, HeaderName, header};

use crate::codec::Protocol;
use crate::error::{CloseReason, UsageError};
use crate::limits::Limits;
use crate::transport::HubUrl;
use crate::transport::negotiate::TransportKind;

/// Configuration of a [`ClientConnection`](super::ClientConnection), with the defaults of the official .NET client.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The address of the hub.
    pub url: HubUrl,
    /// The encoding of messages. Default: JSON.
    pub protocol: Protocol,
    /// Headers of every HTTP request and of the WebSocket's opening. They win over the ones the client sets itself.
    pub headers: HeaderMap,
    /// Whether the driver can provide access tokens: if so, it is asked for one before every negotiation and every WebSocket.
    /// Default: false.
    pub has_access_token: bool,
    /// Puts the WebSocket's token into the query (`access_token`) instead of the `Authorization` header, for servers and
    /// proxies that drop the header. Default: false.
    pub token_in_query: bool,
    /// The transports to use, the preferred one first. Empty for all of them in the server's order, which is the default.
    pub transports: Vec<TransportKind>,
    /// Opens the WebSocket at once, without negotiation. Only with WebSockets alone in [`transports`](Self::transports), or
    /// nothing. Default: false.
    pub skip_negotiation: bool,
    /// Lets a redirect to another scheme, host or port see the user's headers and tokens. Default: false.
    pub credentials_across_origins: bool,
    /// A ping is sent when nothing else was for this long ([CB-12](crate::spec::client_behaviour#cb-12)). Default: 15 s.
    pub keep_alive_interval: Duration,
    /// The connection is given up when nothing was received for this long ([CB-10](crate::spec::client_behaviour#cb-10)). At least
    /// twice the server's own keep-alive interval. Default: 30 s.
    pub server_timeout: Duration,
    /// How long the server may take to answer the handshake. Default: 15 s.
    pub handshake_timeout: Duration,
    /// How long each step before the handshake (token, negotiation, opening) may take. Default: 30 s.
    pub connect_timeout: Duration,
    /// How long the server may take to answer a send or a refresh of the token on an HTTP transport, and how long a poll may
    /// hang before it is repeated. Default: 100 s.
    pub request_timeout: Duration,
    /// How long before its expiry an access token is refreshed, if the server told how long it lives. `None` turns the
    /// automatic refresh off. Default: 5 min.
    pub refresh_before_expiration: Option<Duration>,
    /// How long `stop` waits for the server to close its side. Default: 5 s.
    pub close_timeout: Duration,
    /// What to do when an established connection is lost. Default: nothing.
    pub reconnect: ReconnectPolicy,
    /// What to do when the first start fails. Default: nothing, as in the official clients.
    pub retry_start: ReconnectPolicy,
    /// What becomes of calls that are made while there is no connection but one is being made. Default: they fail.
    pub while_reconnecting: WhileReconnecting,
    /// Keeps messages without an answer that are sent meanwhile, although calls fail. Default: none.
    pub offline_queue: Option<OfflineQueue>,
    /// Asks for stateful reconnect, and keeps up to this many bytes that the server has not acknowledged. Default: none, which
    /// means that the feature is off unless the address says `useStatefulReconnect=true`.
    pub stateful_reconnect: Option<usize>,
    /// Writes an address that a redirect leads to in ASCII: domain names beyond it need tables that this crate does without.
    /// Default: none, which refuses such addresses.
    pub ascii_address: Option<fn(&str) -> String>,
    /// Bounds on memory.
    pub limits: Limits,
}

impl ClientConfig {
    /// The defaults, for the hub at this address.
    ///
    /// # Errors
    /// [`UsageError::InvalidUrl`] when the address is not an absolute `http`, `https`, `ws` or `wss` URL,
    /// [`UsageError::CredentialsInUrl`] when it holds a user name or password: browsers refuse those, too, and to drop them
    /// without a word would look like a wrong password.
    pub fn new(url: &str) -> Result<Self, UsageError> {
        let url = HubUrl::parse(url)?;
        if url.authority().as_str().contains('@') {
            return Err(UsageError::CredentialsInUrl);
        }
        Ok(Self {
            url,
            protocol: Protocol::Json,
            headers: HeaderMap::new(),
            has_access_token: false,
            token_in_query: false,
            transports: Vec::new(),
            skip_negotiation: false,
            credentials_across_origins: false,
            keep_alive_interval: Duration::from_secs(15),
            server_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(100),
            refresh_before_expiration: Some(Duration::from_secs(300)),
            close_timeout: Duration::from_secs(5),
            reconnect: ReconnectPolicy::Never,
            retry_start: ReconnectPolicy::Never,
            while_reconnecting: WhileReconnecting::Fail,
            offline_queue: None,
            stateful_reconnect: None,
            ascii_address: None,
            limits: Limits::CLIENT,
        })
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`UsageError::ZeroInterval`] for an interval or timeout of zero, [`UsageError::ReservedHeader`] for a header that belongs
    /// to the transport, [`UsageError::SkippedNegotiation`] when negotiation is
    /// to be skipped and another transport than WebSockets is wanted ([TR-15](crate::spec::transports#tr-15)).
    pub fn validate(&self) -> Result<(), UsageError> {
        let times = [
            self.keep_alive_interval,
            self.server_timeout,
            self.handshake_timeout,
            self.connect_timeout,
            self.request_timeout,
            self.close_timeout,
        ];
        if times.contains(&Duration::ZERO) {
            return Err(UsageError::ZeroInterval);
        }
        if self.headers.keys().any(is_reserved) {
            return Err(UsageError::ReservedHeader);
        }
        let others = |kind: &TransportKind| *kind != TransportKind::WebSockets;
        if self.skip_negotiation && self.transports.iter().any(others) {
            return Err(UsageError::SkippedNegotiation);
        }
        Ok(())
    }

    /// Whether stateful reconnect is wanted: by the configuration, or by the address.
    pub(super) fn asks_for_stateful_reconnect(&self) -> bool {
        self.stateful_reconnect.is_some() || self.url.has_value("useStatefulReconnect", "true")
    }
}

/// Whether a header of the user's would break the requests it is put into.
fn is_reserved(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// Shows the names of headers without their values, which may be tokens.
impl core::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("transports", &self.transports)
            .field("skip_negotiation", &self.skip_negotiation)
            .field("keep_alive_interval", &self.keep_alive_interval)
            .field("server_timeout", &self.server_timeout)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("reconnect", &self.reconnect)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// When to connect again after a connection was lost ([requirements](crate::spec::client_behaviour#reconnecting)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// Not at all.
    #[default]
    Never,
    /// After each of these delays in turn, then give up.
    Delays(Box<[Duration]>),
    /// For as long as it takes (or `max_attempts`): a random delay between half and the whole of a bound that starts at
    /// `first` and doubles up to `max`. The randomness keeps thousands of clients from coming back in the same instant.
    Backoff {
        /// Bound of the first delay.
        first: Duration,
        /// Largest bound.
        max: Duration,
        /// Attempts before giving up; `None` for never.
        max_attempts: Option<u32>,
    },
    /// The driver is asked before each attempt, with [`Action::NextRetryDelay`](super::Action::NextRetryDelay).
    Ask,
}

impl ReconnectPolicy {
    /// The policy of the official clients: after 0, 2, 10 and 30 seconds, then give up.
    #[must_use]
    pub fn standard() -> Self {
        Self::Delays([0, 2, 10, 30].map(Duration::from_secs).into())
    }

    /// Never gives up: delays of up to 1, 2, 4, … 30 seconds with jitter.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self::Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_attempts: None,
        }
    }
}

/// What becomes of calls that are made while the connection is being made, for the first time or again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileReconnecting {
    /// They fail at once ([CB-23](crate::spec::client_behaviour#cb-23)).
    #[default]
    Fail,
    /// They wait for the connection, and fail when there will be none. At most
    /// [`Limits::max_outgoing_bytes`] wait.
    Wait,
}

/// Bounds of the messages that wait for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfflineQueue {
    /// Their size; further ones are refused with [`SendError::Full`](crate::SendError::Full).
    pub max_bytes: usize,
    /// Their age; older ones are dropped, which [`Event::Expired`](super::Event::Expired) tells.
    pub max_age: Duration,
}

impl OfflineQueue {
    /// A queue of so many bytes, whose messages wait so long.
    #[must_use]
    pub const fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { max_bytes, max_age }
    }
}

/// What a custom reconnect policy decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryContext {
    /// Failed attempts so far since the connection was lost; 0 at first.
    pub previous_retry_count: u32,
    /// Time since the connection was lost; zero at first.
    pub elapsed: Duration,
    /// Why the connection was lost, or why the last attempt failed.
    pub reason: CloseReason,
    /// Whether there never was a connection: the first start is being repeated.
    pub is_first_start: bool,
}
