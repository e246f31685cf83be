//! Who woke the driver: the world, or merely a handle with a call to write.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// The waker that sockets, timers, handlers and everything else but handles are polled with. It passes each wake on and
/// remembers it, so that a turn in which only a call was written need not ask all of them for news.
pub(super) struct World {
    bell: Arc<Bell>,
    waker: Waker,
    /// Whom the bell wakes. Kept here as well, since it hardly ever changes and looking here needs no lock.
    driver: Waker,
}

struct Bell {
    rang: AtomicBool,
    driver: Mutex<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let driver = self
            .driver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        driver.wake();
    }
}

impl World {
    pub(super) fn new() -> Self {
        // Nothing was polled yet, so there is everything to ask for.
        let bell = Arc::new(Bell {
            rang: AtomicBool::new(true),
            driver: Mutex::new(Waker::noop().clone()),
        });
        Self {
            waker: Arc::clone(&bell).into(),
            bell,
            driver: Waker::noop().clone(),
        }
    }

    /// Wakes go to this task from now on.
    pub(super) fn attach(&mut self, driver: &Waker) {
        if !self.driver.will_wake(driver) {
            self.driver.clone_from(driver);
            self.bell
                .driver
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(driver);
        }
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether anything in the world has news since the last time this was asked.
    pub(super) fn take(&self) -> bool {
        // Reading is much cheaper than writing, and mostly there is nothing.
        self.bell.rang.load(Ordering::Acquire) && self.bell.rang.swap(false, Ordering::AcqRel)
    }
}
