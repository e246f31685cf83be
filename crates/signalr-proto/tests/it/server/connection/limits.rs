//! Limits on what is read and written.

use super::*;

/// A call whose JSON has this many bytes.
fn call_of(size: usize) -> Vec<u8> {
    let head = r#"{"type":1,"target":"T","arguments":[""#;
    json(&[&format!("{head}{}\"]}}", "x".repeat(size - head.len() - 3))])
}

/// A ping whose MessagePack has this many bytes.
fn binary_ping_of(size: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap();
    let length = [byte(size & 0x7f | 0x80), byte(size >> 7)];
    let string = size - 5;
    let head = [0x92, 0x06, 0xda, byte(string >> 8), byte(string)];
    [&length[..], &head, &vec![b'x'; string]].concat()
}

fn too_large(test: &Test) -> bool {
    matches!(test.reason(), Some(DisconnectReason::Protocol(error)) if matches!(error.kind, DecodeErrorKind::TooLarge { .. }))
}

#[test]
fn the_message_limit_counts_the_separator_and_the_prefix() {
    let mut test = Test::open();
    test.receive(&call_of(32_767));
    assert_eq!(test.targets(), ["T"]);
    test.receive(&call_of(32_768));
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (CLOSED, vec!["Close 1 1000".to_owned()])
    );
    assert!(too_large(&test));

    let tiny = || {
        let mut config = config();
        config.limits.max_message_size = 1024;
        let mut test = Test::web_socket(config, ConnectionOptions::default());
        test.shake_hands(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
        test
    };
    let mut test = tiny();
    test.receive(&binary_ping_of(1022));
    assert_eq!(test.reason(), None);
    test.receive(&binary_ping_of(1023));
    assert!(too_large(&test));
    // A prefix may be longer than it has to be, and then that counts.
    let mut test = tiny();
    test.receive(&[0xfe, 0x87, 0x00]);
    assert!(too_large(&test));
}

#[test]
fn an_unfinished_message_over_the_limit_is_refused_at_once() {
    for cut in [1, 1000, 32_767] {
        let mut test = Test::open();
        test.receive(&vec![b'x'; cut]);
        test.receive(&vec![b'x'; 32_767 - cut]);
        assert_eq!(test.reason(), None);
        test.receive(b"x");
        assert_eq!(test.sent(), CLOSED);
        assert!(too_large(&test));
    }
}

#[test]
fn one_piece_of_any_size_is_read_message_by_message() {
    let mut config = config();
    config.limits.max_incoming_bytes = 1000;
    let pings = json(&[PING]).repeat(100_000);
    for before in [&b""[..], b"{\"type\"", &json(&[PING])] {
        let mut test = Test::open_with(config.clone());
        test.input(Input::ReadPaused);
        test.receive(before);
        let rest = match before {
            b"{\"type\"" => &pings[7..],
            _ => &pings[..],
        };
        test.receive(rest);
        assert_eq!(test.machine.reading(), None);
        test.input(Input::ReadResumed);
        assert_eq!(test.reason(), None);
        assert!(test.machine.reading().is_some());
        test.receive_json(&[CALL]);
        assert_eq!(test.targets(), ["Add"]);
    }
}

#[test]
fn reading_stops_above_the_buffer_size_and_goes_on_at_half_of_it() {
    let mut test = Test::open_with(with(config(), |config| {
        config.application_max_buffer_size = 100;
    }));
    test.input(Input::ReadPaused);
    test.receive(&[b' '; 100]);
    assert_eq!(test.machine.reading(), Some(test.socket));
    test.receive(b" ");
    assert_eq!(test.machine.reading(), None);
    test.receive(&json(&["", PING]));
    test.input(Input::ReadResumed);
    assert!(test.reason().is_some());

    let mut test = Test::open_with(with(config(), |config| {
        config.application_max_buffer_size = 100;
        config.maximum_parallel_invocations = 1;
    }));
    // One call of 39 bytes runs, one waits, and three of them are unread.
    let call = r#"{"type":1,"target":"T","arguments":[]}"#;
    test.receive_json(&[call; 5]);
    assert_eq!(test.unread(), 117);
    assert_eq!(test.machine.reading(), None);
    test.finish(test.last_call());
    assert_eq!(test.unread(), 78);
    assert_eq!(test.machine.reading(), None);
    test.finish(test.last_call());
    assert_eq!(test.unread(), 39);
    assert_eq!(test.machine.reading(), Some(test.socket));
}

