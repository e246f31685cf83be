//! How a connection over HTTP is stopped.

use super::*;

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
