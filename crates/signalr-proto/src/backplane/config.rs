//! What a server's part in a farm can be told beforehand.

use core::time::Duration;

/// How a server takes part in its farm.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackplaneConfig {
    /// The full name of the hub's .NET type, such as `My.Chat.ChatHub`. Servers with the same name form a farm.
    pub hub: Box<str>,
    /// Stands before the name of every channel, verbatim. Default: nothing.
    pub prefix: Box<str>,
    /// Names this server among the others, and must be unique for every process and every served hub. The official servers
    /// take the machine's name, `_` and 32 random hexadecimal digits. Servers that share a name take each other's confirmations and
    /// counts for their own.
    pub server_name: Box<str>,
    /// The largest message that is published, and of another server that is read, in bytes: those of all protocols together. The
    /// limits for clients do not apply. Default: 64 MiB.
    pub max_message_size: usize,
    /// What becomes of operations while the broker cannot be reached. Default: [`WhenAway::Fail`].
    pub when_away: WhenAway,
    /// Bytes of messages that may wait to be published; a single message of any size may. Default: 64 MiB.
    pub waiting_limit: usize,
    /// How long the broker may take for an operation. Default: 5 s.
    pub publish_timeout: Duration,
    /// How long another server may take to let one of its connections join or leave a group. Default: 30 s.
    pub ack_timeout: Duration,
    /// How often it is asked whether somebody still listens for the connection from which an answer is awaited. Default: 5 s.
    pub probe_interval: Duration,
    /// How often this server sends itself a message over the broker. One that has not come back until the next is due means
    /// that the broker is lost. Default: 5 s.
    pub heartbeat_interval: Duration,
    /// How long connecting to the broker may take, and subscribing to everything afterwards. Default: 10 s each.
    pub connect_timeout: Duration,
    /// The wait after the first failure to connect; it doubles with every further one. Up to half of it is left out at random,
    /// so that the servers of a farm do not come back all at once. Default: 100 ms.
    pub shortest_delay: Duration,
    /// The longest such wait. Default: 5 s.
    pub longest_delay: Duration,
    /// The longest name of a group, in bytes. Default: 1,024.
    pub maximum_group_name_length: usize,
    /// Groups that one connection may be in. Default: 1,000.
    pub maximum_groups_per_connection: usize,
}

/// What becomes of sends, joins and new connections while the broker cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAway {
    /// They fail at once; those that come while an attempt to connect is under way wait for its outcome.
    #[default]
    Fail,
    /// They wait for so long, within [`waiting_limit`](BackplaneConfig::waiting_limit).
    Wait(Duration),
}

impl BackplaneConfig {
    /// The defaults, for a hub's .NET type and a server's unique name.
    #[must_use]
    pub fn new(hub: impl Into<Box<str>>, server_name: impl Into<Box<str>>) -> Self {
        Self {
            hub: hub.into(),
            prefix: "".into(),
            server_name: server_name.into(),
            max_message_size: 64 << 20,
            when_away: WhenAway::default(),
            waiting_limit: 64 << 20,
            publish_timeout: Duration::from_secs(5),
            ack_timeout: Duration::from_secs(30),
            probe_interval: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            shortest_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
            maximum_group_name_length: 1_024,
            maximum_groups_per_connection: 1_000,
        }
    }
}
