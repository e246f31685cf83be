//! Which transport is tried, what follows when it does not start, and first starts that are repeated.

mod odd_answers;
mod order;
mod renegotiation;
mod repeated_starts;

use std::time::Duration;

use http::HeaderMap;
use signalr_harness::script::{Script, Wish, offer, offer_with};
use signalr_proto::client::{
    Action, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy, RetryContext,
};
use signalr_proto::transport::negotiate::TransportKind::{
    self, LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::transport::{TransportFailure, TransportFailureReason};
use signalr_proto::{
    CloseReason, EndCause, HttpRequest, NegotiateError, Protocol, SendError, UsageError,
};

use super::{MILLISECOND, never, seconds};

const ALL: [TransportKind; 3] = TransportKind::ALL;

/// A started client.
fn started(change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(change);
    script.start();
    script
}

/// What the client tries to open.
fn tries(script: &Script) -> Option<TransportKind> {
    if script.find(Wish::Events).is_some() {
        Some(ServerSentEvents)
    } else if script.find(Wish::Poll).is_some() {
        Some(LongPolling)
    } else {
        script.socket.map(|_| WebSockets)
    }
}

/// Lets what is tried fail.
fn refuse(script: &mut Script) {
    match tries(script).expect("a transport is tried") {
        WebSockets => script.end(EndCause::Refused { status: 403 }),
        ServerSentEvents => script.head(Wish::Events, 404),
        _ => script.head(Wish::Poll, 500),
    }
}

fn negotiations(script: &Script) -> usize {
    script.count(|action| Wish::is(action, Wish::Negotiate))
}

fn status(status: u16) -> CloseReason {
    CloseReason::Negotiate(NegotiateError::Status { status })
}
