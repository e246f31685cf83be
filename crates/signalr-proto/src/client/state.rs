//! The states of a client connection. Each variant holds only what that state owns, so that nothing stale can exist.
//!
//! ```text
//!  Disconnected ──start──► Connecting ──handshake──► Connected ──stop──► Stopping ──► Disconnected
//!       ▲                   │      ▲                   │
//!       │◄─────failed───────┘      │                   │ lost, and a policy
//!       │                          │                   ▼
//!       │◄──policy gives up── Deciding ◄──failed──── (attempt)
//!       │                          │                   ▲
//!       │◄────────stop──────── Waiting ────delay───────┘
//! ```

use core::time::Duration;

use super::api::ConnectionState;
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::HandshakeDecoder;
use crate::error::CloseReason;
use crate::time::Instant;
use crate::timers::TimerName;
use crate::transport::negotiate::{AccessToken, Offer};
use crate::transport::web_socket::WebSocket;
use crate::transport::{HubUrl, OpId};

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum State {
    /// Not started, or over.
    Disconnected,
    /// On the way to a connection, for the first time or again.
    Connecting(Box<Attempt>),
    /// Calls can be made.
    Connected(Box<Session>),
    /// The application's policy was asked for a delay.
    Deciding(Box<Decision>),
    /// The delay before the next attempt runs.
    Waiting { outage: Outage },
    /// Our Close message is on its way, or the server's is awaited.
    Stopping(Box<Session>),
}

/// One try to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) step: Step,
    /// Set when this is a reconnect.
    pub(super) outage: Option<Outage>,
    pub(super) route: Route,
}

/// Which hub the attempt is at, after redirects.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) url: HubUrl,
    /// The token a redirect gave: it replaces the user's for this attempt and connection (`TR-11`).
    pub(super) token: Option<AccessToken>,
    /// Whether the user's headers and tokens must not be sent here.
    pub(super) foreign: bool,
    /// Negotiate requests made.
    pub(super) requests: u32,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The token for negotiation was asked for.
    NegotiateToken(OpId),
    /// The negotiate request is under way.
    Negotiate(OpId),
    /// The token for the WebSocket was asked for.
    SocketToken(OpId, Option<Offer>),
    /// The WebSocket is being opened.
    Opening(OpId, Option<Offer>),
    /// The handshake response is awaited.
    Handshaking {
        socket: WebSocket,
        connection_id: Option<Box<str>>,
        decoder: HandshakeDecoder,
    },
}

impl Step {
    /// What must be aborted when the attempt is given up here.
    pub(super) const fn op(&self) -> OpId {
        match self {
            Self::NegotiateToken(op)
            | Self::Negotiate(op)
            | Self::SocketToken(op, _)
            | Self::Opening(op, _) => *op,
            Self::Handshaking { socket, .. } => socket.op,
        }
    }
}

/// An established connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) socket: WebSocket,
    pub(super) connection_id: Option<Box<str>>,
    pub(super) frames: FrameDecoder,
}

/// A question to the application's policy.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) op: OpId,
    pub(super) outage: Outage,
    pub(super) reason: CloseReason,
}

/// The time between losing a connection and having it back (or giving up).
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) since: Instant,
    /// Attempts that failed.
    pub(super) failed: u32,
    /// Whether the application has heard of it.
    pub(super) announced: bool,
}

impl Outage {
    pub(super) const fn elapsed(&self, now: Instant) -> Duration {
        now.since(self.since)
    }
}

impl State {
    pub(super) const fn public(&self) -> ConnectionState {
        match self {
            Self::Disconnected => ConnectionState::Disconnected,
            Self::Connecting(attempt) if attempt.outage.is_none() => ConnectionState::Connecting,
            Self::Connecting(_) | Self::Deciding(_) | Self::Waiting { .. } => {
                ConnectionState::Reconnecting
            }
            Self::Connected(_) => ConnectionState::Connected,
            Self::Stopping(_) => ConnectionState::Disconnecting,
        }
    }

    pub(super) const fn session(&self) -> Option<&Session> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(session),
            Self::Disconnected | Self::Connecting(_) | Self::Deciding(_) | Self::Waiting { .. } => {
                None
            }
        }
    }

    /// The socket that can be written to.
    pub(super) const fn socket(&self) -> Option<WebSocket> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(session.socket),
            Self::Connecting(attempt) => match &attempt.step {
                Step::Handshaking { socket, .. } => Some(*socket),
                Step::NegotiateToken(_)
                | Step::Negotiate(_)
                | Step::SocketToken(..)
                | Step::Opening(..) => None,
            },
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }
}

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
}

impl Timer {
    pub(super) const ALL: [Self; 6] = [
        Self::Connect,
        Self::Handshake,
        Self::Server,
        Self::Ping,
        Self::Retry,
        Self::Close,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect timeout",
            Self::Handshake => "handshake timeout",
            Self::Server => "server timeout",
            Self::Ping => "keep-alive ping",
            Self::Retry => "reconnect delay",
            Self::Close => "close timeout",
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
        }
    }
}
