//! The settings of a hub, with the defaults of the official server.

use std::num::NonZeroUsize;
use std::time::Duration;

use signalr_proto::server::{Endpoint, ServerConfig};
use signalr_proto::transport::negotiate::TransportKind;
use signalr_proto::{Limits, Protocol};

use crate::error::BuildError;

/// The settings of a hub.
///
/// ```
/// use signalr_server::HubOptions;
///
/// let mut options = HubOptions::default();
/// options.enable_detailed_errors = true;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// How long a client may take for its handshake. Default: 15 s.
    pub handshake_timeout: Duration,
    /// How often clients are pinged. Default: 15 s.
    pub keep_alive_interval: Duration,
    /// How long a client that pings may be silent. Default: 30 s.
    pub client_timeout_interval: Duration,
    /// The largest message accepted, in bytes; `None` for no limit but that of WebSocket frames, 64 MiB. Default: 32 KiB.
    pub maximum_receive_message_size: Option<usize>,
    /// How many calls of one client run at the same time. Streams do not count. Default: 1.
    pub maximum_parallel_invocations_per_client: usize,
    /// How many streams (and calls with upload streams) of one client run at the same time; further ones are refused.
    /// Default: 1,000.
    pub maximum_streams_per_client: usize,
    /// Items of an upload stream that wait to be taken before the connection is no longer read. Default: 10.
    pub stream_buffer_capacity: usize,
    /// Tells clients the texts of errors that are not [`HubError`](crate::HubError)s. Default: false.
    pub enable_detailed_errors: bool,
    /// The protocols offered. Default: JSON and MessagePack.
    pub supported_protocols: Vec<Protocol>,
    /// The transports offered. Only WebSockets can be served so far; others in the list are passed over. Default: WebSockets.
    pub transports: Vec<TransportKind>,
    /// Bytes that wait to be sent to one client above which senders wait. Default: 64 KiB.
    pub transport_max_buffer_size: usize,
    /// A client that does not take what is sent to it for this long is cut. Default: 10 s.
    pub transport_send_timeout: Duration,
    /// How long closing a WebSocket may take. Default: 5 s.
    pub close_timeout: Duration,
    /// How long a negotiated connection waits for its transport, and one with stateful reconnect for its next WebSocket.
    /// Default: 15 s.
    pub disconnect_timeout: Duration,
    /// Lets clients that ask for stateful reconnect go on with another WebSocket after theirs was lost, without losing a
    /// message. Default: false.
    pub stateful_reconnect: bool,
    /// Bytes of messages that a client with stateful reconnect has not acknowledged above which senders wait.
    /// Default: 100,000.
    pub stateful_reconnect_buffer_size: usize,
    /// The lowest version of negotiation accepted. Default: 0.
    pub minimum_negotiate_version: i32,
    /// The values of `Origin` that may open WebSockets; `None` for any, also for none at all. Browsers send the header, and
    /// CORS does not protect WebSockets. Default: `None`.
    pub allowed_origins: Option<Vec<String>>,
    /// Closes connections when their user's authentication expires. Default: false.
    pub close_on_authentication_expiration: bool,
}

impl Default for HubOptions {
    fn default() -> Self {
        let config = ServerConfig::default();
        Self {
            handshake_timeout: config.handshake_timeout,
            keep_alive_interval: config.keep_alive_interval,
            client_timeout_interval: config.client_timeout_interval,
            maximum_receive_message_size: Some(config.limits.max_message_size),
            maximum_parallel_invocations_per_client: 1,
            maximum_streams_per_client: 1_000,
            stream_buffer_capacity: 10,
            enable_detailed_errors: false,
            supported_protocols: Protocol::ALL.to_vec(),
            transports: vec![TransportKind::WebSockets],
            transport_max_buffer_size: config.limits.max_outgoing_bytes,
            transport_send_timeout: config.send_timeout,
            close_timeout: config.close_timeout,
            disconnect_timeout: config.disconnect_timeout,
            stateful_reconnect: false,
            stateful_reconnect_buffer_size: config.stateful_reconnect_buffer_size,
            minimum_negotiate_version: 0,
            allowed_origins: None,
            close_on_authentication_expiration: false,
        }
    }
}

impl HubOptions {
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        if self.maximum_parallel_invocations_per_client == 0 {
            return Err(BuildError::NoParallelInvocations);
        }
        if self.stream_buffer_capacity == 0 {
            return Err(BuildError::NoStreamBuffer);
        }
        if self.supported_protocols.is_empty() {
            return Err(BuildError::NoProtocols);
        }
        Ok(())
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.protocols.clone_from(&self.supported_protocols);
        config.handshake_timeout = self.handshake_timeout;
        config.keep_alive_interval = self.keep_alive_interval;
        config.client_timeout_interval = self.client_timeout_interval;
        config.send_timeout = self.transport_send_timeout;
        config.close_timeout = self.close_timeout;
        config.disconnect_timeout = self.disconnect_timeout;
        config.stateful_reconnect_buffer_size = self.stateful_reconnect_buffer_size;
        config.limits = Limits {
            max_message_size: self.maximum_receive_message_size.unwrap_or(usize::MAX),
            max_outgoing_bytes: self.transport_max_buffer_size,
            ..Limits::SERVER
        };
        config
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let mut endpoint = Endpoint::default();
        endpoint
            .transports
            .retain(|transport| self.transports.contains(transport));
        endpoint.stateful_reconnect = self.stateful_reconnect;
        endpoint.minimum_negotiate_version = self.minimum_negotiate_version;
        endpoint
    }

    /// The largest WebSocket message to assemble. Clients join hub messages into one, so it is larger than the message limit;
    /// it is not unlimited, because it is held in memory whole.
    pub(crate) fn max_web_socket_message(&self) -> Option<NonZeroUsize> {
        const LEAST: usize = 1 << 20;
        self.maximum_receive_message_size
            .and_then(|limit| NonZeroUsize::new(limit.saturating_mul(4).max(LEAST)))
    }

    pub(crate) fn allows_origin(&self, origin: Option<&str>) -> bool {
        match (&self.allowed_origins, origin) {
            (None, _) => true,
            (Some(allowed), Some(origin)) => {
                allowed.iter().any(|one| one.eq_ignore_ascii_case(origin))
            }
            // Not a browser: other programs can claim any origin anyway.
            (Some(_), None) => true,
        }
    }
}
