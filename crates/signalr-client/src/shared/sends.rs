//! Sends that nobody has taken yet.

use core::task::Waker;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use super::slots::IdHasher;
use crate::error::CallErrorKind;

/// Sends that wait for their bytes to be handed to the transport, by the position where they end.
#[derive(Default)]
pub(crate) struct Sends {
    order: VecDeque<u64>,
    slots: HashMap<u64, SendSlot, BuildHasherDefault<IdHasher>>,
}

#[derive(Default)]
pub(crate) struct SendSlot {
    pub(crate) waker: Option<Waker>,
    pub(crate) outcome: Option<Result<(), CallErrorKind>>,
}

impl Sends {
    pub(crate) fn add(&mut self, position: u64) {
        self.order.push_back(position);
        self.slots.insert(position, SendSlot::default());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn slot(&mut self, position: u64) -> Option<&mut SendSlot> {
        self.slots.get_mut(&position)
    }

    pub(crate) fn remove(&mut self, position: u64) {
        self.slots.remove(&position);
    }

    /// The transport took everything up to here.
    pub(crate) fn sent(&mut self, position: u64, wakers: &mut Vec<Waker>) {
        while let Some(first) = self
            .order
            .front()
            .copied()
            .filter(|first| *first <= position)
        {
            self.order.pop_front();
            self.finish(first, Ok(()), wakers);
        }
    }

    pub(super) fn fail(&mut self, error: &CallErrorKind, wakers: &mut Vec<Waker>) {
        while let Some(first) = self.order.pop_front() {
            self.finish(first, Err(error.clone()), wakers);
        }
    }

    fn finish(
        &mut self,
        position: u64,
        outcome: Result<(), CallErrorKind>,
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(slot) = self.slots.get_mut(&position) {
            slot.outcome = Some(outcome);
            wakers.extend(slot.waker.take());
        }
    }
}
