//! Who is connected, and who is in which group.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use bytestring::ByteString;
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::locks::{read, write};

type Members = HashMap<Arc<str>, Arc<Connection>>;

/// Parts of the table of connections, so that coming and going do not wait for each other.
const SHARDS: usize = 16;

/// The tables of one hub.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: [RwLock<Members>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    users: RwLock<HashMap<ByteString, Members>>,
    groups: RwLock<Groups>,
    /// Fires whenever a connection is removed.
    pub(crate) removed: Notify,
}

#[derive(Debug, Default)]
struct Groups {
    members: HashMap<Arc<str>, Members>,
    /// The groups of each connection, to leave them all when it ends.
    memberships: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            users: RwLock::default(),
            groups: RwLock::default(),
            removed: Notify::new(),
        }
    }
}

impl Registry {
    fn shard(&self, id: &str) -> &RwLock<Members> {
        let hash = self.hasher.hash_one(id);
        let index = usize::try_from(hash % (SHARDS as u64)).unwrap_or_default();
        let [first, ..] = &self.shards;
        self.shards.get(index).unwrap_or(first)
    }

    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        let id = Arc::clone(&connection.id);
        let before = write(self.shard(&id)).insert(Arc::clone(&id), Arc::clone(connection));
        if before.is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(user) = connection.user() {
            write(&self.users)
                .entry(user.id_string().clone())
                .or_default()
                .insert(id, Arc::clone(connection));
        }
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        let id = &connection.id;
        if write(self.shard(id)).remove(id).is_none() {
            return;
        }
        if let Some(user) = connection.user() {
            drop_member(&mut write(&self.users), user.id(), id);
        }
        self.leave_all(id);
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.removed.notify_waiters();
    }

    fn leave_all(&self, id: &str) {
        if !read(&self.groups).memberships.contains_key(id) {
            return;
        }
        let mut groups = write(&self.groups);
        for group in groups.memberships.remove(id).unwrap_or_default() {
            drop_member(&mut groups.members, &group, id);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        read(self.shard(id)).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::with_capacity(self.count());
        for shard in &self.shards {
            all.extend(read(shard).values().cloned());
        }
        all
    }

    pub(crate) fn group(&self, name: &str) -> Vec<Arc<Connection>> {
        members(read(&self.groups).members.get(name))
    }

    pub(crate) fn group_size(&self, name: &str) -> usize {
        read(&self.groups).members.get(name).map_or(0, HashMap::len)
    }

    pub(crate) fn groups_of(&self, connection_id: &str) -> Vec<String> {
        let groups = read(&self.groups);
        let memberships = groups.memberships.get(connection_id);
        memberships
            .into_iter()
            .flatten()
            .map(|name| name.as_ref().to_owned())
            .collect()
    }

    pub(crate) fn user(&self, id: &str) -> Vec<Arc<Connection>> {
        members(read(&self.users).get(id))
    }

    /// Adds a connection to a group. One that is not there is passed over. `false` when it is in `limit` groups already.
    pub(crate) fn join(&self, connection_id: &str, group: &str, limit: usize) -> bool {
        let mut groups = write(&self.groups);
        // Looked up under the lock of the groups, so that no one joins who has just left all of them.
        let Some(connection) = self.get(connection_id) else {
            return true;
        };
        let id = Arc::clone(&connection.id);
        let known = groups.members.get_key_value(group);
        let name = known.map_or_else(|| Arc::from(group), |(name, _)| Arc::clone(name));
        let memberships = groups.memberships.entry(Arc::clone(&id)).or_default();
        if memberships.len() >= limit && !memberships.contains(&name) {
            return false;
        }
        memberships.insert(Arc::clone(&name));
        groups
            .members
            .entry(name)
            .or_default()
            .insert(id, connection);
        true
    }

    pub(crate) fn leave(&self, connection_id: &str, group: &str) {
        let mut groups = write(&self.groups);
        drop_member(&mut groups.members, group, connection_id);
        if let Some(memberships) = groups.memberships.get_mut(connection_id) {
            memberships.remove(group);
            if memberships.is_empty() {
                groups.memberships.remove(connection_id);
            }
        }
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
