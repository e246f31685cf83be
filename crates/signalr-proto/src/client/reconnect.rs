//! How connections come back: the policies, their delays, and the time in between.

use core::time::Duration;

use super::ClientConnection;
use super::api::{Action, Event};
use super::config::{ReconnectPolicy, RetryContext};
use super::outage::{Decision, Outage};
use super::state::State;
use super::timer::Timer;
use crate::error::CloseReason;
use crate::time::Instant;

impl ClientConnection {
    pub(super) fn reconnect_or_end(&mut self, reason: CloseReason) {
        let outage = Outage {
            since: self.now,
            failed: 0,
            announced: false,
            first: false,
        };
        self.timers.clear();
        self.outbox.clear();
        self.consult(outage, reason);
    }

    /// An attempt came to nothing. The first start is repeated on request only ([CB-76](crate::spec::client_behaviour#cb-76)).
    pub(super) fn attempt_failed(&mut self, outage: Option<Outage>, reason: CloseReason) {
        self.timers.clear();
        self.outbox.clear();
        let outage = outage.unwrap_or(Outage {
            since: self.now,
            failed: 0,
            announced: false,
            first: true,
        });
        self.consult(
            Outage {
                failed: outage.failed.saturating_add(1),
                ..outage
            },
            reason,
        );
    }

    fn consult(&mut self, outage: Outage, reason: CloseReason) {
        // The first start's own failure is the first thing its policy hears of.
        let (policy, retries) = if outage.first {
            (&self.config.retry_start, outage.failed.saturating_sub(1))
        } else {
            (&self.config.reconnect, outage.failed)
        };
        let delay = match policy {
            ReconnectPolicy::Never => None,
            ReconnectPolicy::Delays(delays) => usize::try_from(retries)
                .ok()
                .and_then(|index| delays.get(index).copied()),
            ReconnectPolicy::Backoff {
                first,
                max,
                max_attempts,
            } => {
                let (first, max) = (*first, *max);
                let gives_up = max_attempts.is_some_and(|attempts| retries >= attempts);
                (!gives_up).then(|| self.jittered(first, max, retries))
            }
            ReconnectPolicy::Ask => return self.ask_policy(outage, retries, reason),
        };
        self.decide(outage, reason, delay);
    }

    fn ask_policy(&mut self, outage: Outage, retries: u32, reason: CloseReason) {
        let op = self.ops.next();
        let context = RetryContext {
            previous_retry_count: retries,
            elapsed: outage.elapsed(self.now),
            reason: reason.clone(),
            is_first_start: outage.first,
        };
        self.act(Action::NextRetryDelay { op, context });
        self.state = State::Deciding(Box::new(Decision { op, outage, reason }));
    }

    /// The application's policy has decided.
    pub(super) fn policy_decided(&mut self, delay: Option<Duration>) {
        let state = self.take_state_if(|state| matches!(state, State::Deciding(_)));
        if let Some(State::Deciding(decision)) = state {
            self.decide(decision.outage, decision.reason, delay);
        }
    }

    fn decide(&mut self, outage: Outage, reason: CloseReason, delay: Option<Duration>) {
        let Some(delay) = delay else {
            return self.give_up(outage, reason);
        };
        let next = outage.failed.saturating_add(1);
        if outage.first {
            self.tell(Event::StartRetry {
                reason,
                delay,
                attempt: next,
            });
        } else {
            if !outage.announced {
                let reason = reason.clone();
                self.tell(Event::Reconnecting { reason });
            }
            self.tell(Event::ReconnectAttempt {
                attempt: next,
                delay,
                reason,
            });
        }
        self.timers.set(Timer::Retry, Some(self.now.after(delay)));
        self.state = State::Waiting {
            outage: Outage {
                announced: true,
                ..outage
            },
        };
    }

    /// Without a single attempt the loss itself is the reason ([CB-71](crate::spec::client_behaviour#cb-71)).
    fn give_up(&mut self, outage: Outage, reason: CloseReason) {
        let reason = match outage.failed {
            0 => reason,
            1 if outage.first => reason,
            attempts => CloseReason::RetriesExhausted {
                attempts,
                elapsed: outage.elapsed(self.now),
                last: Box::new(reason),
            },
        };
        self.end(!outage.first, reason);
    }

    /// Does not wait any longer for the next attempt to connect. In any other state nothing happens.
    pub fn retry_now(&mut self, now: Instant) {
        self.advance(now);
        self.retry();
    }

    fn jittered(&mut self, first: Duration, max: Duration, failed: u32) -> Duration {
        let bound = first
            .saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX))
            .min(max);
        let half = bound / 2;
        half.saturating_add(half.mul_f64(self.random_fraction()))
    }

    /// A number from 0 up to 1, by SplitMix64 (Steele, Lea and Flood, 2014).
    fn random_fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    pub(super) fn retry(&mut self) {
        if let State::Waiting { outage } = self.state {
            self.begin_attempt(Some(outage));
        }
    }
}
