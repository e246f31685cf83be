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
use super::link::{HttpLink, Link, Part};
use super::refresh::Refresh;
use super::resume::Stateful;
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::HandshakeDecoder;
use crate::error::CloseReason;
use crate::time::Instant;
use crate::timers::TimerName;
use crate::transport::negotiate::{AccessToken, Offer, TransportKind};
use crate::transport::{HubUrl, OpId, TransportFailure};

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
    pub(super) course: Course,
}

/// What an attempt carries from step to step.
#[derive(Debug)]
pub(super) struct Course {
    /// Set when this is a repetition: of the first start, or of a connection that was lost.
    pub(super) outage: Option<Outage>,
    pub(super) route: Route,
    /// Transports that did not start.
    pub(super) failures: Vec<TransportFailure>,
}

/// Which hub the attempt is at, after redirects.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) url: HubUrl,
    /// The token a redirect gave: it replaces the user's for this attempt and connection (`TR-11`).
    pub(super) token: Option<AccessToken>,
    /// The user's token of the last negotiation, which the HTTP transports go on using.
    pub(super) cached: Option<AccessToken>,
    /// Whether the user's headers and tokens must not be sent here.
    pub(super) foreign: bool,
    /// Negotiate requests made.
    pub(super) requests: u32,
    /// When the server made its offer: the life of the access token counts from then.
    pub(super) offered: Instant,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The token for negotiation was asked for.
    NegotiateToken(OpId),
    /// The negotiate request is under way.
    Negotiate(OpId),
    /// The token for the WebSocket was asked for.
    SocketToken(OpId, Grant),
    /// The transport is being opened.
    Opening(Link, Grant),
    /// The handshake response is awaited.
    Handshaking(Link, Grant, HandshakeDecoder),
}

/// What negotiation gave; nothing when it was skipped.
pub(super) type Grant = Option<Box<Offer>>;

impl Step {
    /// The question or request before there is a transport.
    const fn op(&self) -> Option<OpId> {
        match self {
            Self::NegotiateToken(op) | Self::Negotiate(op) | Self::SocketToken(op, _) => Some(*op),
            Self::Opening(..) | Self::Handshaking(..) => None,
        }
    }

    pub(super) const fn link(&self) -> Option<&Link> {
        match self {
            Self::Opening(link, _) | Self::Handshaking(link, ..) => Some(link),
            Self::NegotiateToken(_) | Self::Negotiate(_) | Self::SocketToken(..) => None,
        }
    }

    /// Whether it waits for `op`, or has to do with it.
    pub(super) fn concerns(&self, op: OpId) -> bool {
        self.op() == Some(op) || self.link().is_some_and(|link| link.part(op).is_some())
    }

    /// What must be aborted when the attempt is given up here.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpId> + use<> {
        let link = self.link().map(Link::ops);
        self.op().into_iter().chain(link.into_iter().flatten())
    }
}

/// An established connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) grant: Grant,
    pub(super) frames: FrameDecoder,
    pub(super) route: Route,
    pub(super) refresh: Refresh,
    /// When the access token is to be refreshed next.
    pub(super) refresh_at: Option<Instant>,
    /// With stateful reconnect only.
    pub(super) stateful: Option<Box<Stateful>>,
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
    /// Whether there never was a connection: the first start is being repeated.
    pub(super) first: bool,
}

impl Outage {
    pub(super) const fn elapsed(&self, now: Instant) -> Duration {
        now.since(self.since)
    }
}

impl State {
    pub(super) fn public(&self) -> ConnectionState {
        let trying = |first: bool| {
            if first {
                ConnectionState::Connecting
            } else {
                ConnectionState::Reconnecting
            }
        };
        match self {
            Self::Disconnected => ConnectionState::Disconnected,
            Self::Connecting(attempt) => {
                trying(attempt.course.outage.is_none_or(|outage| outage.first))
            }
            Self::Deciding(decision) => trying(decision.outage.first),
            Self::Waiting { outage } => trying(outage.first),
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

    pub(super) const fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(session),
            Self::Disconnected | Self::Connecting(_) | Self::Deciding(_) | Self::Waiting { .. } => {
                None
            }
        }
    }

    /// The transport, also while it is being opened.
    pub(super) const fn link(&self) -> Option<&Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&session.link),
            Self::Connecting(attempt) => attempt.step.link(),
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    pub(super) const fn link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&mut session.link),
            Self::Connecting(attempt) => match &mut attempt.step {
                Step::Opening(link, _) | Step::Handshaking(link, ..) => Some(link),
                Step::NegotiateToken(_) | Step::Negotiate(_) | Step::SocketToken(..) => None,
            },
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    /// The transport, if it can be written to.
    pub(super) const fn open_link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&mut session.link),
            Self::Connecting(attempt) => match &mut attempt.step {
                Step::Handshaking(link, ..) => Some(link),
                Step::NegotiateToken(_)
                | Step::Negotiate(_)
                | Step::SocketToken(..)
                | Step::Opening(..) => None,
            },
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    /// The HTTP transport, also while it is being opened.
    pub(super) fn http_mut(&mut self) -> Option<&mut HttpLink> {
        self.link_mut().and_then(Link::http_mut)
    }

    /// Whether the transport keeps itself alive, so that there are no pings and no server timeout (`TR-66`).
    pub(super) fn is_polling(&self) -> bool {
        self.link()
            .is_some_and(|link| link.kind() == TransportKind::LongPolling)
    }

    /// What `op` is to the transport.
    pub(super) fn part(&self, op: OpId) -> Option<Part> {
        self.link().and_then(|link| link.part(op))
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
