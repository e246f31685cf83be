//! The client, and what it stands on, over real sockets: against servers that the tests play, against ours and against Microsoft's;
//! and the guides.
//!
//! What measures its own process, or needs it for itself, is a program beside this one: `allocations`, `farm`, `faults`,
//! `hostile_clients`, `secrets`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests fail by panicking, and look for what they know"
)]

mod blocking;
mod circles;
mod embedding;
mod hostile_servers;
mod http_client;
mod own_backplane;
mod own_server;
mod own_transport;
mod played_server;
mod proxy;
mod readme;
mod reference_server;
mod spec_coverage;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Clients, server and their clocks share one machine: two suites of scenarios at once would leave neither enough of it.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
