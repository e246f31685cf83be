//! Why a step of a test did not work out.

use std::fmt;
use std::time::Duration;

/// Names that an error lists at most.
const MAX_LISTED: usize = 16;

/// Why a step of a test did not work out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The hub answered a call with this error.
    #[error("{0}")]
    Call(Box<str>),
    /// The connection, or a request of it, was not let in.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The handshake was refused with this text.
    #[error("the handshake failed: {0}")]
    Handshake(Box<str>),
    /// The connection is over: the hub ended it, with this error if there was one.
    #[error("the hub closed the connection{}{}", if .0.is_some() { ": " } else { "" }, .0.as_deref().unwrap_or_default())]
    Closed(Option<Box<str>>),
    /// What came does not fit the type that was asked for.
    #[error("{0}")]
    Type(Box<str>),
    /// Nothing of the kind came in time.
    #[error("nothing came within {patience:?}; received so far: [{}]", listed(.received))]
    Nothing {
        /// How long was waited.
        patience: Duration,
        /// The names of the hub's calls that have come and were not looked at, each with how often it came.
        received: Vec<(String, usize)>,
    },
    /// The test gave this header a name or value that cannot be sent.
    #[error("the header {0:?} cannot be sent")]
    Header(Box<str>),
    /// The hub's answer makes no sense, which is a fault of this library.
    #[error("the hub answered with {0}")]
    Broken(Box<str>),
}

/// Each name once, and not endlessly many: a test may have been sent thousands.
fn listed(received: &[(String, usize)]) -> String {
    let mut names: Vec<_> = received
        .iter()
        .take(MAX_LISTED)
        .map(|(name, count)| match count {
            1 => format!("{name:?}"),
            count => format!("{name:?} {count} times"),
        })
        .collect();
    if let Some(more @ 1..) = received.len().checked_sub(MAX_LISTED) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

pub(super) fn broken(error: impl fmt::Display) -> TestError {
    TestError::Broken(error.to_string().into())
}

pub(super) fn mistyped(error: impl fmt::Display) -> TestError {
    TestError::Type(error.to_string().into())
}
