//! Pings and the client timeout.

use super::*;

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
    let mut test = Test::open_with(with(config(), |config| {
        config.send_timeout = 100 * SECOND;
    }));
    test.takes = false;
    test.machine.send(test.now, "Hi", &()).unwrap();
    test.poll();
    test.sent.clear();
    test.wait(50 * SECOND);
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
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
    test.input(Input::ReadPaused);
    test.wait(100 * SECOND);
    test.receive_json(&[CALL]);
    assert_eq!(test.targets(), [""; 0]);
    test.input(Input::ReadResumed);
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
    test.machine.handle_input(test.now, Input::Timeout);
    test.machine.handle_input(
        test.now,
        Input::Received {
            op: test.socket,
            bytes,
        },
    );
    test.poll();
    assert_eq!(test.reason(), None);
}

#[test]
fn the_client_timeout_stands_still_while_the_client_has_to_wait() {
    // Behind a call that waits for its turn.
    let mut test = Test::open_with(ServerConfig::default());
    test.receive_json(&[PING, CALL, CALL]);
    test.wait(100 * SECOND);
    assert_eq!(test.reason(), None);
    test.finish(test.last_call());
    test.wait(29 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(test.reason().is_some());

    // Before it takes what was sent to it.
    let mut config = config();
    config.limits.max_outgoing_bytes = 30;
    config.send_timeout = 1000 * SECOND;
    let mut test = Test::open_with(config);
    test.takes = false;
    test.receive_json(&[PING]);
    test.machine.send(test.now, "a", &()).unwrap();
    test.poll();
    test.receive_json(&[PING]);
    test.wait(100 * SECOND);
    assert_eq!(test.reason(), None);
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    test.wait(30 * SECOND);
    assert!(test.reason().is_some());
}

#[test]
fn the_client_timeout_does_not_run_while_the_application_welcomes_the_client() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(HANDSHAKE);
    test.receive_json(&[PING]);
    test.wait(100 * SECOND);
    test.machine.accept(test.now);
    test.poll();
    test.wait(29 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(test.reason().is_some());
}
