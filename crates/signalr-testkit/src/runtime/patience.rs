//! How long a test waits for what does not come.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::time::Instant;

use futures_util::future::{Either, select};

use super::Clock;

/// A part of a wait, after which is looked whether it took real time.
const STEP: Duration = Duration::from_secs(1);

/// Steps that take real time: a test with a real clock need not sit for minutes.
const REAL_STEPS: u32 = 10;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    total: Duration,
    real_steps: u32,
}

impl Patience {
    /// Five minutes of a time that costs nothing, and ten seconds of one that does.
    pub(crate) const DEFAULT: Self = Self {
        total: Duration::from_secs(300),
        real_steps: REAL_STEPS,
    };

    /// As long as somebody wants, in whatever time.
    pub(crate) const fn of(total: Duration) -> Self {
        Self {
            total,
            real_steps: u32::MAX,
        }
    }

    /// What the future gives, or how long was waited for it in vain.
    pub(crate) async fn wait<T>(
        self,
        clock: &Clock,
        future: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let mut future = pin!(future);
        let (mut waited, mut real_steps) = (Duration::ZERO, 0);
        while waited < self.total && real_steps < self.real_steps {
            let step = STEP.min(self.total - waited);
            let began = Instant::now();
            match select(future.as_mut(), clock.sleep(step)).await {
                Either::Left((output, _)) => return Ok(output),
                Either::Right(_) => waited += step,
            }
            if began.elapsed() * 2 > step {
                real_steps += 1;
            }
        }
        Err(waited)
    }
}

/// A time in words: `5 min`, `10 s`, `1.5 s`.
pub(crate) fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 120.. if seconds % 60 == 0 => format!("{} min", seconds / 60),
        // To the millisecond.
        _ => {
            let seconds = duration.as_millis() as f64 / 1000.0;
            format!("{seconds} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use super::*;
    use crate::run;

    #[test]
    fn virtual_time_is_waited_for_to_the_end_and_costs_nothing() {
        run(async {
            let clock = Clock::current();
            let waited = Patience::DEFAULT.wait(&clock, pending::<()>()).await;
            assert_eq!(waited, Err(Duration::from_secs(300)));
            assert_eq!(clock.now(), Duration::from_secs(300));
            let short = Patience::of(Duration::from_millis(1500));
            let waited = short.wait(&clock, pending::<()>()).await;
            assert_eq!(waited, Err(Duration::from_millis(1500)));
            assert_eq!(short.wait(&clock, async { 1 }).await, Ok(1));
        });
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(words(Duration::from_secs(300)), "5 min");
        assert_eq!(words(Duration::from_secs(90)), "90 s");
        assert_eq!(words(Duration::from_millis(1500)), "1.5 s");
    }
}
