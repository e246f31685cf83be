//! Event streams, and how they end.

use super::*;

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
            broke(),
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
