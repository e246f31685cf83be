//! Calls that are no longer wanted.

use super::*;

#[test]
fn cancelling_tells_the_server_once_and_silences_what_comes_late() {
    let mut script = Script::connected(never);
    let call = script.client.stream(script.now, "S", &()).unwrap();
    script.poll();
    script.clear();
    script.client.cancel(script.now, call.id());
    script.client.cancel(script.now, call.id());
    script.poll();
    assert_eq!(
        script.take_sent(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
    script.receive_json(r#"{"type":2,"invocationId":"1","item":1}"#);
    script.receive_json(r#"{"type":3,"invocationId":"1"}"#);
    assert_eq!(script.take_events(), []);
}

#[test]
fn cancelling_ends_the_uploads_that_are_open_in_the_official_words() {
    for streaming in [false, true] {
        let mut script = Script::connected(never);
        let arguments = WithStreams(3);
        let call = if streaming {
            script.client.stream(script.now, "S", &arguments).unwrap()
        } else {
            script.client.invoke(script.now, "S", &arguments).unwrap()
        };
        let streams: Vec<_> = call.streams().collect();
        script
            .client
            .end_stream(script.now, streams[1], None)
            .unwrap();
        script.poll();
        script.clear();
        script.client.cancel(script.now, call.id());
        script.client.cancel(script.now, call.id());
        script.poll();
        let expected = concat!(
            "{\"type\":5,\"invocationId\":\"4\"}\u{1e}",
            "{\"type\":3,\"invocationId\":\"1\",\"error\":\"Stream canceled by client.\"}\u{1e}",
            "{\"type\":3,\"invocationId\":\"3\",\"error\":\"Stream canceled by client.\"}\u{1e}",
        );
        assert_eq!(script.take_sent(), expected);
        assert_eq!(
            script.client.send_item(script.now, streams[0], &7),
            Err(SendError::UnknownId)
        );
    }
}

#[test]
fn a_call_that_fails_for_an_item_ends_its_uploads_too() {
    let mut script = Script::connected(never);
    script
        .client
        .invoke(script.now, "A", &WithStreams(1))
        .unwrap();
    script.poll();
    script.clear();
    script.receive_json(r#"{"type":2,"invocationId":"2","item":1}"#);
    assert_eq!(
        completions(&mut script),
        [(2, Err(CallError::UnexpectedItem))]
    );
    assert_eq!(
        script.take_sent(),
        "{\"type\":3,\"invocationId\":\"1\",\"error\":\"Stream canceled by client.\"}\u{1e}"
    );
}

#[test]
fn cancelling_after_the_completion_or_without_a_connection_sends_nothing() {
    let mut script = invoked(&["A", "B"]);
    script.receive_json(r#"{"type":3,"invocationId":"1"}"#);
    script
        .client
        .cancel(script.now, InvocationId::from_number(1));
    script.cut();
    script
        .client
        .cancel(script.now, InvocationId::from_number(2));
    script.poll();
    assert_eq!(script.take_sent(), "");
}
