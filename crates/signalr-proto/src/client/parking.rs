//! Calls that wait for a connection, or are made again on the next one.

use core::time::Duration;

use bytes::Bytes;

use super::ClientConnection;
use super::api::{Call, CallError, CallOptions, Event, InvocationId};
use super::config::WhileReconnecting;
use super::invocations::CallKind;
use super::parked::{Message, Waiting};
use super::state::State;
use crate::error::{CloseReason, SendError};

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
