//! Calls of the client, from their invocation to their completion.

use super::*;

fn call(id: &str, target: &str) -> String {
    format!(r#"{{"type":1,"invocationId":"{id}","target":"{target}","arguments":[]}}"#)
}

fn stream(id: &str) -> String {
    format!(r#"{{"type":4,"invocationId":"{id}","target":"S","arguments":[]}}"#)
}

fn done(id: &str) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}","result":null}}|"#)
}

fn permits(permits: usize) -> Test {
    Test::open_with(with(config(), |config| {
        config.maximum_parallel_invocations = permits;
    }))
}

const HIDDEN: Failure<'static> = Failure {
    kind: "IoError",
    text: "secret path",
    visible: false,
};

#[test]
fn one_call_runs_after_the_other_and_what_is_behind_the_second_waits_too() {
    let mut test = permits(1);
    test.receive_json(&[
        &call("1", "a"),
        r#"{"type":5,"invocationId":"1"}"#,
        PING,
        &call("2", "b"),
        r#"{"type":5,"invocationId":"1"}"#,
        &call("3", "c"),
    ]);
    let first = test.last_call();
    assert_eq!(test.targets(), ["a"]);
    assert_eq!(test.events[1], Event::Cancel { call: first });
    assert!(matches!(test.events[2..], [Event::Held { .. }]));
    test.finish(first);
    // The second cancel came too late for the first call.
    assert!(matches!(
        test.events[3..],
        [Event::Invocation { .. }, Event::Held { .. }]
    ));
    assert_eq!(test.targets(), ["a", "b"]);
    test.finish(test.last_call());
    assert_eq!(test.targets(), ["a", "b", "c"]);
    assert_eq!(test.sent(), done("1") + &done("2"));
}

