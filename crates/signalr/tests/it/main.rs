//! The facade's tests: its names, its examples, and the pages that readers see first.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

// Crates that a program may have beside this one, for `names`: what is in them does not matter.
extern crate core as async_std;
extern crate core as blocking;
extern crate core as futures;
extern crate core as redis;

#[cfg(all(
    feature = "axum",
    feature = "redis",
    feature = "smol",
    feature = "tokio"
))]
mod examples;
#[cfg(all(feature = "server", feature = "tokio"))]
mod names;
#[cfg(all(
    feature = "axum",
    feature = "redis",
    feature = "smol",
    feature = "tokio"
))]
mod node;
#[cfg(all(feature = "client", feature = "server"))]
mod pages;
#[cfg(all(feature = "axum", feature = "tokio"))]
mod testing;