#[test]
fn names_ids_and_numbers_beyond_their_limits_are_the_clients_fault() {
    let long = "x".repeat(1025);
    let fits = "x".repeat(1024);
    let headers = |count: usize| {
        let headers: Vec<_> = (0..count).map(|n| format!(r#""h{n}":"v""#)).collect();
        headers.join(",")
    };
    let ids = |count: usize| {
        let ids: Vec<_> = (0..count).map(|n| format!(r#""{n}""#)).collect();
        ids.join(",")
    };
    let rows = [
        (r#"{"type":1,"target":"@","arguments":[]}"#, &fits, &long),
        (
            r#"{"type":1,"invocationId":"@","target":"T","arguments":[]}"#,
            &fits,
            &long,
        ),
        (
            r#"{"type":4,"invocationId":"@","target":"T","arguments":[]}"#,
            &fits,
            &long,
        ),
        (
            r#"{"type":1,"target":"T","arguments":[],"streamIds":["@"]}"#,
            &fits,
            &long,
        ),
        (r#"{"type":2,"invocationId":"@","item":1}"#, &fits, &long),
        (r#"{"type":3,"invocationId":"@","result":1}"#, &fits, &long),
        (r#"{"type":5,"invocationId":"@"}"#, &fits, &long),
        (
            r#"{"type":1,"target":"T","arguments":[],"streamIds":[@]}"#,
            &ids(128),
            &ids(129),
        ),
        (
            r#"{"type":1,"target":"T","arguments":[],"headers":{@}}"#,
            &headers(128),
            &headers(129),
        ),
        (
            r#"{"type":1,"target":"T","arguments":[],"headers":{"h":"@"}}"#,
            &"x".repeat((8 << 10) - 1),
            &"x".repeat(8 << 10),
        ),
    ];
    for (message, fits, exceeds) in rows {
        let mut test = Test::open();
        test.receive_json(&[&message.replace('@', fits)]);
        assert_eq!(test.reason(), None, "{message}");
        test.receive_json(&[&message.replace('@', exceeds)]);
        assert_eq!(test.sent(), CLOSED, "{message}");
        let Some(DisconnectReason::Protocol(error)) = test.reason() else {
            panic!("{message}");
        };
        assert!(
            matches!(
                error.kind,
                DecodeErrorKind::TooLong { .. } | DecodeErrorKind::TooMany { .. }
            ),
            "{message}"
        );
    }
}

#[test]
fn a_client_that_says_too_much_in_a_second_waits_for_the_next() {
    let mut test = Test::open_with(with(config(), |config| {
        config.max_messages_per_second = Some(3);
    }));
    test.receive_json(&[PING, CALL, CALL, CALL, CALL, CALL]);
    assert_eq!(test.targets().len(), 2);
    test.wait(Duration::from_millis(999));
    assert_eq!(test.targets().len(), 2);
    test.wait(Duration::from_millis(1));
    assert_eq!(test.targets().len(), 5);
    test.wait(SECOND);
    test.receive_json(&[CALL, CALL]);
    assert_eq!(test.targets().len(), 7);
    // Its silence is not its own while it waits.
    test.receive_json(&[CALL]);
    test.wait(30 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::ClientTimeout { .. })
    ));
}

#[test]
fn nothing_is_waited_for_when_the_last_message_was_one_too_many_for_its_second() {
    let mut test = Test::open_with(with(config(), |config| {
        config.max_messages_per_second = Some(2);
    }));
    test.input(Input::ReadPaused);
    test.receive_json(&[CALL, "{\"type\":7}"]);
    // What was received is still read, and by then there is no transport that the goodbye could wait for.
    test.end(1000);
    test.input(Input::ReadResumed);
    let reason = DisconnectReason::ClosedByClient { error: None };
    assert_eq!(test.reason(), Some(&reason));
    assert!(matches!(test.machine.poll_output(), Output::Wait(None)));
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
fn a_driver_that_hands_in_more_than_it_takes_is_stopped() {
    let limits = with(Limits::SERVER, |limits| {
        limits.max_incoming_bytes = 40_000;
    });
    let mut test = Test::open_with(with(config(), |config| {
        config.limits = limits;
        config.application_max_buffer_size = 1000;
    }));
    test.input(Input::ReadPaused);
    while test.reason().is_none() {
        test.receive(CALL.as_bytes());
        assert!(test.unread() <= 40_000 + 2 * CALL.len());
    }
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::IncomingLimit { .. })
    ));
    assert_eq!(test.unread(), 0);
}

#[test]
fn senders_are_turned_away_while_too_much_waits_and_told_of_room() {
    let limits = with(Limits::SERVER, |limits| {
        limits.max_outgoing_bytes = 100;
    });
    let mut test = Test::open_with(with(config(), |config| {
        config.limits = limits;
    }));
    test.takes = false;
    test.machine
        .send(test.now, "Long", &("x".repeat(200),))
        .unwrap();
    test.poll();
    assert!(matches!(
        test.machine.send(test.now, "Hi", &()),
        Err(SendError::Full { .. })
    ));
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.events, [Event::Writable]);
    assert_eq!(test.machine.send(test.now, "Hi", &()), Ok(()));
}
