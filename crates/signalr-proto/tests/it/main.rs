//! The core's tests: by machine, and beneath them by subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::approx_constant,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, and look for what they know"
)]

mod backplane;
mod client;
mod codec;
mod layers;
mod public_dependencies;
mod server;
mod support;
mod transport;
