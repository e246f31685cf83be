//! What goes wrong on the way: state that a test sets and connections obey.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::{Clock, LIMIT};

/// How the next attempt to connect fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody listens: negotiation, or what begins a connection without it, finds no server.
    Connect,
    /// Negotiation is answered with this status.
    Negotiate {
        /// The status: 401, 503, …
        status: u16,
    },
    /// The opening of a WebSocket is answered with this status. Other transports work.
    WebSocket {
        /// The status.
        status: u16,
    },
    /// The handshake over a WebSocket is answered with this error.
    Handshake {
        /// The words.
        error: String,
    },
}

impl Refusal {
    /// Whether it concerns what is begun here. A connection that cannot be made is one at whichever step comes first.
    const fn fits(&self, step: Step) -> bool {
        match (self, step) {
            (Self::Connect, _) | (Self::Negotiate { .. }, Step::Negotiate) => true,
            (Self::WebSocket { .. } | Self::Handshake { .. }, step) => {
                matches!(step, Step::WebSocket)
            }
            (Self::Negotiate { .. }, Step::WebSocket) => false,
        }
    }
}

/// A step of connecting that can be refused.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Negotiate,
    WebSocket,
}

/// Of one network.
pub(crate) struct Faults {
    state: Mutex<State>,
    clock: Clock,
    /// When a test must have ended, which may wait for a connection that lives on for ever.
    end: Duration,
}

#[derive(Default)]
struct State {
    /// How often everything was cut.
    cuts: u64,
    silent: bool,
    delay: Duration,
    refusals: VecDeque<Refusal>,
    attempts: usize,
    waiting: Vec<Waker>,
}

impl Faults {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            state: Mutex::default(),
            clock: clock.clone(),
            end: clock.now().saturating_add(LIMIT),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.lock();
            change(&mut state);
            core::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    pub(crate) fn silence(&self, silent: bool) {
        self.change(|state| state.silent = silent);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    pub(crate) fn refuse(&self, times: usize, refusal: &Refusal) {
        self.change(|state| {
            let refusals = core::iter::repeat_n(refusal, times).cloned();
            state.refusals.extend(refusals);
        });
    }

    pub(crate) fn accept_all(&self) {
        self.change(|state| state.refusals.clear());
    }

    pub(crate) fn refusals(&self) -> usize {
        self.lock().refusals.len()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.lock().attempts
    }

    pub(crate) fn count_attempt(&self) {
        self.lock().attempts += 1;
    }

    pub(crate) fn current_delay(&self) -> Duration {
        self.lock().delay
    }

    /// The refusal that is next, if it concerns this step.
    pub(crate) fn refused(&self, step: Step) -> Option<Refusal> {
        let mut state = self.lock();
        if !state.refusals.front()?.fits(step) {
            return None;
        }
        state.refusals.pop_front()
    }

    /// What was begun now is cut when this changes.
    pub(crate) fn cuts(&self) -> u64 {
        self.lock().cuts
    }

    /// Whether what was begun at that time goes on, and something from the hub may be taken. Pending while the hub is silent.
    pub(crate) fn poll_open(&self, begun: u64, cx: &Context<'_>) -> Poll<Result<(), Cut>> {
        let mut state = self.lock();
        if state.cuts != begun {
            return Poll::Ready(Err(Cut::ByTest));
        }
        if self.clock.now() > self.end {
            return Poll::Ready(Err(Cut::TooLong));
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        if state.silent {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

/// Why a connection was cut.
#[derive(Debug)]
pub(crate) enum Cut {
    ByTest,
    /// The test goes on and on.
    TooLong,
}
