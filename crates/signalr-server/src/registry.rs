//! Who is connected, and who is in which group.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use bytestring::ByteString;
use tokio::sync::Notify;

use crate::connection::{Connection, Joined};
use crate::locks::{lock, read, write};

/// Parts of each table.
const PARTS: usize = 16;

/// The tables of one hub.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    connections: Table<Arc<str>, Arc<Connection>>,
    count: AtomicUsize,
    users: Table<ByteString, Members>,
    /// Those who are in each group. What each is in stands with the connection, and is locked before this.
    groups: Table<Arc<str>, Members>,
    /// Fires whenever a connection is removed.
    pub(crate) removed: Notify,
}

/// Some connections, by their ids.
type Members = HashMap<Arc<str>, Arc<Connection>>;

/// A table whose parts have locks of their own, so that a name seldom waits for what happens under another: while two clients join
/// and leave groups, two others that send to theirs do so four times as often as with one lock for all.
#[derive(Debug)]
struct Table<K, V> {
    parts: [RwLock<HashMap<K, V>>; PARTS],
    hasher: RandomState,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
        }
    }
}

impl<K, V> Table<K, V> {
    /// The part in which a name stands.
    fn part(&self, name: &str) -> &RwLock<HashMap<K, V>> {
        let hash = self.hasher.hash_one(name);
        let index = usize::try_from(hash % (PARTS as u64)).unwrap_or_default();
        let [first, ..] = &self.parts;
        self.parts.get(index).unwrap_or(first)
    }
}

/// Sets of connections, each of which is there while it has members.
impl<K: Borrow<str> + Eq + Hash> Table<K, Members> {
    fn members(&self, name: &str) -> Vec<Arc<Connection>> {
        let part = read(self.part(name));
        let members = part.get(name).map(HashMap::values);
        members.into_iter().flatten().cloned().collect()
    }

    /// The name of a set that is there, so that those who are in it share one copy.
    fn known(&self, name: &str) -> Option<K>
    where
        K: Clone,
    {
        let part = read(self.part(name));
        part.get_key_value(name).map(|(name, _)| name.clone())
    }

    fn count(&self, name: &str) -> usize {
        read(self.part(name)).get(name).map_or(0, HashMap::len)
    }

    fn add(&self, name: K, connection: &Arc<Connection>) {
        let mut part = write(self.part(name.borrow()));
        let members = part.entry(name).or_default();
        members.insert(Arc::clone(&connection.id), Arc::clone(connection));
    }

    fn remove(&self, name: &str, id: &str) {
        let mut part = write(self.part(name));
        if let Some(members) = part.get_mut(name) {
            members.remove(id);
            if members.is_empty() {
                part.remove(name);
            }
        }
    }
}

impl Registry {
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        let id = &connection.id;
        let mut part = write(self.connections.part(id));
        let before = part.insert(Arc::clone(id), Arc::clone(connection));
        drop(part);
        if before.is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(user) = connection.user() {
            self.users.add(user.id_string().clone(), connection);
        }
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        let id = &connection.id;
        if write(self.connections.part(id)).remove(id).is_none() {
            return;
        }
        if let Some(user) = connection.user() {
            self.users.remove(user.id(), id);
        }
        for group in lock(&connection.groups).leave_all() {
            self.groups.remove(&group, id);
        }
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.removed.notify_waiters();
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        read(self.connections.part(id)).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::with_capacity(self.count());
        for part in &self.connections.parts {
            all.extend(read(part).values().cloned());
        }
        all
    }

    pub(crate) fn user(&self, id: &str) -> Vec<Arc<Connection>> {
        self.users.members(id)
    }

    pub(crate) fn group(&self, name: &str) -> Vec<Arc<Connection>> {
        self.groups.members(name)
    }

    pub(crate) fn group_size(&self, name: &str) -> usize {
        self.groups.count(name)
    }

    pub(crate) fn groups_of(&self, connection_id: &str) -> Vec<String> {
        let connection = self.get(connection_id);
        connection.map_or_else(Vec::new, |connection| lock(&connection.groups).names())
    }

    /// Adds a connection to a group. One that is not there is passed over. `false` when it is in `limit` groups already.
    pub(crate) fn join(&self, connection_id: &str, group: &str, limit: usize) -> bool {
        let Some(connection) = self.get(connection_id) else {
            return true;
        };
        // Both tables change under the lock of the first, so that they agree.
        let mut groups = lock(&connection.groups);
        let known = self.groups.known(group);
        let name = known.unwrap_or_else(|| Arc::from(group));
        match groups.join(&name, limit) {
            Joined::Anew => self.groups.add(name, &connection),
            Joined::Before | Joined::Gone => {}
            Joined::TooMany => return false,
        }
        true
    }

    pub(crate) fn leave(&self, connection_id: &str, group: &str) {
        if let Some(connection) = self.get(connection_id) {
            let mut groups = lock(&connection.groups);
            if groups.leave(group) {
                self.groups.remove(group, connection_id);
            }
        }
    }
}
