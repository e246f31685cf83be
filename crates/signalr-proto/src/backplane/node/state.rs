//! The link to the broker as a value.

use std::collections::VecDeque;

use crate::backplane::api::Message;
use crate::time::Instant;
use crate::transport::OpId;

/// How far the link has come.
#[derive(Debug)]
pub(super) enum State {
    /// There is none until then. Nothing has failed yet in the very beginning.
    Away { until: Instant, failures: u32 },
    /// One is wanted, and given up then.
    Connecting {
        op: OpId,
        until: Instant,
        failures: u32,
    },
    /// There is one.
    Linked(Link),
    /// None is wanted any more.
    Stopped,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: OpId,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Not everything is subscribed to yet, and what comes waits until then, for as long as there is room for it. Afterwards the
    /// first heartbeat proves that this server may publish and is heard.
    Restoring {
        until: Instant,
        failures: u32,
        held: VecDeque<Message>,
        bytes: usize,
        proving: bool,
    },
    /// The next heartbeat is due then.
    Up { beat_at: Instant, awaited: bool },
}

impl State {
    pub(super) const START: Self = Self::Away {
        until: Instant::ZERO,
        failures: 0,
    };

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Away { until, .. } | Self::Connecting { until, .. } => Some(*until),
            Self::Linked(link) => Some(match &link.phase {
                Phase::Restoring { until, .. } => *until,
                Phase::Up { beat_at, .. } => *beat_at,
            }),
            Self::Stopped => None,
        }
    }

    /// What must be given up to end this state.
    pub(super) const fn link(&self) -> Option<OpId> {
        match self {
            Self::Connecting { op, .. } => Some(*op),
            Self::Linked(link) => Some(link.id),
            Self::Away { .. } | Self::Stopped => None,
        }
    }

    pub(super) const fn failures(&self) -> u32 {
        match self {
            Self::Away { failures, .. } | Self::Connecting { failures, .. } => *failures,
            Self::Linked(link) => match &link.phase {
                Phase::Restoring { failures, .. } => *failures,
                Phase::Up { .. } => 0,
            },
            Self::Stopped => 0,
        }
    }
}

impl Link {
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }
}
