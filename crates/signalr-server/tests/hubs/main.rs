//! What hubs can do, over memory and virtual time.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

mod authorization;
mod backplane;
mod cancellation;
mod fairness;
mod filters;
mod groups;
mod lifetimes;
mod outcomes;
mod questions;
mod refreshing;
mod shutdown;
mod slow_clients;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
mod test_client;
mod transports;
mod uploads;
