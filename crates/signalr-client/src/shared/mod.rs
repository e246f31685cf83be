//! What handles and the driver share: the protocol's machine behind a lock, and everybody who waits for it.
//!
//! The lock is held for as long as a message takes to be written or read, and never across an await. Wakers run after it was
//! released: they are collected first.

mod alarms;
mod inner;
mod sends;
mod slots;
mod watch;

pub(crate) use inner::{Command, DriverState, Inner, NewUpload, RefreshAnswer};
pub(crate) use slots::{Slot, remember};

use core::ops::Deref;
use core::task::Waker;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use signalr_proto::CloseReason;
use signalr_proto::client::{ClientConnection, ConnectionState};

use crate::error::StartErrorKind;
use crate::handler::Registry;
#[cfg(feature = "net")]
use crate::launch::Launcher;
use crate::lifecycle::{LifecycleEvent, Listeners};
use crate::policy::{Decider, TokenProvider};

/// Everything a connection is, apart from its runtime.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// The hub's address for errors: without its query.
    pub(crate) address: Box<str>,
    pub(crate) handlers: Registry,
    pub(crate) listeners: Listeners,
    pub(crate) token: Option<TokenProvider>,
    pub(crate) decider: Option<Decider>,
    pub(crate) start_decider: Option<Decider>,
    /// Calls of the server that may wait for slow handlers before reading stops.
    pub(crate) handler_queue: usize,
    #[cfg(feature = "net")]
    launcher: Mutex<Option<Launcher>>,
    handles: Weak<Handles>,
}

impl Shared {
    pub(crate) fn new(
        machine: ClientConnection,
        token: Option<TokenProvider>,
        [decider, start_decider]: [Option<Decider>; 2],
        handler_queue: usize,
        ignore_case: bool,
    ) -> Self {
        Self {
            address: machine.config().url.to_string().into(),
            inner: Mutex::new(Inner::new(machine)),
            handlers: Registry::new(ignore_case),
            listeners: Listeners::default(),
            token,
            decider,
            start_decider,
            handler_queue,
            #[cfg(feature = "net")]
            launcher: Mutex::new(None),
            handles: Weak::new(),
        }
    }

    /// A panic in a value's `Serialize` must not take the connection along, so poison is ignored.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a command to the driver. Without one the command is dropped, and whoever waits for its answer hears that.
    pub(crate) fn command(&self, command: Command) {
        let waker = {
            let mut inner = self.lock();
            if inner.is_abandoned() {
                return;
            }
            inner.commands.push_back(command);
            inner.touch()
        };
        wake(waker);
    }

    /// Whether all handles are gone.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.handles.strong_count() == 0
    }

    /// The driver was dropped or has ended. If there still was a connection, this is how it closes.
    pub(crate) fn driver_gone(&self) {
        let mut wakers = Vec::new();
        let was = {
            let mut inner = self.lock();
            let was = inner.state();
            inner.abandon(&mut wakers);
            was
        };
        let reason = CloseReason::DriverGone;
        let event = match was {
            ConnectionState::Disconnected => None,
            ConnectionState::Connecting => Some(LifecycleEvent::StartFailed { reason }),
            ConnectionState::Connected
            | ConnectionState::Reconnecting
            | ConnectionState::Disconnecting => Some(LifecycleEvent::Closed { reason }),
        };
        if let Some(event) = event {
            tracing::warn!(state = ?was, "connection closed: the task that ran it is gone");
            self.listeners.tell(&event);
        }
        self.listeners.end();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Drivers that runtimes run.
#[cfg(feature = "net")]
impl Shared {
    fn launcher(&self) -> MutexGuard<'_, Option<Launcher>> {
        self.launcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_launcher(&self, launcher: Launcher) {
        *self.launcher() = Some(launcher);
    }

    /// Spawns the driver if that is still to be done.
    pub(crate) fn launch(&self) -> Result<(), StartErrorKind> {
        let mut launcher = self.launcher();
        if let Some(waiting) = launcher.as_mut() {
            waiting
                .launch()
                .map_err(|error| StartErrorKind::NoRuntime {
                    detail: error.to_string().into(),
                })?;
            *launcher = None;
        }
        Ok(())
    }

    /// Whether the driver was ever started, as far as is known here.
    pub(crate) fn is_launched(&self) -> bool {
        self.launcher().is_none()
    }

    /// A driver that never ran holds the connection, and the connection holds it: breaks the circle.
    fn forget_driver(&self) {
        let driver = self.launcher().take();
        drop(driver);
    }
}

/// Drivers are the application's to run.
#[cfg(not(feature = "net"))]
#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "with the feature `net` it is otherwise"
)]
impl Shared {
    pub(crate) const fn launch(&self) -> Result<(), StartErrorKind> {
        Ok(())
    }

    pub(crate) const fn is_launched(&self) -> bool {
        true
    }

    const fn forget_driver(&self) {}
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Keeps the connection: the last one to go stops it.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Handles>);

/// What all handles of a connection have in common. It lives as long as there is one.
pub(crate) struct Handles {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// The first handle of a connection.
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new_cyclic(|handles| Handles {
            shared: Arc::new(Shared {
                handles: Weak::clone(handles),
                ..shared
            }),
        }))
    }

    /// Another one, unless all are gone.
    pub(crate) fn again(shared: &Shared) -> Option<Self> {
        shared.handles.upgrade().map(Self)
    }
}

impl Deref for Handle {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        let waker = self.shared.lock().touch();
        wake(waker);
        self.shared.forget_driver();
    }
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
