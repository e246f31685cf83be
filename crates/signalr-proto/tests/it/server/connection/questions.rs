//! Questions to the client.

use super::*;
use signalr_proto::Payload;
use signalr_proto::codec::Outcome;

fn answer(id: &str) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}","result":5}}"#)
}

fn event(id: &str) -> Event {
    Event::Completion {
        invocation_id: id.into(),
        outcome: Outcome::Result(Payload::new(Protocol::Json, Bytes::from_static(b"5"))),
    }
}

#[test]
fn a_question_is_answered_once() {
    let mut test = Test::open();
    test.machine.invoke(test.now, "s1", "Ask", &(1,)).unwrap();
    test.poll();
    assert_eq!(
        test.sent(),
        r#"{"type":1,"invocationId":"s1","target":"Ask","arguments":[1]}|"#
    );
    test.receive_json(&[&answer("s1"), &answer("s1")]);
    let unknown = Event::UnknownCompletion {
        invocation_id: "s1".into(),
    };
    assert_eq!(test.events, [event("s1"), unknown]);
}

#[test]
fn answers_may_be_errors_or_nothing() {
    let mut test = Test::open();
    for id in ["a", "b"] {
        test.machine.invoke(test.now, id, "Ask", &()).unwrap();
    }
    test.receive_json(&[
        r#"{"type":3,"invocationId":"b","error":"no"}"#,
        r#"{"type":3,"invocationId":"a"}"#,
    ]);
    let answer = |id: &str, outcome| Event::Completion {
        invocation_id: id.into(),
        outcome,
    };
    assert_eq!(
        test.events,
        [
            answer("b", Outcome::Error("no".into())),
            answer("a", Outcome::Void)
        ]
    );
}

#[test]
fn frames_that_were_encoded_before_can_be_questions() {
    let mut test = Test::open();
    test.machine
        .invoke_frame(test.now, "s1", &"{\"type\":1}\x1e".into())
        .unwrap();
    test.poll();
    assert_eq!(test.sent(), r#"{"type":1}|"#);
    test.receive_json(&[&answer("s1")]);
    assert_eq!(test.events, [event("s1")]);
}

#[test]
fn the_answer_to_a_forgotten_question_is_unknown() {
    let mut test = Test::open();
    test.machine.invoke(test.now, "s1", "Ask", &()).unwrap();
    test.machine.forget_result(test.now, "s1");
    test.receive_json(&[&answer("s1"), &answer("s2")]);
    let unknown = |id: &str| Event::UnknownCompletion {
        invocation_id: id.into(),
    };
    assert_eq!(test.events, [unknown("s1"), unknown("s2")]);
    assert_eq!(test.reason(), None);
}

#[test]
fn a_question_that_could_not_be_sent_was_not_asked() {
    let mut config = config();
    config.limits.max_outgoing_bytes = 10;
    let mut test = Test::open_with(config);
    test.takes = false;
    test.say("a");
    assert!(matches!(
        test.machine.invoke(test.now, "s1", "Ask", &()),
        Err(SendError::Full { .. })
    ));
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    test.receive_json(&[&answer("s1")]);
    let unknown = Event::UnknownCompletion {
        invocation_id: "s1".into(),
    };
    assert_eq!(test.events, [Event::Writable, unknown]);
}

#[test]
fn a_client_that_is_not_welcomed_yet_cannot_be_asked() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    let asked = |test: &mut Test| test.machine.invoke(test.now, "s1", "Ask", &());
    assert_eq!(asked(&mut test), Err(SendError::NotConnected));
    test.receive(HANDSHAKE);
    assert_eq!(asked(&mut test), Err(SendError::NotWelcomed));
    assert_eq!(
        SendError::NotWelcomed.to_string(),
        "Client results inside OnConnectedAsync Hub methods are not allowed."
    );
    let frame = test.machine.invoke_frame(test.now, "s1", &"x".into());
    assert_eq!(frame, Err(SendError::NotWelcomed));
    test.machine.accept(test.now);
    assert_eq!(asked(&mut test), Ok(()));
    test.machine.close(test.now, false);
    assert_eq!(asked(&mut test), Err(SendError::NotConnected));
}

#[test]
fn an_id_that_names_an_upload_and_a_question_is_the_uploads() {
    let mut test = Test::open();
    test.receive_json(&[r#"{"type":1,"target":"U","arguments":[],"streamIds":["s1"]}"#]);
    test.machine.invoke(test.now, "s1", "Ask", &()).unwrap();
    test.events.clear();
    test.receive_json(&[&answer("s1"), &answer("s1")]);
    assert!(matches!(
        &*test.events,
        [Event::UploadEnded { .. }, Event::Completion { .. }]
    ));
}

#[test]
fn a_question_within_the_only_call_is_answered_behind_another_call() {
    let mut test = Test::open_with(ServerConfig::default());
    test.receive_json(&[CALL]);
    let call = test.last_call();
    test.machine.release(test.now, call);
    test.machine.invoke(test.now, "s1", "Ask", &()).unwrap();
    test.receive_json(&[CALL, &answer("s1")]);
    assert_eq!(test.events.last(), Some(&event("s1")));
}
