//! Posts that fail, and the server's last words.

use super::*;

#[test]
fn a_post_that_is_refused_or_breaks_ends_the_connection() {
    for kind in BOTH {
        for (play, expected) in [
            (
                (|script| script.answer(Wish::Post, 500, "")) as fn(&mut Script),
                refused(HttpRequest::Send, 500),
            ),
            (
                |script| script.answer(Wish::Post, 401, ""),
                refused(HttpRequest::Send, 401),
            ),
            (|script| script.break_request(Wish::Post), broke()),
            (
                |script| {
                    // The stream lives meanwhile.
                    for _ in 0..4 {
                        script.advance(seconds(25));
                        if script.find(Wish::Events).is_some() {
                            script.event(PING.as_bytes());
                        }
                    }
                },
                CloseReason::RequestTimeout {
                    request: HttpRequest::Send,
                    timeout: seconds(100),
                },
            ),
        ] {
            let mut script = Script::connected_over(kind, never);
            script.send("A");
            play(&mut script);
            assert_eq!(script.closed(), &expected);
            let left = script.wishes();
            assert!(left.is_empty() || left == [Wish::Delete], "{left:?}");
            assert_eq!(left.is_empty(), kind == ServerSentEvents);
        }
    }
}

#[test]
fn a_post_that_finds_no_connection_waits_a_moment_for_the_servers_last_words() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.send("A");
        script.send("B");
        script.answer(Wish::Post, 404, "");
        assert_eq!((script.events.len(), script.wishes().len()), (0, 1));
        script.advance(seconds(1) - MILLISECOND);
        script.receive_json(r#"{"type":7,"error":"go"}"#);
        assert_eq!(
            script.closed(),
            &CloseReason::ClosedByServer {
                error: Some("go".into()),
                allow_reconnect: false
            }
        );
        script.assert_over();
    }
}

#[test]
fn without_last_words_the_refused_post_is_the_reason() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.send("A");
        script.answer(Wish::Post, 404, "");
        script.advance(seconds(1));
        let reason = script.closed();
        assert_eq!(reason, &forgotten(HttpRequest::Send));
        assert_eq!(
            reason.to_string(),
            "the server no longer knows this connection (it answered a send with status 404): it has ended it, or was started again"
        );
        assert!(reason.is_transient());
        script.assert_over();
    }
}

#[test]
fn nothing_is_posted_while_last_words_are_awaited_whatever_the_driver_says() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.send("A");
        let op = script.wish(Wish::Post).op;
        script.answer(Wish::Post, 404, "");
        script.clear();
        script.send("B");
        script.input(Input::Sent { op });
        assert!(script.find(Wish::Post).is_none());
    }
}

#[test]
fn last_words_may_be_half_read_when_the_post_is_refused() {
    let mut script = polling();
    script.send("A");
    script.head(Wish::Poll, 200);
    script.chunk(Wish::Poll, b"{\"type\":7,\"err");
    script.answer(Wish::Post, 404, "");
    script.chunk(Wish::Poll, b"or\":\"go\"}\x1e");
    assert!(matches!(
        script.closed(),
        CloseReason::ClosedByServer { error: Some(_), .. }
    ));
}

#[test]
fn a_close_message_ends_either_transport_and_is_not_polled_behind() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.invoke("A");
        script.receive(b"{\"type\":7,\"error\":\"go\"}\x1e{\"type\":1,\"target\":\"late\",\"arguments\":[]}\x1e");
        let reason = CloseReason::ClosedByServer {
            error: Some("go".into()),
            allow_reconnect: false,
        };
        assert!(matches!(
            &script.events[..],
            [Event::Completion { .. }, Event::Closed { reason: told }] if *told == reason
        ));
        if kind == LongPolling {
            // The server would wait for one more poll, as it does for clients that are between two.
            assert_eq!(script.wishes(), [Wish::Delete]);
            script.answer(Wish::Delete, 202, "");
        }
        script.assert_over();
    }
}

#[test]
fn a_lost_long_polling_connection_is_made_anew_from_negotiation_on() {
    let mut script = Script::connected_over(LongPolling, |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.head(Wish::Poll, 204);
    assert!(matches!(
        script.take_events()[..],
        [Event::Reconnecting { .. }]
    ));
    script.advance(MILLISECOND);
    assert_eq!(script.wishes(), [Wish::Negotiate]);
    script.clear();
    script.connect_http(ServerSentEvents);
    assert!(matches!(
        script.take_events()[..],
        [Event::Reconnected { .. }]
    ));
    // The new transport needs pings although the old one did not.
    assert_eq!(script.take_sent(), HELLO.to_owned() + PING);
    script.break_request(Wish::Events);
    script.advance(MILLISECOND);
    script.clear();
    script.connect_http(LongPolling);
    assert_eq!(script.take_sent(), HELLO);
    script.advance(seconds(60));
    assert_eq!(
        (script.take_sent().as_str(), script.wishes()),
        ("", vec![Wish::Poll])
    );
}
