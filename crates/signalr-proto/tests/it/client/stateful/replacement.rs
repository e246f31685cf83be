//! A socket that is lost and replaced.

use super::*;

#[test]
fn nothing_extra_is_sent_on_the_first_socket() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        script.advance(seconds(100));
        assert_eq!(sent(&mut script), b"");
    }
}

#[test]
fn a_lost_socket_is_replaced_and_what_was_not_acknowledged_is_said_again_byte_for_byte() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let call = script.invoke("A");
        script.send("B");
        let before = sent(&mut script);
        script.clear();
        script.cut();
        let [Action::OpenWebSocket { request, .. }] = &script.actions[..] else {
            panic!("{:?}", script.actions)
        };
        assert_eq!(request.uri(), "ws://host/hub?id=token");
        assert_eq!(script.take_events(), [Event::Resuming { reason: lost() }]);
        assert_eq!(
            (script.client.state(), script.client.connection_id()),
            (ConnectionState::Connected, Some("id"))
        );
        script.open();
        assert_eq!(sent(&mut script), [words.sequence(1), before].concat());
        assert_eq!(script.take_events(), [Event::Resumed]);
        script.receive(&words.sequence(1));
        script.receive(&words.completion("1"));
        assert!(matches!(
            script.take_events()[..],
            [Event::Completion { invocation_id, outcome: Ok(Some(_)) }] if invocation_id == call.id()
        ));
        assert_eq!((openings(&script), script.wishes()), (1, vec![]));
    }
}

#[test]
fn a_socket_lost_in_any_way_is_replaced_even_when_it_was_closed_in_order() {
    let failed = EndCause::Failed {
        detail: "broken".into(),
    };
    for cause in [EndCause::Clean, failed] {
        let mut script = connected(never);
        script.end(cause);
        assert_eq!((openings(&script), script.events.len()), (1, 1));
    }
    for code in [1000, 1001, 1011, 4000] {
        let mut script = connected(never);
        script.receive_close(code);
        assert_eq!((openings(&script), script.events.len()), (1, 1));
    }
}

#[test]
fn the_first_message_that_is_repeated_is_the_first_that_was_not_acknowledged() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        for target in ["1", "2", "3", "4", "5", "6"] {
            script.send(target);
        }
        script.receive(&words.ack(3));
        // Acknowledgements that are late or impossible change nothing.
        for id in [0, 2, 7, u64::MAX >> 1] {
            script.receive(&words.ack(id));
        }
        script.clear();
        resume(&mut script);
        let repeated = ["4", "5", "6"].map(|target| words.invocation(None, target));
        assert_eq!(
            sent(&mut script),
            [words.sequence(4), repeated.concat()].concat()
        );
        script.receive(&[words.sequence(1), words.ack(6)].concat());
        resume(&mut script);
        assert_eq!(sent(&mut script), words.sequence(7));
    }
}

#[test]
fn what_is_said_meanwhile_follows_the_repetition_in_its_order() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        script.send("1");
        script.clear();
        script.cut();
        script.send("2");
        let call = script.invoke("3");
        assert!(script.client.sent_position() < call.position());
        assert_eq!(sent(&mut script), b"");
        script.takes_sends = false;
        script.open();
        script.send("4");
        assert!(script.client.sent_position() < call.position());
        script.take_sends();
        assert!(script.client.sent_position() >= call.position());
        let expected = [
            words.sequence(1),
            words.invocation(None, "1"),
            words.invocation(None, "2"),
            words.invocation(Some("1"), "3"),
            words.invocation(None, "4"),
        ];
        assert_eq!(sent(&mut script), expected.concat());
    }
}

#[test]
fn no_ping_and_no_acknowledgement_is_sent_without_a_socket() {
    let mut script = connected(|config| config.keep_alive_interval = seconds(3));
    let words = Words::of(&script);
    script.receive(&words.invocation(None, "a"));
    script.cut();
    script.advance(seconds(29));
    assert_eq!(sent(&mut script), b"");
    script.open();
    assert_eq!(sent(&mut script), words.sequence(1));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    script.advance(seconds(3));
    assert_eq!(sent(&mut script), words.ping());
}

