//! Messages that outlive a connection: calls that wait for the next one, and calls that may be made twice.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::time::Instant;

/// Encoded messages that wait, and those that may have to be sent again.
#[derive(Default)]
pub(super) struct Parked {
    /// What goes out as soon as there is a connection, in the order in which it was asked for.
    pub(super) queue: VecDeque<Message>,
    /// Open calls that are made again when the connection is lost.
    pub(super) kept: BTreeMap<u64, Bytes>,
    /// The size of all of them.
    pub(super) bytes: usize,
    /// Somebody was turned away with `Full` and wants to hear of room.
    pub(super) turned_away: bool,
}

pub(super) struct Message {
    pub(super) bytes: Bytes,
    /// The call, if it wants an answer.
    pub(super) id: Option<u64>,
    /// When nobody wants it to be sent any more.
    pub(super) expires: Option<Instant>,
    /// Whether it is sent again when the connection is lost before its answer came.
    pub(super) repeat: bool,
    /// Whether it came with no input since.
    pub(super) is_new: bool,
}

impl Parked {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        self.queue.push_back(message);
    }

    pub(super) fn keep(&mut self, id: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.kept.insert(id, bytes);
    }

    /// What is new turns out to have come so much later.
    pub(super) fn settle(&mut self, late: Duration) {
        for message in self.queue.iter_mut().rev() {
            if !core::mem::take(&mut message.is_new) {
                break;
            }
            message.expires = message.expires.map(|expires| expires.after(late));
        }
    }

    /// Nobody waits for this call any more.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(bytes) = self.kept.remove(&id) {
            self.bytes -= bytes.len();
        }
        if let Some(index) = self.queue.iter().position(|message| message.id == Some(id)) {
            let removed = self.queue.remove(index);
            self.bytes -= removed.map_or(0, |message| message.bytes.len());
        }
    }

    /// Drops what is too old and tells how much that was.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.queue.len();
        let bytes = &mut self.bytes;
        self.queue.retain(|message| {
            let stays = message.expires.is_none_or(|expires| now < expires);
            if !stays {
                *bytes -= message.bytes.len();
            }
            stays
        });
        before - self.queue.len()
    }

    /// The connection is lost: open calls that may be made twice go before everything that waits already.
    pub(super) fn requeue(&mut self) {
        for (id, bytes) in core::mem::take(&mut self.kept).into_iter().rev() {
            self.queue.push_front(Message {
                bytes,
                id: Some(id),
                expires: None,
                repeat: true,
                is_new: false,
            });
        }
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.kept.contains_key(&id) || self.queue.iter().any(|message| message.id == Some(id))
    }
}

/// How a message may wait.
#[derive(Clone, Copy)]
pub(super) enum Waiting {
    /// Until there is a connection, or never will be.
    Patient,
    /// In the offline queue.
    Offline { limit: usize, until: Instant },
}
