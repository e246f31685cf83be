//! A limit on how often clients call.

use std::collections::HashMap;
use std::time::Duration;

use futures_core::future::BoxFuture;
use signalr_proto::Instant;

use super::{HubCall, HubFilter, HubReply, Next};
use crate::error::HubError;

/// A filter that bounds how often one connection may call: calls above it fail with the words `Too many calls.` Calls that are
/// refused before reach no filter and do not count, and a client that connects anew begins anew.
///
/// ```
/// use std::time::Duration;
/// use signalr_server::RateLimit;
///
/// // Ten at once, and one more every 100 ms.
/// let limit = RateLimit::new(10, Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    calls: u32,
    per: Duration,
}

impl RateLimit {
    /// So many calls in that time, for each connection. What was not used within it is not saved up.
    #[must_use]
    pub const fn new(calls: u32, per: Duration) -> Self {
        Self { calls, per }
    }

    fn admits(&self, bucket: &mut Bucket, now: Instant) -> bool {
        // The time at which the bucket would be empty: "generic cell rate algorithm".
        let each = self.per / self.calls.max(1);
        let full = bucket.drained.max(now);
        if full.since(now) + each > self.per {
            return false;
        }
        bucket.drained = full.after(each);
        true
    }
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    drained: Instant,
}

/// The buckets of one connection: one for each rate limit, by the place in memory that this has for as long as its hub.
#[derive(Clone, Default)]
struct Buckets(HashMap<usize, Bucket>);

impl Buckets {
    fn of(&mut self, limit: &RateLimit) -> &mut Bucket {
        let place = std::ptr::from_ref(limit).addr();
        self.0.entry(place).or_default()
    }
}

impl HubFilter for RateLimit {
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            let context = call.context();
            let now = context.shared.clock.now();
            let admitted = context
                .extensions()
                .update(|buckets: &mut Buckets| self.admits(buckets.of(self), now));
            if !admitted {
                return Err(HubError::new("Too many calls."));
            }
            next.run(call).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_admits_a_burst_and_then_one_at_a_time() {
        let limit = RateLimit::new(10, Duration::from_secs(1));
        let mut bucket = Bucket::default();
        let at = |milliseconds| Instant(Duration::from_millis(milliseconds));
        let burst = (0..20)
            .filter(|_| limit.admits(&mut bucket, at(5_000)))
            .count();
        assert_eq!(burst, 10);
        assert!(!limit.admits(&mut bucket, at(5_099)));
        assert!(limit.admits(&mut bucket, at(5_100)));
        assert!(!limit.admits(&mut bucket, at(5_100)));
        let later = (0..20)
            .filter(|_| limit.admits(&mut bucket, at(60_000)))
            .count();
        assert_eq!(later, 10);
    }
}
