//! Stateful reconnect: a connection that outlives its WebSocket, in both protocols.

use std::time::Duration;

use bytes::Bytes;
use signalr_harness::script::{Script, Wish, Words, granted, offer_with};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy,
};
use signalr_proto::transport::negotiate::TransportKind::{
    LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::{CloseReason, EndCause, Protocol, SendError};

const MILLISECOND: Duration = Duration::from_millis(1);
const PROTOCOLS: [Protocol; 2] = [Protocol::Json, Protocol::MessagePack];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn never(_: &mut ClientConfig) {}

fn standard(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::standard();
}

fn lost() -> CloseReason {
    CloseReason::WebSocketClosed {
        code: 1006,
        reason: "".into(),
    }
}

/// Plays the server from negotiation up to the handshake.
fn connect(script: &mut Script) {
    script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
    script.open();
    script.receive(b"{}\x1e");
}

/// A stateful connection whose log is cleared; pings and the server timeout keep out of the way.
fn connected_with(protocol: Protocol, change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(|config| {
        config.protocol = protocol;
        config.stateful_reconnect = Some(100_000);
        config.keep_alive_interval = seconds(10_000);
        config.server_timeout = seconds(10_000);
        change(config);
    });
    script.start();
    connect(&mut script);
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    script.clear();
    script
}

fn connected(change: impl FnOnce(&mut ClientConfig)) -> Script {
    connected_with(Protocol::Json, change)
}

fn sent(script: &mut Script) -> Vec<u8> {
    std::mem::take(&mut script.sent)
}

/// The names of the methods that the server called.
fn targets(script: &mut Script) -> Vec<String> {
    let events = script.take_events().into_iter();
    let targets = events.filter_map(|event| match event {
        Event::Invocation { target, .. } => Some(target.to_string()),
        _ => None,
    });
    targets.collect()
}

fn openings(script: &Script) -> usize {
    script.count(|action| matches!(action, Action::OpenWebSocket { .. }))
}

/// Loses the socket and opens the next.
fn resume(script: &mut Script) {
    script.cut();
    script.open();
}

#[test]
fn the_feature_is_asked_for_when_it_is_wanted_and_not_twice() {
    let plain = "http://host/hub/negotiate?negotiateVersion=1";
    for (query, wanted, expected) in [
        ("", None, plain.to_owned()),
        ("", Some(1), format!("{plain}&useStatefulReconnect=true")),
        (
            "?useStatefulReconnect=true",
            Some(1),
            "http://host/hub/negotiate?useStatefulReconnect=true&negotiateVersion=1".to_owned(),
        ),
    ] {
        let mut config = ClientConfig::new(&format!("http://host/hub{query}")).unwrap();
        config.stateful_reconnect = wanted;
        let mut script = Script::new(config);
        script.start();
        assert_eq!(script.wish(Wish::Negotiate).uri(), expected);
    }
}

#[test]
fn an_address_that_asks_for_the_feature_turns_it_on() {
    let config = ClientConfig::new("http://host/hub?useStatefulReconnect=true").unwrap();
    let mut script = Script::new(config);
    script.start();
    connect(&mut script);
    script.clear();
    script.cut();
    assert!(matches!(script.events[..], [Event::Resuming { .. }]));
}

#[test]
fn version_2_is_spoken_on_web_sockets_for_which_the_feature_was_granted_and_nowhere_else() {
    for (kind, body, version) in [
        (WebSockets, granted(&[WebSockets]), 2),
        (WebSockets, offer_with(&[WebSockets], |_| {}), 1),
        (ServerSentEvents, granted(&[ServerSentEvents]), 1),
        (LongPolling, granted(&[LongPolling]), 1),
    ] {
        let mut script = Script::with(|config| config.stateful_reconnect = Some(1000));
        script.start();
        script.answer(Wish::Negotiate, 200, &body);
        if kind == WebSockets {
            script.open();
            script.receive(b"{}\x1e");
        } else {
            script.open_http();
        }
        let hello = format!("{{\"protocol\":\"json\",\"version\":{version}}}\u{1e}");
        assert!(script.take_sent().starts_with(&hello), "{kind:?}");
        // Only there a loss is not the end.
        script.clear();
        match kind {
            WebSockets => script.cut(),
            ServerSentEvents => script.break_request(Wish::Events),
            _ => script.break_request(Wish::Poll),
        }
        let resumes = matches!(script.events[..], [Event::Resuming { .. }]);
        assert_eq!(resumes, version == 2, "{kind:?}");
    }
    let mut skipped = Script::with(|config| {
        config.stateful_reconnect = Some(1000);
        config.skip_negotiation = true;
    });
    skipped.start();
    skipped.open();
    assert!(skipped.take_sent().contains("\"version\":1"));
}

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

#[test]
fn stopping_never_replaces_a_socket() {
    let mut script = connected(standard);
    script.stop();
    script.clear();
    script.cut();
    assert_eq!(script.closed(), &CloseReason::Stopped);
    assert_eq!(openings(&script), 0);
    script.assert_over();
}

#[test]
fn stopping_while_a_socket_is_replaced_ends_everything_at_once() {
    for has_access_token in [false, true] {
        let mut script = Script::with(|config| {
            config.stateful_reconnect = Some(1000);
            config.has_access_token = has_access_token;
        });
        script.start();
        if has_access_token {
            script.token("one");
            script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
            script.token("two");
            script.open();
            script.receive(b"{}\x1e");
            script.client.refresh_authentication(script.now).unwrap();
            script.poll();
            script.token("three");
            assert_eq!(script.wishes(), [Wish::Refresh]);
        } else {
            connect(&mut script);
        }
        script.clear();
        script.invoke("A");
        script.cut();
        script.clear();
        script.stop();
        assert!(matches!(
            script.events[..],
            [
                Event::Completion {
                    outcome: Err(CallError::ConnectionLost(CloseReason::Stopped)),
                    ..
                },
                Event::Closed {
                    reason: CloseReason::Stopped
                }
            ]
        ));
        assert_eq!(script.socket, None);
        script.assert_over();
    }
}

#[test]
fn an_end_that_was_announced_or_decided_never_replaces_a_socket() {
    let ends: [fn(&mut Script); 4] = [
        |script| script.receive(b"{\"type\":7}\x1e"),
        |script| script.receive(b"{\"type\":7,\"error\":\"no\",\"allowReconnect\":true}\x1e"),
        |script| script.advance(seconds(10_000)),
        |script| script.receive(b"{\"type\":}\x1e"),
    ];
    for end in ends {
        for change in [never as fn(&mut ClientConfig), standard] {
            let mut script = connected(change);
            let old = script.socket.unwrap();
            end(&mut script);
            assert!(
                !script
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::Resuming { .. }))
            );
            // Nor when the socket ends thereupon.
            script.input(Input::Ended {
                op: old,
                cause: EndCause::Clean,
            });
            assert_eq!(openings(&script), 0);
        }
    }
}

