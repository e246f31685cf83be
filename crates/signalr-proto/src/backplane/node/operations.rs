//! What the application and other servers wait for.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use crate::backplane::api::OperationId;
use crate::backplane::outgoing::Purpose;
use crate::time::Instant;

/// Something that is waited for.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    pub(super) deadline: Instant,
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
    pub(super) last: u64,
    pub(super) open: BTreeMap<OperationId, Operation>,
    pub(super) deadlines: BTreeSet<(Instant, OperationId)>,
    pub(super) probes: BTreeSet<(Instant, OperationId)>,
    pub(super) last_command: i32,
    pub(super) commands: BTreeMap<i32, OperationId>,
    pub(super) censuses: BTreeMap<i32, OperationId>,
    pub(super) questions: BTreeMap<ByteString, OperationId>,
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

    pub(super) fn take_expired(&mut self, now: Instant) -> Option<OperationId> {
        let (at, operation) = *self.deadlines.first()?;
        (at <= now).then_some(operation)
    }

    /// A question that is due to be probed for, with its connection, and not again before `next`.
    pub(super) fn take_probe(
        &mut self,
        now: Instant,
        next: Instant,
    ) -> Option<(OperationId, ByteString)> {
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
    pub(super) fn hit_by_loss(&self, fail_waiting: bool) -> Vec<OperationId> {
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

    pub(super) fn all(&self) -> Vec<OperationId> {
        self.open.keys().copied().collect()
    }
}
