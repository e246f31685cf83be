//! What polls bring, and how they end.

use super::*;

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
        // A server that does not know the connection has nothing to delete.
        let (reason, expected) = if status == 404 {
            (forgotten(HttpRequest::Poll), vec![])
        } else {
            (refused(HttpRequest::Poll, status), vec![Wish::Delete])
        };
        assert_eq!(script.closed(), &reason);
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
        assert_eq!(script.closed(), &broke());
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
