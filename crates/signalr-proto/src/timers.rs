//! A fixed table of timers, the only place where deadlines live.

use crate::time::Instant;

/// One deadline for each timer of a machine; `N` timers, named by the machine's own enum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers<const N: usize> {
    deadlines: [Option<Instant>; N],
    /// The earliest of them. It is asked for far more often than it changes.
    next: Option<Instant>,
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
            next: None,
        }
    }

    pub(crate) fn set(&mut self, timer: impl TimerName, deadline: Option<Instant>) {
        let Some(slot) = self.deadlines.get_mut(timer.index()) else {
            return;
        };
        let before = core::mem::replace(slot, deadline);
        if before == deadline {
            return;
        }
        if before.is_some() && before == self.next {
            self.next = self.deadlines.iter().flatten().min().copied();
        } else if self
            .next
            .is_none_or(|next| deadline.is_some_and(|deadline| deadline < next))
        {
            self.next = deadline;
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
        *self = Self::new();
    }

    /// The next deadline.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[derive(Clone, Copy)]
    struct Number(usize);

    impl TimerName for Number {
        fn index(self) -> usize {
            self.0
        }
    }

    #[test]
    fn the_next_deadline_is_the_earliest_whatever_was_set_before() {
        let mut timers = Timers::<3>::new();
        let mut plain: [Option<Instant>; 3] = [None; 3];
        // Every order of setting, moving and clearing shows up in a long walk over few deadlines.
        let mut walk = 1_u32;
        for _ in 0..10_000 {
            walk = walk.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (timer, seconds) = ((walk >> 16) % 3, (walk >> 24) % 5);
            let deadline = (seconds > 0).then(|| Instant(Duration::from_secs(seconds.into())));
            timers.set(Number(timer as usize), deadline);
            plain[timer as usize] = deadline;
            assert_eq!(timers.next(), plain.iter().flatten().min().copied());
        }
        timers.clear();
        assert_eq!(timers.next(), None);
    }
}
