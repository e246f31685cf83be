//! The settings of a hub, with the defaults of the official server.

use signalr_proto::server::{EndpointConfig, ServerConfig};

use crate::error::BuildError;

/// The settings of a hub: of its route, of its connections, and of this server.
///
/// ```
/// use std::time::Duration;
/// use signalr_server::HubOptions;
///
/// let mut options = HubOptions::default();
/// options.endpoint.stateful_reconnect = true;
/// options.connection.keep_alive_interval = Duration::from_secs(5);
/// options.connection.limits.max_message_size = 1 << 20;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// What the route offers: transports, negotiation, origins, authentication.
    pub endpoint: EndpointConfig,
    /// How connections behave: timeouts, limits, parallel calls.
    pub connection: ServerConfig,
    /// What becomes of messages to clients that do not take them. Default: [`SlowClients::Disconnect`].
    pub slow_clients: SlowClients,
    /// Bytes of messages that wait for a client, beside those on their way, above which whoever sends to it waits.
    /// Default: 64 KiB.
    pub outgoing_limit: usize,
    /// Bytes of messages that wait for a client that takes nothing before [`slow_clients`](Self::slow_clients) decides.
    /// Messages to many are in memory once, however many wait for them; those of many who send at the same time all count
    /// before anybody can wait. Default: 16 MiB.
    pub outgoing_budget: usize,
    /// The longest name of a group, in bytes. The official server has no limit. Default: 1,024.
    pub maximum_group_name_length: usize,
    /// Groups that one connection may be in. The official server has no limit. Default: 1,000.
    pub maximum_groups_per_connection: usize,
}

/// What becomes of messages to a client that does not take what was sent to it before.
///
/// The official server waits, and one client that takes nothing holds up a message to all for 10 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowClients {
    /// Who sends waits until there is room again or the client is cut, as in the official server. A message that came over a
    /// [backplane](crate::HubServerBuilder::backplane) has no sender here: it is treated as with [`Disconnect`](Self::Disconnect).
    Wait,
    /// Others wait for a moment only. The client is cut when more than the outgoing budget waits for it.
    #[default]
    Disconnect,
    /// Others wait for a moment only. The oldest messages are dropped when more than the outgoing budget waits; answers to
    /// the client's own calls never are.
    DropOldest,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: EndpointConfig::default(),
            connection: ServerConfig::default(),
            slow_clients: SlowClients::default(),
            outgoing_limit: 64 << 10,
            outgoing_budget: 16 << 20,
            maximum_group_name_length: 1_024,
            maximum_groups_per_connection: 1_000,
        }
    }
}

impl HubOptions {
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        if self.connection.maximum_parallel_invocations == 0 {
            return Err(BuildError::NoParallelInvocations);
        }
        if self.connection.stream_buffer_capacity == 0 {
            return Err(BuildError::NoStreamBuffer);
        }
        if self.connection.protocols.is_empty() {
            return Err(BuildError::NoProtocols);
        }
        Ok(())
    }
}
