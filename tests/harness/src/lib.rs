//! What the tests of the other crates are made with: a virtual clock, scripted peers, properties for fuzzing.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "test tools fail by panicking"
)]

pub mod backplane_property;
mod bits;
pub mod client_property;
pub mod farm_simulator;
#[cfg(feature = "fault-proxy")]
pub mod fault_proxy;
mod forgiven;
pub mod fuzz;
#[cfg(feature = "log")]
pub mod log;
pub mod npm;
pub mod program;
pub mod script;
pub mod server_property;
pub mod simulator;
mod trace;

#[cfg(feature = "hubs")]
pub mod hubs;
#[cfg(feature = "hubs")]
pub mod memory;
#[cfg(feature = "hubs")]
pub mod sticky_proxy;
