//! Who woke the driver: the world, or merely a handle with a call to write.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::Arc;

use futures_util::task::{ArcWake, AtomicWaker, waker};

/// The waker that sockets, timers, handlers and everything else but handles are polled with. It passes each wake on and
/// remembers it, so that a turn in which only a call was written need not ask all of them for news.
pub(super) struct World {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    rang: AtomicBool,
    driver: AtomicWaker,
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.rang.store(true, Ordering::Release);
        bell.driver.wake();
    }
}

impl World {
    pub(super) fn new() -> Self {
        // Nothing was polled yet, so there is everything to ask for.
        let bell = Arc::new(Bell {
            rang: AtomicBool::new(true),
            driver: AtomicWaker::new(),
        });
        Self {
            waker: waker(Arc::clone(&bell)),
            bell,
        }
    }

    /// Wakes go to this task from now on.
    pub(super) fn attach(&self, driver: &Waker) {
        self.bell.driver.register(driver);
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether anything in the world has news since the last time this was asked.
    pub(super) fn take(&self) -> bool {
        self.bell.rang.swap(false, Ordering::AcqRel)
    }
}
