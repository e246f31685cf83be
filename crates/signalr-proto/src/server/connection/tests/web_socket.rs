//! The machine on a WebSocket.

use super::*;

#[test]
fn a_handshake_cut_anywhere_is_answered_and_messages_wait_for_acceptance() {
    let stream = [HANDSHAKE, CALL.as_bytes(), b"\x1e"].concat();
    for cut in 0..stream.len() {
        let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
        let (one, two) = stream.split_at(cut);
        test.receive(one);
        test.receive(two);
        assert_eq!(test.sent(), "{}|");
        assert_eq!(
            test.events,
            [ServerEvent::Handshaken {
                protocol: Protocol::Json
            }]
        );
        test.machine.accept(test.now);
        test.poll();
        assert_eq!(test.targets(), ["Add"]);
    }
}

#[test]
fn handshakes_are_refused_in_the_official_words() {
    let malformed = r#"{"error":"An unexpected error occurred during connection handshake."}|"#;
    let rows = [
        (
            r#"{"protocol":"xml","version":1}"#,
            r#"{"error":"The protocol 'xml' is not supported."}|"#,
        ),
        (
            r#"{"protocol":"json","version":3}"#,
            r#"{"error":"The server does not support version 3 of the 'json' protocol."}|"#,
        ),
        (r#"{"protocol":"JSON","version":"1"}"#, malformed),
        (r#"{"protocol":"json"}"#, malformed),
        ("hello", malformed),
        ("", malformed),
    ];
    for (request, response) in rows {
        let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
        test.receive_json(&[request, CALL]);
        assert_eq!(test.sent(), response);
        assert_eq!(test.actions(), ["Close 1 1000"]);
        assert!(
            matches!(
                test.reason(),
                Some(DisconnectReason::HandshakeFailed { .. })
            ),
            "{request}"
        );
        assert_eq!(test.events.len(), 1, "{request}");
    }
}

#[test]
fn messagepack_is_answered_in_binary_whatever_the_client_sends() {
    let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
    test.receive(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    assert_eq!((test.sent().as_str(), test.binary), ("{}|", Some(true)));
    test.machine.close(test.now, false);
    test.poll();
    assert_eq!(test.sent, [0x04, 0x93, 0x07, 0xc0, 0xc2]);
}

#[test]
fn a_protocol_that_is_not_offered_is_refused() {
    let mut test = Test::new(ServerConfig {
        protocols: vec![Protocol::Json],
        ..ServerConfig::default()
    });
    test.receive(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    assert_eq!(
        test.sent(),
        r#"{"error":"The protocol 'messagepack' is not supported."}|"#
    );
}

#[test]
fn a_handshake_that_is_late_or_too_long_is_cancelled() {
    let cancelled = r#"{"error":"Handshake was canceled."}|"#;
    let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
    test.receive(b"{");
    test.wait(Duration::from_millis(14_999));
    assert_eq!(test.sent(), "");
    test.wait(Duration::from_millis(1));
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (cancelled, vec!["Close 1 1000".to_owned()])
    );

    let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
    test.receive(&[b' '; 20_000]);
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (cancelled, vec!["Close 1 1000".to_owned()])
    );
}

#[test]
fn a_client_that_leaves_before_its_handshake_is_told_nothing() {
    let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
    test.receive(b"{");
    test.end(1001);
    assert!(test.sent.is_empty());
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::HandshakeFailed { .. })
    ));
}

#[test]
fn pings_are_sent_every_interval_whatever_else_is_sent() {
    let mut test = Test::open();
    for _ in 0..3 {
        test.wait(7 * SECOND);
        test.machine.send(test.now, "Hi", &()).unwrap();
        test.wait(8 * SECOND);
        assert_eq!(
            test.sent(),
            r#"{"type":1,"target":"Hi","arguments":[]}|{"type":6}|"#
        );
    }
}

