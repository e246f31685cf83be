//! Deadlines of single calls.

use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use signalr_proto::Instant;

use super::slots::{IdHasher, remember};

/// Deadlines of single calls. The driver's clock decides; the call's future is merely woken.
#[derive(Default)]
pub(crate) struct Alarms {
    last: u64,
    /// Set since the driver's last turn, which tells from when they count.
    new: Vec<(u64, Duration)>,
    deadlines: BTreeMap<(Instant, u64), ()>,
    states: HashMap<u64, Alarm, BuildHasherDefault<IdHasher>>,
}

enum Alarm {
    Set {
        deadline: Option<Instant>,
        waker: Option<Waker>,
    },
    Rung,
}

impl Alarms {
    pub(crate) fn set(&mut self, after: Duration) -> u64 {
        self.last += 1;
        self.new.push((self.last, after));
        self.states.insert(
            self.last,
            Alarm::Set {
                deadline: None,
                waker: None,
            },
        );
        self.last
    }

    /// Whether it rang; if not, `cx` is woken when it does.
    pub(crate) fn poll(&mut self, id: u64, cx: &Context<'_>) -> bool {
        match self.states.get_mut(&id) {
            Some(Alarm::Set { waker, .. }) => {
                remember(waker, cx);
                false
            }
            Some(Alarm::Rung) | None => true,
        }
    }

    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(Alarm::Set {
            deadline: Some(deadline),
            ..
        }) = self.states.remove(&id)
        {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Whether some do not count yet.
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines
            .first_key_value()
            .map(|((deadline, _), ())| *deadline)
    }

    /// Lets new alarms count from now and rings those that are due.
    pub(crate) fn advance(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        for (id, after) in self.new.drain(..) {
            if let Some(Alarm::Set { deadline, .. }) = self.states.get_mut(&id) {
                let due = now.after(after);
                *deadline = Some(due);
                self.deadlines.insert((due, id), ());
            }
        }
        while let Some(entry) = self
            .deadlines
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let ((_, id), ()) = entry.remove_entry();
            if let Some(Alarm::Set {
                waker: Some(waker), ..
            }) = self.states.insert(id, Alarm::Rung)
            {
                wakers.push(waker);
            }
        }
    }
}
