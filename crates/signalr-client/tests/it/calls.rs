//! Calls, streams and uploads through the driver.

use core::time::Duration;

use futures_util::stream;
use signalr_client::{
    CallError, CallErrorKind, CloseReason, ConnectionState, Limits, ReconnectPolicy, Spread, Upload,
};

use crate::bench::{Bench, answer};

#[test]
fn calls_made_together_are_sent_together() {
    let mut bench = Bench::started(|builder| builder);
    let mut calls: Vec<_> = (0..64)
        .map(|number| bench.connection().invoke::<u32>("Echo", (number,)))
        .collect();
    bench.settle();
    let heard = bench.net.heard();
    assert_eq!((heard.len(), heard[0].matches('\u{1e}').count()), (1, 64));
    let answers: Vec<String> = (0..64).map(|number| answer(number + 1, number)).collect();
    bench.net.say(&answers.join("\u{1e}"));
    for (number, call) in (0..).zip(&mut calls) {
        assert_eq!(bench.poll(call), Some(Ok(number)));
    }
}

#[test]
fn a_deadline_counts_by_the_transports_clock_and_cancels_the_call() {
    let mut bench = Bench::started(|builder| builder);
    bench.net.advance(Duration::from_secs(10));
    let after = Duration::from_secs(3);
    let mut call = bench.connection().invoke::<u32>("Slow", ()).timeout(after);
    bench.settle();
    assert_eq!(bench.net.heard().len(), 1);
    bench.net.advance(Duration::from_millis(2999));
    assert_eq!(bench.poll(&mut call), None);
    bench.net.advance(Duration::from_millis(1));
    let late = bench.poll(&mut call).unwrap().unwrap_err();
    assert_eq!(late.kind(), &CallErrorKind::Timeout { after });
    bench.settle();
    assert_eq!(
        bench.net.heard().concat(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
}

#[test]
fn dropping_a_call_cancels_it_once_and_a_late_answer_is_ignored() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    assert_eq!(bench.poll(&mut call), None);
    bench.net.heard();
    drop(call);
    bench.settle();
    assert_eq!(
        bench.net.heard().concat(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
    bench.net.say(&answer(1, 5));
    let mut next = bench.connection().invoke::<u32>("Echo", (7,));
    bench.net.say(&answer(2, 7));
    assert_eq!(bench.poll(&mut next), Some(Ok(7)));
    drop(next);
    bench.settle();
    assert!(
        !bench.net.heard().concat().contains("\"type\":5"),
        "a finished call was cancelled"
    );
}

#[test]
fn a_send_is_done_when_the_transport_took_it_and_fails_when_it_never_will() {
    let mut bench = Bench::started(|builder| builder);
    bench.net.change(|world| world.jammed = true);
    let mut first = bench.connection().send("A", ());
    let mut second = bench.connection().send("B", ());
    assert_eq!(
        (bench.poll(&mut first), bench.poll(&mut second)),
        (None, None)
    );
    let mut third = bench.connection().send("C", ());
    bench.net.change(|world| world.jammed = false);
    assert_eq!(
        (
            bench.poll(&mut first),
            bench.poll(&mut second),
            bench.poll(&mut third)
        ),
        (Some(Ok(())), Some(Ok(())), Some(Ok(())))
    );
    bench.net.change(|world| world.jammed = true);
    let mut lost = bench.connection().send("D", ());
    assert_eq!(bench.poll(&mut lost), None);
    bench.net.change(|world| world.cut = true);
    let lost = bench.poll(&mut lost).unwrap().unwrap_err();
    assert!(matches!(lost.kind(), CallErrorKind::ConnectionLost(_)));
}

#[test]
fn a_stream_that_is_not_read_is_cancelled_where_its_items_are_bounded() {
    let mut bench = Bench::started(|builder| builder);
    let opening = bench.connection().stream::<u32>("Items", ()).max_waiting(3);
    let mut items = bench.finish(opening).unwrap();
    bench.settle();
    bench.net.heard();
    for number in 0..5 {
        bench.net.say(&format!(
            r#"{{"type":2,"invocationId":"1","item":{number}}}"#
        ));
    }
    bench.settle();
    let cancelled = "{\"type\":5,\"invocationId\":\"1\"}\u{1e}";
    assert_eq!(bench.net.heard(), [cancelled]);
    let mut taken = Vec::new();
    while let Some(item) = bench.finish(items.next()) {
        taken.push(item.map_err(CallError::into_kind));
    }
    let overflow = Err(CallErrorKind::StreamOverflow { limit: 3 });
    assert_eq!(taken, [Ok(0), Ok(1), Ok(2), overflow]);
    drop(items);
    bench.settle();
    assert!(bench.net.heard().is_empty());
}

#[test]
fn what_is_sent_while_nothing_else_happens_counts_from_then() {
    let second = Duration::from_secs(1);
    // The driver looks at it at once, or not before the next attempt is due as well.
    for at_once in [true, false] {
        let mut bench = Bench::started(|builder| {
            builder
                .automatic_reconnect(vec![10 * second])
                .offline_queue(1000, 2 * second)
        });
        bench.net.change(|world| world.cut = true);
        bench.settle();
        assert_eq!(bench.connection().state(), ConnectionState::Reconnecting);
        bench.net.advance(9 * second);
        bench.settle();
        let mut sending = bench.connection().send("Late", ());
        if at_once {
            assert_eq!(bench.poll(&mut sending), Some(Ok(())));
        }
        bench.net.advance(second);
        bench.settle();
        assert_eq!(bench.connection().state(), ConnectionState::Connected);
        let heard = bench.net.heard().concat();
        assert!(heard.contains("\"Late\""), "{at_once}: {heard}");
    }
}

#[test]
fn with_room_for_nothing_messages_go_out_one_by_one() {
    for limit in [0, 1] {
        let limits = Limits::CLIENT.with_max_outgoing_bytes(limit);
        let mut bench = Bench::started(|builder| builder.limits(limits));
        let upload = Upload::new(stream::iter([1, 2]));
        let mut sum = bench.connection().invoke::<u32>("Sum", (upload,));
        assert_eq!(bench.poll(&mut sum), None);
        let heard = bench.net.heard().concat();
        assert_eq!(heard.matches(r#""item":"#).count(), 2, "{limit}: {heard}");
        assert!(
            heard.contains(r#"{"type":3,"invocationId":"1"}"#),
            "{heard}"
        );
    }
}

#[test]
fn calls_beyond_the_outgoing_limit_wait_for_room_and_keep_their_arguments() {
    let limits = Limits::CLIENT.with_max_outgoing_bytes(100);
    let mut bench = Bench::started(|builder| builder.limits(limits));
    bench.net.change(|world| world.jammed = true);
    let mut calls: Vec<_> = (0..5)
        .map(|number| bench.connection().send("Echo", (number, "x".repeat(60))))
        .collect();
    let upload = Upload::new(stream::iter([1]));
    let mut with_upload = bench.connection().invoke::<u32>("Sum", (5, upload));
    assert_eq!(bench.poll(&mut calls[4]), None);
    assert_eq!(bench.poll(&mut with_upload), None);
    bench.net.change(|world| world.jammed = false);
    assert!(
        calls
            .iter_mut()
            .all(|call| bench.poll(call) == Some(Ok(())))
    );
    assert_eq!(bench.poll(&mut with_upload), None);
    bench.settle();
    let heard = bench.net.heard().concat();
    assert!(
        (0..5).all(|number| heard.contains(&format!("[{number},\"xxx"))),
        "{heard}"
    );
    assert!(
        heard.contains(r#""target":"Sum","arguments":[5],"streamIds":["1"]"#),
        "{heard}"
    );
    assert!(
        heard.contains(r#"{"type":2,"invocationId":"1","item":1}"#),
        "{heard}"
    );
    assert!(
        heard.contains(r#"{"type":3,"invocationId":"1"}"#),
        "{heard}"
    );
}

/// An argument whose serialization panics half-way.
struct Explosive;

impl serde::Serialize for Explosive {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as it must")
    }
}

#[test]
fn a_panic_while_values_are_serialized_is_an_error_of_that_value_alone() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    connection.on("Ask", || Explosive);
    let bad = bench.finish(connection.invoke::<u32>("Bad", (1, Explosive)));
    let words = "a value cannot be serialized: its Serialize implementation panicked";
    let bad = bad.unwrap_err();
    assert_eq!(bad.method(), "Bad");
    let CallErrorKind::Encode(cause) = bad.kind() else {
        panic!("{bad:?}");
    };
    assert_eq!(cause.to_string(), words);
    let upload = Upload::new(stream::iter([Explosive]));
    assert_eq!(bench.finish(connection.send("Upload", (upload,))), Ok(()));
    bench.settle();
    let heard = bench.net.heard().concat();
    assert!(
        heard.ends_with(&format!(
            "\"error\":\"Stream errored by client: '{words}'\"}}\u{1e}"
        )),
        "{heard}"
    );
    bench
        .net
        .say(r#"{"type":1,"invocationId":"s1","target":"Ask","arguments":[]}"#);
    bench.settle();
    let told = "{\"type\":3,\"invocationId\":\"s1\",\"error\":\"The client's result could not be serialized.\"}\u{1e}";
    assert_eq!(bench.net.heard().concat(), told);
}

#[test]
fn a_call_that_waits_for_room_is_told_why_its_connection_ended() {
    let mut small = Limits::CLIENT;
    small.max_outgoing_bytes = 100;
    for end in [0, 1, 2] {
        let mut bench = Bench::started(|builder| builder.limits(small));
        bench.net.change(|world| world.jammed = true);
        let mut sent = bench.connection().send("Big", ("x".repeat(200),));
        assert_eq!(bench.poll(&mut sent), None);
        let mut waiting = bench.connection().invoke::<u32>("Next", ());
        let mut sending = bench.connection().send("Last", ());
        assert_eq!(bench.poll(&mut waiting), None);
        assert_eq!(bench.poll(&mut sending), None);
        let connection = bench.connection().clone();
        match end {
            0 => bench.net.change(|world| world.cut = true),
            1 => bench.driver = None,
            _ => {
                let mut stopping = Box::pin(connection.stop());
                assert_eq!(bench.poll(&mut stopping), None);
                bench.net.advance(Duration::from_secs(5));
                assert_eq!(bench.poll(&mut stopping), Some(()));
            }
        }
        let Some(Err(reason)) = bench.poll(&mut sent) else {
            panic!("the message cannot have been sent")
        };
        let expected = match end {
            1 => matches!(reason.kind(), CallErrorKind::DriverGone),
            _ => matches!(reason.kind(), CallErrorKind::ConnectionLost(_)),
        };
        assert!(expected, "{reason}");
        let waited = bench.poll(&mut waiting).unwrap().unwrap_err();
        assert_eq!((waited.method(), waited.kind()), ("Next", reason.kind()));
        let sent = bench.poll(&mut sending).unwrap().unwrap_err();
        assert_eq!((sent.method(), sent.kind()), ("Last", reason.kind()));
        // Who comes later is told what to do.
        if end != 1 {
            let late = bench.finish(connection.send("Late", ()));
            assert_eq!(late.unwrap_err().kind(), &CallErrorKind::NotConnected);
        }
    }
}

#[test]
fn a_message_for_which_the_offline_queue_had_no_room_goes_out_when_there_is_a_connection() {
    let seconds = Duration::from_secs;
    let mut bench = Bench::started(|builder| {
        builder
            .automatic_reconnect(ReconnectPolicy::Delays([seconds(5)].into()))
            .offline_queue(100, seconds(60))
    });
    bench.net.change(|world| world.cut = true);
    bench.settle();
    let mut first = bench.connection().send("First", ("x".repeat(80),));
    assert_eq!(bench.poll(&mut first), Some(Ok(())));
    let mut second = bench.connection().send("Second", ("y".repeat(80),));
    assert_eq!(bench.poll(&mut second), None);
    bench.net.heard();
    bench.net.advance(seconds(5));
    assert_eq!(bench.poll(&mut second), Some(Ok(())));
    let heard = bench.net.heard().concat();
    assert!(
        heard.contains("First") && heard.contains("Second"),
        "{heard}"
    );
}

#[test]
fn a_message_for_which_the_offline_queue_had_no_room_is_told_why_there_is_no_connection() {
    let seconds = Duration::from_secs;
    let mut bench = Bench::started(|builder| {
        builder
            .automatic_reconnect(ReconnectPolicy::Delays([seconds(5)].into()))
            .offline_queue(100, seconds(60))
    });
    bench.net.change(|world| world.cut = true);
    bench.settle();
    let mut first = bench.connection().send("First", ("x".repeat(80),));
    assert_eq!(bench.poll(&mut first), Some(Ok(())));
    let mut second = bench.connection().send("Second", ("y".repeat(80),));
    assert_eq!(bench.poll(&mut second), None);
    let connection = bench.connection().clone();
    bench.finish(connection.stop());
    let second = bench.poll(&mut second).unwrap().unwrap_err();
    let stopped = CallErrorKind::ConnectionLost(CloseReason::Stopped);
    assert_eq!(second.into_kind(), stopped);
}

#[test]
fn a_call_that_is_given_up_ends_its_uploads() {
    for timeout in [false, true] {
        let mut bench = Bench::started(|builder| builder);
        let upload = Upload::new(stream::pending::<u32>());
        let mut call = bench.connection().invoke::<u32>("Sum", (upload,));
        if timeout {
            call = call.timeout(Duration::from_secs(1));
        }
        assert_eq!(bench.poll(&mut call), None);
        bench.net.heard();
        if timeout {
            bench.net.advance(Duration::from_secs(1));
            assert!(bench.poll(&mut call).is_some());
        } else {
            drop(call);
        }
        bench.settle();
        assert_eq!(
            bench.net.heard().concat(),
            concat!(
                "{\"type\":5,\"invocationId\":\"2\"}\u{1e}",
                "{\"type\":3,\"invocationId\":\"1\",\"error\":\"Stream canceled by client.\"}\u{1e}"
            )
        );
    }
}

#[test]
fn a_list_is_one_argument_unless_it_is_spread() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    bench.net.heard();
    let one = connection.send("One", (vec![1, 2],));
    let many = connection.send("Many", Spread(vec![1, 2]));
    let array = connection.send("Array", Spread(["a"]));
    let slice = connection.send("Slice", Spread([true].as_slice()));
    for sent in [one, many, array, slice] {
        assert_eq!(bench.finish(sent), Ok(()));
    }
    let heard = bench.net.heard().concat();
    for arguments in ["[[1,2]]", "[1,2]", "[\"a\"]", "[true]"] {
        let arguments = format!("\"arguments\":{arguments}}}");
        assert!(heard.contains(&arguments), "{arguments} in {heard}");
    }
}

#[test]
fn a_call_whose_result_does_not_matter_needs_no_type() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    let mut called = connection.call("Heartbeat", ());
    assert_eq!(bench.poll(&mut called), None);
    bench
        .net
        .say(r#"{"type":3,"invocationId":"1","result":{"x":1}}"#);
    assert_eq!(bench.finish(called), Ok(()));
}

#[test]
fn a_result_among_the_items_of_an_upload_is_an_outcome() {
    let mut bench = Bench::started(|builder| builder);
    let items = stream::iter([Ok(1), Err("the sensor broke".to_owned())]);
    let upload = Upload::new(items);
    let sent = bench.connection().send("Upload", (upload,));
    assert_eq!(bench.finish(sent), Ok(()));
    bench.settle();
    let heard = bench.net.heard().concat();
    assert!(heard.contains("\"item\":1}"), "{heard}");
    assert!(
        heard.contains("Stream errored by client: 'the sensor broke'"),
        "{heard}"
    );
}
