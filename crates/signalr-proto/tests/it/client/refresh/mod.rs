//! Access tokens that are refused, renewed and refreshed.

mod refreshing;
mod refused;
mod schedule;

use std::time::Duration;

use signalr_harness::script::{Script, Wish, offer_with};
use signalr_proto::client::{Action, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy};
use signalr_proto::transport::negotiate::AccessToken;
use signalr_proto::transport::negotiate::TransportKind::{
    self, LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::{CloseReason, HttpRequest, NegotiateError, RefreshError, UsageError};

use super::{MILLISECOND, never, seconds};

const BOTH: [TransportKind; 2] = [ServerSentEvents, LongPolling];
const HALF_AN_HOUR: u64 = 1800;

fn body(kind: TransportKind, lifetime: Option<u64>) -> String {
    offer_with(&[kind], |offer| {
        offer.token_lifetime = lifetime.map(seconds);
        offer.stateful_reconnect = false;
    })
}

/// A connection of a client with a provider; its token is `one`.
fn connected(
    kind: TransportKind,
    lifetime: Option<u64>,
    change: impl FnOnce(&mut ClientConfig),
) -> Script {
    let mut script = Script::with(|config| {
        config.has_access_token = true;
        config.keep_alive_interval = seconds(100_000);
        config.server_timeout = seconds(100_000);
        change(config);
    });
    script.start();
    script.token("one");
    script.answer(Wish::Negotiate, 200, &body(kind, lifetime));
    if kind == WebSockets {
        script.token("one");
        script.open();
        script.receive(b"{}\x1e");
    } else {
        script.open_http();
    }
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    script.clear();
    script
}

/// How many questions for a token were put since the last look.
fn asked(script: &Script) -> usize {
    script.count(|action| matches!(action, Action::GetAccessToken { .. }))
}

fn bearer(script: &Script, wish: Wish) -> Option<&str> {
    script.wish(wish).header("authorization")
}

fn refused(request: HttpRequest, status: u16) -> CloseReason {
    CloseReason::RequestRefused { request, status }
}

fn refresh(script: &mut Script) -> Result<(), UsageError> {
    let result = script.client.refresh_authentication(script.now);
    script.poll();
    result
}
