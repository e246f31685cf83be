//! Server-sent events and long polling: one connection, many requests, in every order that a network can make of them.

use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use signalr_harness::script::{Script, Wish};
use signalr_proto::client::{Action, ClientConfig, ConnectionState, Event};
use signalr_proto::transport::negotiate::TransportKind::{LongPolling, ServerSentEvents};
use signalr_proto::transport::{TransportFailureReason, event_stream};
use signalr_proto::{
    CloseReason, DecodeErrorKind, EndCause, HttpRequest, NegotiateError, Protocol,
};

const HELLO: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const PING: &str = "{\"type\":6}\u{1e}";
const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn never(_: &mut ClientConfig) {}

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

fn broken() -> CloseReason {
    CloseReason::ConnectionBroken {
        detail: "broken".into(),
    }
}

#[test]
fn long_polling_polls_posts_the_handshake_and_is_connected_without_a_ping() {
    let mut script = Script::with(never);
    script.start();
    script.offer(&[LongPolling]);
    assert_eq!(script.wishes(), [Wish::Poll]);
    assert_eq!(
        script.wish(Wish::Poll).uri(),
        "http://host/hub?id=token&_=1"
    );
    script.head(Wish::Poll, 200);
    assert_eq!(script.wishes(), [Wish::Poll, Wish::Post]);
    assert_eq!(script.wish(Wish::Post).uri(), "http://host/hub?id=token");
    script.end_request(Wish::Poll, EndCause::Clean);
    assert_eq!(script.take_post(), HELLO);
    assert_eq!(
        (script.wishes(), script.events.len()),
        (vec![Wish::Poll], 0)
    );
    script.answer_poll(b"{}\x1e");
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: LongPolling
        }]
    );
    assert_eq!(script.client.transport(), Some(LongPolling));
    // No ping: the next poll is all there is.
    assert_eq!(script.wishes(), [Wish::Poll]);
}

#[test]
fn an_event_stream_opens_posts_the_handshake_pings_and_is_connected() {
    let mut script = Script::with(never);
    script.start();
    script.offer(&[ServerSentEvents]);
    let request = script.wish(Wish::Events);
    assert_eq!(request.uri(), "http://host/hub?id=token");
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(script.wishes(), [Wish::Events]);
    script.head(Wish::Events, 200);
    script.chunk(Wish::Events, b":\r\n");
    assert_eq!(script.take_post(), HELLO);
    assert_eq!(script.events, []);
    script.event(b"{}\x1e");
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: ServerSentEvents
        }]
    );
    assert_eq!(script.client.transport(), Some(ServerSentEvents));
    assert_eq!(script.take_post(), PING);
    assert_eq!(script.wishes(), [Wish::Events]);
}

#[test]
fn posts_name_their_format_and_every_request_carries_the_headers() {
    for (protocol, content_type) in [
        (Protocol::Json, "text/plain;charset=UTF-8"),
        (Protocol::MessagePack, "application/octet-stream"),
    ] {
        let mut script = Script::connected_over(LongPolling, |config| {
            config.protocol = protocol;
            config.headers.insert("x-mine", "yes".parse().unwrap());
        });
        script.send("A");
        assert_eq!(
            script.wish(Wish::Post).header("content-type"),
            Some(content_type)
        );
        script.stop();
        script.answer(Wish::Post, 200, "");
        script.answer(Wish::Post, 200, "");
        for action in &script.actions {
            if let Action::Request { request, .. } = action {
                assert_eq!(request.headers()["x-mine"], "yes");
                assert_eq!(request.headers()["x-requested-with"], "XMLHttpRequest");
                assert!(request.headers().contains_key("user-agent"));
                assert!(!request.headers().contains_key("authorization"));
            }
        }
        assert!(script.wishes().contains(&Wish::Delete));
    }
}

