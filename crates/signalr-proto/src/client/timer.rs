//! The deadlines of a client.

use crate::timers::TimerName;

/// The deadlines of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A step before the handshake takes too long.
    Connect,
    /// The handshake response is late.
    Handshake,
    /// The server has been silent.
    Server,
    /// We have been silent.
    Ping,
    /// The next attempt is due.
    Retry,
    /// The server takes too long to close its side.
    Close,
    /// A poll takes too long.
    Poll,
    /// A send by `POST` takes too long.
    Post,
    /// Received messages are to be acknowledged.
    Ack,
    /// The access token is to be refreshed, or its refresh takes too long.
    Refresh,
}

impl Timer {
    pub(super) const ALL: [Self; 10] = [
        Self::Connect,
        Self::Handshake,
        Self::Server,
        Self::Ping,
        Self::Retry,
        Self::Close,
        Self::Poll,
        Self::Post,
        Self::Refresh,
        Self::Ack,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect timeout",
            Self::Handshake => "handshake timeout",
            Self::Server => "server timeout",
            Self::Ping => "keep-alive ping",
            Self::Retry => "reconnect delay",
            Self::Close => "close timeout",
            Self::Poll => "poll timeout",
            Self::Post => "send timeout",
            Self::Ack => "acknowledgement",
            Self::Refresh => "refresh of the access token",
        }
    }
}

impl TimerName for Timer {
    fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Handshake => 1,
            Self::Server => 2,
            Self::Ping => 3,
            Self::Retry => 4,
            Self::Close => 5,
            Self::Poll => 6,
            Self::Post => 7,
            Self::Refresh => 8,
            Self::Ack => 9,
        }
    }
}
