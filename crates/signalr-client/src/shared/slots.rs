//! Calls and streams that somebody waits for.

use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::hash::Hasher;

use signalr_proto::Payload;

use crate::error::CallErrorKind;

/// A call or stream that somebody waits for.
pub(crate) enum Slot {
    Call {
        waker: Option<Waker>,
        outcome: Option<Result<Option<Payload>, CallErrorKind>>,
    },
    Stream {
        waker: Option<Waker>,
        items: VecDeque<Payload>,
        /// Items that may wait; one more ends the stream.
        limit: usize,
        end: Option<Result<(), CallErrorKind>>,
    },
}

impl Slot {
    pub(crate) const CALL: Self = Self::Call {
        waker: None,
        outcome: None,
    };
    pub(crate) const STREAM: Self = Self::Stream {
        waker: None,
        items: VecDeque::new(),
        limit: usize::MAX,
        end: None,
    };

    pub(super) fn waker(&mut self) -> &mut Option<Waker> {
        match self {
            Self::Call { waker, .. } | Self::Stream { waker, .. } => waker,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        match self {
            Self::Call { outcome, .. } => outcome.is_none(),
            Self::Stream { end, .. } => end.is_none(),
        }
    }

    pub(super) fn finish(&mut self, result: Result<Option<Payload>, CallErrorKind>) {
        match self {
            Self::Call { outcome, .. } => *outcome = Some(result),
            Self::Stream { end, .. } => *end = Some(result.map(|_| ())),
        }
    }
}

/// Keeps the waker of `cx`, cloning it only when it is another one.
pub(crate) fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Ids here are numbers we count ourselves, so nobody can choose colliding ones.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing spreads consecutive numbers over all bits.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
