//! The program's tests: each runs it as its users do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;
mod decode;
mod demo;
mod doctor;
mod encode;
mod generate;
mod hub;
mod serve;
mod shell;