#[test]
fn messagepack_travels_over_long_polling_and_its_messages_may_be_cut_by_polls() {
    let mut script = Script::with(|config| config.protocol = Protocol::MessagePack);
    script.start();
    script.connect_http(LongPolling);
    assert_eq!(
        script.take_sent(),
        "{\"protocol\":\"messagepack\",\"version\":1}\u{1e}"
    );
    let call = script.client.invoke(script.now, "Add", &(1, 2)).unwrap();
    script.poll();
    assert_eq!(
        script.wish(Wish::Post).request.body().as_ref(),
        b"\x0d\x96\x01\x80\xa11\xa3Add\x92\x01\x02\x90"
    );
    script.answer(Wish::Post, 200, "");
    script.clear();
    let answer = b"\x07\x95\x03\x80\xa11\x03\x03";
    for byte in answer {
        script.answer_poll(&[*byte]);
    }
    let [
        Event::Completion {
            invocation_id,
            outcome: Ok(Some(result)),
        },
    ] = &script.events[..]
    else {
        panic!("{:?}", script.events)
    };
    assert_eq!((*invocation_id, result.decode::<i32>()), (call.id(), Ok(3)));
}

#[test]
fn an_empty_answer_to_a_poll_is_followed_by_the_next_poll_at_once() {
    let mut script = polling();
    let mut addresses = vec![script.wish(Wish::Poll).uri()];
    for _ in 0..3 {
        script.answer_poll(b"");
        addresses.push(script.wish(Wish::Poll).uri());
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 4, "each poll has an address of its own");
    assert_eq!(
        (script.events.len(), script.wishes()),
        (0, vec![Wish::Poll])
    );
}

#[test]
fn long_polling_has_no_pings_and_no_server_timeout() {
    let mut script = polling();
    for _ in 0..40 {
        script.advance(seconds(90));
        script.answer_poll(b"");
    }
    assert_eq!((script.events.len(), script.sent.len()), (0, 0));
    assert_eq!(script.client.state(), ConnectionState::Connected);
    assert_eq!(script.count(|action| Wish::is(action, Wish::Post)), 0);
}

