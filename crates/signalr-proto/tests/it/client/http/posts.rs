//! Messages on their way to the server.

use super::*;

#[test]
fn what_is_written_during_a_post_goes_into_the_next_one_in_order() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        for target in ["A", "B", "C"] {
            script.send(target);
        }
        let message =
            |target| format!("{{\"type\":1,\"target\":\"{target}\",\"arguments\":[]}}\u{1e}");
        assert_eq!(script.take_post(), message("A"));
        assert_eq!(script.take_post(), message("B") + &message("C"));
        assert_eq!(script.find(Wish::Post).map(|open| open.op), None);
    }
}

#[test]
fn a_message_counts_as_sent_when_its_post_was_answered() {
    let mut script = polling();
    let call = script.client.send(script.now, "A", &()).unwrap();
    script.poll();
    assert!(script.client.sent_position() < call.position());
    script.answer(Wish::Post, 204, "");
    assert!(script.client.sent_position() >= call.position());
}

#[test]
fn an_answer_may_come_before_the_post_that_carried_the_question_is_answered() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.invoke("A");
        script.receive_json(r#"{"type":3,"invocationId":"1","result":1}"#);
        assert!(matches!(
            script.take_events()[..],
            [Event::Completion {
                outcome: Ok(Some(_)),
                ..
            }]
        ));
        script.send("B");
        assert!(script.wish(Wish::Post).text().contains("\"A\""));
        script.answer(Wish::Post, 200, "");
        assert!(script.take_post().contains("\"B\""));
    }
}

#[test]
fn a_handshake_may_be_accepted_before_its_post_is_answered_but_the_post_must_be() {
    for kind in BOTH {
        for is_answered in [true, false] {
            let mut script = Script::with(|config| {
                config.server_timeout = seconds(1000);
                config.keep_alive_interval = seconds(1000);
            });
            script.start();
            script.offer(&[kind]);
            if kind == LongPolling {
                script.answer_poll(b"");
            } else {
                script.head(Wish::Events, 200);
            }
            script.receive(b"{}\x1e");
            assert!(matches!(
                script.take_events()[..],
                [Event::Connected { .. }]
            ));
            script.send("A");
            assert_eq!(script.wish(Wish::Post).text(), HELLO);
            if is_answered {
                script.answer(Wish::Post, 200, "");
                assert!(script.take_post().contains("\"A\""));
                script.advance(seconds(120));
                assert_eq!(script.events, []);
            } else {
                script.advance(seconds(120));
                assert_eq!(
                    script.closed(),
                    &CloseReason::RequestTimeout {
                        request: HttpRequest::Send,
                        timeout: seconds(100)
                    }
                );
            }
        }
    }
}

#[test]
fn a_handshake_over_long_polling_does_not_wait_for_ever() {
    let mut script = Script::with(never);
    script.start();
    script.offer(&[LongPolling]);
    script.answer_poll(b"");
    script.answer(Wish::Post, 200, "");
    for _ in 0..3 {
        script.advance(seconds(5) - MILLISECOND);
        script.answer_poll(b"");
    }
    assert_eq!(script.events, []);
    script.advance(3 * MILLISECOND);
    assert_eq!(
        script.events,
        [Event::StartFailed {
            reason: CloseReason::HandshakeTimeout {
                timeout: seconds(15)
            }
        }]
    );
    assert_eq!(
        (script.wishes(), script.deadline),
        (vec![Wish::Delete], None)
    );
}

#[test]
fn a_handshake_that_fails_over_http_is_told_and_the_connection_deleted() {
    for (play, expected) in [
        (
            (|script| script.answer_poll(b"{\"error\":\"no\"}\x1e")) as fn(&mut Script),
            CloseReason::HandshakeRefused { error: "no".into() },
        ),
        (|script| script.break_request(Wish::Poll), broken()),
        (|script| script.break_request(Wish::Post), broken()),
        (
            |script| script.answer(Wish::Post, 404, ""),
            refused(HttpRequest::Send, 404),
        ),
        (
            |script| script.head(Wish::Poll, 204),
            CloseReason::HandshakeEnded,
        ),
    ] {
        let mut script = Script::with(|config| config.reconnect = ReconnectPolicy::standard());
        script.start();
        script.offer(&[LongPolling]);
        script.answer_poll(b"");
        play(&mut script);
        assert_eq!(script.events, [Event::StartFailed { reason: expected }]);
        assert_eq!(script.client.state(), ConnectionState::Disconnected);
        assert_eq!(script.find(Wish::Poll).map(|open| open.op), None);
        assert_eq!(script.find(Wish::Post).map(|open| open.op), None);
        assert_eq!(script.deadline, None);
    }
}

#[test]
fn the_end_of_the_poll_ends_a_post_under_way() {
    let mut script = polling();
    script.invoke("A");
    script.head(Wish::Poll, 204);
    assert!(matches!(
        script.events[..],
        [
            Event::Completion {
                outcome: Err(CallError::ConnectionLost(CloseReason::TransportEnded)),
                ..
            },
            Event::Closed {
                reason: CloseReason::TransportEnded
            }
        ]
    ));
    script.assert_over();
}
