//! Connections that wait for their next request.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use crate::address::Origin;
use crate::live::Live;

/// A connection that waited for longer is closed: servers close theirs after about a minute, and a request must not cross with
/// that.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Long polling needs two at a time.
const MAX_IDLE: usize = 4;

struct Idle<S: AsyncRead + AsyncWrite + Unpin> {
    origin: Origin,
    since: Instant,
    live: Box<Live<S>>,
}

/// The idle connections of a transport, the one used last at the end. Nobody drives them; whether one is still open shows when
/// it is taken.
pub(crate) struct Pool<S: AsyncRead + AsyncWrite + Unpin> {
    idle: Mutex<Vec<Idle<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pool<S> {
    pub(crate) const fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle<S>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to this server that was used last.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Box<Live<S>>> {
        self.prune();
        let mut idle = self.idle();
        let at = idle.iter().rposition(|idle| idle.origin == *origin)?;
        Some(idle.remove(at).live)
    }

    /// Keeps a connection on which nothing is going on. Too many: the one that waited longest goes.
    pub(crate) fn put(&self, origin: Origin, live: Box<Live<S>>) {
        self.prune();
        let mut idle = self.idle();
        idle.push(Idle {
            origin,
            since: Instant::now(),
            live,
        });
        if idle.len() > MAX_IDLE {
            idle.remove(0);
        }
    }

    /// Closes those that waited too long.
    pub(crate) fn prune(&self) {
        self.idle().retain(|idle| idle.since.elapsed() < IDLE_TIME);
    }

    /// Closes those to this server.
    pub(crate) fn close(&self, origin: &Origin) {
        self.idle().retain(|idle| idle.origin != *origin);
    }

    pub(crate) fn len(&self) -> usize {
        self.idle().len()
    }
}
