//! The server's machines.

mod connection;
mod endpoint;
mod properties;
mod result_owners;
mod transcripts;

/// A value with some of its fields changed.
fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}
