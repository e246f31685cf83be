//! What broken networks have shown: the machine must not lose its way.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use signalr_harness::script::{Script, Wish};
use signalr_proto::client::{ConnectionState, Event, Input};
use signalr_proto::transport::negotiate::TransportKind;
use signalr_proto::{CloseReason, EndCause};

const KINDS: [(TransportKind, Wish, &[u8]); 2] = [
    (TransportKind::LongPolling, Wish::Poll, b"{}\x1e"),
    (
        TransportKind::ServerSentEvents,
        Wish::Events,
        b"data: {}\x1e\r\n\r\n",
    ),
];

/// Negotiated, with the request that receives under way.
fn opening(kind: TransportKind) -> Script {
    let mut script = Script::with(|config| {
        config.transports = vec![kind];
        config.has_access_token = true;
    });
    script.start();
    script.token("t");
    script.offer(&[kind]);
    script
}

/// The answer to the handshake comes, without one to the request that carried it.
fn connect(script: &mut Script, wish: Wish, hello: &[u8]) {
    script.head(wish, 200);
    if wish == Wish::Poll {
        script.end_request(wish, EndCause::Clean);
        script.head(wish, 200);
    }
    script.chunk(wish, hello);
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn the_body_of_a_refused_poll_or_event_stream_is_not_taken_for_messages() {
    for (kind, wish, hello) in KINDS {
        let mut script = opening(kind);
        let (now, op) = (script.now, script.wish(wish).op);
        // A driver may hand in all of this before it polls.
        let response = Response::builder()
            .status(401)
            .header("content-type", "text/event-stream")
            .body(Bytes::new())
            .unwrap();
        let bytes = Bytes::from_static(b"data: who are you?\x1e\r\n\r\n");
        for input in [
            Input::Response { op, response },
            Input::Chunk { op, bytes },
            Input::Ended {
                op,
                cause: EndCause::Clean,
            },
        ] {
            script.client.handle_input(now, input);
        }
        script.poll();
        script.token("new");
        connect(&mut script, wish, hello);
        let connection_id = Some("id".into());
        let transport = kind;
        assert_eq!(
            script.events,
            [Event::Connected {
                connection_id,
                transport
            }]
        );
    }
}

#[test]
fn a_handshake_that_is_never_acknowledged_ends_the_connection_although_it_was_answered() {
    for (kind, wish, hello) in KINDS {
        let mut script = opening(kind);
        connect(&mut script, wish, hello);
        // It waits behind the send that is still under way.
        let now = script.now;
        script.client.invoke(now, "Add", &(1, 2)).unwrap();
        for _ in 0..20 {
            script.advance(Duration::from_secs(5));
            // The server is there, as its pings tell.
            if script.find(Wish::Events).is_some() {
                script.event(b"{\"type\":6}\x1e");
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