#[test]
fn a_close_message_that_came_before_the_cut_counts() {
    let mut script = connected(standard);
    let op = script.socket.unwrap();
    let bytes = Bytes::from_static(b"{\"type\":7,\"error\":\"no\"}\x1e");
    script
        .client
        .handle_input(script.now, Input::Received { op, bytes });
    script.cut();
    assert!(matches!(
        script.closed(),
        CloseReason::ClosedByServer { .. }
    ));
    assert_eq!(openings(&script), 0);
}

#[test]
fn the_server_timeout_runs_on_while_a_socket_is_replaced() {
    let mut script = connected(|config| config.server_timeout = seconds(20));
    script.invoke("A");
    script.advance(seconds(5));
    script.cut();
    script.clear();
    script.advance(seconds(15) - MILLISECOND);
    assert_eq!(script.events, []);
    script.advance(MILLISECOND);
    let timeout = CloseReason::ServerTimeout {
        timeout: seconds(20),
    };
    assert!(matches!(
        &script.events[..],
        [Event::Completion { .. }, Event::Closed { reason }] if *reason == timeout
    ));
    assert_eq!((script.socket, openings(&script)), (None, 0));
    script.assert_over();
    // Nor does a socket that opens and says nothing restart it.
    let mut script = connected(|config| config.server_timeout = seconds(20));
    script.advance(seconds(10));
    resume(&mut script);
    script.clear();
    script.advance(seconds(10));
    assert_eq!(script.closed(), &timeout);
}

