//! How connections end.

use super::*;

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
    test.machine.close(test.now, true);
    test.receive_json(&[CALL]);
    assert_eq!(
        test.sent(),
        r#"{"type":1,"target":"Before","arguments":[]}|{"type":7}|"#
    );
    assert_eq!(
        test.events,
        [Event::Closed {
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
    assert_eq!(test.actions(), [""; 0]);
    test.wait(Duration::from_millis(1));
    assert_eq!(test.actions(), ["Abort 1"]);
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
    assert_eq!(test.actions(), ["Abort 1"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
}

#[test]
fn what_came_before_the_end_of_the_transport_is_still_handed_out() {
    let mut test = Test::open();
    test.machine.handle_input(
        test.now,
        Input::Received {
            op: test.socket,
            bytes: Bytes::from(format!("{CALL}\u{1e}{CALL}\u{1e}")),
        },
    );
    test.machine.handle_input(
        test.now,
        Input::Ended {
            op: test.socket,
            cause: EndCause::Clean,
        },
    );
    test.poll();
    assert_eq!(test.targets(), ["Add", "Add"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
}

#[test]
fn what_waits_when_the_client_leaves_is_handed_out_if_it_is_taken_soon() {
    let mut test = Test::open();
    test.input(Input::ReadPaused);
    test.receive_json(&[CALL]);
    test.end(1000);
    assert_eq!(test.events, []);
    assert!(!test.machine.is_open() && !test.machine.is_writable());
    assert_eq!(
        test.machine.send(test.now, "Hi", &()),
        Err(SendError::NotConnected)
    );
    test.input(Input::ReadResumed);
    assert_eq!(test.targets(), ["Add"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));

    let mut test = Test::open();
    test.input(Input::ReadPaused);
    test.receive_json(&[CALL]);
    test.end(1000);
    test.wait(Duration::from_millis(4_999));
    assert_eq!(test.events, []);
    test.wait(Duration::from_millis(1));
    assert_eq!(
        test.events,
        [Event::Closed {
            reason: DisconnectReason::TransportEnded
        }]
    );
}

#[test]
fn a_call_that_is_held_when_the_client_leaves_runs_if_its_turn_comes_soon() {
    let leave = || {
        let mut test = Test::open_with(ServerConfig::default());
        test.receive_json(&[CALL, CALL]);
        test.end(1000);
        assert_eq!((test.targets().len(), test.reason()), (1, None));
        test
    };
    let mut test = leave();
    test.finish(test.last_call());
    assert_eq!(test.targets().len(), 2);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
    // A method may wait for nothing but the end of the connection.
    let mut test = leave();
    test.wait(5 * SECOND);
    assert_eq!(test.targets().len(), 1);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
}

#[test]
fn what_waits_is_lost_when_the_transport_fails() {
    let mut test = Test::open();
    test.input(Input::ReadPaused);
    test.receive_json(&[CALL]);
    test.fail("cut");
    assert_eq!(
        test.events,
        [Event::Closed {
            reason: DisconnectReason::TransportFailed {
                detail: "cut".into()
            }
        }]
    );
}

#[test]
fn an_end_within_a_message_is_an_error_at_its_place_in_the_stream() {
    let mut test = Test::open();
    test.receive_json(&[PING]);
    test.receive(b"{\"type\":6");
    test.end(1000);
    let error = DecodeError {
        kind: DecodeErrorKind::Truncated,
        position: (HANDSHAKE.len() + PING.len() + 1 + 9) as u64,
    };
    assert_eq!(test.reason(), Some(&DisconnectReason::Protocol(error)));
}

#[test]
fn what_is_wrong_with_a_message_is_told_with_its_place_in_the_stream() {
    let mut test = Test::open();
    test.receive_json(&[PING, "nonsense"]);
    let Some(DisconnectReason::Protocol(error)) = test.reason() else {
        panic!("the connection goes on");
    };
    let start = HANDSHAKE.len() + PING.len() + 1;
    assert_eq!(error.position, start as u64);
}

#[test]
fn a_broken_transport_is_an_error_and_an_abandoned_one_is_not() {
    let mut test = Test::open();
    test.fail("reset");
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::TransportFailed {
            detail: "reset".into()
        })
    );
    for code in [1000, 1001, 1005, 1006] {
        let mut test = Test::open();
        test.end(code);
        assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
        assert_eq!(test.actions(), [""; 0]);
    }
}

#[test]
fn with_detailed_errors_a_client_is_told_its_fault() {
    let told = |received: &[u8]| {
        let config = with(config(), |config| {
            config.enable_detailed_errors = true;
        });
        let mut test = Test::open_with(config);
        test.receive(received);
        let sent = test.sent();
        let (_, detail) = sent
            .split_once("Connection closed with an error. ")
            .unwrap();
        detail.split('"').next().unwrap().to_owned()
    };
    assert_eq!(
        told(&[b'a'; 40_000]),
        "InvalidDataException: The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions."
    );
    let missing = told(&json(&[r#"{"type":1}"#]));
    assert!(
        missing.starts_with("InvalidDataException: missing required member"),
        "{missing}"
    );
}

#[test]
fn a_client_that_is_turned_away_is_told_why_and_not_invited_back() {
    let turned_away = |visible: bool, detailed: bool| {
        let config = with(config(), |config| {
            config.enable_detailed_errors = detailed;
        });
        let mut test = Test::web_socket(config, ConnectionOptions::default());
        test.receive(HANDSHAKE);
        let failure = Failure {
            kind: "HubException",
            text: "not today",
            visible,
        };
        test.machine.reject(test.now, failure);
        test.poll();
        assert_eq!(test.reason(), Some(&DisconnectReason::Rejected));
        assert_eq!(test.actions(), ["Close 1 1000"]);
        test.sent()
    };
    let told =
        r#"{}|{"type":7,"error":"Connection closed with an error. HubException: not today"}|"#;
    assert_eq!(turned_away(true, false), told);
    assert_eq!(turned_away(false, true), told);
    assert_eq!(
        turned_away(false, false),
        r#"{}|{"type":7,"error":"Connection closed with an error."}|"#
    );
}

#[test]
fn only_a_client_that_waits_for_its_welcome_can_be_turned_away() {
    let mut test = Test::open();
    test.machine
        .reject(test.now, Failure::hub_exception("too late"));
    test.poll();
    assert_eq!((test.sent().as_str(), test.reason()), ("", None));
}

#[test]
fn an_abort_drops_everything_without_a_word() {
    let mut test = Test::open();
    test.receive_json(&[CALL]);
    test.machine.send(test.now, "Hi", &()).unwrap();
    test.machine.abort(test.now);
    test.poll();
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        ("", vec!["Abort 1".to_owned()])
    );
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
    let call = test.last_call();
    test.machine.abort(test.now);
    test.finish(call);
    test.machine.close(test.now, true);
    test.poll();
    assert_eq!((test.sent().as_str(), test.events.len()), ("", 2));
}

#[test]
fn a_client_that_still_sends_is_read_on_so_that_it_gets_to_the_close() {
    let mut test = Test::open();
    test.takes = false;
    test.receive_json(&["garbage"]);
    for _ in 0..100 {
        assert_eq!(test.machine.reading(), Some(test.socket));
        test.receive(&[b'x'; 10_000]);
    }
    assert_eq!(test.unread(), 0);
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.actions(), ["Close 1 1000"]);
    assert_eq!(test.machine.reading(), None);
}

#[test]
fn a_second_web_socket_is_refused() {
    let mut test = Test::open();
    let second = test.arrive(Port::WebSocket);
    assert_eq!(test.actions(), [format!("Respond {second} 409")]);
    for (port, status) in [
        (Port::Events, 400),
        (Port::Poll, 400),
        (Port::Post, 405),
        (Port::Delete, 400),
    ] {
        let op = test.arrive(port);
        assert_eq!(test.actions(), [format!("Respond {op} {status}")]);
    }
    assert_eq!(test.reason(), None);
}

#[test]
fn whatever_comes_after_the_end_is_told_that_the_connection_is_gone() {
    let mut test = Test::open();
    test.end(1000);
    test.responses.clear();
    for port in [
        Port::WebSocket,
        Port::Events,
        Port::Poll,
        Port::Post,
        Port::Delete,
        Port::Refresh,
    ] {
        let op = test.arrive(port);
        assert_eq!(test.actions(), [format!("Respond {op} 404")]);
        let (_, response) = test.responses.pop_back().unwrap();
        let cached = !response.headers().contains_key("expires");
        assert_eq!(cached, port != Port::Poll);
        let refresh = br#"{"error":"connection_not_found"}"#;
        let expected = if port == Port::Refresh {
            &refresh[..]
        } else {
            b""
        };
        assert_eq!(response.body(), expected);
    }
    assert_eq!(test.events.len(), 1);
}

#[test]
fn a_connection_that_no_transport_reaches_is_over_after_the_disconnect_timeout() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    test.wait(Duration::from_millis(14_999));
    assert_eq!(test.reason(), None);
    test.wait(Duration::from_millis(1));
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::DisconnectTimeout {
            timeout: 15 * SECOND
        })
    );
    assert_eq!((test.deadline, test.machine.transport()), (None, None));
}

#[test]
fn a_connection_without_a_transport_can_be_closed() {
    for end in [
        (|machine: &mut ServerConnection, now| machine.close(now, true)) as fn(&mut _, _),
        |machine, now| machine.abort(now),
    ] {
        let mut test = Test::new(config(), ConnectionOptions::default());
        end(&mut test.machine, test.now);
        test.poll();
        assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
    }
}

#[test]
fn debug_output_shows_no_payloads() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(b"canary");
    assert!(!format!("{:?}", test.machine).contains("canary"));
}
