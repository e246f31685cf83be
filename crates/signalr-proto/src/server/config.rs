//! What a server connection is told before it starts.

use core::time::Duration;

use crate::codec::Protocol;
use crate::limits::Limits;

/// Configuration of a [`ServerConnection`](super::ServerConnection), with the defaults of the official server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The protocols a client may choose. Default: all.
    pub protocols: Vec<Protocol>,
    /// How long the client may take for its handshake (`SB-2`). Default: 15 s.
    pub handshake_timeout: Duration,
    /// A ping is sent this often, whatever else is sent (`SB-33`). Default: 15 s.
    pub keep_alive_interval: Duration,
    /// The client is given up when nothing was received for this long, once it has sent its first ping (`SB-34`).
    /// At least twice the clients' own keep-alive interval. Default: 30 s.
    pub client_timeout_interval: Duration,
    /// The client is cut when the transport takes longer than this for one batch (`SB-50`). Default: 10 s.
    pub send_timeout: Duration,
    /// How long the last messages and the Close may take to go out. Default: 5 s.
    pub close_timeout: Duration,
    /// Whether negotiation granted this connection stateful reconnect. The client must ask for version 2 in its handshake too.
    /// Default: false.
    pub stateful_reconnect: bool,
    /// Bytes of messages the client has not acknowledged above which no other is taken (`SB-57`). Default: 100,000.
    pub stateful_reconnect_buffer_size: usize,
    /// How long a client may take to come back after its WebSocket was lost (`TR-91`). Default: 15 s.
    pub disconnect_timeout: Duration,
    /// Bounds on memory.
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
            stateful_reconnect: false,
            stateful_reconnect_buffer_size: 100_000,
            disconnect_timeout: Duration::from_secs(15),
            limits: Limits {
                max_outgoing_bytes: 64 << 10,
                ..Limits::SERVER
            },
        }
    }
}

impl ServerConfig {
    /// The largest handshake accepted: no hub message may be larger than the message limit, and neither may this (`SB-4`).
    pub(super) fn max_handshake_size(&self) -> usize {
        self.limits
            .max_handshake_size
            .min(self.limits.max_message_size)
    }
}
