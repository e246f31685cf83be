//! The names of calls.

/// Names a call of one connection from its event to its end. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub(super) index: usize,
    pub(super) serial: u64,
}
