//! Calls, streams, uploads and calls from the server, under a virtual clock.

use std::time::Duration;

use signalr_harness::script::Script;
use signalr_proto::client::{CallError, ClientConfig, Event, Ignored, Input, InvocationId};
use signalr_proto::codec::{ArgumentWriter, CompletionOutcome, HubArguments};
use signalr_proto::{CloseReason, DecodeErrorKind, EncodeError, Limits, Payload, SendError};

fn never(_: &mut ClientConfig) {}

/// The connected client with the calls made and sent.
fn invoked(targets: &[&str]) -> Script {
    let mut script = Script::connected(never);
    for target in targets {
        script.client.invoke(script.now, target, &()).unwrap();
    }
    script.poll();
    script.clear();
    script
}

fn completions(script: &mut Script) -> Vec<(u64, Result<Option<Payload>, CallError>)> {
    let events = script.take_events().into_iter();
    events
        .map(|event| {
            if let Event::Completion {
                invocation_id,
                outcome,
            } = event
            {
                (invocation_id.number(), outcome)
            } else {
                panic!("{event:?}")
            }
        })
        .collect()
}

/// Arguments of which some are streams.
struct WithStreams(usize);

impl HubArguments for WithStreams {
    fn stream_count(&self) -> usize {
        self.0
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.value("-")
    }
}

