//! The names of a farm's channels.

use bytestring::ByteString;

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Channel<'a> {
    /// `:all`: messages to every connection. Every server listens.
    All,
    /// `:group:NAME`: messages to a group. Servers with members listen.
    Group(&'a str),
    /// `:user:ID`: messages to a user. Servers with connections of the user listen.
    User(&'a str),
    /// `:connection:ID`: messages and questions to a connection. The server that has it listens.
    Connection(&'a str),
    /// `:internal:groups`: joins and leaves of connections on other servers. Every server listens.
    GroupCommands,
    /// `:internal:ack:SERVER`: answers to that server's group commands.
    Acks(&'a str),
    /// `:internal:return:SERVER`: answers to that server's questions.
    Returns(&'a str),
    /// `:internal:census`: questions for numbers. Servers of this library listen, and official ones know nothing of it.
    Census,
    /// `:internal:census:SERVER`: numbers for that server.
    Counts(&'a str),
}

/// The names of one hub's channels ([SB-64](crate::spec::server_behaviour#sb-64)).
///
/// Each is the global prefix, the .NET name of the hub's type and what the channel is for. Nothing is escaped, and nothing
/// stands between the two prefixes:
///
/// ```
/// use signalr_proto::backplane::{Channel, Channels};
///
/// let channels = Channels::new("live", "My.Chat.ChatHub");
/// assert_eq!(channels.name(Channel::Group("rust")), "liveMy.Chat.ChatHub:group:rust");
/// assert_eq!(channels.read("liveMy.Chat.ChatHub:all"), Some(Channel::All));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Global prefix and hub.
    root: Box<str>,
    /// Bytes of the global prefix.
    global: usize,
}

impl Channels {
    /// The channels of the hub whose .NET type has this full name, with a global prefix, which may be empty.
    #[must_use]
    pub fn new(prefix: &str, hub: &str) -> Self {
        Self {
            root: [prefix, hub].concat().into(),
            global: prefix.len(),
        }
    }

    /// The name of a channel.
    #[must_use]
    pub fn name(&self, channel: Channel<'_>) -> ByteString {
        let (kind, rest) = match channel {
            Channel::All => (":all", ""),
            Channel::Group(name) => (":group:", name),
            Channel::User(id) => (":user:", id),
            Channel::Connection(id) => (":connection:", id),
            Channel::GroupCommands => (":internal:groups", ""),
            Channel::Acks(server) => (":internal:ack:", server),
            Channel::Returns(server) => (":internal:return:", server),
            Channel::Census => (":internal:census", ""),
            Channel::Counts(server) => (":internal:census:", server),
        };
        [&*self.root, kind, rest].concat().into()
    }

    /// What the channel of this name is for. `None` when it is none of this hub's.
    #[must_use]
    pub fn read<'a>(&self, name: &'a str) -> Option<Channel<'a>> {
        let rest = name.strip_prefix(&*self.root)?.strip_prefix(':')?;
        Some(match rest.split_once(':') {
            None if rest == "all" => Channel::All,
            Some(("group", name)) => Channel::Group(name),
            Some(("user", id)) => Channel::User(id),
            Some(("connection", id)) => Channel::Connection(id),
            Some(("internal", "groups")) => Channel::GroupCommands,
            Some(("internal", "census")) => Channel::Census,
            Some(("internal", rest)) => match rest.split_once(':')? {
                ("ack", server) => Channel::Acks(server),
                ("return", server) => Channel::Returns(server),
                ("census", server) => Channel::Counts(server),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Where a server wants the answers to its questions, as it is told to others: without the global prefix.
    #[must_use]
    pub fn return_address(&self, server: &str) -> ByteString {
        let name = self.name(Channel::Returns(server));
        name.get(self.global..).unwrap_or_default().into()
    }

    /// The channel behind such an address.
    #[must_use]
    pub fn addressed(&self, return_address: &str) -> ByteString {
        let prefix = self.root.get(..self.global).unwrap_or_default();
        [prefix, return_address].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Channel<'static>; 11] = [
        Channel::All,
        Channel::Group("room"),
        Channel::Group(""),
        Channel::Group("a:b:ü"),
        Channel::User("alice"),
        Channel::Connection("AAAAAAAAAAAAAAAAAAAAAA"),
        Channel::GroupCommands,
        Channel::Acks("srv_1"),
        Channel::Returns("srv_1"),
        Channel::Census,
        Channel::Counts("srv_1"),
    ];

    #[test]
    fn names_are_those_of_the_official_server() {
        let names = ALL.map(|channel| Channels::new("", "My.Hub").name(channel));
        assert_eq!(
            names,
            [
                "My.Hub:all",
                "My.Hub:group:room",
                "My.Hub:group:",
                "My.Hub:group:a:b:ü",
                "My.Hub:user:alice",
                "My.Hub:connection:AAAAAAAAAAAAAAAAAAAAAA",
                "My.Hub:internal:groups",
                "My.Hub:internal:ack:srv_1",
                "My.Hub:internal:return:srv_1",
                "My.Hub:internal:census",
                "My.Hub:internal:census:srv_1",
            ]
        );
    }

    #[test]
    fn what_was_named_is_read() {
        for prefix in ["", "pre", "pre:"] {
            let channels = Channels::new(prefix, "My.Hub");
            for channel in ALL {
                assert_eq!(channels.read(&channels.name(channel)), Some(channel));
            }
        }
    }

    #[test]
    fn channels_of_others_are_not_read() {
        let channels = Channels::new("pre", "My.Hub");
        for name in [
            "",
            "pre",
            "preMy.Hub",
            "preMy.Hub:",
            "preMy.Hub:everybody",
            "preMy.Hub:all:x",
            "preMy.HubTwo:all",
            "My.Hub:all",
            "preMy.Hub:internal",
            "preMy.Hub:internal:other",
            "preMy.Hub:internal:other:x",
        ] {
            assert_eq!(channels.read(name), None, "{name}");
        }
    }

    #[test]
    fn the_address_for_answers_lacks_the_global_prefix() {
        let channels = Channels::new("pre", "My.Hub");
        let address = channels.return_address("srv_1");
        assert_eq!(address, "My.Hub:internal:return:srv_1");
        assert_eq!(
            channels.addressed(&address),
            channels.name(Channel::Returns("srv_1"))
        );
    }
}
