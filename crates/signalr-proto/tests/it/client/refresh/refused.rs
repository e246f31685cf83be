//! Requests that are refused for their token.

use super::*;

#[test]
fn http_transports_go_on_with_the_token_of_negotiation() {
    for kind in BOTH {
        let mut script = Script::with(|config| config.has_access_token = true);
        script.start();
        script.token("one");
        script.offer(&[kind]);
        script.open_http();
        script.send("A");
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer one"));
        script.take_posts();
        script.stop();
        script.take_posts();
        for action in &script.actions {
            if let Action::Request { request, .. } = action {
                assert_eq!(request.headers()["authorization"], "Bearer one");
            }
        }
        assert_eq!(script.find(Wish::Delete).is_some(), kind == LongPolling);
        assert_eq!(asked(&script), 1);
    }
}

#[test]
fn a_refused_poll_is_repeated_once_with_a_new_token_which_then_counts_for_all() {
    let mut script = connected(LongPolling, None, never);
    let poll = script.wish(Wish::Poll).op;
    script.head(Wish::Poll, 401);
    assert_eq!((script.wishes(), asked(&script)), (vec![], 1));
    // What the refusal says beyond its status is not for us, even when it comes late.
    script.chunk_of(poll, b"{\"error\":\"invalid_token\"}");
    assert_eq!(script.events, []);
    script.token("two");
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer two"));
    script.receive_json(r#"{"type":1,"target":"a","arguments":[]}"#);
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.send("A");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
    script.take_posts();
    script.stop();
    script.take_posts();
    assert_eq!(bearer(&script, Wish::Delete), Some("Bearer two"));
}

#[test]
fn the_question_after_a_refused_poll_has_its_time_whether_anybody_reads_or_not() {
    for pauses in 0..3 {
        let mut script = connected(LongPolling, None, never);
        // The time that the poll took is not the question's.
        script.advance(seconds(90));
        script.head(Wish::Poll, 401);
        script.advance(seconds(60));
        if pauses > 0 {
            script.input(Input::ReadPaused);
        }
        if pauses > 1 {
            script.input(Input::ReadResumed);
        }
        script.advance(seconds(40) - MILLISECOND);
        assert_eq!(script.events, [], "{pauses}");
        script.advance(MILLISECOND);
        let reason = CloseReason::RequestTimeout {
            request: HttpRequest::Poll,
            timeout: seconds(100),
        };
        assert_eq!(script.closed(), &reason, "{pauses}");
    }
}

#[test]
fn a_poll_repeated_with_a_new_token_has_all_its_time() {
    let mut script = connected(LongPolling, None, never);
    script.head(Wish::Poll, 401);
    script.advance(seconds(60));
    script.token("two");
    let poll = script.wish(Wish::Poll).op;
    script.advance(seconds(100) - MILLISECOND);
    assert_eq!(script.wish(Wish::Poll).op, poll);
    script.advance(MILLISECOND);
    assert_ne!(script.wish(Wish::Poll).op, poll);
    assert_eq!(script.events, []);
}

#[test]
fn a_second_refusal_of_the_same_request_ends_the_connection() {
    let mut script = connected(LongPolling, None, never);
    script.head(Wish::Poll, 401);
    script.token("two");
    script.head(Wish::Poll, 401);
    assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
    assert_eq!((asked(&script), script.deadline), (1, None));
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        script.answer(Wish::Post, 401, "");
        script.token("two");
        script.answer(Wish::Post, 401, "");
        assert_eq!(script.closed(), &refused(HttpRequest::Send, 401));
        assert_eq!(asked(&script), 1);
    }
}

#[test]
fn each_request_has_a_second_chance_of_its_own() {
    let mut script = connected(LongPolling, None, never);
    for _ in 0..3 {
        script.head(Wish::Poll, 401);
        script.token("two");
        script.answer_poll(b"");
    }
    assert_eq!((script.events.len(), asked(&script)), (0, 3));
}

#[test]
fn a_refused_send_is_repeated_byte_for_byte_and_arrives_once() {
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        let first = script.wish(Wish::Post).text().to_owned();
        let op = script.wish(Wish::Post).op;
        let before = script.client.sent_position();
        script.answer(Wish::Post, 401, "");
        // It has had its answer: a second one is nobody's.
        script.respond(op, 200, "");
        assert_eq!(script.client.sent_position(), before);
        // What is written meanwhile waits for its turn.
        script.send("B");
        assert_eq!(script.find(Wish::Post).map(|open| open.op), None);
        script.token("two");
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
        assert_eq!(script.take_post(), first);
        script.take_posts();
        let sent = script.take_sent();
        assert_eq!(
            (sent.matches("\"A\"").count(), sent.matches("\"B\"").count()),
            (1, 1)
        );
        assert_eq!(script.events, []);
    }
}

