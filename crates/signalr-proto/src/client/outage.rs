//! The time without a connection, and the question how long to wait in it.

use core::time::Duration;

use crate::error::CloseReason;
use crate::time::Instant;
use crate::transport::OpId;

/// A question to the application's policy.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) op: OpId,
    pub(super) outage: Outage,
    pub(super) reason: CloseReason,
}

/// The time between losing a connection and having it back (or giving up).
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) since: Instant,
    /// Attempts that failed.
    pub(super) failed: u32,
    /// Whether the application has heard of it.
    pub(super) announced: bool,
    /// Whether there never was a connection: the first start is being repeated.
    pub(super) first: bool,
}

impl Outage {
    pub(super) const fn elapsed(&self, now: Instant) -> Duration {
        now.since(self.since)
    }
}
