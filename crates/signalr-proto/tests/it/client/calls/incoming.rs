//! What the server says, in every shape.

use super::*;

#[test]
fn the_server_gets_its_answers_on_the_connection_that_asked_and_on_no_other() {
    let mut script = Script::connected(|config| {
        config.reconnect = signalr_proto::client::ReconnectPolicy::standard()
    });
    let ask = |script: &mut Script| {
        script.receive_json(r#"{"type":1,"invocationId":"s1","target":"Q","arguments":[1]}"#);
        match script.take_events().pop() {
            Some(Event::Invocation {
                reply_to: Some(reply_to),
                ..
            }) => reply_to,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (ask(&mut script), ask(&mut script));
    script
        .client
        .complete(script.now, first, CompletionOutcome::Result(&"yes"))
        .unwrap();
    script.poll();
    assert_eq!(
        script.take_sent(),
        "{\"type\":3,\"invocationId\":\"s1\",\"result\":\"yes\"}\u{1e}"
    );
    script.cut();
    script.advance(Duration::ZERO);
    script.connect();
    script.clear();
    let (error, _) = script
        .client
        .complete(script.now, second, CompletionOutcome::error("late"))
        .unwrap_err();
    script.poll();
    assert_eq!(
        (error, script.take_sent().as_str()),
        (SendError::UnknownId, "")
    );
}

#[test]
fn calls_of_the_server_without_an_id_leave_nothing_to_answer() {
    let mut script = Script::connected(never);
    script.receive(b"{\"type\":1,\"target\":\"a\",\"arguments\":[]}\x1e{\"type\":1,\"invocationId\":\"\",\"target\":\"a\",\"arguments\":[]}\x1e");
    let events = script.take_events();
    assert_eq!(events.len(), 2);
    for event in events {
        assert!(
            matches!(event, Event::Invocation { reply_to: None, .. }),
            "{event:?}"
        );
    }
}

#[test]
fn messages_that_servers_do_not_send_and_unknown_ones_are_passed_over() {
    let mut script = Script::connected(never);
    script.receive_json(r#"{"type":99}"#);
    script.receive_json(r#"{"type":5,"invocationId":"1"}"#);
    script.receive_json(r#"{"type":4,"invocationId":"1","target":"A","arguments":[]}"#);
    assert_eq!(
        script.take_events(),
        [
            Event::Ignored(Ignored::UnknownType),
            Event::Ignored(Ignored::NotForClients),
            Event::Ignored(Ignored::NotForClients)
        ]
    );
    script.receive(b"{\"type\":99}\x1e{\"type\":1,\"target\":\"after\",\"arguments\":[]}\x1e");
    assert!(
        matches!(&script.take_events()[..], [Event::Ignored(_), Event::Invocation { target, .. }] if target == "after")
    );
}

#[test]
fn messages_split_anywhere_are_put_together() {
    let text = "{\"type\":1,\"target\":\"é漢😀\",\"arguments\":[\"\\u001e\"]}\u{1e}{\"type\":6}\u{1e}{\"type\":1,\"target\":\"b\",\"arguments\":[]}\u{1e}";
    for cut in 0..text.len() {
        let mut script = Script::connected(never);
        script.receive(&text.as_bytes()[..cut]);
        script.receive(&text.as_bytes()[cut..]);
        let targets: Vec<_> = script
            .take_events()
            .into_iter()
            .map(|event| {
                if let Event::Invocation { target, .. } = event {
                    target.to_string()
                } else {
                    panic!("{event:?}")
                }
            })
            .collect();
        assert_eq!(targets, ["é漢😀", "b"], "cut at {cut}");
    }
}

#[test]
fn a_malformed_message_ends_the_connection_with_its_place_in_the_stream() {
    let mut script = invoked(&["A"]);
    script.receive(b"{\"type\":6}\x1e{\"type\":}\x1e{\"type\":3,\"invocationId\":\"1\"}\x1e");
    let events = script.take_events();
    let [
        Event::Completion {
            outcome: Err(CallError::ConnectionLost(_)),
            ..
        },
        Event::Closed {
            reason: CloseReason::Protocol(error),
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(error.position, 19);
}

#[test]
fn a_message_over_the_limit_ends_the_connection_before_it_is_complete() {
    let mut script = Script::connected(|config| {
        config.limits = Limits::CLIENT.with_max_message_size(100);
    });
    script.receive(&[b'x'; 101]);
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::Closed { reason: CloseReason::Protocol(error) }] if matches!(error.kind, DecodeErrorKind::TooLarge { limit: 100, .. })),
        "{events:?}"
    );
}

#[test]
fn bytes_that_are_handed_in_and_never_polled_are_bounded() {
    let mut script = Script::connected(|config| config.limits.max_incoming_bytes = 1000);
    let op = script.socket.unwrap();
    for _ in 0..20 {
        let bytes = vec![b' '; 100].into();
        script
            .client
            .handle_input(script.now, Input::Received { op, bytes });
    }
    assert!(script.client.incoming_bytes() <= 1000);
    script.poll();
    assert!(matches!(
        script.take_events().as_slice(),
        [Event::Closed {
            reason: CloseReason::IncomingLimit { .. }
        }]
    ));
}
