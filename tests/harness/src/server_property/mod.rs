//! What must hold for the server's machines whatever clients, drivers and applications do, in any order.
//!
//! The bytes of a fuzzer (or of proptest) are read as a list of operations; a small obvious model runs beside each machine.

mod calls;
mod client;
mod connection;
mod endpoint;
mod requests;
mod table;

use crate::trace::Trace;

/// Requests, ends of connections and time in any order on an endpoint: whatever comes, each token leads to one connection at
/// most, the table is bounded, and every verdict is the one of the status table.
///
/// # Panics
/// When a rule is broken.
pub fn endpoint_rules(data: &[u8]) {
    endpoint::Run::of(data, Trace::OFF);
}

/// The same twice, and the verdicts are the same: that takes several times as long.
///
/// # Panics
/// When a rule is broken.
pub fn endpoint(data: &[u8]) {
    let first = endpoint_trace(data);
    let second = endpoint_trace(data);
    assert_eq!(first, second, "the same inputs gave different verdicts");
}

/// What the operations of [`endpoint`] lead to, line by line.
///
/// # Panics
/// When a rule is broken.
#[must_use]
pub fn endpoint_trace(data: &[u8]) -> String {
    endpoint::Run::of(data, Trace::KEPT)
}

/// Requests of all kinds, bytes, time, and what drivers and applications do, in any order on a connection: every rule of its
/// outputs holds, everything is bounded, every request is answered, and in the end there is an end.
///
/// # Panics
/// When a rule is broken.
pub fn connection_rules(data: &[u8]) {
    connection::Run::of(data, Trace::OFF);
}

/// The same twice, and the outputs are the same: that takes several times as long.
///
/// # Panics
/// When a rule is broken.
pub fn connection(data: &[u8]) {
    let first = connection_trace(data);
    let second = connection_trace(data);
    assert_eq!(first, second, "the same inputs gave different outputs");
}

/// What the operations of [`connection`] lead to, line by line: what the machine was told, its actions and its events.
///
/// # Panics
/// When a rule is broken.
#[must_use]
pub fn connection_trace(data: &[u8]) -> String {
    connection::Run::of(data, Trace::KEPT)
}
