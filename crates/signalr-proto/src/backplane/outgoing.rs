//! Messages on their way to the broker: one batch in flight, everything else waits for the next.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use super::api::{BackplaneAction, Message, OperationId};
use crate::transport::{OpId, OpIds};

/// Messages in one batch.
const MAX_BATCH: usize = 1_000;

/// Bytes above which a batch takes no further message.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Why a message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For an operation, which fails with it.
    Operation(OperationId),
    /// To learn whether somebody still listens for the connection that this operation asked.
    Probe(OperationId),
    /// An answer to another server.
    Answer,
    /// To hear from oneself.
    Heartbeat,
}

/// A message that was in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flown {
    pub(super) purpose: Purpose,
    bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queue: VecDeque<(Message, Purpose)>,
    flight: Option<(OpId, Vec<Flown>)>,
    /// Of both.
    bytes: usize,
}

/// What a message takes: its bytes, and some for being one.
fn cost(channel: &ByteString, payload: &Bytes) -> usize {
    channel.as_bytes().len() + payload.len() + 64
}

impl Outgoing {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so many bytes more are too many.
    pub(super) const fn is_full(&self, limit: usize, more: usize) -> bool {
        self.bytes > 0 && self.bytes.saturating_add(more) > limit
    }

    pub(super) fn push(&mut self, channel: ByteString, payload: Bytes, purpose: Purpose) {
        self.bytes += cost(&channel, &payload);
        let message = Message { channel, payload };
        self.queue.push_back((message, purpose));
    }

    /// The next batch, if there is something to publish and nothing in flight. What is not alive any more is left out.
    pub(super) fn next_batch(
        &mut self,
        ids: &mut OpIds,
        alive: impl Fn(Purpose) -> bool,
    ) -> Option<BackplaneAction> {
        if self.flight.is_some() {
            return None;
        }
        let (mut messages, mut flown, mut size) = (Vec::new(), Vec::new(), 0);
        while messages.len() < MAX_BATCH && size < MAX_BATCH_BYTES {
            let Some((message, purpose)) = self.queue.pop_front() else {
                break;
            };
            let bytes = cost(&message.channel, &message.payload);
            if !alive(purpose) {
                self.bytes = self.bytes.saturating_sub(bytes);
                continue;
            }
            size += bytes;
            messages.push(message);
            flown.push(Flown { purpose, bytes });
        }
        if messages.is_empty() {
            return None;
        }
        let op = ids.next();
        self.flight = Some((op, flown));
        Some(BackplaneAction::Publish { op, messages })
    }

    /// A batch of one message that overtakes all that wait. Nothing may be in flight.
    pub(super) fn alone(
        &mut self,
        ids: &mut OpIds,
        message: Message,
        purpose: Purpose,
    ) -> BackplaneAction {
        let bytes = cost(&message.channel, &message.payload);
        self.bytes += bytes;
        let op = ids.next();
        self.flight = Some((op, vec![Flown { purpose, bytes }]));
        let messages = vec![message];
        BackplaneAction::Publish { op, messages }
    }

    pub(super) fn is_under_way(&self, op: OpId) -> bool {
        self.flight.as_ref().is_some_and(|(known, _)| *known == op)
    }

    /// The batch has landed, or was lost.
    pub(super) fn landed(&mut self) -> Vec<Flown> {
        let Some((_, flown)) = self.flight.take() else {
            return Vec::new();
        };
        for message in &flown {
            self.bytes = self.bytes.saturating_sub(message.bytes);
        }
        flown
    }

    /// Drops what waits at the front for nobody.
    pub(super) fn tidy(&mut self, alive: impl Fn(Purpose) -> bool) {
        while self
            .queue
            .front()
            .is_some_and(|(_, purpose)| !alive(*purpose))
        {
            let Some((message, _)) = self.queue.pop_front() else {
                return;
            };
            let bytes = cost(&message.channel, &message.payload);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Drops everything that waits and does not satisfy this.
    pub(super) fn retain(&mut self, keep: impl Fn(Purpose) -> bool) {
        let bytes = &mut self.bytes;
        self.queue.retain(|(message, purpose)| {
            let kept = keep(*purpose);
            if !kept {
                *bytes = bytes.saturating_sub(cost(&message.channel, &message.payload));
            }
            kept
        });
    }
}