#[test]
fn a_poll_without_an_answer_is_repeated_after_a_hundred_seconds_without_a_word() {
    let mut script = polling();
    let first = script.wish(Wish::Poll).op;
    script.advance(seconds(100) - MILLISECOND);
    assert_eq!(script.actions.len(), 0);
    script.advance(MILLISECOND);
    assert!(matches!(
        script.actions.as_slice(),
        [Action::Abort { op }, Action::Request { .. }] if *op == first
    ));
    script.advance(seconds(1000));
    assert_eq!(
        (script.events.len(), script.wishes()),
        (0, vec![Wish::Poll])
    );
    // A late answer to a poll that was given up is nobody's.
    script.chunk_of(first, b"{\"type\":7}\x1e");
    script.receive_json(r#"{"type":1,"target":"a","arguments":[]}"#);
    assert!(matches!(
        script.events.as_slice(),
        [Event::Invocation { .. }]
    ));
}

#[test]
fn a_body_that_comes_in_slowly_is_waited_for_and_one_that_stops_is_not() {
    let mut script = polling();
    script.advance(seconds(90));
    script.head(Wish::Poll, 200);
    for piece in [
        "{\"type\":1,",
        "\"target\":",
        "\"a\",\"arguments\":[]}\u{1e}",
    ] {
        script.advance(seconds(60));
        script.chunk(Wish::Poll, piece.as_bytes());
    }
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.advance(seconds(100));
    assert_eq!(
        script.closed(),
        &CloseReason::RequestTimeout {
            request: HttpRequest::Poll,
            timeout: seconds(100)
        }
    );
}

#[test]
fn status_204_ends_long_polling_without_an_error_and_needs_no_delete() {
    let mut script = polling();
    script.head(Wish::Poll, 204);
    assert_eq!(script.closed(), &CloseReason::TransportEnded);
    assert!(script.closed().is_clean());
    script.assert_over();
}

#[test]
fn any_other_status_of_a_poll_ends_the_connection_with_it() {
    for status in [201, 301, 400, 401, 403, 404, 409, 500, 503] {
        let mut script = polling();
        script.head(Wish::Poll, status);
        assert_eq!(script.closed(), &refused(HttpRequest::Poll, status));
        // A server that does not know the connection has nothing to delete.
        let expected = if status == 404 {
            vec![]
        } else {
            vec![Wish::Delete]
        };
        assert_eq!(
            (script.wishes(), script.deadline),
            (expected, None),
            "{status}"
        );
    }
}

#[test]
fn a_poll_that_breaks_ends_the_connection_before_its_answer_and_within_it() {
    for answered in [false, true] {
        let mut script = polling();
        if answered {
            script.head(Wish::Poll, 200);
            script.chunk(Wish::Poll, b"{\"type\":6}\x1e");
        }
        script.break_request(Wish::Poll);
        assert_eq!(script.closed(), &broken());
    }
}

#[test]
fn a_first_poll_without_status_200_is_a_transport_that_did_not_start() {
    for status in [204, 401, 404, 500] {
        let mut script = Script::with(never);
        script.start();
        script.offer(&[LongPolling]);
        script.head(Wish::Poll, status);
        let expected = if status == 204 {
            CloseReason::TransportEnded
        } else {
            refused(HttpRequest::Poll, status)
        };
        assert_eq!(start_failure(&script), &expected);
        script.assert_over();
    }
}

#[test]
fn an_event_stream_needs_status_200_and_the_right_type() {
    let html: HeaderMap = [("content-type", "text/html")]
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .into_iter()
        .collect();
    for (status, headers, expected) in [
        (200, html, CloseReason::NotAnEventStream),
        (200, HeaderMap::new(), CloseReason::NotAnEventStream),
        (
            204,
            HeaderMap::new(),
            refused(HttpRequest::EventStream, 204),
        ),
        (
            404,
            HeaderMap::new(),
            refused(HttpRequest::EventStream, 404),
        ),
    ] {
        let mut script = Script::with(never);
        script.start();
        script.offer(&[ServerSentEvents]);
        script.head_with(Wish::Events, status, headers);
        script.assert_over();
        assert_eq!(start_failure(&script), &expected);
    }
}

#[test]
fn the_end_of_an_event_stream_is_the_end_of_the_connection() {
    for (cause, expected) in [
        (EndCause::Clean, CloseReason::TransportEnded),
        (
            EndCause::Failed {
                detail: "broken".into(),
            },
            broken(),
        ),
    ] {
        let mut script = streaming();
        script.send("A");
        // An event without its end is not an event.
        script.chunk(Wish::Events, b"data: {\"type\":7,\"error\":\"no\"}\x1e\r\n");
        script.end_request(Wish::Events, cause);
        assert_eq!(script.closed(), &expected);
        script.assert_over();
    }
}

#[test]
fn an_event_stream_has_pings_and_a_server_timeout_that_any_byte_of_data_restarts() {
    let mut script = streaming();
    script.advance(seconds(15));
    assert_eq!(script.take_post(), PING);
    script.advance(seconds(14));
    script.chunk(Wish::Events, b"data: {\"ty");
    script.advance(seconds(29));
    script.take_posts();
    assert_eq!(script.events, []);
    script.advance(seconds(1));
    assert_eq!(
        script.closed(),
        &CloseReason::ServerTimeout {
            timeout: seconds(30)
        }
    );
    script.assert_over();
}

#[test]
fn what_brings_no_byte_of_a_message_is_no_sign_of_life() {
    let nothings: [&[u8]; 8] = [
        b"",
        b":\r\n",
        b": still here\n\n",
        b"\n\n",
        b"id: 7\nretry: 5\n\n",
        b"data:\n\n",
        b"event: ping\ndata: now\n\n",
        b"event: ping\n",
    ];
    for nothing in nothings {
        let mut script = streaming();
        script.advance(seconds(29));
        script.take_posts();
        script.chunk(Wish::Events, nothing);
        script.advance(seconds(1));
        let timeout = seconds(30);
        let silent = CloseReason::ServerTimeout { timeout };
        assert_eq!(script.closed(), &silent, "{nothing:?}");
    }
    let mut socket = Script::connected(never);
    socket.advance(seconds(29));
    socket.receive(b"");
    socket.advance(seconds(1));
    assert!(matches!(socket.closed(), CloseReason::ServerTimeout { .. }));
}

#[test]
fn a_poll_whose_body_comes_in_empty_pieces_is_given_up() {
    let mut script = polling();
    script.head(Wish::Poll, 200);
    script.advance(seconds(99));
    script.chunk(Wish::Poll, b"");
    script.advance(seconds(1));
    assert!(matches!(
        script.closed(),
        CloseReason::RequestTimeout {
            request: HttpRequest::Poll,
            ..
        }
    ));
}

#[test]
fn an_event_with_a_type_of_its_own_is_no_message() {
    let mut script = streaming();
    script.chunk(Wish::Events, b"event: ping\ndata: 2026-11-29 10:00:00\n\n");
    script.receive_json(r#"{"type":1,"target":"a","arguments":[]}"#);
    assert!(matches!(script.events[..], [Event::Invocation { .. }]));
}

#[test]
fn streams_and_polls_cut_anywhere_give_the_same_messages() {
    let messages = concat!(
        "{\"type\":1,\"target\":\"a\",\"arguments\":[\"é\"]}\u{1e}{\"type\":6}\u{1e}",
        "{\"type\":1,\"target\":\"b\",\"arguments\":[]}\u{1e}"
    );
    let mut whole = polling();
    whole.answer_poll(messages.as_bytes());
    assert_eq!(whole.events.len(), 2);
    let mut events = BytesMut::new();
    events.extend_from_slice(b": hello\r\nevent: message\r\nid: 7\r\n");
    event_stream::encode(&mut events, messages.as_bytes());
    for size in 1..20 {
        let mut polls = polling();
        for body in messages.as_bytes().chunks(size) {
            polls.answer_poll(body);
        }
        let mut one_poll = polling();
        one_poll.head(Wish::Poll, 200);
        for piece in messages.as_bytes().chunks(size) {
            one_poll.chunk(Wish::Poll, piece);
        }
        let mut stream = streaming();
        for piece in events.chunks(size) {
            stream.chunk(Wish::Events, piece);
        }
        for script in [polls, one_poll, stream] {
            assert_eq!(script.events, whole.events);
        }
    }
}

#[test]
fn the_rest_of_a_half_message_may_come_with_the_next_poll_but_must_come() {
    let mut script = polling();
    script.answer_poll(b"{\"type\":1,\"target\":\"a\",");
    script.answer_poll(b"");
    script.answer_poll(b"\"arguments\":[]}\x1e{\"type\"");
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.head(Wish::Poll, 204);
    assert!(matches!(
        script.closed(),
        CloseReason::Protocol(error) if error.kind == DecodeErrorKind::Truncated
    ));
}

#[test]
fn a_protocol_error_ends_the_connection_and_everything_under_way() {
    let mut script = polling();
    script.send("A");
    script.head(Wish::Poll, 200);
    script.chunk(Wish::Poll, b"{\"type\":}\x1e");
    assert!(matches!(script.closed(), CloseReason::Protocol(_)));
    assert_eq!(
        (script.wishes(), script.deadline),
        (vec![Wish::Delete], None)
    );
}

#[test]
fn an_event_may_be_as_long_as_the_largest_message_although_less_may_wait() {
    let mut script = Script::connected_over(ServerSentEvents, |config| {
        config.limits.max_message_size = 100_000;
        config.limits.max_incoming_bytes = 1000;
    });
    let text = "x".repeat(90_000);
    let call = format!("{{\"type\":1,\"target\":\"Hear\",\"arguments\":[\"{text}\"]}}\u{1e}");
    script.take_events();
    script.event(call.as_bytes());
    assert_eq!(script.events.len(), 1, "{:?}", script.client.state());
}

#[test]
fn a_round_trip_begins_when_the_call_is_posted_and_not_when_the_post_is_answered() {
    let mut script = polling();
    script.invoke("M");
    script.advance(30 * MILLISECOND);
    let completion = b"{\"type\":3,\"invocationId\":\"1\"}\x1e";
    script.answer_poll(completion);
    script.answer(Wish::Post, 200, "");
    let stats = script.client.stats();
    assert_eq!(stats.round_trip, Some(30 * MILLISECOND));
}
