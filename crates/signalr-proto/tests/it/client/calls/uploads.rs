//! Streams to the server.

use super::*;

#[test]
fn uploads_get_their_ids_before_the_call_and_end_with_it() {
    let mut script = Script::connected(never);
    let call = script
        .client
        .invoke(script.now, "Join", &WithStreams(2))
        .unwrap();
    let streams: Vec<_> = call.streams().collect();
    script.client.send_item(script.now, streams[1], &7).unwrap();
    script
        .client
        .end_stream(script.now, streams[0], Some("gone"))
        .unwrap();
    script.poll();
    let expected = concat!(
        "{\"type\":1,\"invocationId\":\"3\",\"target\":\"Join\",\"arguments\":[\"-\"],\"streamIds\":[\"1\",\"2\"]}\u{1e}",
        "{\"type\":2,\"invocationId\":\"2\",\"item\":7}\u{1e}",
        "{\"type\":3,\"invocationId\":\"1\",\"error\":\"gone\"}\u{1e}"
    );
    assert_eq!(script.take_sent(), expected);
    assert_eq!(
        script.client.send_item(script.now, streams[0], &7),
        Err(SendError::UnknownId)
    );
    script.receive_json(r#"{"type":3,"invocationId":"3"}"#);
    assert_eq!(
        script.client.send_item(script.now, streams[1], &7),
        Err(SendError::UnknownId)
    );
    assert_eq!(
        script.client.end_stream(script.now, streams[1], None),
        Err(SendError::UnknownId)
    );
}

#[test]
fn uploads_of_a_send_go_on_until_they_end_or_the_connection_does() {
    let mut script = Script::connected(never);
    let call = script
        .client
        .send(script.now, "Sum", &WithStreams(1))
        .unwrap();
    let stream = call.streams().next().unwrap();
    script.client.send_item(script.now, stream, &1).unwrap();
    script.cut();
    assert_eq!(
        script.client.send_item(script.now, stream, &1),
        Err(SendError::NotConnected)
    );
}

#[test]
fn stop_ends_the_uploads_of_calls_and_of_sends() {
    let mut script = Script::connected(never);
    let streams = [
        script.client.invoke(script.now, "A", &WithStreams(1)),
        script.client.send(script.now, "B", &WithStreams(1)),
    ]
    .map(|call| call.unwrap().streams().next().unwrap());
    script.client.stop(script.now);
    for stream in streams {
        assert_eq!(
            script.client.send_item(script.now, stream, &1),
            Err(SendError::NotConnected)
        );
        assert_eq!(
            script.client.end_stream(script.now, stream, None),
            Err(SendError::NotConnected)
        );
    }
    script.poll();
    assert!(!script.take_sent().contains("\"type\":2"));
}
