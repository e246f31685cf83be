//! What waits in a connection for its turn or for somebody's answer, as values.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::codec::{DecodeError, HubMessage};
use crate::server::Arrival;
use crate::server::calls::CallId;
use crate::time::Instant;
use crate::transport::OpId;

/// POSTs under way, in the order in which they came.
#[derive(Default)]
pub(super) struct Posts {
    pub(super) waiting: VecDeque<Post>,
    /// Bytes of those whose turn has not come, which nobody asked for.
    pub(super) early_bytes: usize,
    /// Since when the one in turn has been read without a pause, and what came of it since.
    pub(super) pace: Option<(Instant, u64)>,
}

pub(super) struct Post {
    pub(super) op: OpId,
    /// What came before its turn.
    pub(super) early: Vec<Bytes>,
    /// Some of it was taken in its turn.
    pub(super) begun: bool,
    pub(super) complete: bool,
}

impl Posts {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn holds(&self, op: OpId) -> bool {
        self.waiting.iter().any(|post| post.op == op)
    }

    /// The POST whose bytes are wanted.
    pub(super) fn wanted(&self) -> Option<OpId> {
        let first = self.waiting.front()?;
        (!first.complete).then_some(first.op)
    }

    pub(super) const fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Notes a piece of a body. Gives it back when it is its turn.
    pub(super) fn take(&mut self, op: OpId, bytes: Bytes, last: bool) -> Option<Bytes> {
        let first = self.waiting.front().is_some_and(|post| post.op == op);
        let post = self.waiting.iter_mut().find(|post| post.op == op)?;
        if post.complete {
            return None;
        }
        post.complete = last;
        if first {
            post.begun |= !bytes.is_empty();
            if let Some((_, came)) = &mut self.pace {
                *came = came.saturating_add(bytes.len() as u64);
            }
            return Some(bytes);
        }
        self.early_bytes = self.early_bytes.saturating_add(bytes.len());
        post.early.push(bytes);
        None
    }

    /// The first is done with. What came early of the next one is for its turn now.
    pub(super) fn shift(&mut self) -> Vec<Bytes> {
        self.waiting.pop_front();
        self.pace = None;
        let Some(next) = self.waiting.front_mut() else {
            self.waiting = VecDeque::new();
            return Vec::new();
        };
        let early = core::mem::take(&mut next.early);
        next.begun = !early.is_empty();
        let bytes: usize = early.iter().map(Bytes::len).sum();
        self.early_bytes = self.early_bytes.saturating_sub(bytes);
        early
    }
}

/// Requests that wait for the application's judgement, each with an identity. A slice, as there seldom are any, and every connection
/// has the room for this.
#[derive(Default)]
pub(super) struct Applicants(Box<[Arrival]>);

impl Applicants {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn holds(&self, op: OpId) -> bool {
        self.0.iter().any(|arrival| arrival.op == op)
    }

    pub(super) fn push(&mut self, arrival: Arrival) {
        let mut all = self.drain();
        all.push(arrival);
        self.0 = all.into();
    }

    pub(super) fn remove(&mut self, op: OpId) {
        self.take(op);
    }

    pub(super) fn take(&mut self, op: OpId) -> Option<Arrival> {
        let index = self.0.iter().position(|arrival| arrival.op == op)?;
        let mut all = self.drain();
        let taken = all.remove(index);
        self.0 = all.into();
        Some(taken)
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> Vec<Arrival> {
        core::mem::take(&mut self.0).into_vec()
    }
}

/// Messages that were read in search of an Ack, and wait for their turn.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) messages: VecDeque<(HubMessage, usize)>,
    /// What they cost.
    pub(super) bytes: usize,
}

impl Ahead {
    pub(super) fn pop(&mut self) -> Option<HubMessage> {
        let (message, cost) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(super) fn push(&mut self, message: HubMessage, size: usize) {
        let cost = size.saturating_add(size_of::<HubMessage>());
        self.messages.push_back((message, cost));
        self.bytes = self.bytes.saturating_add(cost);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The ids of the questions whose answer is awaited.
#[derive(Default)]
pub(super) struct AwaitedResults(pub(super) BTreeSet<Box<str>>);

impl AwaitedResults {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A call of a stream that lacks its id while the application looks at it: it waits as a call without a permit does, with everything
/// behind it.
pub(super) struct Nameless {
    pub(super) call: CallId,
    /// What the connection ends with unless the call is refused.
    pub(super) error: DecodeError,
}
