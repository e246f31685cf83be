//! How what is waited for ends, once.

use super::BackplaneNode;
use super::operations::OperationKind;
use crate::backplane::api::{BackplaneError, BackplaneEvent, BackplaneState, OperationId};
use crate::backplane::outgoing::Purpose;
use crate::backplane::{Ack, Channel, WhenAway};
use crate::codec::Outcome;
use crate::time::Instant;
use bytestring::ByteString;

/// How operations end.
impl BackplaneNode {
    /// How long an operation may take that needs the broker alone.
    pub(super) fn patience(&self) -> Instant {
        let patience = match self.config.when_away {
            WhenAway::Fail => self.config.publish_timeout,
            WhenAway::Wait(patience) => patience.max(self.config.publish_timeout),
        };
        self.now.after(patience)
    }

    pub(super) fn done(&mut self, operation: OperationId) {
        let result = Ok(());
        self.tell(BackplaneEvent::Done { operation, result });
    }

    /// It has failed, whatever it is, and leaves nothing behind.
    pub(super) fn fail(&mut self, operation: OperationId, error: BackplaneError) {
        let Some(kind) = self.operations.close(operation) else {
            return;
        };
        match kind {
            OperationKind::Join {
                connection_id,
                group,
                fresh,
            } => self.fail_join(&connection_id, &group, fresh),
            OperationKind::Obey {
                connection_id,
                group,
                fresh,
                ..
            } => {
                // Nobody here has asked for it, and whoever did is not told either.
                return self.fail_join(&connection_id, &group, fresh);
            }
            OperationKind::Connect { .. }
            | OperationKind::Send { .. }
            | OperationKind::Command { .. }
            | OperationKind::Count { .. }
            | OperationKind::Ask { .. } => {}
        }
        self.counters.failures += 1;
        let result = Err(error);
        self.tell(BackplaneEvent::Done { operation, result });
    }

    /// What made a connection a member has failed: it is none any more, unless something else waits for the same.
    fn fail_join(&mut self, connection_id: &ByteString, group: &ByteString, fresh: bool) {
        if !fresh {
            return;
        }
        let channel = self.channels.name(Channel::Group(group));
        for operation in self.subscriptions.waiting(&channel) {
            if let Some(
                OperationKind::Join {
                    connection_id: other,
                    group: same,
                    fresh,
                }
                | OperationKind::Obey {
                    connection_id: other,
                    group: same,
                    fresh,
                    ..
                },
            ) = self.operations.get_mut(*operation)
            {
                if other == connection_id && same == group {
                    *fresh = true;
                    return;
                }
            }
        }
        self.undo_join(connection_id, group);
    }

    /// One of the channels that it waits for is subscribed to, or not wanted any more.
    pub(super) fn channel_ready(&mut self, operation: OperationId) {
        match self.operations.get_mut(operation) {
            Some(OperationKind::Connect { missing }) if *missing > 1 => *missing -= 1,
            Some(OperationKind::Connect { .. } | OperationKind::Join { .. }) => {
                self.operations.close(operation);
                self.done(operation);
            }
            Some(OperationKind::Obey { .. }) => {
                if let Some(OperationKind::Obey {
                    server, command, ..
                }) = self.operations.close(operation)
                {
                    self.acknowledge(&server, command);
                }
            }
            Some(
                OperationKind::Send { .. }
                | OperationKind::Command { .. }
                | OperationKind::Count { .. }
                | OperationKind::Ask { .. },
            )
            | None => {}
        }
    }

    pub(super) fn acknowledge(&mut self, server: &str, id: i32) {
        let channel = self.channels.name(Channel::Acks(server));
        self.say(channel, |out| Ack { id }.encode(out));
    }

    /// The broker has taken a message.
    pub(super) fn message_published(&mut self, purpose: Purpose, receivers: Option<u64>) {
        self.counters.published += 1;
        let operation = match purpose {
            Purpose::Operation(operation) => operation,
            Purpose::Probe(operation) if receivers == Some(0) => {
                return self.fail(operation, BackplaneError::OwnerGone);
            }
            Purpose::Heartbeat if receivers == Some(0) => {
                return self.unheard();
            }
            Purpose::Probe(_) | Purpose::Answer | Purpose::Heartbeat => return,
        };
        match self.operations.get_mut(operation) {
            Some(OperationKind::Send { missing }) if *missing > 1 => *missing -= 1,
            Some(OperationKind::Send { .. }) => {
                self.operations.close(operation);
                self.done(operation);
            }
            Some(OperationKind::Command { published, .. }) => *published = true,
            Some(OperationKind::Count {
                published, servers, ..
            }) => {
                *published = true;
                *servers = receivers;
                self.look_at_count(operation, false);
            }
            Some(OperationKind::Ask { .. }) if receivers == Some(0) => {
                self.fail(operation, BackplaneError::NoReceiver);
            }
            Some(OperationKind::Ask { published, .. }) => *published = true,
            Some(
                OperationKind::Connect { .. }
                | OperationKind::Join { .. }
                | OperationKind::Obey { .. },
            )
            | None => {}
        }
    }