/// A value that cannot be written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

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
fn calls_without_a_connection_fail_at_once_and_write_nothing() {
    let mut script = Script::with(never);
    assert_eq!(
        script.client.invoke(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
    script.start();
    assert_eq!(
        script.client.send(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
    script.connect();
    script.clear();
    script.client.stop(script.now);
    assert_eq!(
        script.client.stream(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
}

#[test]
fn a_value_that_cannot_be_written_leaves_connection_and_ids_alone() {
    let mut script = Script::connected(never);
    assert!(matches!(
        script.client.invoke(script.now, "A", &(1, Unwritable)),
        Err(SendError::Encode(_))
    ));
    let call = script.client.invoke(script.now, "B", &()).unwrap();
    script.poll();
    assert_eq!(
        (call.id().number(), script.take_sent().contains("\"A\"")),
        (1, false)
    );
}

#[test]
fn too_much_that_waits_is_refused_until_there_is_room_again() {
    let mut script = Script::connected(|config| config.limits.max_outgoing_bytes = 1000);
    script.takes_sends = false;
    script
        .client
        .send(script.now, "Big", &("x".repeat(5000),))
        .unwrap();
    script.poll();
    assert!(matches!(
        script.client.send(script.now, "A", &()),
        Err(SendError::Full { limit: 1000, .. })
    ));
    script.take_sends();
    assert_eq!(script.take_events(), [Event::Writable]);
    script.client.send(script.now, "A", &()).unwrap();
}

#[test]
fn pending_calls_are_bounded() {
    let mut script = Script::connected(|config| config.limits.max_pending_invocations = 2);
    script.client.invoke(script.now, "A", &()).unwrap();
    script.client.invoke(script.now, "B", &()).unwrap();
    assert_eq!(
        script.client.invoke(script.now, "C", &()),
        Err(SendError::TooManyInvocations { limit: 2 })
    );
    script.client.send(script.now, "D", &()).unwrap();
}

#[test]
fn the_server_gets_its_answers_on_the_connection_that_asked_and_on_no_other() {
    let mut script = Script::connected(|config| {
        config.reconnect = signalr_proto::client::ReconnectPolicy::standard()
    });
    let ask = |script: &mut Script| {
        script.receive_json(r#"{"type":1,"invocationId":"s1","target":"Q","arguments":[1]}"#);
        match script.take_events().pop() {
            Some(Event::Invocation {
                reply_to: Some(reply_to),
                ..
            }) => reply_to,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (ask(&mut script), ask(&mut script));
    script
        .client
        .complete(script.now, first, CompletionOutcome::Result(&"yes"))
        .unwrap();
    script.poll();
    assert_eq!(
        script.take_sent(),
        "{\"type\":3,\"invocationId\":\"s1\",\"result\":\"yes\"}\u{1e}"
    );
    script.cut();
    script.advance(Duration::ZERO);
    script.connect();
    script.clear();
    let (error, _) = script
        .client
        .complete(script.now, second, CompletionOutcome::error("late"))
        .unwrap_err();
    script.poll();
    assert_eq!(
        (error, script.take_sent().as_str()),
        (SendError::UnknownId, "")
    );
}

#[test]
fn messages_that_servers_do_not_send_and_unknown_ones_are_passed_over() {
    let mut script = Script::connected(never);
    script.receive_json(r#"{"type":99}"#);
    script.receive_json(r#"{"type":5,"invocationId":"1"}"#);
    script.receive_json(r#"{"type":4,"invocationId":"1","target":"A","arguments":[]}"#);
    assert_eq!(
        script.take_events(),
        [
            Event::Ignored(Ignored::UnknownType),
            Event::Ignored(Ignored::NotForClients),
            Event::Ignored(Ignored::NotForClients)
        ]
    );
    script.receive(b"{\"type\":99}\x1e{\"type\":1,\"target\":\"after\",\"arguments\":[]}\x1e");
    assert!(
        matches!(&script.take_events()[..], [Event::Ignored(_), Event::Invocation { target, .. }] if target == "after")
    );
}

#[test]
fn messages_split_anywhere_are_put_together() {
    let text = "{\"type\":1,\"target\":\"é漢😀\",\"arguments\":[\"\\u001e\"]}\u{1e}{\"type\":6}\u{1e}{\"type\":1,\"target\":\"b\",\"arguments\":[]}\u{1e}";
    for cut in 0..text.len() {
        let mut script = Script::connected(never);
        script.receive(&text.as_bytes()[..cut]);
        script.receive(&text.as_bytes()[cut..]);
        let targets: Vec<_> = script
            .take_events()
            .into_iter()
            .map(|event| {
                if let Event::Invocation { target, .. } = event {
                    target.to_string()
                } else {
                    panic!("{event:?}")
                }
            })
            .collect();
        assert_eq!(targets, ["é漢😀", "b"], "cut at {cut}");
    }
}

#[test]
fn a_malformed_message_ends_the_connection_with_its_place_in_the_stream() {
    let mut script = invoked(&["A"]);
    script.receive(b"{\"type\":6}\x1e{\"type\":}\x1e{\"type\":3,\"invocationId\":\"1\"}\x1e");
    let events = script.take_events();
    let [
        Event::Completion {
            outcome: Err(CallError::ConnectionLost(_)),
            ..
        },
        Event::Closed {
            reason: CloseReason::Protocol(error),
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(error.position, 19);
}

#[test]
fn a_message_over_the_limit_ends_the_connection_before_it_is_complete() {
    let mut script = Script::connected(|config| {
        config.limits = Limits::CLIENT.with_max_message_size(100);
    });
    script.receive(&[b'x'; 101]);
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::Closed { reason: CloseReason::Protocol(error) }] if matches!(error.kind, DecodeErrorKind::TooLarge { limit: 100, .. })),
        "{events:?}"
    );
}

#[test]
fn bytes_that_are_handed_in_and_never_polled_are_bounded() {
    let mut script = Script::connected(|config| config.limits.max_incoming_bytes = 1000);
    let op = script.socket.unwrap();
    for _ in 0..20 {
        let bytes = vec![b' '; 100].into();
        script
            .client
            .handle_input(script.now, Input::Received { op, bytes });
    }
    assert!(script.client.incoming_bytes() <= 1000);
    script.poll();
    assert!(matches!(
        script.take_events().as_slice(),
        [Event::Closed {
            reason: CloseReason::IncomingLimit { .. }
        }]
    ));
}
