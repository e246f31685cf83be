//! How a connection is configured.

use core::future::Future;
use core::time::Duration;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use signalr_proto::client::{ClientConfig, ClientConnection, OfflineQueue, WhileReconnecting};
use signalr_proto::domain::ascii_address;
use signalr_proto::{Limits, Protocol, TransportKind, UsageError};

use crate::connection::HubConnection;
use crate::driver::Driver;
use crate::error::BuildError;
#[cfg(feature = "net")]
use crate::net::Network;
use crate::policy::{IntoToken, RetryPolicy, TokenProvider};
use crate::shared::{Handle, Shared};
use crate::transport::Transport;

/// Calls of the server that may wait for a slow handler before reading stops.
const HANDLER_QUEUE: usize = 1024;

/// Bytes kept for the server's acknowledgement.
const STATEFUL_BUFFER: usize = 100_000;

/// Configures a [`HubConnection`]. Mistakes are reported when it is built, all of them errors and none a panic: by `build` on tokio
/// (feature `tokio`), by `build_on` on another runtime (feature `net`), or by [`build_with`](Self::build_with) over a transport of
/// your own.
///
/// ```
/// # use std::time::Duration;
/// # use signalr_client::{HubConnection, Protocol, ReconnectPolicy};
/// # fn example() {
/// let builder = HubConnection::builder("https://example.com/chat")
///     .protocol(Protocol::MessagePack)
///     .token("secret")
///     .header("x-tenant", "blue")
///     .automatic_reconnect(ReconnectPolicy::standard())
///     .server_timeout(Duration::from_secs(60));
/// # let _ = builder;
/// # }
/// ```
#[must_use = "nothing is built yet: call build()"]
pub struct HubConnectionBuilder {
    pub(crate) config: Result<ClientConfig, UsageError>,
    retry: Option<RetryPolicy>,
    retry_start: Option<RetryPolicy>,
    token: Option<TokenProvider>,
    #[cfg(feature = "net")]
    pub(crate) network: Network,
    handler_queue: usize,
    ignore_case: bool,
}

impl HubConnection {
    /// Begins to configure a connection to the hub at this address: `http`, `https`, `ws` or `wss`.
    pub fn builder(url: impl AsRef<str>) -> HubConnectionBuilder {
        HubConnectionBuilder::new(url.as_ref())
    }
}

impl HubConnectionBuilder {
    fn new(url: &str) -> Self {
        Self {
            config: ClientConfig::new(&ascii_address(url)).map(|mut config| {
                config.ascii_address = Some(|address| ascii_address(address).into_owned());
                config
            }),
            retry: None,
            retry_start: None,
            token: None,
            #[cfg(feature = "net")]
            network: Network::default(),
            handler_queue: HANDLER_QUEUE,
            ignore_case: false,
        }
    }

    fn configure(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        if let Ok(config) = &mut self.config {
            change(config);
        }
        self
    }

