//! The requests of server-sent events and long polling in every order that a network can make of them, to the end.

use std::time::Duration;

use signalr_harness::script::{Script, Wish, offer};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy,
};
use signalr_proto::transport::negotiate::TransportKind::{self, LongPolling, ServerSentEvents};
use signalr_proto::{CloseReason, EndCause, HttpRequest};

const HELLO: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const PING: &str = "{\"type\":6}\u{1e}";
const CLOSE: &str = "{\"type\":7}\u{1e}";
const MILLISECOND: Duration = Duration::from_millis(1);
const BOTH: [TransportKind; 2] = [ServerSentEvents, LongPolling];

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

fn refused(request: HttpRequest, status: u16) -> CloseReason {
    CloseReason::RequestRefused { request, status }
}

fn broken() -> CloseReason {
    CloseReason::TransportFailed {
        detail: "broken".into(),
    }
}

/// As [`broken`], of a connection that was established.
fn broke() -> CloseReason {
    CloseReason::ConnectionBroken {
        detail: "broken".into(),
    }
}

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
        assert_eq!(script.closed(), &refused(HttpRequest::Send, 404));
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

#[test]
fn while_reading_is_paused_nothing_more_is_polled() {
    let mut script = polling();
    script.input(Input::ReadPaused);
    // The poll under way may still bring something.
    script.answer_poll(b"{\"type\":1,\"target\":\"a\",\"arguments\":[]}\x1e");
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.advance(seconds(500));
    assert_eq!((script.wishes(), script.events.len()), (vec![], 0));
    script.send("A");
    script.take_posts();
    script.input(Input::ReadResumed);
    assert_eq!(script.wishes(), [Wish::Poll]);
    script.input(Input::ReadResumed);
    assert_eq!(script.wishes(), [Wish::Poll]);
}

#[test]
fn a_poll_is_neither_repeated_nor_given_up_while_reading_is_paused() {
    for reading in [false, true] {
        let mut script = polling();
        if reading {
            script.head(Wish::Poll, 200);
        }
        script.input(Input::ReadPaused);
        let poll = script.wish(Wish::Poll).op;
        script.advance(seconds(500));
        assert_eq!((script.events.len(), script.wish(Wish::Poll).op), (0, poll));
        script.input(Input::ReadResumed);
        script.advance(seconds(100) - MILLISECOND);
        assert_eq!(script.wish(Wish::Poll).op, poll);
        script.advance(MILLISECOND);
        assert_eq!(script.events.len(), usize::from(reading));
    }
}

