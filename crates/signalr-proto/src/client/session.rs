//! An established connection, as a value.

use super::connecting::{HubLocation, Negotiated};
use super::link::Link;
use crate::codec::frame::FrameDecoder;
use crate::replay::Inbound;
use crate::time::Instant;
use crate::transport::OpId;
use crate::transport::negotiate::AccessToken;

/// An established connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) negotiated: Negotiated,
    pub(super) frames: FrameDecoder,
    pub(super) location: HubLocation,
    pub(super) refresh: Refresh,
    /// When the access token is to be refreshed next.
    pub(super) refresh_at: Option<Instant>,
    /// With stateful reconnect only.
    pub(super) stateful: Option<Box<Stateful>>,
}

/// How far a refresh is.
#[derive(Debug, Default)]
pub(super) enum Refresh {
    /// None is under way.
    #[default]
    Idle,
    /// The user was asked for the new token.
    Asking(OpId),
    /// The server was told it.
    Telling(OpId, AccessToken),
}

impl Refresh {
    pub(super) const fn op(&self) -> Option<OpId> {
        match self {
            Self::Idle => None,
            Self::Asking(op) | Self::Telling(op, _) => Some(*op),
        }
    }
}

/// What a stateful connection counts.
#[derive(Debug, Default)]
pub(super) struct Stateful {
    pub(super) inbound: Inbound,
    /// A new socket was opened, and its first message has to be a Sequence.
    pub(super) expects_sequence: bool,
}
