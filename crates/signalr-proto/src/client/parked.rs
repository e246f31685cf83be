//! Messages that outlive a connection: calls that wait for the next one, and calls that may be made twice.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::ClientConnection;
use super::api::{Call, CallError, CallOptions, Event, InvocationId};
use super::config::WhileReconnecting;
use super::invocations::CallKind;
use super::state::State;
use crate::error::{CloseReason, SendError};
use crate::time::Instant;

/// Encoded messages that wait, and those that may have to be sent again.
#[derive(Default)]
pub(super) struct Parked {
    /// What goes out as soon as there is a connection, in the order in which it was asked for.
    queue: VecDeque<Message>,
    /// Open calls that are made again when the connection is lost.
    kept: BTreeMap<u64, Bytes>,
    /// The size of all of them.
    bytes: usize,
    /// Somebody was turned away with `Full` and wants to hear of room.
    turned_away: bool,
}

struct Message {
    bytes: Bytes,
    /// The call, if it wants an answer.
    id: Option<u64>,
    /// When nobody wants it to be sent any more.
    expires: Option<Instant>,
    /// Whether it is sent again when the connection is lost before its answer came.
    repeat: bool,
    /// Whether it came with no input since.
    is_new: bool,
}

impl Parked {
    fn push(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        self.queue.push_back(message);
    }

    fn keep(&mut self, id: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.kept.insert(id, bytes);
    }

    /// What is new turns out to have come so much later.
    fn settle(&mut self, late: Duration) {
        for message in self.queue.iter_mut().rev() {
            if !core::mem::take(&mut message.is_new) {
                break;
            }
            message.expires = message.expires.map(|expires| expires.after(late));
        }
    }

    /// Nobody waits for this call any more.
    fn forget(&mut self, id: u64) {
        if let Some(bytes) = self.kept.remove(&id) {
            self.bytes -= bytes.len();
        }
        if let Some(index) = self.queue.iter().position(|message| message.id == Some(id)) {
            let removed = self.queue.remove(index);
            self.bytes -= removed.map_or(0, |message| message.bytes.len());
        }
    }

    /// Drops what is too old and tells how much that was.
    fn expire(&mut self, now: Instant) -> usize {
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
    fn requeue(&mut self) {
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

    fn holds(&self, id: u64) -> bool {
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

impl ClientConnection {
    /// Whether a message may wait for the next connection, and how.
    pub(super) fn may_wait(
        &self,
        kind: CallKind,
        options: CallOptions,
        streams: usize,
    ) -> Result<Waiting, SendError> {
        let coming = matches!(
            self.state,
            State::Connecting(_) | State::Deciding(_) | State::Waiting { .. }
        );
        // An upload belongs to the connection on which it began.
        if !coming || streams > 0 {
            return Err(SendError::NotConnected);
        }
        if options.wait || self.config.while_reconnecting == WhileReconnecting::Wait {
            return Ok(Waiting::Patient);
        }
        match self.config.offline_queue {
            Some(queue) if !kind.is_answered() => Ok(Waiting::Offline {
                limit: queue.max_bytes,
                until: self.now.after(queue.max_age),
            }),
            Some(_) | None => Err(SendError::NotConnected),
        }
    }

    fn check_room(&mut self, size: usize, limit: usize) -> Result<(), SendError> {
        self.expire_parked();
        let waiting = self.parked.as_ref().map_or(0, |parked| parked.bytes);
        if waiting > 0 && waiting.saturating_add(size) > limit {
            if let Some(parked) = &mut self.parked {
                parked.turned_away = true;
            }
            Err(SendError::Full { waiting, limit })
        } else {
            Ok(())
        }
    }

    /// Keeps the message of a call: until there is a connection if it waits for one, else it is written now and kept in case
    /// that it has to be repeated.
    pub(super) fn keep(
        &mut self,
        call: &Call,
        kind: CallKind,
        bytes: Bytes,
        waiting: Option<Waiting>,
        repeat: bool,
    ) -> Result<(), SendError> {
        let limit = match waiting {
            Some(Waiting::Offline { limit, .. }) => limit,
            Some(Waiting::Patient) | None => self.config.limits.max_outgoing_bytes,
        };
        self.check_room(bytes.len(), limit)?;
        let id = kind.is_answered().then(|| call.id().number());
        let Some(waiting) = waiting else {
            self.outbox.write(|out| {
                out.extend_from_slice(&bytes);
                Ok(())
            })?;
            if let Some(id) = id {
                self.parked.get_or_insert_default().keep(id, bytes);
            }
            return Ok(());
        };
        self.outbox.skip();
        self.parked.get_or_insert_default().push(Message {
            bytes,
            id,
            expires: match waiting {
                Waiting::Patient => None,
                Waiting::Offline { until, .. } => Some(until),
            },
            repeat,
            is_new: true,
        });
        Ok(())
    }

    /// The call is answered or given up.
    pub(super) fn unpark(&mut self, id: InvocationId) {
        if let Some(parked) = &mut self.parked {
            let before = parked.bytes;
            parked.forget(id.number());
            if parked.bytes < before {
                self.invite_parked();
            }
        }
    }

    /// There is room again among what waits.
    fn invite_parked(&mut self) {
        let parked = self.parked.as_mut();
        if parked.is_some_and(|parked| core::mem::take(&mut parked.turned_away)) {
            self.tell(Event::Writable);
        }
    }

    /// Tells every pending call of the loss, before anything else is told ([CB-63](crate::spec::client_behaviour#cb-63)), but those
    /// that are made again.
    pub(super) fn fail_pending(&mut self, reason: &CloseReason) {
        let parked = self.parked.as_deref();
        let stays = |id: u64| parked.is_some_and(|parked| parked.holds(id));
        let failed = self.invocations.fail(reason, stays);
        self.tell_failures(failed);
        if let Some(parked) = &mut self.parked {
            parked.requeue();
        }
    }

    /// There will be no other connection: what waits for one is told.
    pub(super) fn fail_parked(&mut self, reason: &CloseReason) {
        if self.parked.take().is_some() {
            let failed = self.invocations.fail(reason, |_| false);
            self.tell_failures(failed);
        }
    }

    fn tell_failures(&mut self, failed: Vec<(InvocationId, CallError)>) {
        for (invocation_id, error) in failed {
            self.tell(Event::Completion {
                invocation_id,
                outcome: Err(error),
            });
        }
    }

    /// The time has come this far since the last input or command.
    pub(super) fn settle_parked(&mut self, late: Duration) {
        if let Some(parked) = &mut self.parked {
            parked.settle(late);
        }
    }

    fn expire_parked(&mut self) {
        let now = self.now;
        let messages = self.parked.as_mut().map_or(0, |parked| parked.expire(now));
        if messages > 0 {
            self.tell(Event::Expired { messages });
        }
    }

    /// There is a connection: what waited for it goes first.
    pub(super) fn send_parked(&mut self) {
        self.expire_parked();
        let Some(parked) = &mut self.parked else {
            return;
        };
        for message in core::mem::take(&mut parked.queue) {
            self.outbox
                .write_always(|out| out.extend_from_slice(&message.bytes));
            parked.bytes -= message.bytes.len();
            if let Some(id) = message.id.filter(|_| message.repeat) {
                parked.keep(id, message.bytes);
            }
        }
        self.invite_parked();
        if self
            .parked
            .as_ref()
            .is_some_and(|parked| parked.kept.is_empty())
        {
            self.parked = None;
        }
        self.spoke();
    }
}
