//! The client's machine, under a virtual clock, against a server that the test plays.

mod calls;
mod fallback;
mod faults;
mod http;
mod lifetime;
mod misuse;
mod parked;
mod properties;
mod refresh;
mod start;
mod stateful;
mod transcripts;

use std::time::Duration;

use signalr_proto::CloseReason;
use signalr_proto::client::{ClientConfig, ReconnectPolicy};

const HELLO: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const PING: &str = "{\"type\":6}\u{1e}";
const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The configuration as it is: without automatic reconnect.
fn never(_: &mut ClientConfig) {}

fn standard(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::standard();
}

fn lost() -> CloseReason {
    CloseReason::WebSocketClosed {
        code: 1006,
        reason: "".into(),
    }
}
