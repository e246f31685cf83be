//! From `start` to a connection, against a server played by the test, under a virtual clock.

mod redirects;
mod steps;
mod tokens;

use std::time::Duration;

use signalr_harness::script::{OFFER, Script};
use signalr_proto::client::{Action, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy};
use signalr_proto::transport::negotiate::{AccessToken, TransportKind};
use signalr_proto::{CloseReason, EndCause, NegotiateError, Protocol, TransferFormat, UsageError};

use super::{PING, never, seconds};

fn start_error(script: &Script) -> &CloseReason {
    match script.events.as_slice() {
        [Event::StartFailed { reason }] => reason,
        other => panic!("expected StartFailed, got {other:?}"),
    }
}

fn uri(script: &Script) -> String {
    let uri = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { request, .. } => Some(request.uri()),
        Action::OpenWebSocket { request, .. } => Some(request.uri()),
        _ => None,
    });
    uri.expect("a request was made").to_string()
}

fn header(script: &Script, name: &str) -> Option<String> {
    let headers = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { request, .. } => Some(request.headers()),
        Action::OpenWebSocket { request, .. } => Some(request.headers()),
        _ => None,
    });
    headers
        .expect("a request was made")
        .get(name)
        .map(|value| value.to_str().unwrap().into())
}

/// The last request of either kind.
fn head(script: &Script) -> (String, http::HeaderMap) {
    let last = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { request, .. } => {
            Some((request.uri().to_string(), request.headers().clone()))
        }
        Action::OpenWebSocket { request, .. } => {
            Some((request.uri().to_string(), request.headers().clone()))
        }
        _ => None,
    });
    last.expect("a request was made")
}

fn once(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::Delays([Duration::from_secs(60)].into());
}

fn respond(script: &mut Script, status: u16, body: &str) {
    let op = script.request().expect("a request is under way");
    script.respond(op, status, body);
}

fn give(script: &mut Script, token: Result<Option<&str>, &str>) {
    let op = script.actions.iter().rev().find_map(|action| {
        if let Action::GetAccessToken { op } = action {
            Some(*op)
        } else {
            None
        }
    });
    let token = token
        .map(|token| token.and_then(AccessToken::new))
        .map_err(Into::into);
    script.input(Input::AccessToken {
        op: op.expect("a token was asked for"),
        token,
    });
}

fn with_provider(change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(|config| {
        config.has_access_token = true;
        change(config);
    });
    script.start();
    script
}