#[test]
fn no_ping_piles_up_behind_a_send_that_is_under_way() {
    let mut test = Test::open_with(ServerConfig {
        send_timeout: 100 * SECOND,
        ..ServerConfig::default()
    });
    test.takes = false;
    test.machine.send(test.now, "Hi", &()).unwrap();
    test.poll();
    test.sent.clear();
    test.wait(50 * SECOND);
    test.takes = true;
    test.input(ServerInput::Sent { op: test.socket });
    assert_eq!(test.sent(), "");
}

#[test]
fn a_client_that_never_pings_is_never_timed_out() {
    let mut test = Test::open();
    test.receive_json(&[CALL]);
    test.wait(1000 * SECOND);
    assert_eq!(test.reason(), None);
}

#[test]
fn the_client_timeout_is_armed_by_a_ping_and_restarted_by_any_message() {
    let mut test = Test::open();
    test.receive_json(&[PING]);
    test.wait(29 * SECOND);
    test.receive_json(&[CALL]);
    test.wait(29 * SECOND);
    assert_eq!(test.reason(), None);
    test.sent.clear();
    test.wait(SECOND);
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (CLOSED, vec!["Close 1 1000".to_owned()])
    );
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::ClientTimeout {
            timeout: 30 * SECOND
        })
    );
}

#[test]
fn the_client_timeout_stands_still_while_the_application_is_the_slow_side() {
    let mut test = Test::open();
    test.receive_json(&[PING]);
    test.input(ServerInput::ReadPaused);
    test.wait(100 * SECOND);
    test.receive_json(&[CALL]);
    assert_eq!(test.targets(), [""; 0]);
    test.input(ServerInput::ReadResumed);
    assert_eq!(test.targets(), ["Add"]);
    test.wait(29 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(test.reason().is_some());
}

#[test]
fn a_message_received_in_time_counts_even_when_the_timeout_is_seen_first() {
    let mut test = Test::open();
    test.receive_json(&[PING]);
    test.now = test.now.after(30 * SECOND);
    let bytes = Bytes::from_static(b"{\"type\":6}\x1e");
    test.machine.handle_input(test.now, ServerInput::Timeout);
    test.machine.handle_input(
        test.now,
        ServerInput::Received {
            op: test.socket,
            bytes,
        },
    );
    test.poll();
    assert_eq!(test.reason(), None);
}

#[test]
fn the_limit_counts_the_message_without_its_separator() {
    let call = |size: usize| {
        let head = r#"{"type":1,"target":"T","arguments":[""#;
        format!("{head}{}\"]}}", "x".repeat(size - head.len() - 3))
    };
    let mut test = Test::open();
    test.receive_json(&[&call(32_768)]);
    assert_eq!(test.targets(), ["T"]);
    test.receive_json(&[&call(32_769)]);
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (CLOSED, vec!["Close 1 1000".to_owned()])
    );
    assert!(
        matches!(test.reason(), Some(DisconnectReason::Protocol(error)) if matches!(error.kind, DecodeErrorKind::TooLarge { .. }))
    );

    let mut test = Test::open();
    test.receive(&[b'x'; 32_770]);
    assert_eq!(test.sent(), CLOSED);
}

