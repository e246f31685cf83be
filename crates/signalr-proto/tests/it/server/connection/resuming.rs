//! Stateful reconnect.

use super::*;
use signalr_proto::SequenceError;

const VERSION_2: &[u8] = b"{\"protocol\":\"json\",\"version\":2}\x1e";
const SEQUENCE: &str = r#"{"type":9,"sequenceId":1}"#;

fn options() -> ConnectionOptions {
    with(ConnectionOptions::default(), |options| {
        options.stateful_reconnect = true;
    })
}

fn stateful() -> Test {
    stateful_with(config())
}

fn stateful_with(config: ServerConfig) -> Test {
    let mut test = Test::web_socket(config, options());
    test.shake_hands(VERSION_2);
    test
}

fn call(target: &str) -> String {
    format!(r#"{{"type":1,"target":"{target}","arguments":[]}}"#)
}

impl Test {
    fn lose(&mut self) {
        self.end(1006);
    }

    /// Another WebSocket of the client comes. Whether it was taken.
    fn attach(&mut self) -> bool {
        self.actions();
        let op = self.arrive(Port::WebSocket);
        let attached = self.actions().contains(&format!("Accept {op}"));
        if attached {
            self.socket = op;
        }
        attached
    }
}

#[test]
fn a_lost_web_socket_is_replaced_and_what_was_not_acknowledged_is_said_again() {
    let mut test = stateful();
    test.say("a");
    test.say("b");
    test.receive_json(&[r#"{"type":8,"sequenceId":1}"#]);
    test.lose();
    assert!(test.machine.is_detached() && test.machine.can_resume());
    test.say("c");
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(
        test.sent(),
        format!(
            r#"{{"type":9,"sequenceId":2}}|{}|{}|"#,
            call("b"),
            call("c")
        )
    );
    assert!(matches!(
        &*test.events,
        [Event::Detached { .. }, Event::Resumed]
    ));
    assert!(!test.machine.is_detached());
}

#[test]
fn messages_that_came_before_are_dropped_by_their_numbers() {
    let mut test = stateful();
    test.receive_json(&[&call("a"), PING, &call("b")]);
    test.lose();
    assert!(test.attach());
    test.receive_json(&[SEQUENCE, &call("a"), &call("b"), &call("c")]);
    assert_eq!(test.targets(), ["a", "b", "c"]);
    test.sent.clear();
    test.wait(SECOND);
    assert_eq!(test.sent(), r#"{"type":8,"sequenceId":3}|"#);
}

#[test]
fn one_ack_follows_a_second_after_the_first_message() {
    let mut test = stateful();
    test.receive_json(&[&call("a")]);
    test.wait(Duration::from_millis(600));
    test.receive_json(&[&call("b"), PING]);
    test.wait(Duration::from_millis(399));
    assert_eq!(test.sent(), "");
    test.wait(Duration::from_millis(1));
    assert_eq!(test.sent(), r#"{"type":8,"sequenceId":2}|"#);
    test.wait(5 * SECOND);
    assert_eq!(test.sent(), "");
}

#[test]
fn an_ack_that_may_be_lost_is_repeated_after_a_resume() {
    let mut test = stateful();
    test.receive_json(&[&call("a")]);
    test.wait(SECOND);
    test.lose();
    test.wait(3 * SECOND);
    test.sent.clear();
    assert!(test.attach());
    test.wait(SECOND);
    assert_eq!(
        test.sent(),
        format!(r#"{SEQUENCE}|{{"type":8,"sequenceId":1}}|"#)
    );
}

#[test]
fn without_the_feature_or_with_version_1_nothing_is_numbered_and_nothing_resumed() {
    let mut old = Test::web_socket(config(), options());
    old.receive(HANDSHAKE);
    let mut plain = Test::web_socket(config(), ConnectionOptions::default());
    plain.receive(VERSION_2);
    for mut test in [old, plain] {
        test.machine.accept(test.now);
        test.receive_json(&[&call("a"), r#"{"type":9,"sequenceId":9}"#]);
        test.sent.clear();
        test.wait(2 * SECOND);
        assert_eq!(test.sent(), "");
        test.lose();
        assert!(!test.attach());
        assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
    }
}

#[test]
fn a_client_that_does_not_come_back_is_given_up_after_the_disconnect_timeout() {
    let mut test = stateful();
    test.input(Input::Ended {
        op: test.socket,
        cause: EndCause::Failed {
            detail: "reset".into(),
        },
    });
    test.wait(Duration::from_millis(14_999));
    assert_eq!(test.reason(), None);
    test.wait(Duration::from_millis(1));
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::TransportFailed {
            detail: "reset".into()
        })
    );
    assert!(!test.attach());
    assert_eq!(test.deadline, None);
}

#[test]
fn a_client_that_takes_its_leave_does_not_come_back() {
    for code in [1000, 1001, 1005] {
        let mut test = stateful();
        test.end(code);
        assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
    }
    // News of a WebSocket that is lost is no news.
    let mut test = stateful();
    test.lose();
    test.end(1000);
    assert!(test.machine.is_detached());
}

#[test]
fn a_second_web_socket_takes_over_from_one_that_is_half_open() {
    let mut test = stateful();
    test.takes = false;
    test.say("a");
    test.say("b");
    test.receive(b"{\"type\":1,\"target\":\"cut in h");
    test.takes = true;
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(
        test.sent(),
        format!("{SEQUENCE}|{}|{}|", call("a"), call("b"))
    );
    test.receive_json(&[SEQUENCE, &call("whole")]);
    assert_eq!(test.targets(), ["whole"]);
}

#[test]
fn a_transport_that_takes_nothing_is_dropped_and_the_connection_waits() {
    let mut test = stateful();
    test.takes = false;
    test.say("a");
    test.wait(10 * SECOND);
    assert_eq!(test.actions(), ["Abort 1"]);
    assert!(test.machine.is_detached());
    test.takes = true;
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(test.sent(), format!("{SEQUENCE}|{}|", call("a")));
}

#[test]
fn a_second_loss_starts_the_replay_again() {
    let mut test = stateful();
    test.say("a");
    test.lose();
    test.takes = false;
    assert!(test.attach());
    test.lose();
    test.takes = true;
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(test.sent(), format!("{SEQUENCE}|{}|", call("a")));
}

#[test]
fn what_was_not_read_is_left_to_the_replay_but_acks_count() {
    let mut test = stateful();
    test.say("a");
    test.input(Input::ReadPaused);
    test.receive_json(&[&call("late"), r#"{"type":8,"sequenceId":1}"#]);
    test.lose();
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(test.sent(), r#"{"type":9,"sequenceId":2}|"#);
    test.receive_json(&[SEQUENCE, &call("late")]);
    test.input(Input::ReadResumed);
    assert_eq!(test.targets(), ["late"]);
}

#[test]
fn writers_hear_of_the_room_that_an_ack_among_the_unread_makes() {
    let mut test = stateful_with(with(config(), |config| {
        config.stateful_reconnect_buffer_size = 10;
    }));
    test.say("a");
    assert!(test.machine.send(test.now, "b", &()).is_err());
    test.input(Input::ReadPaused);
    test.receive_json(&[r#"{"type":8,"sequenceId":1}"#]);
    assert!(test.attach());
    assert_eq!(test.events, [Event::Writable, Event::Resumed]);
}

#[test]
fn what_was_read_goes_on_to_be_handed_out_without_a_web_socket() {
    let mut test = stateful();
    test.input(Input::ReadPaused);
    test.receive_json(&[&call("a")]);
    test.lose();
    test.input(Input::ReadResumed);
    assert!(test.targets().contains(&"a"));
    assert!(test.attach());
    test.receive_json(&[SEQUENCE, &call("a"), &call("b")]);
    assert_eq!(test.targets().last(), Some(&"b"));
    assert_eq!(test.events.len(), 4);
}

#[test]
fn a_sequence_ahead_of_what_was_received_closes_with_an_error() {
    for (id, error) in [(3, SequenceError::Ahead), (0, SequenceError::Zero)] {
        let mut test = stateful();
        test.receive_json(&[&call("a")]);
        test.lose();
        assert!(test.attach());
        test.sent.clear();
        test.receive_json(&[&format!(r#"{{"type":9,"sequenceId":{id}}}"#), &call("b")]);
        assert_eq!(
            (test.sent().as_str(), test.actions()),
            (CLOSED, vec![format!("Close {} 1000", test.socket)])
        );
        assert_eq!(test.reason(), Some(&DisconnectReason::Sequence(error)));
    }
}

#[test]
fn writers_are_refused_while_too_much_is_not_acknowledged() {
    let mut test = stateful_with(with(config(), |config| {
        config.stateful_reconnect_buffer_size = 10;
    }));
    test.say("a");
    assert!(matches!(
        test.machine.send(test.now, "b", &()),
        Err(SendError::Full { limit: 10, .. })
    ));
    test.wait(9 * SECOND);
    assert_eq!(test.sent(), format!("{}|", call("a")));
    test.receive_json(&[r#"{"type":8,"sequenceId":7}"#]);
    assert_eq!(test.events, []);
    test.receive_json(&[r#"{"type":8,"sequenceId":1}"#]);
    assert_eq!(test.events, [Event::Writable]);
    test.say("b");
}

#[test]
fn timers_run_on_without_a_web_socket() {
    let mut test = stateful_with(with(config(), |config| {
        config.disconnect_timeout = 100 * SECOND;
    }));
    test.receive_json(&[PING]);
    test.lose();
    test.sent.clear();
    test.wait(29 * SECOND);
    assert!(test.reason().is_none() && test.sent.is_empty());
    test.wait(SECOND);
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::ClientTimeout {
            timeout: 30 * SECOND
        })
    );
    assert!(!test.attach() && test.sent.is_empty());
}

#[test]
fn a_connection_that_was_ended_is_not_resumed() {
    let ends: [fn(&mut Test); 3] = [
        |test| test.machine.close(test.now, true),
        |test| test.machine.abort(test.now),
        |test| test.receive_json(&[r#"{"type":7}"#]),
    ];
    for detached in [false, true] {
        for end in ends {
            let mut test = stateful();
            if detached {
                // A Close that was read late.
                test.input(Input::ReadPaused);
                test.receive_json(&[r#"{"type":7}"#]);
                test.lose();
                test.machine.handle_input(test.now, Input::ReadResumed);
            }
            end(&mut test);
            assert!(!test.attach());
            assert!(test.reason().is_some());
        }
    }
}

#[test]
fn an_unwelcomed_client_may_lose_its_web_socket_too() {
    let mut test = Test::web_socket(config(), options());
    test.receive(VERSION_2);
    test.lose();
    test.say("a");
    assert!(test.attach());
    test.receive_json(&[SEQUENCE, &call("b")]);
    test.machine.accept(test.now);
    test.poll();
    assert_eq!(test.targets().last(), Some(&"b"));
    assert!(test.sent().ends_with(&format!("{SEQUENCE}|{}|", call("a"))));
}

/// A buffer for messages that one fills.
fn small() -> ServerConfig {
    with(config(), |config| {
        config.stateful_reconnect_buffer_size = 10;
        config.maximum_parallel_invocations = 1;
    })
}

fn turned_away(test: &mut Test) {
    let told = test.machine.send(test.now, "x", &());
    assert!(matches!(told, Err(SendError::Full { .. })));
    assert!(!test.machine.is_writable());
}

fn ack(id: u64) -> String {
    format!(r#"{{"type":8,"sequenceId":{id}}}"#)
}

#[test]
fn an_ack_is_found_behind_a_call_that_waits_for_its_turn() {
    let mut test = stateful_with(small());
    test.receive_json(&[&call("a")]);
    test.say("fills");
    turned_away(&mut test);
    // The method waits for room, the second call for the method, and the Ack that makes room is behind it.
    test.receive_json(&[&call("b"), PING, &call("c"), &ack(1)]);
    assert!(test.events.contains(&Event::Writable));
    assert_eq!(test.targets(), ["a"]);
    test.finish(test.last_call());
    test.finish(test.last_call());
    assert_eq!(test.targets(), ["a", "b", "c"]);
}

#[test]
fn an_ack_is_found_while_the_application_welcomes_the_client() {
    let mut test = Test::web_socket(small(), options());
    test.receive(VERSION_2);
    test.say("fills");
    turned_away(&mut test);
    test.receive_json(&[&call("a"), &ack(1)]);
    assert_eq!(test.events.last(), Some(&Event::Writable));
    test.machine.accept(test.now);
    test.poll();
    assert_eq!(test.targets(), ["a"]);
}

#[test]
fn nothing_is_answered_while_too_much_is_not_acknowledged() {
    let mut test = stateful_with(with(small(), |config| {
        config.maximum_parallel_invocations = 1000;
    }));
    let calls = vec![call("a").replace(r#""target""#, r#""invocationId":"1","target""#); 100];
    test.receive_json(&calls.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(test.targets().len(), 100);
    test.finish(test.last_call());
    test.receive_json(&calls.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(test.targets().len(), 100);
    test.receive_json(&[&ack(1)]);
    assert_eq!(test.targets().len(), 200);
}

#[test]
fn a_client_that_takes_everything_and_acknowledges_nothing_is_cut() {
    let mut test = stateful_with(small());
    test.receive_json(&[PING]);
    test.say("a");
    turned_away(&mut test);
    test.wait(10 * SECOND - Duration::from_millis(1));
    assert!(!test.machine.is_detached());
    // Whatever it acknowledges, it is there.
    test.receive_json(&[&ack(0)]);
    test.wait(9 * SECOND);
    assert!(!test.machine.is_detached());
    test.wait(SECOND);
    assert!(test.machine.is_detached());
    assert!(test.actions().contains(&format!("Abort {}", test.socket)));
    assert!(test.attach());
    // One message more is let through after a resume.
    test.say("b");
    test.wait(10 * SECOND);
    assert!(test.machine.is_detached(), "nor does it with another one");
    test.wait(15 * SECOND);
    let reason = test.reason().unwrap().to_string();
    assert_eq!(reason, "the client took no data for 10s");
}

#[test]
fn what_was_read_ahead_is_handed_out_once_and_in_order_after_a_resume() {
    let mut test = stateful_with(small());
    test.receive_json(&[&call("a")]);
    test.say("fills");
    test.receive_json(&[&call("b"), &call("c")]);
    test.lose();
    assert!(test.attach());
    test.receive_json(&[SEQUENCE, &call("a"), &call("b"), &call("c"), &call("d")]);
    test.receive_json(&[&ack(1)]);
    for _ in 0..4 {
        test.finish(test.last_call());
    }
    assert_eq!(test.targets(), ["a", "b", "c", "d"]);
}

#[test]
fn a_client_that_goes_on_sending_and_acknowledges_nothing_is_given_up() {
    let mut config = small();
    config.limits.max_incoming_bytes = 40_000;
    let mut test = stateful_with(config);
    test.receive_json(&[&call("a")]);
    test.say("fills");
    let calls = vec![call("b"); 50];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    test.sent.clear();
    let mut turns = 0;
    while test.reason().is_none() {
        test.receive_json(&calls);
        turns += 1;
        assert!(turns < 10);
    }
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::Unacknowledged { .. })
    ));
    assert_eq!(test.sent(), CLOSED);
}

#[test]
fn nonsense_that_is_read_ahead_closes_with_an_error() {
    let mut test = stateful_with(small());
    test.receive_json(&[&call("a")]);
    test.say("fills");
    test.receive_json(&[&call("b"), "nonsense"]);
    assert!(matches!(test.reason(), Some(DisconnectReason::Protocol(_))));
}

#[test]
fn a_web_socket_that_is_taken_over_is_closed_or_dropped_when_it_takes_nothing() {
    let mut test = stateful();
    let old = test.socket;
    let new = test.arrive(Port::WebSocket);
    assert_eq!(
        test.actions(),
        [format!("Close {old} 1000"), format!("Accept {new}")]
    );
    test.socket = new;
    test.takes = false;
    test.say("a");
    let newer = test.arrive(Port::WebSocket);
    assert_eq!(
        test.actions(),
        [format!("Abort {new}"), format!("Accept {newer}")]
    );
    // News of the old ones means nothing any more.
    for op in [old, new] {
        test.input(Input::Sent { op });
        let bytes = Bytes::from_static(b"{\"type\":7}\x1e");
        test.input(Input::Received { op, bytes });
        let cause = EndCause::Clean;
        test.input(Input::Ended { op, cause });
    }
    assert_eq!(test.reason(), None);
    assert!(!test.machine.is_detached());
}

#[test]
fn a_connection_that_cannot_be_resumed_any_more_answers_204() {
    // The handshake said version 1.
    let mut test = Test::web_socket(config(), options());
    test.shake_hands(HANDSHAKE);
    let op = test.arrive(Port::WebSocket);
    assert_eq!(test.actions().last(), Some(&format!("Respond {op} 204")));
    assert_eq!(test.reason(), None);
    // It is about to end.
    let mut test = stateful();
    test.takes = false;
    test.machine.close(test.now, true);
    test.poll();
    let op = test.arrive(Port::WebSocket);
    assert_eq!(test.actions().last(), Some(&format!("Respond {op} 204")));
}

#[test]
fn other_requests_are_refused_while_the_web_socket_is_lost() {
    let mut test = stateful();
    test.lose();
    for (port, status) in [
        (Port::Events, 400),
        (Port::Poll, 400),
        (Port::Post, 405),
        (Port::Delete, 400),
    ] {
        test.actions();
        let op = test.arrive(port);
        assert_eq!(test.actions(), [format!("Respond {op} {status}")]);
    }
    assert!(test.machine.is_detached());
}

#[test]
fn calls_and_their_answers_outlive_the_web_socket() {
    let mut test = stateful();
    test.receive_json(&[CALL]);
    test.lose();
    test.finish(test.last_call());
    test.sent.clear();
    assert!(test.attach());
    assert_eq!(
        test.sent(),
        format!(r#"{SEQUENCE}|{{"type":3,"invocationId":"1","result":null}}|"#)
    );
}
