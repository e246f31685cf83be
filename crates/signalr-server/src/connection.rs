//! One client, as everybody but its driver sees it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use signalr_proto::server::ServerConnection;
use signalr_proto::{Instant, Protocol, SendError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::request::{HubRequest, User};
use crate::serving::Heir;

/// Locks without minding panics of others: every critical section leaves the data sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clock of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant(self.0.elapsed())
    }

    /// The runtime's own time; `None` for times too far away to matter.
    pub(crate) fn at(self, instant: Instant) -> Option<tokio::time::Instant> {
        self.0.checked_add(instant.0)
    }
}

/// A call that is running and can be cancelled by its id.
#[derive(Debug)]
struct RunningCall {
    serial: u64,
    cancel: CancellationToken,
}

#[derive(Debug, Default)]
struct RunningCalls {
    next: u64,
    by_id: HashMap<String, RunningCall>,
}

/// What the hub, its methods and the driver share of a connection.
pub(crate) struct Connection {
    pub(crate) id: Arc<str>,
    pub(crate) user: Option<User>,
    pub(crate) request: HubRequest,
    pub(crate) clock: Clock,
    pub(crate) protocol: OnceLock<Protocol>,
    /// Fires when the connection is over, or has been told to end.
    pub(crate) aborted: CancellationToken,
    /// The transport is to be dropped without a word.
    pub(crate) cut: Notify,
    /// Another WebSocket wants to go on with this connection.
    heir: Mutex<Option<Heir>>,
    heir_waits: Notify,
    /// Something was commanded: the driver has to poll the machine.
    pub(crate) wake: Notify,
    /// Senders that were turned away may try again.
    pub(crate) writable: Notify,
    machine: Mutex<ServerConnection>,
    calls: Mutex<RunningCalls>,
}

impl Connection {
    pub(crate) fn new(
        id: Arc<str>,
        user: Option<User>,
        request: HubRequest,
        clock: Clock,
        machine: ServerConnection,
    ) -> Self {
        Self {
            id,
            user,
            request,
            clock,
            protocol: OnceLock::new(),
            aborted: CancellationToken::new(),
            cut: Notify::new(),
            heir: Mutex::default(),
            heir_waits: Notify::new(),
            wake: Notify::new(),
            writable: Notify::new(),
            machine: Mutex::new(machine),
            calls: Mutex::default(),
        }
    }

    pub(crate) fn user_id(&self) -> Option<&str> {
        self.user.as_ref().map(User::id)
    }

    /// Commands the machine and has the driver carry out what follows.
    pub(crate) fn command<T>(
        &self,
        command: impl FnOnce(&mut ServerConnection, Instant) -> T,
    ) -> T {
        let result = command(&mut lock(&self.machine), self.clock.now());
        self.wake.notify_one();
        result
    }

    /// The machine itself, for the driver.
    pub(crate) fn machine(&self) -> MutexGuard<'_, ServerConnection> {
        lock(&self.machine)
    }

    /// Writes a frame if there is room for it.
    pub(crate) fn try_write(&self, frame: &[u8]) -> Result<(), SendError> {
        self.command(|machine, now| machine.send_frame(now, frame))
    }

    /// Writes a frame as soon as there is room for it. The only error is [`SendError::NotConnected`].
    pub(crate) async fn write(&self, frame: Bytes) -> Result<(), SendError> {
        loop {
            // Listening begins before the attempt, so that room made in between is not missed.
            let writable = self.writable.notified();
            tokio::pin!(writable);
            writable.as_mut().enable();
            match self.try_write(&frame) {
                Err(SendError::Full { .. }) => writable.await,
                other => return other,
            }
        }
    }

    /// Ends the connection with a Close message.
    pub(crate) fn close(&self, error: Option<&str>, allow_reconnect: bool) {
        self.command(|machine, now| machine.close(now, error, allow_reconnect));
        self.aborted.cancel();
    }

    /// Ends the connection and drops its transport without a word and for good.
    pub(crate) fn abort(&self) {
        self.command(ServerConnection::abort);
        self.aborted.cancel();
    }

    /// Has the driver handed to another WebSocket. If yet another one waits for it, that one gives up.
    pub(crate) fn succeed(&self, heir: Heir) {
        *lock(&self.heir) = Some(heir);
        self.heir_waits.notify_one();
    }

    /// The WebSocket that wants to go on, as soon as there is one.
    pub(crate) async fn heir(&self) -> Option<Heir> {
        self.heir_waits.notified().await;
        lock(&self.heir).take()
    }

    /// Registers a call, so that the client can cancel it. `None` when a call of this id is running.
    pub(crate) fn begin_call(&self, id: &str, cancel: &CancellationToken) -> Option<u64> {
        let mut calls = lock(&self.calls);
        if calls.by_id.contains_key(id) {
            return None;
        }
        calls.next = calls.next.wrapping_add(1);
        let serial = calls.next;
        calls.by_id.insert(
            id.to_owned(),
            RunningCall {
                serial,
                cancel: cancel.clone(),
            },
        );
        Some(serial)
    }

    pub(crate) fn end_call(&self, id: &str, serial: u64) {
        let mut calls = lock(&self.calls);
        if calls
            .by_id
            .get(id)
            .is_some_and(|call| call.serial == serial)
        {
            calls.by_id.remove(id);
        }
    }

    pub(crate) fn cancel_call(&self, id: &str) {
        if let Some(call) = lock(&self.calls).by_id.get(id) {
            call.cancel.cancel();
        }
    }
}

/// Shows the public id only: the request may hold tokens, the machine payloads.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
