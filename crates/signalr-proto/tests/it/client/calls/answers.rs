//! Completions and items.

use super::*;

#[test]
fn calls_are_written_in_order_and_joined_into_one_batch() {
    let mut script = Script::connected(never);
    script.takes_sends = false;
    script.client.send(script.now, "A", &(1,)).unwrap();
    script.poll();
    script.client.invoke(script.now, "B", &("x", true)).unwrap();
    script.client.stream(script.now, "C", &()).unwrap();
    script.poll();
    assert_eq!(
        script.take_sent(),
        "{\"type\":1,\"target\":\"A\",\"arguments\":[1]}\u{1e}"
    );
    script.take_sends();
    let expected = concat!(
        "{\"type\":1,\"invocationId\":\"1\",\"target\":\"B\",\"arguments\":[\"x\",true]}\u{1e}",
        "{\"type\":4,\"invocationId\":\"2\",\"target\":\"C\",\"arguments\":[]}\u{1e}"
    );
    assert_eq!(
        (script.take_sent().as_str(), script.actions.len()),
        (expected, 2)
    );
}

#[test]
fn positions_tell_when_a_message_was_handed_over() {
    let mut script = Script::connected(never);
    script.takes_sends = false;
    let first = script.client.send(script.now, "A", &()).unwrap();
    script.poll();
    let second = script.client.send(script.now, "B", &()).unwrap();
    script.poll();
    assert!(script.client.sent_position() < first.position());
    script.take_send();
    assert!(
        script.client.sent_position() >= first.position()
            && script.client.sent_position() < second.position()
    );
}

#[test]
fn completions_out_of_order_reach_their_calls() {
    let mut script = invoked(&["A", "B", "C", "D"]);
    script.receive_json(r#"{"type":3,"invocationId":"3","result":"c"}"#);
    script.receive_json(r#"{"type":3,"invocationId":"1"}"#);
    script.receive_json(r#"{"type":3,"invocationId":"2","error":"no"}"#);
    script.receive_json(r#"{"type":3,"invocationId":"4","error":""}"#);
    let all = completions(&mut script);
    assert_eq!(all[0].0, 3);
    assert_eq!(
        all[0]
            .1
            .as_ref()
            .unwrap()
            .as_ref()
            .unwrap()
            .decode::<String>()
            .unwrap(),
        "c"
    );
    assert_eq!(
        all[1..],
        [
            (1, Ok(None)),
            (2, Err(CallError::Server { error: "no".into() })),
            (4, Ok(None))
        ]
    );
}

#[test]
fn unsolicited_completions_and_items_are_reported_and_change_nothing() {
    let mut script = invoked(&["A"]);
    for id in ["2", "01", "s1", "0"] {
        script.receive_json(&format!(r#"{{"type":3,"invocationId":"{id}"}}"#));
        script.receive_json(&format!(r#"{{"type":2,"invocationId":"{id}","item":1}}"#));

        assert_eq!(
            script.take_events(),
            [
                Event::Ignored(Ignored::Completion {
                    invocation_id: bytestring(id)
                }),
                Event::Ignored(Ignored::StreamItem {
                    invocation_id: bytestring(id)
                })
            ]
        );
    }
    script.receive_json(r#"{"type":3,"invocationId":"1"}"#);
    assert_eq!(completions(&mut script), [(1, Ok(None))]);
}

fn bytestring(text: &str) -> bytestring::ByteString {
    text.into()
}

#[test]
fn an_item_for_a_plain_call_fails_that_call_only() {
    let mut script = invoked(&["A", "B"]);
    script.receive_json(r#"{"type":2,"invocationId":"1","item":1}"#);
    script.receive_json(r#"{"type":3,"invocationId":"1"}"#);
    script.receive_json(r#"{"type":3,"invocationId":"2"}"#);
    assert_eq!(
        completions(&mut script),
        [(1, Err(CallError::UnexpectedItem)), (2, Ok(None))]
    );
}

#[test]
fn items_come_in_order_and_the_completion_after_them() {
    let mut script = Script::connected(never);
    script.client.stream(script.now, "S", &()).unwrap();
    script.receive(b"{\"type\":2,\"invocationId\":\"1\",\"item\":0}\x1e{\"type\":2,\"invocationId\":\"1\",\"item\":null}\x1e{\"type\":3,\"invocationId\":\"1\",\"error\":\"end\"}\x1e");
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::StreamItem { item, .. }, Event::StreamItem { item: null, .. }, Event::Completion { outcome: Err(CallError::Server { error }), .. }]
        if item.as_bytes() == b"0" && null.is_null() && &**error == "end"),
        "{events:?}"
    );
}

#[test]
fn a_stream_that_completes_with_a_result_fails_unless_the_result_is_null() {
    for (result, expected) in [("5", Err(CallError::ResultOfStream)), ("null", Ok(None))] {
        let mut script = Script::connected(never);
        script.client.stream(script.now, "S", &()).unwrap();
        script.receive_json(&format!(
            r#"{{"type":3,"invocationId":"1","result":{result}}}"#
        ));
        assert_eq!(completions(&mut script), [(1, expected)]);
    }
}