#[test]
fn a_connection_is_made_and_ended_although_reading_is_paused() {
    let mut script = Script::connected_over(LongPolling, |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.input(Input::ReadPaused);
    script.break_request(Wish::Poll);
    script.answer(Wish::Delete, 202, "");
    script.advance(MILLISECOND);
    script.clear();
    script.connect_http(LongPolling);
    assert!(matches!(script.events[..], [Event::Reconnected { .. }]));
    script.clear();
    assert_eq!(script.wishes(), []);
    script.stop();
    assert_eq!(script.wishes(), [Wish::Poll, Wish::Post]);
    script.take_posts();
    script.answer(Wish::Delete, 202, "");
    assert_eq!(script.closed(), &CloseReason::Stopped);
}

#[test]
fn long_polling_stops_with_close_and_at_once_a_delete_that_is_waited_for() {
    let mut script = polling();
    script.invoke("A");
    script.stop();
    assert!(matches!(
        script.take_events()[..],
        [Event::Completion {
            outcome: Err(_),
            ..
        }]
    ));
    assert_eq!(script.client.state(), ConnectionState::Disconnecting);
    // What was written before goes first.
    assert!(script.take_post().contains("\"A\""));
    let poll = script.wish(Wish::Poll).op;
    assert_eq!(script.take_post(), CLOSE);
    // The poll is given up before, whatever the server would have said by it.
    let [.., Action::Abort { op }, Action::Request { request, .. }] = &script.actions[..] else {
        panic!("{:?}", script.actions)
    };
    assert_eq!((*op, request.method()), (poll, &http::Method::DELETE));
    assert_eq!(script.wishes(), [Wish::Delete]);
    assert_eq!(script.wish(Wish::Delete).uri(), "http://host/hub?id=token");
    // A second stop joins the first.
    script.stop();
    assert_eq!((script.wishes().len(), script.events.len()), (1, 0));
    script.answer(Wish::Delete, 202, "");
    assert_eq!(script.closed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn the_answer_to_the_delete_does_not_matter() {
    let answers: [fn(&mut Script); 4] = [
        |script| script.answer(Wish::Delete, 404, ""),
        |script| script.answer(Wish::Delete, 500, ""),
        |script| script.break_request(Wish::Delete),
        |script| script.advance(seconds(5)),
    ];
    for answer in answers {
        let mut script = polling();
        script.stop();
        script.take_posts();
        assert_eq!(script.events, []);
        answer(&mut script);
        assert_eq!(script.closed(), &CloseReason::Stopped);
        script.assert_over();
    }
}

#[test]
fn a_server_that_ends_the_poll_of_a_stopping_client_needs_no_delete() {
    let mut script = polling();
    script.stop();
    script.head(Wish::Poll, 204);
    assert_eq!(script.closed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn a_stopping_client_bears_every_fate_of_its_close_message() {
    let fates: [fn(&mut Script); 3] = [
        |script| script.answer(Wish::Post, 404, ""),
        |script| script.answer(Wish::Post, 500, ""),
        |script| script.break_request(Wish::Post),
    ];
    for kind in BOTH {
        for (fate, play) in fates.into_iter().enumerate() {
            let mut script = Script::connected_over(kind, never);
            script.stop();
            play(&mut script);
            // A server that knows nothing of the connection need not delete it.
            if kind == LongPolling && fate > 0 {
                assert_eq!(script.events, []);
                script.answer(Wish::Delete, 404, "");
            }
            assert_eq!(script.closed(), &CloseReason::Stopped);
            script.assert_over();
        }
    }
}

#[test]
fn a_close_message_that_breaks_while_the_delete_is_under_way_changes_nothing() {
    let mut script = polling();
    script.stop();
    script.answer_poll(CLOSE.as_bytes());
    assert_eq!(script.wishes(), [Wish::Post, Wish::Delete]);
    script.break_request(Wish::Post);
    assert_eq!(
        (script.wishes(), script.events.len()),
        (vec![Wish::Delete], 0)
    );
    script.answer(Wish::Delete, 202, "");
    assert_eq!(script.closed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn an_event_stream_stops_with_close_and_without_a_delete() {
    let ends: [fn(&mut Script); 4] = [
        |script| {
            // A server that does not act on the message holds nobody up for long.
            script.advance(seconds(1) - MILLISECOND);
            assert_eq!(script.events, []);
            script.advance(MILLISECOND);
        },
        |script| script.event(CLOSE.as_bytes()),
        |script| script.end_request(Wish::Events, EndCause::Clean),
        |script| script.advance(seconds(5)),
    ];
    for end in ends {
        let mut script = streaming();
        script.stop();
        assert_eq!(script.take_post(), CLOSE);
        assert_eq!(script.events, []);
        end(&mut script);
        assert_eq!(script.closed(), &CloseReason::Stopped);
        script.assert_over();
    }
}

#[test]
fn a_server_that_takes_nothing_holds_a_stop_up_for_five_seconds() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.send("A");
        script.stop();
        script.advance(seconds(5) - MILLISECOND);
        assert_eq!(script.events, []);
        assert_eq!(script.count(|action| Wish::is(action, Wish::Post)), 1);
        let deletes = script.count(|action| Wish::is(action, Wish::Delete));
        assert_eq!(deletes, usize::from(kind == LongPolling));
        script.advance(MILLISECOND);
        assert_eq!(script.closed(), &CloseReason::Stopped);
        script.assert_over();
    }
}

#[test]
fn a_send_that_hangs_does_not_keep_the_delete_back() {
    // It has hung for a while when the connection is stopped, or has only begun.
    for (hangs, patience) in [(10, 0), (0, 1000)] {
        let mut script = polling();
        script.send("A");
        script.advance(seconds(hangs));
        script.stop();
        script.advance(Duration::from_millis(patience).saturating_sub(MILLISECOND));
        assert_eq!(script.find(Wish::Delete).is_some(), patience == 0);
        script.advance(MILLISECOND);
        // It may still arrive; nothing is sent behind it.
        assert_eq!(script.wishes(), [Wish::Post, Wish::Delete]);
        assert_eq!(script.events, []);
        script.answer(Wish::Post, 200, "");
        assert_eq!(script.wishes(), [Wish::Delete]);
        script.answer(Wish::Delete, 202, "");
        assert_eq!(script.closed(), &CloseReason::Stopped);
        script.assert_over();
    }
}

#[test]
fn stopping_while_the_transport_opens_and_shakes_hands_ends_the_start_at_once() {
    let phases: [fn(&mut Script); 5] = [
        |_| {},
        |script| script.offer(&[LongPolling]),
        |script| {
            script.offer(&[LongPolling]);
            script.head(Wish::Poll, 200);
        },
        |script| {
            script.offer(&[LongPolling]);
            script.answer_poll(b"");
            script.answer(Wish::Post, 200, "");
        },
        |script| script.offer(&[ServerSentEvents]),
    ];
    for (phase, play) in phases.into_iter().enumerate() {
        let mut script = Script::with(|config| config.reconnect = ReconnectPolicy::standard());
        script.start();
        play(&mut script);
        script.stop();
        assert_eq!(script.start_failed(), &CloseReason::Stopped);
        // Once messages may have gone to it, the server hears of the end.
        let expected = if phase == 2 || phase == 3 {
            vec![Wish::Delete]
        } else {
            vec![]
        };
        assert_eq!(
            (script.wishes(), script.deadline),
            (expected, None),
            "{phase}"
        );
        script.clear();
        script.advance(seconds(1000));
        assert_eq!((script.events.len(), script.actions.len()), (0, 0));
    }
}

#[test]
fn stopping_after_a_refused_post_does_not_wait() {
    for kind in BOTH {
        let mut script = Script::connected_over(kind, never);
        script.send("A");
        script.answer(Wish::Post, 404, "");
        script.stop();
        assert_eq!(script.closed(), &CloseReason::Stopped);
        script.assert_over();
    }
}

#[test]
fn stopping_between_two_polls_while_reading_is_paused_goes_as_any_other_stop() {
    let mut script = polling();
    script.input(Input::ReadPaused);
    script.answer_poll(b"");
    assert_eq!(script.wishes(), []);
    script.stop();
    script.take_posts();
    script.answer(Wish::Delete, 202, "");
    assert_eq!(script.closed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn nothing_shows_the_ids_and_headers_of_requests() {
    for kind in BOTH {
        let mut script = Script::with(|config| {
            config.headers.insert("x-key", "canary".parse().unwrap());
            config.has_access_token = true;
        });
        script.start();
        script.token("canary");
        script.answer(
            Wish::Negotiate,
            200,
            &offer(&[kind]).replace("\"token\"", "\"canary\""),
        );
        script.open_http();
        script.send("A");
        let text = format!(
            "{:?} {:?} {:?}",
            script.client, script.actions, script.events
        );
        assert!(script.wish(Wish::Post).uri().contains("canary"));
        assert!(!text.contains("canary"), "{text}");
    }
}
