//! Limits on connections of one kind: of a user, of an address, of whatever an application tells apart.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::locks::lock;
use crate::request::HubRequest;
use crate::user::User;

type Key = Box<dyn Fn(&HubRequest, Option<&User>) -> Option<String> + Send + Sync>;

/// So many connections for each key.
pub(crate) struct ConnectionLimit {
    most: usize,
    key: Key,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl ConnectionLimit {
    pub(crate) fn new(most: usize, key: Key) -> Self {
        Self {
            most,
            key,
            counts: Arc::default(),
        }
    }

    /// A permit for a new connection. Connections without a key need none.
    fn permit(
        &self,
        request: &HubRequest,
        user: Option<&User>,
    ) -> Result<Option<ConnectionPermit>, NotAdmitted> {
        let key = catch_unwind(AssertUnwindSafe(|| (self.key)(request, user)));
        let Some(key) = key.map_err(NotAdmitted::Panicked)? else {
            return Ok(None);
        };
        let mut counts = lock(&self.counts);
        let taken = counts.get(&key).copied().unwrap_or_default();
        if taken >= self.most {
            return Err(NotAdmitted::Crowded);
        }
        counts.insert(key.clone(), taken.saturating_add(1));
        Ok(Some(ConnectionPermit {
            key,
            counts: Arc::clone(&self.counts),
        }))
    }
}

/// Why a limit lets no connection in.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// There are as many as there may be.
    Crowded,
    /// The application's code that tells of what kind the connection is.
    Panicked(Box<dyn Any + Send>),
}

/// A connection's place under a limit, given up when it is dropped.
pub(crate) struct ConnectionPermit {
    key: String,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        let left = counts
            .get(&self.key)
            .map_or(0, |taken| taken.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.key);
        } else if let Some(taken) = counts.get_mut(&self.key) {
            *taken = left;
        }
    }
}

/// Seats under all limits, or none.
pub(crate) fn permits(
    limits: &[ConnectionLimit],
    request: &HubRequest,
    user: Option<&User>,
) -> Result<Vec<ConnectionPermit>, NotAdmitted> {
    let mut permits = Vec::new();
    for limit in limits {
        permits.extend(limit.permit(request, user)?);
    }
    Ok(permits)
}

/// Shows no keys: they may be addresses of clients.
impl fmt::Debug for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionLimit")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn by_user(most: usize) -> Vec<ConnectionLimit> {
        let key = |_: &HubRequest, user: Option<&User>| user.map(|user| user.id().to_owned());
        vec![ConnectionLimit::new(most, Box::new(key))]
    }

    #[test]
    fn each_key_has_its_own_seats_and_gets_them_back() {
        let limits = by_user(2);
        let request = HubRequest::new("/hub", "", HeaderMap::new());
        let (ann, bob) = (User::new("ann"), User::new("bob"));
        let first = permits(&limits, &request, Some(&ann)).unwrap();
        let second = permits(&limits, &request, Some(&ann)).unwrap();
        assert!(permits(&limits, &request, Some(&ann)).is_err());
        assert!(permits(&limits, &request, Some(&bob)).is_ok());
        assert!(permits(&limits, &request, None).unwrap().is_empty());
        drop(first);
        let third = permits(&limits, &request, Some(&ann)).unwrap();
        drop((second, third));
        assert!(lock(&limits[0].counts).is_empty());
    }
}
