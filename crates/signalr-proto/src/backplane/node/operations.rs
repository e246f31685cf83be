//! What the application and other servers wait for.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::BackplaneNode;
use crate::backplane::api::{BackplaneError, BackplaneEvent, OperationId};
use crate::backplane::outgoing::Purpose;
use crate::backplane::{Ack, Channel, WhenAway};
use crate::codec::Outcome;
use crate::time::Instant;

/// Something that is waited for.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) enum OperationKind {
    /// A client wants its channels, of which so many are missing.
    Connect { missing: usize },
    /// A local connection wants a group's channel. It was no member before, if it is fresh.
    Join {
        connection_id: ByteString,
        group: ByteString,
        fresh: bool,
    },
    /// The same for another server, which hears of it.
    Obey {
        connection_id: ByteString,
        group: ByteString,
        fresh: bool,
        server: ByteString,
        command: i32,
    },
    /// So many messages have to be published.
    Send { missing: usize },
    /// Servers have to count their connections. How many of them shows when the question is published.
    Count {
        id: i32,
        published: bool,
        servers: Option<u64>,
        answers: u64,
        sum: u64,
    },
    /// Another server has to confirm this command.
    Command { id: i32, published: bool },
    /// Somebody's client has to answer.
    Ask {
        connection_id: ByteString,
        question: ByteString,
        published: bool,
        probe_at: Instant,
    },
}

#[derive(Debug, Default)]
pub(super) struct Operations {
    last: u64,
    open: BTreeMap<OperationId, Operation>,
    deadlines: BTreeSet<(Instant, OperationId)>,
    probes: BTreeSet<(Instant, OperationId)>,
    last_command: i32,
    commands: BTreeMap<i32, OperationId>,
    censuses: BTreeMap<i32, OperationId>,
    questions: BTreeMap<ByteString, OperationId>,
}

impl Operations {
    /// A name for something.
    pub(super) fn name(&mut self) -> OperationId {
        self.last = self.last.wrapping_add(1);
        OperationId(self.last)
    }

    /// The next number for a command: positive, and never that of one that is open.
    pub(super) fn command_number(&mut self) -> i32 {
        loop {
            self.last_command = self.last_command.checked_add(1).unwrap_or(1);
            let number = &self.last_command;
            if !self.commands.contains_key(number) && !self.censuses.contains_key(number) {
                return self.last_command;
            }
        }
    }

    pub(super) fn open(&mut self, operation: OperationId, kind: OperationKind, deadline: Instant) {
        match &kind {
            OperationKind::Command { id, .. } => {
                self.commands.insert(*id, operation);
            }
            OperationKind::Count { id, .. } => {
                self.censuses.insert(*id, operation);
            }
            OperationKind::Ask {
                question, probe_at, ..
            } => {
                self.questions.insert(question.clone(), operation);
                self.probes.insert((*probe_at, operation));
            }
            OperationKind::Connect { .. }
            | OperationKind::Join { .. }
            | OperationKind::Obey { .. }
            | OperationKind::Send { .. } => {}
        }
        self.deadlines.insert((deadline, operation));
        self.open.insert(operation, Operation { kind, deadline });
    }

    pub(super) fn close(&mut self, operation: OperationId) -> Option<OperationKind> {
        let Operation { kind, deadline } = self.open.remove(&operation)?;
        self.deadlines.remove(&(deadline, operation));
        match &kind {
            OperationKind::Command { id, .. } => {
                self.commands.remove(id);
            }
            OperationKind::Count { id, .. } => {
                self.censuses.remove(id);
            }
            OperationKind::Ask {
                question, probe_at, ..
            } => {
                self.questions.remove(question);
                self.probes.remove(&(*probe_at, operation));
            }
            OperationKind::Connect { .. }
            | OperationKind::Join { .. }
            | OperationKind::Obey { .. }
            | OperationKind::Send { .. } => {}
        }
        Some(kind)
    }

    pub(super) fn get_mut(&mut self, operation: OperationId) -> Option<&mut OperationKind> {
        self.open
            .get_mut(&operation)
            .map(|operation| &mut operation.kind)
    }

    /// Whether somebody still wants a message of this purpose to be published.
    pub(super) fn want(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Operation(operation) | Purpose::Probe(operation) => {
                self.open.contains_key(&operation)
            }
            Purpose::Answer | Purpose::Heartbeat => true,
        }
    }

    pub(super) fn command(&self, id: i32) -> Option<OperationId> {
        self.commands.get(&id).copied()
    }

    pub(super) fn census(&self, id: i32) -> Option<OperationId> {
        self.censuses.get(&id).copied()
    }

    pub(super) fn question(&self, id: &str) -> Option<OperationId> {
        self.questions.get(id).copied()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, OperationId)>| set.first().map(|(at, _)| *at);
        let deadlines = [first(&self.deadlines), first(&self.probes)];
        deadlines.into_iter().flatten().min()
    }

    fn take_expired(&mut self, now: Instant) -> Option<OperationId> {
        let (at, operation) = *self.deadlines.first()?;
        (at <= now).then_some(operation)
    }

    /// A question that is due to be probed for, with its connection, and not again before `next`.
    fn take_probe(&mut self, now: Instant, next: Instant) -> Option<(OperationId, ByteString)> {
        loop {
            let (at, operation) = *self.probes.first()?;
            if at > now {
                return None;
            }
            self.probes.remove(&(at, operation));
            if let Some(OperationKind::Ask {
                connection_id,
                published,
                probe_at,
                ..
            }) = self.get_mut(operation)
            {
                *probe_at = next;
                let found = published.then(|| (operation, connection_id.clone()));
                self.probes.insert((next, operation));
                if found.is_some() {
                    return found;
                }
            }
        }
    }

    /// Those that cannot be told from lost ones, once the link is, and those that are given up with it.
    fn hit_by_loss(&self, fail_waiting: bool) -> Vec<OperationId> {
        let hit = self
            .open
            .iter()
            .filter(|(_, operation)| match &operation.kind {
                OperationKind::Command { published, .. }
                | OperationKind::Count { published, .. } => *published || fail_waiting,
                OperationKind::Ask { published, .. } => !published && fail_waiting,
                OperationKind::Connect { .. }
                | OperationKind::Join { .. }
                | OperationKind::Obey { .. }
                | OperationKind::Send { .. } => fail_waiting,
            });
        hit.map(|(id, _)| *id).collect()
    }

    fn all(&self) -> Vec<OperationId> {
        self.open.keys().copied().collect()
    }
}

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
                return self.lose("the broker has forgotten this server's subscriptions");
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
        while let Some((operation, connection)) = self.operations.take_probe(self.now, next) {
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
