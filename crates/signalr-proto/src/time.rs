//! Time as the core sees it: a value the driver hands in.

use core::time::Duration;

/// Time since an epoch the driver chose; monotonic, and never read from a clock here.
///
/// Any epoch will do (program start, UNIX epoch, the start of a recorded trace) as long as one connection sticks to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub Duration);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant `duration` later, or the last one that can be told.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
