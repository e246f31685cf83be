//! The driver over a network, a clock and an executor made of values: no socket, no thread, no waiting.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod bench;
mod calls;
mod handlers;
mod lifetime;
mod logs;
mod told;
