//! Who is connected, who is in which group, and which questions wait for an answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use signalr_proto::codec::Outcome;
use tokio::sync::{Notify, oneshot};

use crate::connection::{Connection, lock};

type Members = BTreeMap<Arc<str>, Arc<Connection>>;

#[derive(Debug, Default)]
struct Tables {
    connections: Members,
    groups: HashMap<String, Members>,
    users: HashMap<Arc<str>, Members>,
    /// The groups of each connection, to leave them all when it ends.
    memberships: HashMap<Arc<str>, BTreeSet<String>>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Question {
    connection_id: Arc<str>,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug, Default)]
struct Questions {
    asked: u64,
    waiting: HashMap<String, Question>,
}

/// Where an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// To the question that was waiting.
    Delivered,
    /// To none: it came too late.
    Unknown,
    /// To a question that another client was asked.
    Foreign,
}

/// The tables of one hub.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tables: Mutex<Tables>,
    questions: Mutex<Questions>,
    /// Fires whenever a connection is removed.
    pub(crate) removed: Notify,
}

impl Registry {
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        let mut tables = lock(&self.tables);
        tables
            .connections
            .insert(Arc::clone(&connection.id), Arc::clone(connection));
        if let Some(user) = connection.user_id() {
            tables
                .users
                .entry(user.into())
                .or_default()
                .insert(Arc::clone(&connection.id), Arc::clone(connection));
        }
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        let mut tables = lock(&self.tables);
        tables.connections.remove(&connection.id);
        for group in tables
            .memberships
            .remove(&connection.id)
            .unwrap_or_default()
        {
            drop_member(&mut tables.groups, &group, &connection.id);
        }
        if let Some(user) = connection.user_id() {
            drop_member(&mut tables.users, user, &connection.id);
        }
        drop(tables);
        self.removed.notify_waiters();
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        lock(&self.tables).connections.get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.tables).connections.values().cloned().collect()
    }

    pub(crate) fn group(&self, name: &str) -> Vec<Arc<Connection>> {
        members(lock(&self.tables).groups.get(name))
    }

    pub(crate) fn user(&self, id: &str) -> Vec<Arc<Connection>> {
        members(lock(&self.tables).users.get(id))
    }

    /// Adds a connection to a group. One that is not there is passed over.
    pub(crate) fn join(&self, connection_id: &str, group: &str) {
        let mut tables = lock(&self.tables);
        let Some(connection) = tables.connections.get(connection_id).cloned() else {
            return;
        };
        tables
            .memberships
            .entry(Arc::clone(&connection.id))
            .or_default()
            .insert(group.to_owned());
        tables
            .groups
            .entry(group.to_owned())
            .or_default()
            .insert(Arc::clone(&connection.id), connection);
    }

    pub(crate) fn leave(&self, connection_id: &str, group: &str) {
        let mut tables = lock(&self.tables);
        drop_member(&mut tables.groups, group, connection_id);
        if let Some(groups) = tables.memberships.get_mut(connection_id) {
            groups.remove(group);
            if groups.is_empty() {
                tables.memberships.remove(connection_id);
            }
        }
    }

    /// Registers a question and gives its id: `s1`, `s2`, … over all connections of the hub.
    pub(crate) fn begin_question(
        &self,
        connection_id: &Arc<str>,
    ) -> (String, oneshot::Receiver<Outcome>) {
        let mut questions = lock(&self.questions);
        questions.asked = questions.asked.wrapping_add(1);
        let id = format!("s{}", questions.asked);
        let (answer, receiver) = oneshot::channel();
        questions.waiting.insert(
            id.clone(),
            Question {
                connection_id: Arc::clone(connection_id),
                answer,
            },
        );
        (id, receiver)
    }

    pub(crate) fn end_question(&self, id: &str) {
        lock(&self.questions).waiting.remove(id);
    }

    pub(crate) fn answer(&self, connection_id: &str, id: &str, outcome: Outcome) -> Answered {
        let mut questions = lock(&self.questions);
        match questions.waiting.get(id) {
            None => return Answered::Unknown,
            Some(question) if &*question.connection_id != connection_id => {
                return Answered::Foreign;
            }
            Some(_) => {}
        }
        if let Some(question) = questions.waiting.remove(id) {
            // Whoever asked may have stopped waiting this very moment.
            let _ = question.answer.send(outcome);
        }
        Answered::Delivered
    }

    /// The client is gone and answers nothing any more.
    pub(crate) fn forget_questions(&self, connection_id: &str) {
        lock(&self.questions)
            .waiting
            .retain(|_, question| &*question.connection_id != connection_id);
    }
}

fn members(members: Option<&Members>) -> Vec<Arc<Connection>> {
    members
        .map(|members| members.values().cloned().collect())
        .unwrap_or_default()
}

fn drop_member<K: std::borrow::Borrow<str> + Eq + std::hash::Hash>(
    sets: &mut HashMap<K, Members>,
    name: &str,
    id: &str,
) {
    if let Some(members) = sets.get_mut(name) {
        members.remove(id);
        if members.is_empty() {
            sets.remove(name);
        }
    }
}
