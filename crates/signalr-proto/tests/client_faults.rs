//! What broken networks have shown: the machine must not lose its way.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use signalr_proto::client::{Action, ConnectionState, Event, Input};
use signalr_proto::transport::negotiate::{AccessToken, TransportKind};
use signalr_proto::{CloseReason, EndCause, OpId};
use signalr_testkit::script::Script;

const OFFER: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[{"transport":"KIND","transferFormats":["Text"]}]}"#;

fn request(script: &Script, method: &Method) -> OpId {
    let found = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { op, request, .. } if request.method() == method => Some(*op),
        _ => None,
    });
    found.unwrap()
}

fn give_token(script: &mut Script) {
    let question = script.actions.iter().rev().find_map(|action| match action {
        Action::GetAccessToken { op } => Some(*op),
        _ => None,
    });
    let (op, token) = (question.unwrap(), Ok(AccessToken::new("t")));
    script.input(Input::AccessToken { op, token });
}

/// Negotiated, with the request that receives under way.
fn opening(kind: TransportKind) -> Script {
    let mut script = Script::with(|config| {
        config.transports = vec![kind];
        config.has_access_token = true;
    });
    script.start();
    give_token(&mut script);
    let op = request(&script, &Method::POST);
    script.respond(op, 200, &OFFER.replace("KIND", kind.name()));
    script
}

fn head(script: &mut Script, op: OpId, status: u16) {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/event-stream")
        .body(Bytes::new())
        .unwrap();
    let now = script.now;
    script
        .client
        .handle_input(now, Input::Response { op, response });
}

#[test]
fn the_body_of_a_refused_poll_or_event_stream_is_not_taken_for_messages() {
    for (kind, hello) in [
        (TransportKind::LongPolling, "{}\u{1e}"),
        (TransportKind::ServerSentEvents, "data: {}\u{1e}\r\n\r\n"),
    ] {
        let mut script = opening(kind);
        let refused = request(&script, &Method::GET);
        script.actions.clear();
        // A driver may hand in all of this before it polls.
        head(&mut script, refused, 401);
        let now = script.now;
        let bytes = Bytes::from_static(b"data: who are you?\x1e\r\n\r\n");
        script
            .client
            .handle_input(now, Input::Chunk { op: refused, bytes });
        let cause = EndCause::Clean;
        script.input(Input::Ended { op: refused, cause });
        give_token(&mut script);
        let mut repeated = request(&script, &Method::GET);
        head(&mut script, repeated, 200);
        script.poll();
        if kind == TransportKind::LongPolling {
            let cause = EndCause::Clean;
            script.input(Input::Ended {
                op: repeated,
                cause,
            });
            repeated = request(&script, &Method::GET);
            head(&mut script, repeated, 200);
        }
        let bytes = Bytes::from_static(hello.as_bytes());
        script.input(Input::Chunk {
            op: repeated,
            bytes,
        });
        assert_eq!(
            script.client.state(),
            ConnectionState::Connected,
            "{kind:?}"
        );
        let connected = Event::Connected {
            connection_id: Some("id".into()),
        };
        assert_eq!(script.events, [connected], "{kind:?}");
    }
}

#[test]
fn a_handshake_that_is_never_acknowledged_ends_the_connection_although_it_was_answered() {
    for (kind, hello) in [
        (TransportKind::LongPolling, "{}\u{1e}"),
        (TransportKind::ServerSentEvents, "data: {}\u{1e}\r\n\r\n"),
    ] {
        let mut script = opening(kind);
        let mut receiving = request(&script, &Method::GET);
        head(&mut script, receiving, 200);
        script.poll();
        if kind == TransportKind::LongPolling {
            let cause = EndCause::Clean;
            script.input(Input::Ended {
                op: receiving,
                cause,
            });
            receiving = request(&script, &Method::GET);
            head(&mut script, receiving, 200);
        }
        let bytes = Bytes::from_static(hello.as_bytes());
        script.input(Input::Chunk {
            op: receiving,
            bytes,
        });
        assert_eq!(
            script.client.state(),
            ConnectionState::Connected,
            "{kind:?}"
        );
        // It waits behind the send that is still under way.
        let now = script.now;
        script.client.invoke(now, "Add", &(1, 2)).unwrap();
        for _ in 0..20 {
            script.advance(Duration::from_secs(5));
            // The server is there, as its pings tell.
            let ping = Bytes::from_static(b"data: {\"type\":6}\x1e\r\n\r\n");
            if kind == TransportKind::ServerSentEvents {
                script.input(Input::Chunk {
                    op: receiving,
                    bytes: ping,
                });
            }
        }
        let (last, before) = script.events.split_last().unwrap();
        assert!(
            matches!(
                last,
                Event::Closed {
                    reason: CloseReason::RequestTimeout { .. }
                }
            ),
            "{kind:?}: {last:?}"
        );
        assert!(matches!(
            before.last(),
            Some(Event::Completion {
                outcome: Err(_),
                ..
            })
        ));
    }
}
