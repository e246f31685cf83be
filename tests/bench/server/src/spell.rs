//! A spell: for how long something is measured, and what came of it.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::process;
use crate::swarm::{PATIENCE, Swarm};

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// For that long, after a beginning that does not count.
    Time {
        /// What does not count.
        warm: Duration,
        /// What does.
        counted: Duration,
    },
    /// For that many calls.
    Calls(usize),
}

/// What is measured, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For how long.
    pub limit: Limit,
    /// How long to sleep when there is nothing to do, rather than to look again.
    pub nap: Duration,
    /// The process whose time is counted.
    pub server: Option<u32>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Answers or deliveries.
    pub count: usize,
    /// In how much time.
    pub elapsed: Duration,
    /// For how much of it the load generator had nothing to do.
    pub idle: Duration,
    /// How much of it the server was running.
    pub server: Option<Duration>,
}

impl Outcome {
    /// How many in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        as_f64(self.count) / self.elapsed.as_secs_f64()
    }

    /// The share of the time for which the load generator had nothing to do.
    #[must_use]
    pub fn idle_share(&self) -> f64 {
        self.idle.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The server's time for each, in microseconds.
    #[must_use]
    pub fn server_micros(&self) -> Option<f64> {
        let server = self.server?;
        Some(server.as_secs_f64() * 1e6 / as_f64(self.count))
    }
}

/// A count as something to divide by.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "no count is so large")]
pub const fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Keeps the time of a spell.
#[derive(Debug)]
pub struct Watch {
    plan: Plan,
    begun: Instant,
    progress: Instant,
    /// What did not count, once the rest does.
    before: Option<Outcome>,
    ended: Option<Outcome>,
}

impl Watch {
    /// Begins now.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let now = Instant::now();
        Self {
            plan,
            begun: now,
            progress: now,
            before: None,
            ended: None,
        }
    }

    /// Whether that many calls, of which so many are sent already, may become more: how many at most.
    #[must_use]
    pub fn allowance(&self, sent: usize) -> usize {
        match self.plan.limit {
            Limit::Time { .. } if self.ended.is_none() => usize::MAX,
            Limit::Time { .. } => 0,
            Limit::Calls(calls) => calls.saturating_sub(sent),
        }
    }

    /// Takes note of what was counted so far. Nothing may stand still for long.
    ///
    /// # Errors
    /// When the server has stopped to answer.
    pub fn note(
        &mut self,
        now: Instant,
        busy: bool,
        count: usize,
        swarm: &Swarm,
    ) -> Result<(), Failure> {
        if busy {
            self.progress = now;
        } else if now.duration_since(self.progress) > PATIENCE {
            return Err(format!("no answer for {PATIENCE:?} after {count}").into());
        }
        let Limit::Time { warm, counted } = self.plan.limit else {
            return Ok(());
        };
        let elapsed = now.duration_since(self.begun);
        if self.before.is_none() && elapsed >= warm {
            self.before = Some(self.snapshot(now, count, swarm));
        } else if let Some(before) = self.before
            && self.ended.is_none()
            && elapsed >= before.elapsed + counted
        {
            self.ended = Some(self.snapshot(now, count, swarm));
        }
        Ok(())
    }

    fn snapshot(&self, now: Instant, count: usize, swarm: &Swarm) -> Outcome {
        Outcome {
            count,
            elapsed: now.duration_since(self.begun),
            idle: swarm.idle(),
            server: self.plan.server.and_then(process::running_time),
        }
    }

    /// What counted.
    #[must_use]
    pub fn outcome(self, count: usize, swarm: &Swarm) -> Outcome {
        let before = self.before.unwrap_or_default();
        let ended = self
            .ended
            .unwrap_or_else(|| self.snapshot(Instant::now(), count, swarm));
        Outcome {
            count: ended.count - before.count,
            elapsed: ended.elapsed - before.elapsed,
            idle: ended.idle - before.idle,
            server: ended
                .server
                .zip(before.server)
                .map(|(end, begin)| end.saturating_sub(begin)),
        }
    }
}
