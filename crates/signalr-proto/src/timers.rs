//! A fixed table of timers, the only place where deadlines live.

use crate::time::Instant;

/// One deadline for each timer of a machine; `N` timers, named by the machine's own enum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers<const N: usize> {
    deadlines: [Option<Instant>; N],
}

/// An enum whose variants name timers.
pub(crate) trait TimerName: Copy {
    /// The timer's place in the table, less than `N`.
    fn index(self) -> usize;
}

impl<const N: usize> Timers<N> {
    pub(crate) const fn new() -> Self {
        Self {
            deadlines: [None; N],
        }
    }

    pub(crate) fn set(&mut self, timer: impl TimerName, deadline: Option<Instant>) {
        if let Some(slot) = self.deadlines.get_mut(timer.index()) {
            *slot = deadline;
        }
    }

    pub(crate) fn get(&self, timer: impl TimerName) -> Option<Instant> {
        self.deadlines.get(timer.index()).copied().flatten()
    }

    /// Whether the timer has fired by `now`; a fired timer is taken out.
    pub(crate) fn take_expired(&mut self, timer: impl TimerName, now: Instant) -> bool {
        let expired = self.get(timer).is_some_and(|deadline| deadline <= now);
        if expired {
            self.set(timer, None);
        }
        expired
    }

    pub(crate) fn clear(&mut self) {
        self.deadlines = [None; N];
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }
}
