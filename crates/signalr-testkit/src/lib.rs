//! Tests of SignalR clients and hubs, without a network and without waiting.
//!
//! ```
//! use signalr_client::HubConnection;
//! use signalr_testkit::ScriptedHub;
//!
//! signalr_testkit::run(async {
//!     let hub = ScriptedHub::new();
//!     let connection = hub.connect(HubConnection::builder("http://test/calc")).await;
//!     let sum = connection.invoke::<i32>("Add", (1, 2));
//!     hub.expect_invocation("Add", (1, 2)).await.complete(3);
//!     assert_eq!(sum.await, Ok(3));
//! });
//! ```
//!
//! | to test | there is |
//! |---|---|
//! | a client, against a hub that the test plays | [`ScriptedHub`] |
//! | a client, against what a hub once said | [`Recording`], [`Replay`] |
//! | a client and a hub together | [`Network::to`] |
//! | a hub alone | `signalr_server::testing::TestClient` |
//! | what a connection hears, and what becomes of it | [`Observer`] |
//! | reconnecting, timeouts, broken networks | [`Network`], which connections to all of these hubs go over |
//!
//! The connections are real ones with their real drivers, and nothing is simulated but the network and the time.
//!
//! # Time
//!
//! A test runs in [`run`], which needs no runtime and in which waiting takes no time; or within tokio, best with a clock that is paused:
//! `#[tokio::test(start_paused = true)]`. Both let time pass when nothing else can happen. [`sleep`] lets a certain time pass.
//!
//! # Failures
//!
//! Expectations panic, with the place in the test, what was expected, and what was seen. Nothing waits for ever: an expectation gives
//! up after 5 minutes of a time that costs nothing or 10 seconds of one that does. When a test has not ended after 24 hours of its
//! time, [`run`] panics, and within tokio its connections are cut, which ends what waits for them.
//!
//! | feature | default | |
//! |---|---|---|
//! | `server` | yes | `Network::to` and `TestRuntime`: real hubs, of `signalr-server` |
//! | `tokio` | yes | tests within tokio |

mod describe;
mod link;
mod network;
mod observer;
mod recording;
mod runtime;
mod scripted;
mod transcript;

pub use network::{MemoryBody, MemoryError, MemorySocket, MemoryTransport, Network, Refusal};
pub use observer::Observer;
pub use recording::{RecordedBody, RecordedSocket, Recorder, Recording, RecordingError, Replay};
#[cfg(feature = "server")]
pub use runtime::TestRuntime;
pub use runtime::{Sleep, now, run, sleep, spawn};
pub use scripted::{Call, ScriptedHub};
