//! What a server connection is told before it starts.

use core::time::Duration;

use super::identity::Identity;
use crate::codec::Protocol;
use crate::limits::Limits;

/// Configuration of all connections of a hub, with the defaults of the official server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The protocols a client may choose. Default: all.
    pub protocols: Vec<Protocol>,
    /// How long the client may take for its handshake, from its transport on ([SB-2](crate::spec::server_behaviour#sb-2)). Default:
    /// 15 s.
    pub handshake_timeout: Duration,
    /// A ping is sent this often, whatever else is sent, but not on long polling ([SB-33](crate::spec::server_behaviour#sb-33)).
    /// Default: 15 s.
    pub keep_alive_interval: Duration,
    /// The client is given up when nothing was received for this long, once it has sent its first ping; not on long polling
    /// ([SB-34](crate::spec::server_behaviour#sb-34)). At least twice the clients' own keep-alive interval. Default: 30 s.
    pub client_timeout_interval: Duration,
    /// The client is cut when the transport takes longer than this for one batch ([SB-50](crate::spec::server_behaviour#sb-50)).
    /// Default: 10 s.
    pub send_timeout: Duration,
    /// How long the last messages and the Close may take to go out; drivers wait as long for the client's close frame
    /// ([TR-45](crate::spec::transports#tr-45)). Default: 5 s.
    pub close_timeout: Duration,
    /// How long a connection lives without a transport: before the first, between two polls
    /// ([TR-63](crate::spec::transports#tr-63)), and after a lost WebSocket with stateful reconnect
    /// ([TR-91](crate::spec::transports#tr-91)). Default: 15 s.
    pub disconnect_timeout: Duration,
    /// How long a poll waits for something to say ([TR-59](crate::spec::transports#tr-59)). Default: 90 s.
    pub poll_timeout: Duration,
    /// Bytes of messages the client has not acknowledged above which no other is taken
    /// ([SB-57](crate::spec::server_behaviour#sb-57)). Default: 100,000.
    pub stateful_reconnect_buffer_size: usize,
    /// Received bytes that wait above which no more are [read](super::ServerConnection::reading), until half of them are left
    /// ([TR-70](crate::spec::transports#tr-70)). Default: 64 KiB.
    pub application_max_buffer_size: usize,
    /// POSTs that may wait for their turn on one connection; further ones are answered with 429. Default: 64.
    pub max_posts: usize,
    /// How fast the body of a POST has to come while it is read; a slower one is answered with 400, and the connection goes on.
    /// Default: 240 bytes a second after the first 5 s, as the official web server's.
    pub minimum_body_rate: Option<BodyRate>,
    /// Plain calls that run at the same time; the next one waits, and everything behind it
    /// ([SB-22](crate::spec::server_behaviour#sb-22)). Default: 1.
    pub maximum_parallel_invocations: usize,
    /// Streams of one connection at the same time, uploads included; further calls are refused. Default: 1000.
    pub maximum_streams: usize,
    /// Items of an upload that its method need not have taken yet ([SB-29](crate::spec::server_behaviour#sb-29)). Default: 10.
    pub stream_buffer_capacity: usize,
    /// Messages that a client may send in one second; above that, reading pauses until the second is over. Default: no limit.
    pub max_messages_per_second: Option<u32>,
    /// Tells clients what went wrong in methods, also when it is not meant for them ([SB-18](crate::spec::server_behaviour#sb-18)).
    /// Default: false.
    pub enable_detailed_errors: bool,
    /// Bounds on memory. Default: [`Limits::SERVER`] with 64 KiB of outgoing bytes.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            protocols: Protocol::ALL.to_vec(),
            handshake_timeout: Duration::from_secs(15),
            keep_alive_interval: Duration::from_secs(15),
            client_timeout_interval: Duration::from_secs(30),
            send_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            disconnect_timeout: Duration::from_secs(15),
            poll_timeout: Duration::from_secs(90),
            stateful_reconnect_buffer_size: 100_000,
            application_max_buffer_size: 64 << 10,
            max_posts: 64,
            minimum_body_rate: Some(BodyRate {
                bytes_per_second: 240,
                grace_period: Duration::from_secs(5),
            }),
            maximum_parallel_invocations: 1,
            maximum_streams: 1000,
            stream_buffer_capacity: 10,
            max_messages_per_second: None,
            enable_detailed_errors: false,
            limits: Limits {
                max_outgoing_bytes: 64 << 10,
                ..Limits::SERVER
            },
        }
    }
}

/// How fast a body has to come at least, on average over the time in which it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyRate {
    /// Bytes in a second; with 0 any speed will do.
    pub bytes_per_second: u32,
    /// How long it may take to get going.
    pub grace_period: Duration,
}

impl BodyRate {
    /// So many bytes in a second, on average, once a body has had so long to get going.
    #[must_use]
    pub const fn new(bytes_per_second: u32, grace_period: Duration) -> Self {
        Self {
            bytes_per_second,
            grace_period,
        }
    }

    /// How long so many bytes may take.
    pub(super) fn time_for(self, bytes: u64) -> Option<Duration> {
        let seconds = bytes.checked_div(self.bytes_per_second.into())?;
        Some(self.grace_period.max(Duration::from_secs(seconds)))
    }
}

impl ServerConfig {
    /// The largest handshake accepted: no hub message may be larger than the message limit, and neither may this
    /// ([SB-4](crate::spec::server_behaviour#sb-4)).
    pub(super) fn max_handshake_size(&self) -> usize {
        self.limits
            .max_handshake_size
            .min(self.limits.max_message_size)
    }
}

/// What sets one connection apart from the others of its hub.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// Negotiation granted stateful reconnect. The client must ask for version 2 in its handshake too. Default: false.
    pub stateful_reconnect: bool,
    /// The client may present newer tokens ([requirements](crate::spec::transports#authentication-refresh)). Default: false.
    pub refreshable: bool,
    /// The connection is closed when its token expires ([TR-85](crate::spec::transports#tr-85)). Default: false.
    pub close_on_expiration: bool,
    /// Who negotiated the connection, if that is known. Default: nobody.
    pub identity: Option<Identity>,
}
