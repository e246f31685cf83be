//! How far a connection has come, and what its deadlines are for.

use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::HandshakeDecoder;
use crate::server::{DisconnectReason, Event};
use crate::timers::TimerName;

/// How far a connection has come: see the diagram of the module above. What it has for a transport is its `Link`.
pub(super) enum State {
    Handshaking(HandshakeDecoder),
    Greeting(FrameDecoder),
    Open(FrameDecoder),
    Closing(DisconnectReason),
    Closed,
}

impl State {
    /// What cuts the received bytes into messages, once there are messages.
    pub(super) const fn frames(&self) -> Option<&FrameDecoder> {
        match self {
            Self::Greeting(frames) | Self::Open(frames) => Some(frames),
            Self::Handshaking(_) | Self::Closing(_) | Self::Closed => None,
        }
    }

    pub(super) const fn frames_mut(&mut self) -> Option<&mut FrameDecoder> {
        match self {
            Self::Greeting(frames) | Self::Open(frames) => Some(frames),
            Self::Handshaking(_) | Self::Closing(_) | Self::Closed => None,
        }
    }

    /// Whether the connection is neither about to end nor over.
    pub(super) const fn is_live(&self) -> bool {
        match self {
            Self::Handshaking(_) | Self::Greeting(_) | Self::Open(_) => true,
            Self::Closing(_) | Self::Closed => false,
        }
    }

    /// Why the connection is about to end, if it is.
    pub(super) const fn closing(&self) -> Option<&DisconnectReason> {
        match self {
            Self::Closing(reason) => Some(reason),
            Self::Handshaking(_) | Self::Greeting(_) | Self::Open(_) | Self::Closed => None,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Handshaking(_) => "Handshaking",
            Self::Greeting(_) => "Greeting",
            Self::Open(_) => "Open",
            Self::Closing(_) => "Closing",
            Self::Closed => "Closed",
        }
    }
}

/// The timers, in the order in which they are acted upon when several have run out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    Handshake,
    Send,
    Close,
    Client,
    Disconnect,
    Expiry,
    Poll,
    KeepAlive,
    Ack,
    /// The client has said enough for this second.
    Rate,
    /// The POST in turn comes too slowly.
    Body,
    /// Nothing more can be said before the client acknowledges something.
    Unacknowledged,
}

impl Timer {
    pub(super) const COUNT: usize = 12;

    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Handshake,
        Self::Send,
        Self::Close,
        Self::Client,
        Self::Disconnect,
        Self::Expiry,
        Self::Poll,
        Self::KeepAlive,
        Self::Ack,
        Self::Rate,
        Self::Body,
        Self::Unacknowledged,
    ];
}

impl TimerName for Timer {
    fn index(self) -> usize {
        self as usize
    }
}

/// What reading has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// The application has to hear of this.
    Tell(Event),
    /// Something was read, and there may be more.
    Done,
    /// Nothing can be read now.
    Nothing,
}
