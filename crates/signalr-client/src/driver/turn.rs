//! When the driver goes on, lets others run first, or sleeps: decided in one place, from what was noted on the way.

use signalr_proto::OpId;

use super::world::World;
use crate::shared::Inner;

/// What has been noted since the last decision.
#[derive(Default)]
pub(super) struct Turn {
    /// Something was begun, or may go on, that nobody would wake us for.
    looks_again: bool,
    /// The machine was told something since its decisions were last taken.
    undecided: bool,
    /// A message was sent, which the machine is told together with whatever comes next.
    sent: Option<OpId>,
    /// Other tasks had a chance to add to what is about to be sent.
    yielded: bool,
}

/// What the driver does next.
#[must_use = "whoever decides to sleep or to yield has to do so"]
pub(super) enum Next {
    /// There may be something to take and to carry out. Without `news` there is nothing but a message that was sent, of which mostly
    /// nothing comes.
    GoOn { news: bool },
    /// Other tasks go first, and then this one at once.
    Yield,
    /// There is nothing, and whoever has something next wakes us.
    Sleep,
}

impl Turn {
    /// Something was begun, or may go on, that nobody will wake us for: the world is asked again.
    pub(super) const fn look_again(&mut self) {
        self.looks_again = true;
    }

    /// The machine was told something, of which something may come.
    pub(super) const fn told(&mut self) {
        self.undecided = true;
    }

    /// All that the machine has decided was taken.
    pub(super) const fn settled(&mut self) {
        self.undecided = false;
    }

    /// Whether there may be decisions that nobody took.
    pub(super) const fn is_undecided(&self) -> bool {
        self.undecided
    }

    /// The socket took a message.
    pub(super) const fn sent(&mut self, op: OpId) {
        self.sent = Some(op);
    }

    /// The message that the socket took, for the machine; once.
    pub(super) const fn take_sent(&mut self) -> Option<OpId> {
        self.sent.take()
    }

    /// Whether the world may have news: it says so, or nobody would.
    pub(super) fn asks(&mut self, world: &World) -> bool {
        world.take() | core::mem::take(&mut self.looks_again)
    }

    /// What to do now that the world was asked. Under the lock, so that no handle can add to it between this and sleep.
    pub(super) fn decide(&mut self, inner: &Inner) -> Next {
        let news = inner.dirty || self.undecided || self.looks_again;
        if !news && self.sent.is_none() {
            return Next::Sleep;
        }
        // When a call was just written while others are open, everybody else who is about to call does so first: one batch
        // instead of many. A single caller is not kept waiting.
        self.yielded = !self.yielded && inner.is_busy();
        if self.yielded {
            Next::Yield
        } else {
            Next::GoOn { news }
        }
    }
}