#[test]
fn every_row_of_the_close_table() {
    let close = |act: fn(&mut Test)| {
        let mut test = Test::open();
        act(&mut test);
        test.poll();
        assert_eq!(test.actions(), ["Close 1 1000"]);
        (test.sent(), test.reason().unwrap().is_error())
    };
    let row = |text: &str, error: bool| (text.to_owned(), error);
    assert_eq!(
        close(|test| test.machine.close(test.now, false)),
        row(r#"{"type":7}|"#, false)
    );
    assert_eq!(
        close(|test| test.machine.close(test.now, true)),
        row(r#"{"type":7,"allowReconnect":true}|"#, false)
    );
    assert_eq!(
        close(|test| test.machine.close(test.now, Some("why"), false)),
        row(r#"{"type":7,"error":"why"}|"#, false)
    );
    assert_eq!(
        close(|test| test.receive_json(&[r#"{"type":7}"#, CALL])),
        row(r#"{"type":7}|"#, false)
    );
    assert_eq!(
        close(|test| test.receive_json(&[r#"{"type":7,"error":"bye"}"#])),
        row(r#"{"type":7}|"#, true)
    );
    assert_eq!(
        close(|test| test.receive_json(&["garbage", CALL])),
        row(CLOSED, true)
    );
    assert_eq!(
        close(|test| test
            .machine
            .close_for(test.now, DisconnectReason::ForeignAnswer)),
        row(CLOSED, true)
    );
}

#[test]
fn nothing_but_close_is_written_after_a_close() {
    let mut test = Test::open();
    test.machine.send(test.now, "Before", &()).unwrap();
    test.machine.close(test.now, false);
    assert_eq!(
        test.machine.send(test.now, "After", &()),
        Err(SendError::NotConnected)
    );
    test.machine.close(test.now, Some("again"), true);
    test.receive_json(&[CALL]);
    assert_eq!(
        test.sent(),
        r#"{"type":1,"target":"Before","arguments":[]}|{"type":7}|"#
    );
    assert_eq!(
        test.events,
        [ServerEvent::Closed {
            reason: DisconnectReason::ClosedByServer
        }]
    );
    assert_eq!(test.deadline, None);
    test.wait(1000 * SECOND);
    test.end(1000);
    assert_eq!(test.events.len(), 1);
}

#[test]
fn a_transport_that_takes_nothing_is_cut_after_the_send_timeout() {
    let mut test = Test::open();
    test.takes = false;
    test.machine.send(test.now, "Hi", &()).unwrap();
    test.poll();
    test.wait(Duration::from_millis(9_999));
    assert!(!test.aborted);
    test.wait(Duration::from_millis(1));
    assert!(test.aborted);
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::SendTimeout {
            timeout: 10 * SECOND
        })
    );
}

#[test]
fn closing_takes_no_longer_than_the_close_timeout() {
    let mut test = Test::open();
    test.takes = false;
    test.machine.close(test.now, true);
    test.poll();
    test.wait(5 * SECOND);
    assert!(test.aborted);
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
}

#[test]
fn senders_are_turned_away_while_too_much_waits_and_told_of_room() {
    let limits = Limits {
        max_outgoing_bytes: 100,
        ..Limits::SERVER
    };
    let mut test = Test::open_with(ServerConfig {
        limits,
        ..ServerConfig::default()
    });
    test.takes = false;
    test.machine
        .send(test.now, "Long", &["x".repeat(200)])
        .unwrap();
    test.poll();
    assert!(matches!(
        test.machine.send(test.now, "Hi", &()),
        Err(SendError::Full { .. })
    ));
    test.takes = true;
    test.input(ServerInput::Sent { op: test.socket });
    assert_eq!(test.events, [ServerEvent::Writable]);
    assert_eq!(test.machine.send(test.now, "Hi", &()), Ok(()));
}

#[test]
fn what_came_before_the_end_of_the_transport_is_still_handed_out() {
    let mut test = Test::open();
    test.machine.handle_input(
        test.now,
        ServerInput::Received {
            op: test.socket,
            bytes: Bytes::from(format!("{CALL}\u{1e}{CALL}\u{1e}")),
        },
    );
    test.machine.handle_input(
        test.now,
        ServerInput::Ended {
            op: test.socket,
            cause: EndCause::Clean,
        },
    );
    test.poll();
    assert_eq!(test.targets(), ["Add", "Add"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
}

#[test]
fn what_waits_when_the_client_leaves_is_handed_out_later_and_lost_when_the_transport_fails() {
    let mut test = Test::open();
    test.input(ServerInput::ReadPaused);
    test.receive_json(&[CALL]);
    test.end(1000);
    assert_eq!((test.events.len(), test.deadline), (0, None));
    assert_eq!(
        test.machine.send(test.now, "Hi", &()),
        Err(SendError::NotConnected)
    );
    test.input(ServerInput::ReadResumed);
    assert_eq!(test.targets(), ["Add"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));

    let mut test = Test::open();
    test.input(ServerInput::ReadPaused);
    test.receive_json(&[CALL]);
    test.end(1000);
    test.input(ServerInput::Ended {
        op: test.socket,
        cause: EndCause::Failed {
            detail: "cut".into(),
        },
    });
    assert_eq!(
        test.events,
        [ServerEvent::Closed {
            reason: DisconnectReason::TransportFailed {
                detail: "cut".into()
            }
        }]
    );
}

#[test]
fn an_end_within_a_message_is_an_error() {
    let mut test = Test::open();
    test.receive(b"{\"type\":6");
    test.end(1000);
    assert!(test.reason().unwrap().is_error());
}

#[test]
fn a_broken_transport_is_an_error_and_an_abandoned_one_is_not() {
    let mut test = Test::open();
    test.input(ServerInput::Ended {
        op: test.socket,
        cause: EndCause::Failed {
            detail: "reset".into(),
        },
    });
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::TransportFailed {
            detail: "reset".into()
        })
    );
    let mut test = Test::open();
    test.end(1006);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
}

#[test]
fn messages_without_meaning_are_passed_over_and_do_not_stall_what_follows() {
    let mut test = Test::open();
    test.receive_json(&[
        r#"{"type":99}"#,
        r#"{"type":8,"sequenceId":5}"#,
        r#"{"type":9,"sequenceId":5}"#,
        r#"{"type":-1}"#,
        CALL,
    ]);
    assert_eq!(test.targets(), ["Add"]);
    assert_eq!(test.events.len(), 1);
}

#[test]
fn each_kind_of_message_becomes_its_event() {
    let mut test = Test::open();
    test.receive_json(&[
        r#"{"type":2,"invocationId":"9","item":4}"#,
        r#"{"type":3,"invocationId":"s1","result":5}"#,
        r#"{"type":3,"invocationId":"9","error":"no"}"#,
        r#"{"type":5,"invocationId":"1"}"#,
    ]);
    let payload = |text| Payload::new(Protocol::Json, Bytes::from_static(text));
    let expected = [
        ServerEvent::StreamItem {
            stream_id: "9".into(),
            item: payload(b"4"),
        },
        ServerEvent::Completion {
            id: "s1".into(),
            outcome: Outcome::Result(payload(b"5")),
        },
        ServerEvent::Completion {
            id: "9".into(),
            outcome: Outcome::Error("no".into()),
        },
        ServerEvent::Cancel {
            invocation_id: "1".into(),
        },
    ];
    assert_eq!(test.events, expected);
}

#[test]
fn answers_items_and_questions_are_written_in_order() {
    let mut test = Test::open();
    let now = test.now;
    test.machine.stream_item(now, "1", &7).unwrap();
    test.machine
        .complete(now, "1", CompletionOutcome::<()>::Void)
        .unwrap();
    test.machine
        .complete(now, "2", CompletionOutcome::Result(&()))
        .unwrap();
    test.machine.ask(now, "s1", "Ask", &("why",)).unwrap();
    test.machine.send_frame(now, b"{\"type\":6}\x1e").unwrap();
    test.poll();
    let expected = r#"{"type":2,"invocationId":"1","item":7}|{"type":3,"invocationId":"1"}|{"type":3,"invocationId":"2","result":null}|{"type":1,"invocationId":"s1","target":"Ask","arguments":["why"]}|{"type":6}|"#;
    assert_eq!(test.sent(), expected);
}

#[test]
fn a_driver_that_hands_in_more_than_it_takes_is_stopped() {
    let limits = Limits {
        max_incoming_bytes: 40_000,
        ..Limits::SERVER
    };
    let mut test = Test::open_with(ServerConfig {
        limits,
        ..ServerConfig::default()
    });
    test.input(ServerInput::ReadPaused);
    for _ in 0..1000 {
        test.receive(CALL.as_bytes());
    }
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::IncomingLimit { .. })
    ));
    assert!(test.machine.incoming_bytes <= 40_000);
}

#[test]
fn debug_output_shows_no_payloads() {
    let mut test = Test::web_socket(ServerConfig::default(), ConnectionOptions::default());
    test.receive(b"canary");
    assert!(!format!("{:?}", test.machine).contains("canary"));
}