    /// The encoding of messages. Default: JSON.
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.configure(|config| config.protocol = protocol)
    }

    /// Has `provide` asked for an access token before every request to the server, also when reconnecting, so that it can give
    /// a fresh one. It returns a future of a `String`, an `Option<String>`, or a `Result` of either.
    ///
    /// ```
    /// # use signalr_client::HubConnection;
    /// # async fn log_in() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// HubConnection::builder("https://example.com/chat").access_token(|| log_in());
    /// ```
    pub fn access_token<F, Fut>(mut self, provide: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToken> + Send + 'static,
    {
        self.token = Some(TokenProvider::new(provide));
        self
    }

    /// An access token that never changes.
    pub fn token(self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.access_token(move || core::future::ready(token.clone()))
    }

    /// Puts the WebSocket's token into the query instead of a header, for proxies that drop the header. Default: false.
    pub fn token_in_query(self, in_query: bool) -> Self {
        self.configure(|config| config.token_in_query = in_query)
    }

    /// A header of every request. One of the same name is replaced; `Host` and others by which HTTP itself works are refused.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let header = HeaderName::try_from(name.as_ref())
            .ok()
            .zip(HeaderValue::from_str(value.as_ref()).ok());
        match header {
            Some((name, value)) => self.configure(|config| {
                config.headers.insert(name, value);
            }),
            None => {
                self.config = self.config.and(Err(UsageError::InvalidHeader));
                self
            }
        }
    }

    /// What to do when an established connection is lost. Default: nothing. For a [`start`](HubConnection::start) that fails see
    /// [`retry_start`](Self::retry_start).
    pub fn automatic_reconnect(mut self, policy: impl Into<RetryPolicy>) -> Self {
        self.retry = Some(policy.into());
        self
    }

    /// What to do when [`start`](HubConnection::start) fails: it goes on waiting for as long as this policy tries again.
    /// Default: nothing, as in the official clients.
    pub fn retry_start(mut self, policy: impl Into<RetryPolicy>) -> Self {
        self.retry_start = Some(policy.into());
        self
    }

    /// The transports to use, the preferred one first. Default: all, in the order in which the server lists them. Those that the
    /// server does not offer, or that cannot carry the protocol's messages, are passed over; when one does not work, the next
    /// one is tried.
    pub fn transports(self, transports: impl IntoIterator<Item = TransportKind>) -> Self {
        self.configure(|config| config.transports = transports.into_iter().collect())
    }

    /// Lets all calls that are made while the connection is being made, for the first time or again, wait for it instead of
    /// failing; see also [`HubConnection::waiting`]. Default: false.
    pub fn wait_while_reconnecting(self, wait: bool) -> Self {
        self.configure(|config| {
            config.while_reconnecting = if wait {
                WhileReconnecting::Wait
            } else {
                WhileReconnecting::Fail
            };
        })
    }

    /// Keeps what is [sent](HubConnection::send) while the connection is being made, and sends it when it is there. At most this
    /// many bytes wait, further sends wait for room; what is older than `max_age` by then is dropped, which a
    /// [`LifecycleEvent::Expired`](crate::LifecycleEvent::Expired) tells. A send is ready as soon as it is in the queue.
    /// Default: off.
    pub fn offline_queue(self, max_bytes: usize, max_age: Duration) -> Self {
        self.configure(|config| config.offline_queue = Some(OfflineQueue::new(max_bytes, max_age)))
    }

    /// Asks the server for stateful reconnect: when the WebSocket breaks, another one takes its place within moments, and nothing
    /// is lost, doubled or told to anybody. For that up to 100,000 bytes are kept until the server has acknowledged them;
    /// [`stateful_reconnect_buffer`](Self::stateful_reconnect_buffer) changes that. Default: false.
    pub fn stateful_reconnect(self, wanted: bool) -> Self {
        self.configure(|config| config.stateful_reconnect = wanted.then_some(STATEFUL_BUFFER))
    }

    /// Asks for stateful reconnect and keeps up to this many bytes. While more wait to be acknowledged, calls wait. Microsoft's
    /// servers acknowledge once a second, so about as much is sent in a second and no more.
    pub fn stateful_reconnect_buffer(self, bytes: usize) -> Self {
        self.configure(|config| config.stateful_reconnect = Some(bytes))
    }

    /// How long before its expiry the access token of a connection is refreshed, if the server says how long it lives; `None`
    /// for never. Default: 5 min.
    pub fn refresh_before_expiration(self, lead: Option<Duration>) -> Self {
        self.configure(|config| config.refresh_before_expiration = lead)
    }

    /// How long the server may take to answer a send over server-sent events or long polling, and how long a poll may hang
    /// before it is repeated. Default: 100 s.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.request_timeout = timeout)
    }

    /// A ping is sent when nothing else was for this long. Default: 15 s.
    pub fn keep_alive_interval(self, interval: Duration) -> Self {
        self.configure(|config| config.keep_alive_interval = interval)
    }

    /// The connection is given up when nothing was received for this long. At least twice the server's keep-alive interval.
    /// Default: 30 s.
    pub fn server_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.server_timeout = timeout)
    }

    /// How long the server may take to answer the handshake. Default: 15 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.handshake_timeout = timeout)
    }

    /// How long each step before the handshake (token, negotiation, opening) may take. Default: 30 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.connect_timeout = timeout)
    }

    /// How long [`stop`](HubConnection::stop) waits for the server to close its side. Default: 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.close_timeout = timeout)
    }

    /// Opens a WebSocket at once, without negotiation; with other [transports](Self::transports) this is a mistake.
    /// Default: false.
    pub fn skip_negotiation(self, skip: bool) -> Self {
        self.configure(|config| config.skip_negotiation = skip)
    }

    /// Lets a redirect to another scheme, host or port see your headers and token. Default: false.
    pub fn credentials_across_origins(self, allow: bool) -> Self {
        self.configure(|config| config.credentials_across_origins = allow)
    }

    /// Bounds on memory.
    pub fn limits(self, limits: Limits) -> Self {
        self.configure(|config| config.limits = limits)
    }

    /// How many calls of the server may wait for slow handlers before reading stops until they catch up. While calls to the
    /// server wait for their answers, which a handler may be waiting for, their bytes count instead, up to
    /// [`Limits::max_incoming_bytes`]. Default: 1024.
    pub const fn handler_queue(mut self, calls: usize) -> Self {
        self.handler_queue = calls;
        self
    }

    /// Ignores capitals in the names of methods that the server calls, as @microsoft/signalr does: `receive` and `Receive` are
    /// one method then. Names are compared in lower case. Default: false, as in the .NET client: names match exactly, and one
    /// that would match otherwise is told in the log, once.
    pub const fn ignore_case(mut self, ignore: bool) -> Self {
        self.ignore_case = ignore;
        self
    }

    /// A connection over a transport of your own, or with a driver that you run yourself: nothing happens unless the future of
    /// [`Driver::run`] is polled. Certificates, proxies and cookies are the transport's business: `NetOptions` has them for the
    /// one that comes with this library.
    ///
    /// # Errors
    /// [`BuildError::Usage`] for an address, header or interval that is not valid; [`BuildError::NetworkOption`] when an option of
    /// the network was set here, where the transport would not obey it.
    pub fn build_with<T: Transport>(
        self,
        transport: T,
    ) -> Result<(HubConnection, Driver<T>), BuildError> {
        #[cfg(feature = "net")]
        self.network.check_unused()?;
        let mut config = self.config?;
        config.has_access_token = self.token.is_some();
        let deciders = [
            (self.retry, &mut config.reconnect),
            (self.retry_start, &mut config.retry_start),
        ]
        .map(|(wanted, policy)| {
            let (wanted, decider) = wanted?.into_parts();
            *policy = wanted;
            decider
        });
        config.validate()?;
        let machine = ClientConnection::new(config, seed());
        let handle = Handle::new(Shared::new(
            machine,
            self.token,
            deciders,
            self.handler_queue,
            self.ignore_case,
        ));
        let driver = Driver::new(Arc::clone(&handle.shared), transport);
        Ok((HubConnection::new(handle), driver))
    }
}

impl core::fmt::Debug for HubConnectionBuilder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HubConnectionBuilder")
            .field("url", &self.config.as_ref().map(|config| &config.url))
            .finish_non_exhaustive()
    }
}

/// Randomness for jitter, from the keys the standard library draws for its hash maps.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