#[test]
fn one_acknowledgement_follows_a_second_after_the_first_message_for_all() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        script.receive(&words.ping());
        script.advance(seconds(5));
        script.receive(&words.invocation(None, "a"));
        script.advance(seconds(1) - MILLISECOND);
        script.receive(&words.invocation(None, "b"));
        script.receive(&words.completion("9"));
        assert_eq!(sent(&mut script), b"");
        script.advance(MILLISECOND);
        assert_eq!(sent(&mut script), words.ack(3));
        script.receive(&[words.ping(), words.ack(0)].concat());
        script.advance(seconds(5));
        assert_eq!(sent(&mut script), b"");
        script.receive(&words.invocation(None, "c"));
        script.advance(seconds(1));
        assert_eq!(sent(&mut script), words.ack(4));
    }
}

#[test]
fn messages_count_by_their_type_whatever_becomes_of_them() {
    let mut script = connected(never);
    // Three that count: an unknown call's completion, and two that servers do not send. Two that do not: a type from the future,
    // and a ping.
    for text in [
        r#"{"type":3,"invocationId":"7"}"#,
        r#"{"type":99}"#,
        r#"{"type":4,"invocationId":"7","target":"a","arguments":[]}"#,
        r#"{"type":6}"#,
        r#"{"type":5,"invocationId":"7"}"#,
    ] {
        script.receive_json(text);
    }
    script.advance(seconds(1));
    let words = Words::of(&script);
    assert_eq!(sent(&mut script), words.ack(3));
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn an_acknowledgement_that_may_be_lost_is_said_again_on_the_new_socket() {
    let mut script = connected(never);
    let words = Words::of(&script);
    script.receive(&words.invocation(None, "a"));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    script.clear();
    resume(&mut script);
    assert_eq!(sent(&mut script), words.sequence(1));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    // A server that repeats it has not heard of it.
    script.receive(&[words.sequence(1), words.invocation(None, "a")].concat());
    assert_eq!(targets(&mut script), Vec::<String>::new());
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    // Where nothing was received there is nothing to acknowledge.
    let mut silent = connected(never);
    resume(&mut silent);
    silent.clear();
    silent.advance(seconds(5));
    assert_eq!(sent(&mut silent), b"");
}

#[test]
fn repetitions_of_the_server_are_not_delivered_again() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let say = |target| words.invocation(None, target);
        script.receive(&[say("a"), say("b"), say("c")].concat());
        resume(&mut script);
        script.receive(&[words.sequence(2), say("b"), say("c"), say("d")].concat());
        // A sequence may come again at any time.
        script.receive(&[words.sequence(4), say("d"), say("e")].concat());
        assert_eq!(targets(&mut script), ["a", "b", "c", "d", "e"]);
        sent(&mut script);
        script.advance(seconds(1));
        assert_eq!(sent(&mut script), words.ack(5));
    }
}

#[test]
fn a_message_that_the_loss_cut_in_two_is_taken_whole_from_the_repetition() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let message = words.invocation(None, "a");
        script.receive(&message[..message.len() - 3]);
        resume(&mut script);
        script.receive(&words.sequence(1));
        script.receive(&message);
        assert_eq!(targets(&mut script), ["a"]);
    }
}
