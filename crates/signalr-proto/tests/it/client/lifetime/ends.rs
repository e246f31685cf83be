//! How connections end.

use super::*;

#[test]
fn a_close_without_reconnect_is_the_end_even_with_a_policy() {
    for (text, error) in [
        (r#"{"type":7}"#, None),
        (r#"{"type":7,"error":"bye"}"#, Some("bye".into())),
        (r#"{"type":7,"error":""}"#, Some("".into())),
    ] {
        let mut script = Script::connected(standard);
        script.client.invoke(script.now, "A", &()).unwrap();
        script
            .receive(format!("{text}\u{1e}{{\"type\":3,\"invocationId\":\"1\"}}\u{1e}").as_bytes());
        let reason = CloseReason::ClosedByServer {
            error,
            allow_reconnect: false,
        };
        let events = script.take_events();
        assert!(
            matches!(&events[..], [Event::Completion { outcome: Err(CallError::ConnectionLost(lost)), .. }, Event::Closed { reason: closed }] if *lost == reason && *closed == reason),
            "{events:?}"
        );
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Disconnected, None)
        );
    }
}

#[test]
fn a_close_that_invites_to_reconnect_is_followed_by_a_policy_only() {
    let text = r#"{"type":7,"error":"restart","allowReconnect":true}"#;
    let mut without = Script::connected(never);
    without.receive_json(text);
    assert!(matches!(without.events.as_slice(), [Event::Closed { .. }]));
    let mut with = Script::connected(standard);
    with.receive_json(text);
    assert!(matches!(
        with.events.as_slice(),
        [Event::Reconnecting { .. }]
    ));
}

#[test]
fn a_clean_end_without_a_close_message_reconnects_too() {
    let mut script = Script::connected(standard);
    script.receive_close(1000);
    assert_eq!(
        script.events,
        [Event::Reconnecting {
            reason: CloseReason::TransportEnded
        }]
    );
}

#[test]
fn what_was_received_before_the_end_still_counts() {
    let mut script = Script::connected(standard);
    script.client.invoke(script.now, "A", &()).unwrap();
    let op = script.socket.unwrap();
    let bytes = "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\u{1e}{\"type\":7}\u{1e}";
    script.client.handle_input(
        script.now,
        Input::Received {
            op,
            bytes: bytes.into(),
        },
    );
    script.client.handle_input(
        script.now,
        Input::Ended {
            op,
            cause: EndCause::Clean,
        },
    );
    script.poll();
    let events = script.take_events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Completion {
                    outcome: Ok(Some(_)),
                    ..
                },
                Event::Closed {
                    reason: CloseReason::ClosedByServer { error: None, .. }
                }
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn half_a_message_at_a_clean_end_is_an_error() {
    let mut script = Script::connected(never);
    script.receive(b"{\"type\":6");
    script.end(EndCause::Clean);
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::Closed { reason: CloseReason::Protocol(error) }] if error.kind == DecodeErrorKind::Truncated),
        "{events:?}"
    );
}

#[test]
fn silence_and_nonsense_of_the_server_fail_the_calls_and_are_followed_by_a_reconnect() {
    let silent: fn(&mut Script) = |script| script.advance(Duration::from_secs(30));
    let confused: fn(&mut Script) = |script| script.receive(b"{\"type\":}\x1e");
    for fault in [silent, confused] {
        let mut script = Script::connected(once);
        script.client.invoke(script.now, "A", &()).unwrap();
        script.client.stream(script.now, "B", &()).unwrap();
        fault(&mut script);
        let events = script.take_events();
        let [first, second, Event::Reconnecting { reason }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(
            matches!(
                reason,
                CloseReason::ServerTimeout { .. } | CloseReason::Protocol(_)
            ),
            "{reason}"
        );
        for event in [first, second] {
            assert!(
                matches!(event, Event::Completion { outcome: Err(CallError::ConnectionLost(lost)), .. } if lost == reason),
                "{event:?}"
            );
        }
        assert!(
            script
                .actions
                .iter()
                .any(|action| matches!(action, Action::Close { code: 1000, .. }))
        );
    }
}

#[test]
fn the_close_code_tells_an_orderly_end_from_a_failure() {
    for (code, why, expected, is_clean) in [
        (1000, "bye", CloseReason::TransportEnded, true),
        (
            1011,
            "broken",
            CloseReason::WebSocketClosed {
                code: 1011,
                reason: "broken".into(),
            },
            false,
        ),
    ] {
        let mut script = Script::connected(never);
        script.end(EndCause::WebSocketClose {
            code,
            reason: why.into(),
        });
        assert_eq!(expected.is_clean(), is_clean);
        assert!(is_clean || expected.to_string().contains(why), "{expected}");
        assert_eq!(script.events, [Event::Closed { reason: expected }]);
    }
}
