//! What lies inside of arguments, results and items.

use super::*;

#[test]
fn json_may_nest_64_deep_even_where_nobody_looks() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The message is one level, and `arguments` another.
    let in_arguments = |depth| {
        json(&format!(
            r#"{{"type":1,"target":"x","arguments":[{}]}}"#,
            nested(depth)
        ))
    };
    assert!(in_arguments(62).is_ok());
    assert_eq!(
        in_arguments(63),
        Err(DecodeErrorKind::TooDeep { limit: 64 })
    );
    let ignored = |depth| json(&format!(r#"{{"type":6,"x":{}}}"#, nested(depth)));
    assert!(ignored(63).is_ok());
    assert_eq!(ignored(64), Err(DecodeErrorKind::TooDeep { limit: 64 }));
    assert!(ignored(1_000_000).is_err());
    let read = invocation(in_arguments(62));
    assert_eq!(read.arguments.len(), Ok(1));
    assert!(read.arguments.decode::<(serde::de::IgnoredAny,)>().is_ok());
}

#[test]
fn bad_text_inside_a_json_payload_fails_that_payload_only() {
    let surrogate = invocation(json(r#"{"type":1,"target":"x","arguments":["\ud800",2]}"#));
    assert!(surrogate.arguments.decode::<(String, i32)>().is_err());
    assert_eq!(surrogate.arguments.len(), Ok(2));
    assert_eq!(surrogate.arguments.payloads().unwrap()[1].decode(), Ok(2));
    let body = b"{\"type\":1,\"target\":\"x\",\"arguments\":[\"\xff\xfe\"]}";
    let read = invocation(decode(Protocol::Json, Role::Server, body).map_err(|error| error.kind));
    assert!(read.arguments.decode::<(String,)>().is_err());
    // In the envelope nothing could be done with it.
    assert!(
        decode(
            Protocol::Json,
            Role::Server,
            b"{\"type\":5,\"invocationId\":\"\xff\"}"
        )
        .is_err()
    );
    all_refused(&[
        r#"{"type":5,"invocationId":"\ud800"}"#,
        r#"{"type":5,"invocationId":"1","headers":{"\udc00":"x"}}"#,
    ]);
}

#[test]
fn malformed_json_in_a_payload_fails_the_message() {
    all_refused(&[
        r#"{"type":1,"target":"x","arguments":[1,}"#,
        r#"{"type":1,"target":"x","arguments":[01]}"#,
        r#"{"type":2,"invocationId":"1","item":tru}"#,
        r#"{"type":2,"invocationId":"1","item":"\x"}"#,
        "{\"type\":2,\"invocationId\":\"1\",\"item\":\"\n\"}",
    ]);
}

#[test]
fn malformed_msgpack_payloads_leave_the_envelope_standing() {
    // Counts that the frame cannot hold, in an argument and in the list itself, and the stream ids lost behind them.
    for digits in [
        "960180a131a44563686f91ddffffffff90",
        "960180a131a44563686fddffffffff90",
        "960180a131a44563686f91c191a139",
        "960180a131a44563686f91dbffffffff",
    ] {
        let read = invocation(msgpack(digits));
        assert_eq!(
            (
                &*read.target,
                read.invocation_id.as_deref(),
                read.stream_ids.len()
            ),
            ("Echo", Some("1"), 0)
        );
        assert!(read.arguments.len().is_err());
        assert!(read.arguments.payloads().is_err());
        assert!(read.arguments.decode::<(serde::de::IgnoredAny,)>().is_err());
    }
    // Arguments that are no array.
    let read = invocation(msgpack("960180a131a44563686f2a91a139"));
    assert_eq!(read.stream_ids, ["9"]);
    assert!(read.arguments.decode::<()>().is_err());
    let Ok(Some(HubMessage::StreamItem { item, .. })) = msgpack("940280a131a5616263") else {
        panic!()
    };
    assert!(item.decode::<String>().is_err());
    assert!(
        matches!(outcome(msgpack("950380a13103ddffffffff")), Outcome::Result(result) if result.decode::<Vec<u8>>().is_err())
    );
    // But there has to be something.
    for digits in ["960180a131a44563686f", "940280a131", "950380a13103"] {
        let read = decode(Protocol::MessagePack, Role::Client, hex(digits));
        assert!(read.is_err(), "{digits}");
    }
}

#[test]
fn arguments_and_items_in_msgpack_that_are_not_there_fail_their_call_or_upload_only() {
    for digits in [
        "960180a131a44563686f",
        "950480a131a44563686f",
        "940180a131a44563686f",
    ] {
        let read = invocation(msgpack(digits));
        assert_eq!((&*read.target, read.stream_ids.len()), ("Echo", 0));
        assert!(read.arguments.len().is_err() && read.arguments.payloads().is_err());
        assert!(read.arguments.decode::<()>().is_err());
    }
    for digits in ["940280a131", "930280a131"] {
        let Ok(Some(HubMessage::StreamItem { item, .. })) = msgpack(digits) else {
            panic!("{digits}")
        };
        assert!(!item.is_null() && item.decode::<Option<i32>>().is_err());
    }
    for digits in [
        "930180a131",
        "920280",
        "950380a13103",
        "940380a13103",
        "950380a13101",
    ] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
}

#[test]
fn msgpack_payloads_may_nest_256_deep() {
    let nested = |depth: usize| {
        invocation(msgpack(&format!(
            "960180a131a44563686f91{}c091a139",
            "91".repeat(depth)
        )))
    };
    for depth in [200, 256, 257, 600, 100_000] {
        let read = nested(depth);
        assert_eq!(read.stream_ids, ["9"]);
        assert_eq!(
            read.arguments.decode::<(serde::de::IgnoredAny,)>().is_ok(),
            depth <= 256,
            "{depth}"
        );
        assert_eq!(read.arguments.len(), Ok(1));
    }
}

#[test]
fn bad_text_in_a_msgpack_envelope_gets_replacement_characters() {
    let read = invocation(msgpack("960181a1ffa1fec0a261ff9090"));
    assert_eq!(read.target, "a\u{fffd}");
    assert_eq!(read.headers, [("\u{fffd}".into(), "\u{fffd}".into())]);
    let Ok(Some(HubMessage::StreamItem { item, .. })) = msgpack("940280a131a1ff") else {
        panic!()
    };
    assert!(item.decode::<String>().is_err());
}

#[test]
fn unknown_extensions_do_not_disturb_the_envelope() {
    for extension in [
        "d42a07",
        "d52a0000",
        "d62a00000000",
        "d72a0000000000000000",
        "c7032a010203",
        "c800012a01",
        "c9000000012a01",
    ] {
        let read = invocation(msgpack(&format!(
            "960180a131a44563686f92{extension}0591a139"
        )));
        assert_eq!(read.stream_ids, ["9"], "{extension}");
        assert_eq!(read.arguments.payloads().unwrap()[1].decode(), Ok(5));
    }
}

#[test]
fn errors_tell_where_and_never_what() {
    let error = decode(
        Protocol::Json,
        Role::Server,
        r#"{"type":1,"target":"secret","arguments":[1 2]}"#,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message: expected ',' or the end of the array or object at byte 43"
    );
    let error = decode(
        Protocol::Json,
        Role::Server,
        r#"{"type":1,"target":["secret"],"arguments":[]}"#,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected 'target' to be a string at byte 19"
    );
    let error = decode(
        Protocol::MessagePack,
        Role::Server,
        hex("960180a131 2a 9090"),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected 'target' to be a string at byte 5"
    );
}

#[test]
fn payloads_and_strings_are_slices_of_the_frame() {
    let frame = Bytes::from_static(br#"{"type":1,"target":"Send","arguments":[ "x" ,2]}"#);
    let Ok(Some(HubMessage::Invocation(read))) = Protocol::Json.decode(Role::Client, &frame) else {
        panic!()
    };
    let within = |bytes: &[u8]| frame.as_ptr_range().contains(&bytes.as_ptr());
    assert!(within(read.target.as_bytes()) && within(read.arguments.as_bytes()));
    assert_eq!(read.arguments.as_bytes(), br#"[ "x" ,2]"#);
    for payload in read.arguments.payloads().unwrap() {
        assert!(within(payload.as_bytes()));
    }
}

/// The official server fails the one call.
#[test]
fn arguments_that_swallow_the_stream_ids_are_the_fault_of_their_call() {
    // Two arguments that say that they are three, and no stream ids behind them.
    let frame = Bytes::from_static(b"\x96\x01\x80\xa11\xa3Add\x93\x01\x02\x90");
    let read = Protocol::MessagePack.decode(Role::Server, &frame);
    let Ok(Some(HubMessage::Invocation(invocation))) = read else {
        panic!("{read:?}");
    };
    assert_eq!(invocation.arguments.len(), Ok(3));
    assert!(invocation.stream_ids.is_empty());
    assert!(Protocol::MessagePack.decode(Role::Client, &frame).is_err());
}