#[test]
fn an_attempt_that_fails_ends_the_connection_with_the_reason_of_the_loss() {
    let fails: [fn(&mut Script); 4] = [
        |script| script.end(EndCause::Refused { status: 404 }),
        |script| {
            script.end(EndCause::Failed {
                detail: "no route".into(),
            })
        },
        Script::cut,
        |script| script.advance(seconds(30)),
    ];
    for fail in fails {
        let mut script = connected(never);
        let call = script.invoke("A");
        script.cut();
        script.clear();
        script.advance(seconds(30) - MILLISECOND);
        assert_eq!(script.events, []);
        fail(&mut script);
        assert_eq!(
            script.events,
            [
                Event::Completion {
                    invocation_id: call.id(),
                    outcome: Err(CallError::ConnectionLost(lost()))
                },
                Event::Closed { reason: lost() }
            ]
        );
        assert_eq!(openings(&script), 0);
        script.assert_over();
    }
}

#[test]
fn after_a_failed_attempt_the_policy_makes_a_new_connection_that_counts_from_one() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, standard);
        let words = Words::of(&script);
        script.send("old");
        script.receive(&words.invocation(None, "a"));
        script.cut();
        script.clear();
        script.end(EndCause::Refused { status: 404 });
        assert_eq!(
            script.take_events(),
            [Event::Reconnecting { reason: lost() }]
        );
        // Calls are refused now and not kept for a connection that is gone.
        assert_eq!(
            script.client.send(script.now, "lost", &()).err(),
            Some(SendError::NotConnected)
        );
        assert_eq!(
            script.client.invoke(script.now, "lost", &()).err(),
            Some(SendError::NotConnected)
        );
        script.advance(MILLISECOND);
        assert_eq!(
            script.wish(Wish::Negotiate).uri(),
            "http://host/hub/negotiate?negotiateVersion=1&useStatefulReconnect=true"
        );
        connect(&mut script);
        assert!(matches!(
            script.take_events()[..],
            [Event::Reconnected { .. }]
        ));
        script.clear();
        script.send("new");
        script.receive(&words.invocation(None, "b"));
        script.clear();
        resume(&mut script);
        assert_eq!(
            sent(&mut script),
            [words.sequence(1), words.invocation(None, "new")].concat()
        );
        script.advance(seconds(1));
        assert_eq!(sent(&mut script), words.ack(1));
    }
}

#[test]
fn a_fresh_token_is_asked_for_before_the_socket_is_replaced() {
    let provider = |config: &mut ClientConfig| config.has_access_token = true;
    let start = || {
        let mut script = Script::with(|config| {
            config.stateful_reconnect = Some(1000);
            provider(config);
        });
        script.start();
        script.token("one");
        script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
        script.token("two");
        script.open();
        script.receive(b"{}\x1e");
        script.clear();
        script.cut();
        assert_eq!((script.questions.len(), openings(&script)), (1, 0));
        script.clear();
        script
    };
    let mut script = start();
    script.send("A");
    script.token("three");
    let [Action::OpenWebSocket { request, .. }] = &script.actions[..] else {
        panic!("{:?}", script.actions)
    };
    assert_eq!(request.headers()["authorization"], "Bearer three");
    script.open();
    assert_eq!(script.take_events(), [Event::Resumed]);
    // No token is to be had: one attempt only, and it failed.
    let fails: [fn(&mut Script); 3] = [
        |script| script.give_token(Err("vault is sealed")),
        |script| script.advance(seconds(30)),
        |script| {
            let op = script.questions.remove(0);
            let cause = EndCause::Clean;
            script.input(Input::Ended { op, cause });
        },
    ];
    for fail in fails {
        let mut script = start();
        fail(&mut script);
        assert_eq!(script.closed(), &lost());
        assert_eq!(openings(&script), 0);
        script.assert_over();
    }
}

#[test]
fn the_token_of_a_redirect_serves_the_new_socket_too() {
    let mut script = Script::with(|config| {
        config.stateful_reconnect = Some(1000);
        config.has_access_token = true;
    });
    script.start();
    script.token("mine");
    script.answer(
        Wish::Negotiate,
        200,
        r#"{"url":"https://other/hub?a=b","accessToken":"theirs"}"#,
    );
    connect(&mut script);
    script.clear();
    script.cut();
    let [Action::OpenWebSocket { request, .. }] = &script.actions[..] else {
        panic!("{:?}", script.actions)
    };
    assert_eq!(request.uri(), "wss://other/hub?a=b&id=token");
    assert_eq!(request.headers()["authorization"], "Bearer theirs");
}