#[test]
fn an_event_stream_that_is_refused_is_opened_again_with_a_new_token() {
    let mut script = Script::with(|config| config.has_access_token = true);
    script.start();
    script.token("one");
    script.offer(&[ServerSentEvents]);
    script.head(Wish::Events, 401);
    assert_eq!(script.wishes(), []);
    script.token("two");
    assert_eq!(bearer(&script, Wish::Events), Some("Bearer two"));
    script.clear();
    script.open_http();
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    let mut twice = Script::with(|config| config.has_access_token = true);
    twice.start();
    twice.token("one");
    twice.offer(&[ServerSentEvents]);
    twice.head(Wish::Events, 401);
    twice.token("two");
    twice.head(Wish::Events, 401);
    assert!(twice.start_failed().to_string().contains("status 401"));
}

#[test]
fn requests_that_are_refused_together_need_one_question() {
    for poll_first in [true, false] {
        let mut script = connected(LongPolling, None, never);
        script.send("A");
        if poll_first {
            script.head(Wish::Poll, 401);
            script.answer(Wish::Post, 401, "");
        } else {
            script.answer(Wish::Post, 401, "");
            script.head(Wish::Poll, 401);
        }
        assert_eq!((asked(&script), script.wishes()), (1, vec![]));
        script.token("two");
        assert_eq!(bearer(&script, Wish::Poll), Some("Bearer two"));
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
        script.answer_poll(b"");
        script.take_posts();
        assert_eq!((asked(&script), script.events.len()), (1, 0));
    }
}

#[test]
fn a_request_refused_with_an_older_token_is_repeated_with_the_present_one_without_a_question() {
    let mut script = connected(LongPolling, None, never);
    script.send("A");
    script.answer(Wish::Post, 401, "");
    script.token("two");
    // The poll under way still carries the first token.
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer one"));
    script.head(Wish::Poll, 401);
    assert_eq!(
        (asked(&script), bearer(&script, Wish::Poll)),
        (1, Some("Bearer two"))
    );
    script.head(Wish::Poll, 401);
    assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
}

#[test]
fn a_refused_request_is_repeated_without_a_token_when_there_is_none_any_more() {
    for none in [None, Some("")] {
        let mut script = connected(LongPolling, None, never);
        script.head(Wish::Poll, 401);
        script.give_token(Ok(none));
        assert_eq!(bearer(&script, Wish::Poll), None);
    }
}

#[test]
fn a_provider_that_fails_ends_the_connection_with_its_words() {
    let mut script = connected(LongPolling, None, |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.head(Wish::Poll, 401);
    script.give_token(Err("vault is sealed"));
    let reason = CloseReason::AccessToken {
        detail: "vault is sealed".into(),
    };
    assert_eq!(script.events, [Event::Reconnecting { reason }]);
}

#[test]
fn a_provider_that_never_answers_does_not_hold_the_connection_for_ever() {
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        script.answer(Wish::Post, 401, "");
        script.advance(seconds(100));
        assert!(
            matches!(script.events[..], [Event::Closed { .. }]),
            "{kind:?}"
        );
        assert_eq!(script.questions, []);
    }
    let mut poll = connected(LongPolling, None, never);
    poll.head(Wish::Poll, 401);
    poll.advance(seconds(100));
    assert!(matches!(poll.events[..], [Event::Closed { .. }]));
    assert_eq!(poll.questions, []);
}

#[test]
fn a_loss_while_the_token_is_asked_for_withdraws_the_question() {
    let mut script = connected(LongPolling, None, never);
    script.send("A");
    script.answer(Wish::Post, 401, "");
    script.head(Wish::Poll, 204);
    assert_eq!(script.closed(), &CloseReason::TransportEnded);
    script.assert_over();
}

#[test]
fn negotiation_is_never_repeated_for_a_401() {
    let mut script = Script::with(|config| config.has_access_token = true);
    script.start();
    script.token("one");
    script.answer(Wish::Negotiate, 401, "");
    assert_eq!(
        script.start_failed(),
        &CloseReason::Negotiate(NegotiateError::Status { status: 401 })
    );
    script.assert_over();
}

#[test]
fn nothing_is_repeated_with_the_token_of_a_redirect_or_without_a_provider() {
    let mut redirected = Script::with(|config| config.has_access_token = true);
    redirected.start();
    redirected.token("mine");
    redirected.answer(
        Wish::Negotiate,
        200,
        r#"{"url":"http://host/other","accessToken":"theirs"}"#,
    );
    redirected.connect_http(LongPolling);
    assert_eq!(bearer(&redirected, Wish::Poll), Some("Bearer theirs"));
    let mut foreign = Script::with(|config| config.has_access_token = true);
    foreign.start();
    foreign.token("mine");
    foreign.answer(Wish::Negotiate, 200, r#"{"url":"http://elsewhere/hub"}"#);
    foreign.connect_http(LongPolling);
    assert_eq!(bearer(&foreign, Wish::Poll), None);
    let without = Script::connected_over(LongPolling, never);
    for mut script in [redirected, foreign, without] {
        script.clear();
        script.head(Wish::Poll, 401);
        assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
        assert_eq!(asked(&script), 0);
    }
}
