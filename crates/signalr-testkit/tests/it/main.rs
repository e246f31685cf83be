//! The testkit at work: what it makes possible, and what it says when a test fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod failures;
#[cfg(feature = "server")]
mod hubs;
mod reconnecting;
mod recordings;
mod scripted;

use std::panic::{AssertUnwindSafe, catch_unwind};

use signalr_client::{HubConnection, HubConnectionBuilder, Protocol};

/// Both encodings, in each of which everything has to work.
const PROTOCOLS: [Protocol; 2] = [Protocol::Json, Protocol::MessagePack];

fn builder() -> HubConnectionBuilder {
    HubConnection::builder("http://test/hub")
}

/// What a test that fails says.
fn failure<T>(test: impl Future<Output = T>) -> String {
    let failed = catch_unwind(AssertUnwindSafe(|| signalr_testkit::run(test)));
    let Err(panic) = failed else {
        panic!("it did not fail");
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}
