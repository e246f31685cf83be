//! Server-sent events and long polling: one connection, many requests, in every order that a network can make of them.

mod events;
mod pauses;
mod pieces;
mod polls;
mod posts;
mod refused_posts;
mod start;
mod stop;

use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use signalr_harness::script::{Script, Wish, offer};
use signalr_proto::client::{Action, CallError, ConnectionState, Event, Input, ReconnectPolicy};
use signalr_proto::transport::negotiate::TransportKind::{self, LongPolling, ServerSentEvents};
use signalr_proto::transport::{TransportFailureReason, event_stream};
use signalr_proto::{
    CloseReason, DecodeErrorKind, EndCause, HttpRequest, NegotiateError, Protocol,
};

use super::{HELLO, MILLISECOND, PING, never, seconds};

fn polling() -> Script {
    Script::connected_over(LongPolling, never)
}

fn streaming() -> Script {
    Script::connected_over(ServerSentEvents, never)
}

/// Why the only transport did not start.
fn start_failure(script: &Script) -> &CloseReason {
    let [
        Event::StartFailed {
            reason: CloseReason::Negotiate(NegotiateError::NoTransport { failures }),
        },
    ] = script.events.as_slice()
    else {
        panic!("expected a failed start, got {:?}", script.events)
    };
    match failures.as_slice() {
        [failure] => match &failure.reason {
            TransportFailureReason::Failed(reason) => reason,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn refused(request: HttpRequest, status: u16) -> CloseReason {
    CloseReason::RequestRefused { request, status }
}

const CLOSE: &str = "{\"type\":7}\u{1e}";

const BOTH: [TransportKind; 2] = [ServerSentEvents, LongPolling];

fn broken() -> CloseReason {
    CloseReason::TransportFailed {
        detail: "broken".into(),
    }
}

/// As [`refused`] with status 404, of a connection that was established.
fn forgotten(request: HttpRequest) -> CloseReason {
    CloseReason::Forgotten { request }
}

/// As [`broken`], of a connection that was established.
fn broke() -> CloseReason {
    CloseReason::ConnectionBroken {
        detail: "broken".into(),
    }
}
