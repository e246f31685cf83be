//! Timers, the end of connections, and automatic reconnect, under a virtual clock.

mod ends;
mod reconnect;
mod stop;
mod timers;

use std::time::Duration;

use signalr_harness::script::{OFFER, Script};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy, RetryContext,
};
use signalr_proto::{CloseReason, DecodeErrorKind, EndCause, NegotiateError, TransportKind};

use super::{MILLISECOND, PING, lost, never, seconds, standard};

const LONG: Duration = Duration::from_secs(1000);

fn is_close_frame(action: &Action) -> bool {
    matches!(action, Action::Close { code: 1000, .. })
}

fn once(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::Delays([Duration::from_secs(60)].into());
}
