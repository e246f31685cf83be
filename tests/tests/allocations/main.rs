//! What is allocated for connections and calls. A process of its own, because its allocator counts.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod client;
mod server;