    pub(super) fn acknowledged(&mut self, id: i32) {
        if let Some(operation) = self.operations.command(id) {
            self.operations.close(operation);
            self.done(operation);
        }
    }

    /// A server has counted.
    pub(super) fn counted(&mut self, id: i32, count: u32) {
        let Some(operation) = self.operations.census(id) else {
            return;
        };
        if let Some(OperationKind::Count { answers, sum, .. }) = self.operations.get_mut(operation)
        {
            *answers += 1;
            *sum = sum.saturating_add(count.into());
        }
        self.look_at_count(operation, false);
    }

    /// Whether all have counted who were asked; or as many as will, when the time is up. The broker may not know yet that a
    /// server has died, or not tell how many there are.
    fn look_at_count(&mut self, operation: OperationId, late: bool) -> bool {
        let Some(OperationKind::Count {
            published,
            servers,
            answers,
            sum,
            ..
        }) = self.operations.get_mut(operation)
        else {
            return false;
        };
        let count = *sum;
        let all = servers.is_some_and(|servers| *answers >= servers);
        // This server answers as well. When it has not heard itself, the broker is to blame.
        let complete = all || (late && *published && *answers > 0);
        if complete {
            self.operations.close(operation);
            self.tell(BackplaneEvent::Counted { operation, count });
        }
        complete
    }

    pub(super) fn answered(&mut self, question: &str, outcome: Outcome) {
        if let Some(operation) = self.operations.question(question) {
            self.operations.close(operation);
            self.tell(BackplaneEvent::Answered { operation, outcome });
        }
    }

    /// Ends what has waited long enough, and asks whether it is worth while to wait on for answers.
    pub(super) fn expire(&mut self) {
        let mut any = false;
        while let Some(operation) = self.operations.take_expired(self.now) {
            any = true;
            if self.look_at_count(operation, true) {
                continue;
            }
            let error = self.too_late(operation);
            self.fail(operation, error);
        }
        if any {
            let operations = &self.operations;
            self.outgoing.tidy(|purpose| operations.want(purpose));
        }
        let next = self.now.after(self.config.probe_interval);
        // Probes belong to a link: those of a time without one would wait for the next, ever more of them.
        let is_up = self.state() == BackplaneState::Up;
        while let Some((operation, connection)) = self.operations.take_probe(self.now, next) {
            if !is_up {
                continue;
            }
            let channel = self.channels.name(Channel::Connection(&connection));
            let purpose = Purpose::Probe(operation);
            self.outgoing.push(channel, self.probe.clone(), purpose);
        }
    }

    fn too_late(&mut self, operation: OperationId) -> BackplaneError {
        let timeout = match self.config.when_away {
            WhenAway::Fail => self.config.publish_timeout,
            WhenAway::Wait(patience) => patience.max(self.config.publish_timeout),
        };
        match self.operations.get_mut(operation) {
            Some(OperationKind::Command { .. }) => BackplaneError::NotAcknowledged {
                timeout: self.config.ack_timeout,
            },
            Some(OperationKind::Ask { .. }) => BackplaneError::NotAnswered,
            Some(
                OperationKind::Connect { .. }
                | OperationKind::Join { .. }
                | OperationKind::Obey { .. }
                | OperationKind::Send { .. }
                | OperationKind::Count { .. },
            )
            | None => BackplaneError::TimedOut { timeout },
        }
    }

    /// The link is lost: what was in flight may have arrived or not, and what waits for others may wait in vain.
    pub(super) fn fail_lost(&mut self) {
        for flown in self.outgoing.landed() {
            if let Purpose::Operation(operation) = flown.purpose {
                self.fail(operation, BackplaneError::Lost);
            }
        }
        for operation in self.operations.hit_by_loss(false) {
            self.fail(operation, BackplaneError::Lost);
        }
        self.subscriptions.lost();
        self.fail_away();
    }

    /// Nothing waits for the next attempt that was not told to.
    pub(super) fn fail_away(&mut self) {
        if self.config.when_away == WhenAway::Fail {
            for operation in self.operations.hit_by_loss(true) {
                self.fail(operation, BackplaneError::Away);
            }
        }
        // Probes and heartbeats belong to a link.
        let operations = &self.operations;
        self.outgoing.retain(|purpose| match purpose {
            Purpose::Operation(_) => operations.want(purpose),
            Purpose::Answer => true,
            Purpose::Probe(_) | Purpose::Heartbeat => false,
        });
    }

    pub(super) fn fail_all(&mut self, error: &BackplaneError) {
        for operation in self.operations.all() {
            self.fail(operation, error.clone());
        }
    }
}
