//! The server's tests: over memory and virtual time, but for what serves real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    reason = "tests fail by panicking"
)]

mod authorization;
mod backplane;
mod calls;
mod cancellation;
mod connections;
mod fairness;
mod filters;
mod groups;
mod http2;
mod lifetimes;
mod outcomes;
mod questions;
mod refreshing;
mod refused_bodies;
#[cfg(feature = "tokio")]
mod resting;
mod resuming;
mod serving;
mod shutdown;
mod slow_clients;
mod smol;
mod support;
mod telemetry;
mod test_client;
mod transports;
mod uploads;