#[test]
fn as_many_calls_run_as_there_are_permits() {
    let mut test = permits(3);
    let calls: Vec<String> = (0..5).map(|id| call(&id.to_string(), "T")).collect();
    test.receive_json(&calls.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(test.targets().len(), 3);
    let second = test.calls()[1].0;
    test.finish(second);
    assert_eq!(test.targets().len(), 4);
    assert_eq!(test.sent(), done("1"));
}

#[test]
fn calls_that_came_together_are_answered_together() {
    let mut test = permits(1);
    let calls: Vec<String> = (0..16).map(|id| call(&id.to_string(), "T")).collect();
    let bytes = Bytes::from(json(&calls.iter().map(String::as_str).collect::<Vec<_>>()));
    let op = test.socket;
    test.machine
        .handle_input(test.now, Input::Received { op, bytes });
    let mut sends = 0;
    loop {
        match test.machine.poll_output() {
            Output::Event(Event::Invocation { call, .. }) => {
                let done = CallOutcome::done();
                test.machine.finish(test.now, call, done).unwrap();
            }
            Output::Action(Action::Send { .. }) => sends += 1,
            Output::Wait(_) => break,
            other @ (Output::Action(_) | Output::Event(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(sends, 1);
}

#[test]
fn a_call_that_waits_can_be_refused_and_has_another_name_when_its_turn_comes() {
    let mut test = permits(1);
    test.receive_json(&[
        &call("1", "a"),
        &call("2", "b"),
        &call("3", "c"),
        &call("4", "d"),
    ]);
    let held = |test: &Test| match test.events.last() {
        Some(Event::Held { call, invocation }) => (*call, invocation.target.to_string()),
        other => panic!("{other:?}"),
    };
    let (second, target) = held(&test);
    assert_eq!(target, "b");
    test.machine.refuse(test.now, second, Refusal::NoSuchMethod);
    test.poll();
    let refusal = Refusal::NoSuchMethod.text("b", false);
    let refusal = format!(r#"{{"type":3,"invocationId":"2","error":"{refusal}"}}|"#);
    assert_eq!(test.sent(), refusal);
    let (third, target) = held(&test);
    assert_eq!(target, "c");
    test.finish(third);
    assert_eq!((test.sent().as_str(), test.targets().len()), ("", 1));
    test.finish(test.last_call());
    assert_eq!(test.targets(), ["a", "c"]);
    assert_ne!(test.last_call(), third);
    test.sent();
    test.machine.refuse(test.now, third, Refusal::NoSuchMethod);
    test.poll();
    assert_eq!(test.sent(), "");
}

#[test]
fn a_call_gives_its_permit_back_once() {
    let mut test = permits(1);
    test.receive_json(&[&call("1", "a"), &call("2", "b"), &call("3", "c")]);
    let first = test.last_call();
    test.machine.release(test.now, first);
    test.machine.release(test.now, first);
    test.poll();
    assert_eq!(test.targets(), ["a", "b"]);
    test.finish(first);
    assert_eq!(test.targets(), ["a", "b"]);
    test.finish(test.last_call());
    assert_eq!(test.targets(), ["a", "b", "c"]);
}

#[test]
fn streams_and_calls_with_uploads_take_no_permit() {
    let mut test = permits(1);
    let upload = r#"{"type":1,"invocationId":"3","target":"U","arguments":[],"streamIds":["u"]}"#;
    test.receive_json(&[&call("1", "a"), &stream("2"), upload, PING]);
    assert_eq!(test.targets(), ["a", "S", "U"]);
}

#[test]
fn outcomes_are_written_in_the_official_words() {
    let plain = "An unexpected error occurred invoking 'T' on the server.";
    let streaming = "An error occurred on the server while streaming results.";
    let visible = Failure::hub_exception("no");
    let cases: [(&str, CallOutcome<'_, i32>, bool, String); 9] = [
        ("1", CallOutcome::Done, false, r#""result":null"#.into()),
        ("1", CallOutcome::Value(&7), false, r#""result":7"#.into()),
        ("4", CallOutcome::Done, false, String::new()),
        ("4", CallOutcome::Value(&7), false, String::new()),
        (
            "1",
            CallOutcome::Failed(HIDDEN),
            false,
            format!(r#""error":"{plain}""#),
        ),
        (
            "1",
            CallOutcome::Failed(HIDDEN),
            true,
            format!(r#""error":"{plain} IoError: secret path""#),
        ),
        (
            "1",
            CallOutcome::Failed(visible),
            false,
            format!(r#""error":"{plain} HubException: no""#),
        ),
        (
            "4",
            CallOutcome::StreamFailed(HIDDEN),
            false,
            format!(r#""error":"{streaming}""#),
        ),
        (
            "4",
            CallOutcome::StreamFailed(visible),
            false,
            format!(r#""error":"{streaming} HubException: no""#),
        ),
    ];
    for (kind, outcome, detailed, expected) in cases {
        let mut test = Test::open_with(with(config(), |config| {
            config.enable_detailed_errors = detailed;
        }));
        let message =
            format!(r#"{{"type":{kind},"invocationId":"1","target":"T","arguments":[]}}"#);
        test.receive_json(&[&message]);
        let call = test.last_call();
        test.machine.finish(test.now, call, outcome).unwrap();
        test.poll();
        let comma = if expected.is_empty() { "" } else { "," };
        assert_eq!(
            test.sent(),
            format!(r#"{{"type":3,"invocationId":"1"{comma}{expected}}}|"#)
        );
    }
}

#[test]
fn outcomes_are_written_in_messagepack_too() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.shake_hands(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    test.receive(b"\x0d\x96\x01\x80\xa1\x31\xa3Add\x92\x01\x02\x90");
    let call = test.last_call();
    test.finish(call);
    assert_eq!(test.sent, b"\x07\x95\x03\x80\xa1\x31\x03\xc0");
    assert_eq!(test.binary, Some(true));
}

#[test]
fn refusals_are_written_in_the_official_words() {
    let cases = [
        (
            Refusal::NoSuchMethod,
            "Failed to invoke 'tARGET' due to an error on the server. HubException: Method does not exist.",
        ),
        (
            Refusal::ArgumentCount {
                given: 1,
                expected: 2,
            },
            "Failed to invoke 'tARGET' due to an error on the server.",
        ),
        (
            Refusal::Unauthorized,
            "Failed to invoke 'tARGET' because user is unauthorized",
        ),
        (
            Refusal::UploadCount {
                given: 0,
                expected: 1,
            },
            "An unexpected error occurred invoking 'tARGET' on the server. HubException: Client sent 0 stream(s), Hub method expects 1.",
        ),
    ];
    for (refusal, words) in cases {
        let mut test = permits(1);
        test.receive_json(&[&call("1", "tARGET"), &call("2", "b")]);
        let first = test.last_call();
        test.machine.refuse(test.now, first, refusal);
        test.poll();
        assert_eq!(
            test.sent(),
            format!(r#"{{"type":3,"invocationId":"1","error":"{words}"}}|"#)
        );
        // Its permit is free, and the connection goes on.
        assert_eq!(test.targets(), ["tARGET", "b"]);
    }
}

#[test]
fn nothing_is_answered_that_wants_no_answer() {
    for id in ["", r#""invocationId":"","#] {
        let message = format!(r#"{{"type":1,{id}"target":"T","arguments":[]}}"#);
        for end in [
            (|test: &mut Test, call| test.finish(call)) as fn(&mut Test, CallId),
            |test, call| {
                let failed = CallOutcome::failed(HIDDEN);
                test.machine.finish(test.now, call, failed).unwrap();
            },
            |test, call| test.machine.refuse(test.now, call, Refusal::NoSuchMethod),
        ] {
            let mut test = permits(1);
            test.receive_json(&[&message, &message]);
            let call = test.last_call();
            end(&mut test, call);
            test.poll();
            assert_eq!((test.sent().as_str(), test.targets().len()), ("", 2));
        }
    }
}

#[test]
fn a_stream_brings_items_and_an_end() {
    let mut test = Test::open();
    test.receive_json(&[&stream("s")]);
    assert!(matches!(
        test.events[0],
        Event::Invocation {
            streaming: true,
            ..
        }
    ));
    let call = test.last_call();
    test.machine.item(test.now, call, &1).unwrap();
    test.machine.item(test.now, call, "two").unwrap();
    test.finish(call);
    let item = |item| format!(r#"{{"type":2,"invocationId":"s","item":{item}}}|"#);
    assert_eq!(
        test.sent(),
        item("1") + &item("\"two\"") + r#"{"type":3,"invocationId":"s"}|"#
    );
    assert_eq!(
        test.machine.item(test.now, call, &3),
        Err(SendError::UnknownId)
    );
}

#[test]
fn a_plain_call_has_no_items() {
    let mut test = Test::open();
    test.receive_json(&[CALL]);
    let call = test.last_call();
    assert_eq!(
        test.machine.item(test.now, call, &1),
        Err(SendError::UnknownId)
    );
}

#[test]
fn items_are_refused_while_too_much_waits() {
    let mut config = config();
    config.limits.max_outgoing_bytes = 100;
    let mut test = Test::open_with(config);
    test.receive_json(&[&stream("s")]);
    let call = test.last_call();
    test.takes = false;
    while test.machine.is_writable() {
        test.machine.item(test.now, call, &1).unwrap();
        test.poll();
    }
    assert!(matches!(
        test.machine.item(test.now, call, &1),
        Err(SendError::Full { .. })
    ));
    test.events.clear();
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.events, [Event::Writable]);
    assert!(test.machine.is_writable());
}

#[test]
fn a_second_stream_of_the_same_id_is_refused_and_the_first_goes_on() {
    let mut test = Test::open();
    test.receive_json(&[&stream("1"), &stream("1")]);
    assert_eq!(test.targets(), ["S"]);
    assert_eq!(
        test.sent(),
        r#"{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}|"#
    );
    let call = test.last_call();
    test.receive_json(&[r#"{"type":5,"invocationId":"1"}"#]);
    assert_eq!(test.events.last(), Some(&Event::Cancel { call }));
    test.finish(call);
    assert_eq!(test.sent(), r#"{"type":3,"invocationId":"1"}|"#);
    test.receive_json(&[&stream("1")]);
    assert_eq!(test.targets(), ["S", "S"]);
}

#[test]
fn a_cancel_for_no_call_means_nothing() {
    let mut test = Test::open();
    test.receive_json(&[r#"{"type":5,"invocationId":"1"}"#, CALL]);
    assert_eq!(test.events.len(), 1);
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let mut test = Test::open_with(with(config(), |config| {
        config.maximum_streams = 2;
    }));
    test.receive_json(&[&stream("1"), &stream("2"), &stream("3"), CALL]);
    assert_eq!(test.targets(), ["S", "S", "Add"]);
    assert_eq!(
        test.sent(),
        r#"{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'S' on the server. HubException: Too many streams."}|"#
    );
    let first = test.calls()[0].0;
    test.finish(first);
    test.receive_json(&[&stream("4")]);
    assert_eq!(test.targets().len(), 4);
}

#[test]
fn answers_are_written_even_when_too_much_waits_and_the_client_is_not_read_meanwhile() {
    let mut config = config();
    config.limits.max_outgoing_bytes = 50;
    let mut test = Test::open_with(config);
    test.takes = false;
    test.receive_json(&[CALL, CALL]);
    test.say("first");
    test.sent.clear();
    let calls: Vec<CallId> = test.calls().iter().map(|(call, _)| *call).collect();
    for call in calls {
        let long = "x".repeat(100);
        test.machine
            .finish(test.now, call, CallOutcome::Value(&long))
            .unwrap();
    }
    test.receive_json(&[CALL, CALL]);
    assert_eq!(test.targets().len(), 2);
    assert_eq!(test.sent(), "");
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.sent().matches(r#""result":"xxx"#).count(), 2);
    assert_eq!(test.targets().len(), 4);
}

#[test]
fn refusals_of_the_machine_stop_reading_too() {
    let mut config = config();
    config.limits.max_outgoing_bytes = 50;
    config.maximum_streams = 0;
    let mut test = Test::open_with(config);
    test.takes = false;
    let streams = vec![stream("1"); 1000];
    test.receive_json(&streams.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(test.unsent() < 1000);
    assert!(test.unread() > 0);
    let mut turns = 0;
    while test.unread() > 0 {
        test.input(Input::Sent { op: test.socket });
        turns += 1;
        assert!(turns < 2000);
    }
}

/// A value that cannot be serialized.
struct Unserializable;

impl serde::Serialize for Unserializable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

#[test]
fn a_call_whose_value_cannot_be_written_is_still_open() {
    let mut test = permits(1);
    test.receive_json(&[&call("1", "a"), &call("2", "b")]);
    let first = test.last_call();
    let told = test
        .machine
        .finish(test.now, first, CallOutcome::Value(&Unserializable));
    assert!(told.is_err());
    test.poll();
    assert_eq!((test.sent().as_str(), test.targets()), ("", vec!["a"]));
    test.finish(first);
    assert_eq!(test.sent(), done("1"));
    assert_eq!(test.targets(), ["a", "b"]);
}

#[test]
fn a_call_that_is_over_is_not_mistaken_for_a_later_one() {
    let mut test = permits(1);
    test.receive_json(&[&call("1", "a")]);
    let old = test.last_call();
    test.finish(old);
    test.receive_json(&[&call("2", "b")]);
    test.sent.clear();
    test.finish(old);
    test.machine.refuse(test.now, old, Refusal::NoSuchMethod);
    test.machine.release(test.now, old);
    test.machine.credit(test.now, old, 0, 1);
    test.machine.hungry(test.now, old, 9);
    test.poll();
    assert_eq!(test.sent(), "");
    test.finish(test.last_call());
    assert_eq!(test.sent(), done("2"));
}

#[test]
fn calls_end_with_their_connection() {
    let mut test = Test::open();
    test.receive_json(&[&stream("1"), CALL]);
    let calls: Vec<CallId> = test.calls().iter().map(|(call, _)| *call).collect();
    test.machine.close(test.now, false);
    for call in calls {
        let told = test.machine.item(test.now, call, &1);
        assert_eq!(told, Err(SendError::NotConnected));
        test.finish(call);
    }
    assert_eq!(test.sent(), r#"{"type":7}|"#);
}

#[test]
fn answers_items_and_messages_are_written_in_order() {
    let mut test = Test::open();
    test.receive_json(&[&stream("1"), &call("2", "T")]);
    let (stream, call) = (test.calls()[0].0, test.calls()[1].0);
    let now = test.now;
    test.machine.item(now, stream, &7).unwrap();
    let done = CallOutcome::done();
    test.machine.finish(now, stream, done).unwrap();
    test.machine.finish(now, call, done).unwrap();
    test.machine.invoke(now, "s1", "Ask", &("why",)).unwrap();
    test.machine
        .send_frame(now, &"{\"type\":6}\x1e".into())
        .unwrap();
    test.poll();
    let expected = r#"{"type":2,"invocationId":"1","item":7}|{"type":3,"invocationId":"1"}|{"type":3,"invocationId":"2","result":null}|{"type":1,"invocationId":"s1","target":"Ask","arguments":["why"]}|{"type":6}|"#;
    assert_eq!(test.sent(), expected);
}

#[test]
fn no_call_is_told_while_the_application_is_paused() {
    let mut test = permits(1);
    test.receive_json(&[&call("1", "a"), &call("2", "b")]);
    test.input(Input::ReadPaused);
    test.finish(test.last_call());
    assert_eq!(test.targets(), ["a"]);
    test.input(Input::ReadResumed);
    assert_eq!(test.targets(), ["a", "b"]);
}

fn nameless(target: &str, id: &str) -> String {
    format!(r#"{{"type":4,{id}"target":"{target}","arguments":[]}}"#)
}

#[test]
fn a_stream_without_an_id_is_passed_over_when_it_is_refused() {
    for id in ["", r#""invocationId":"","#] {
        let mut test = Test::open();
        let messages = json(&[&nameless("S", id), &call("1", "a")]);
        let (op, bytes) = (test.socket, messages.into());
        test.machine
            .handle_input(test.now, Input::Received { op, bytes });
        let mut heard = Vec::new();
        loop {
            match test.machine.poll_output() {
                Output::Event(Event::Held { call, invocation }) => {
                    heard.push((invocation.target.to_string(), invocation.invocation_id));
                    test.machine.refuse(test.now, call, Refusal::NoSuchMethod);
                }
                Output::Event(Event::Invocation { invocation, .. }) => {
                    heard.push((invocation.target.to_string(), invocation.invocation_id));
                }
                Output::Wait(_) => break,
                other @ (Output::Action(_) | Output::Event(_)) => panic!("{other:?}"),
            }
        }
        let expected = [("S".to_owned(), None), ("a".to_owned(), Some("1".into()))];
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_stream_without_an_id_that_is_not_refused_ends_the_connection() {
    let mut test = Test::open();
    test.receive_json(&[PING, &nameless("S", ""), &call("1", "a")]);
    assert!(matches!(
        test.events[..],
        [Event::Held { .. }, Event::Closed { .. }]
    ));
    let error = DecodeError {
        kind: DecodeErrorKind::Missing {
            member: "invocationId",
        },
        position: (HANDSHAKE.len() + PING.len() + 1) as u64,
    };
    assert_eq!(test.reason(), Some(&DisconnectReason::Protocol(error)));
}

#[test]
fn a_stream_that_lacks_more_than_its_id_ends_the_connection_at_once() {
    for message in [
        r#"{"type":4,"target":"S"}"#,
        r#"{"type":4,"arguments":[]}"#,
        r#"{"type":4,"target":"S","arguments":5}"#,
        r#"{"type":4,"invocationId":null,"target":"S","arguments":[]}"#,
        r#"{"type":4,"target":"S","arguments":[],"streamIds":5}"#,
    ] {
        let mut test = Test::open();
        test.receive_json(&[message]);
        assert!(
            matches!(test.events[..], [Event::Closed { .. }]),
            "{message}"
        );
    }
}
