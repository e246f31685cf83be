//! Members of the single messages.

use super::*;

#[test]
fn an_empty_id_wants_no_answer_on_plain_invocations_only() {
    assert_eq!(
        invocation(json(
            r#"{"type":1,"invocationId":"","target":"x","arguments":[]}"#
        ))
        .invocation_id,
        None
    );
    for digits in ["960180c0a1789090", "960180a0a1789090"] {
        assert_eq!(invocation(msgpack(digits)).invocation_id, None);
    }
    all_refused(&[
        r#"{"type":1,"invocationId":null,"target":"x","arguments":[]}"#,
        r#"{"type":1,"invocationId":1,"target":"x","arguments":[]}"#,
        r#"{"type":4,"target":"x","arguments":[]}"#,
        r#"{"type":4,"invocationId":"","target":"x","arguments":[]}"#,
        r#"{"type":4,"invocationId":null,"target":"x","arguments":[]}"#,
        r#"{"type":2,"item":1}"#,
        r#"{"type":2,"invocationId":"","item":1}"#,
        r#"{"type":3}"#,
        r#"{"type":3,"invocationId":""}"#,
        r#"{"type":5}"#,
        r#"{"type":5,"invocationId":null}"#,
        r#"{"type":5,"invocationId":5}"#,
    ]);
    for digits in [
        "960180 01 a1789090",
        "960480c0a1789090",
        "960480a0a1789090",
        "940280c001",
        "940280a001",
        "940380c002",
        "930580a0",
        "93058001",
    ] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
}

#[test]
fn a_stream_item_may_be_null_but_not_absent() {
    assert_eq!(
        json(r#"{"type":2,"invocationId":"1"}"#),
        Err(DecodeErrorKind::Missing { member: "item" })
    );
    assert_eq!(
        decode(Protocol::MessagePack, Role::Client, hex("930280a131")).map_err(|error| error.kind),
        Err(DecodeErrorKind::Missing { member: "item" })
    );
    for decoded in [
        json(r#"{"type":2,"invocationId":"1","item": null }"#),
        msgpack("940280a131c0"),
    ] {
        let Ok(Some(HubMessage::StreamItem { item, .. })) = decoded else {
            panic!()
        };
        assert!(item.is_null());
        assert_eq!(item.decode::<Option<i32>>(), Ok(None));
    }
}

#[test]
fn completions_have_a_result_or_an_error_or_neither() {
    assert_eq!(
        outcome(json(r#"{"type":3,"invocationId":"1"}"#)),
        Outcome::Void
    );
    assert_eq!(
        outcome(json(r#"{"type":3,"invocationId":"1","error":null}"#)),
        Outcome::Void
    );
    assert!(
        matches!(outcome(json(r#"{"type":3,"invocationId":"1","result":null}"#)), Outcome::Result(null) if null.is_null())
    );
    assert!(matches!(
        outcome(json(
            r#"{"type":3,"invocationId":"1","result":0,"error":null}"#
        )),
        Outcome::Result(_)
    ));
    assert_eq!(
        outcome(json(
            r#"{"type":3,"invocationId":"1","error":"e","result":null}"#
        )),
        Outcome::Error("e".into())
    );
    for decoded in [
        json(r#"{"type":3,"invocationId":"1","error":""}"#),
        msgpack("950380a13101a0"),
    ] {
        assert_eq!(outcome(decoded), Outcome::Error("".into()));
    }
    assert_eq!(
        json(r#"{"type":3,"invocationId":"1","error":"e","result":0}"#),
        Err(DecodeErrorKind::ErrorAndResult)
    );
    assert_eq!(
        json(r#"{"type":3,"invocationId":"1","error":"","result":false}"#),
        Err(DecodeErrorKind::ErrorAndResult)
    );
    all_refused(&[
        r#"{"type":3,"invocationId":"1","error":5}"#,
        r#"{"type":3,"invocationId":"1","error":{}}"#,
    ]);
    for kind in ["00", "04", "ff", "c0", "a131"] {
        assert!(msgpack(&format!("950380a131{kind}a165")).is_err(), "{kind}");
    }
    assert_eq!(outcome(msgpack("940380a13102")), Outcome::Void);
    assert_eq!(outcome(msgpack("950380a13102a165")), Outcome::Void);
    assert_eq!(
        outcome(msgpack("950380a131cc01a165")),
        Outcome::Error("e".into())
    );
}

#[test]
fn close_takes_an_optional_text_and_flag() {
    let close = |error: Option<&str>, allow_reconnect| {
        Ok(Some(HubMessage::Close {
            error: error.map(|error| error.to_owned().into()),
            allow_reconnect,
        }))
    };
    assert_eq!(json(r#"{"type":7,"error":null}"#), close(None, false));
    assert_eq!(
        json(r#"{"type":7,"error":"","allowReconnect":false}"#),
        close(Some(""), false)
    );
    assert_eq!(
        json(r#"{"type":7,"allowReconnect":true}"#),
        close(None, true)
    );
    assert_eq!(msgpack("9207c0"), close(None, false));
    assert_eq!(msgpack("9307a0c3"), close(Some(""), true));
    all_refused(&[
        r#"{"type":7,"error":5}"#,
        r#"{"type":7,"allowReconnect":1}"#,
        r#"{"type":7,"allowReconnect":null}"#,
        r#"{"type":7,"allowReconnect":"true"}"#,
    ]);
    for digits in ["9107", "920705", "9307c0c0", "9307c001"] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
}

#[test]
fn sequence_ids_are_integers_that_are_not_negative() {
    for kind in [8, 9] {
        for value in [
            "",
            r#","sequenceId":null"#,
            r#","sequenceId":"1""#,
            r#","sequenceId":1.5"#,
            r#","sequenceId":1.0"#,
            r#","sequenceId":-1"#,
            r#","sequenceId":9223372036854775808"#,
        ] {
            let text = format!(r#"{{"type":{kind}{value}}}"#);
            assert!(json(&text).is_err(), "{text}");
        }
        for value in [
            "",
            "c0",
            "ff",
            "ca3f800000",
            "a131",
            "cf8000000000000000",
            "d3ffffffffffffffff",
        ] {
            let digits = format!(
                "{}0{kind}{value}",
                if value.is_empty() { "91" } else { "92" }
            );
            assert!(msgpack(&digits).is_err(), "{digits}");
        }
    }
    assert_eq!(
        json(r#"{"type":8,"sequenceId":9223372036854775807}"#),
        Ok(Some(HubMessage::Ack {
            sequence_id: i64::MAX as u64
        }))
    );
    assert_eq!(
        msgpack("9209cf7fffffffffffffff"),
        Ok(Some(HubMessage::Sequence {
            sequence_id: i64::MAX as u64
        }))
    );
    assert_eq!(
        json(r#"{"type":9,"sequenceId":0}"#),
        Ok(Some(HubMessage::Sequence { sequence_id: 0 }))
    );
}

#[test]
fn headers_are_maps_of_strings() {
    let read = invocation(json(
        r#"{"type":1,"headers":{"a":"b","c":null,"d":""},"target":"x","arguments":[]}"#,
    ));
    assert_eq!(
        read.headers,
        [("a".into(), "b".into()), ("d".into(), "".into())]
    );
    for value in [
        "null",
        "5",
        "[]",
        r#""x""#,
        r#"{"a":1}"#,
        r#"{"a":{}}"#,
        r#"{"a":true}"#,
        r#"{"a":["b"]}"#,
    ] {
        let text = format!(r#"{{"type":5,"invocationId":"1","headers":{value}}}"#);
        assert!(
            matches!(
                json(&text),
                Err(DecodeErrorKind::Invalid {
                    member: "headers",
                    ..
                })
            ),
            "{text}"
        );
    }
    for headers in [
        "c0",
        "90",
        "81a16101",
        "8101a161",
        "81a161",
        "dfffffffff",
        "dfffffffffa161a162",
    ] {
        assert!(msgpack(&format!("9305{headers}a131")).is_err(), "{headers}");
    }
    assert_eq!(
        invocation(msgpack("960181a161a162c0a1789090")).headers,
        [("a".into(), "b".into())]
    );
}

#[test]
fn stream_ids_are_strings_that_are_not_empty() {
    assert_eq!(
        invocation(json(
            r#"{"type":1,"target":"x","arguments":[],"streamIds":[]}"#
        ))
        .stream_ids
        .len(),
        0
    );
    assert_eq!(
        invocation(json(
            r#"{"type":1,"target":"x","arguments":[],"streamIds":[ "1" , "2"]}"#
        ))
        .stream_ids,
        ["1", "2"]
    );
    for value in ["null", "{}", r#""1""#, "[1]", "[null]", r#"[["1"]]"#] {
        assert!(
            json(&format!(
                r#"{{"type":1,"target":"x","arguments":[],"streamIds":{value}}}"#
            ))
            .is_err(),
            "{value}"
        );
    }
    let empty = r#"{"type":1,"target":"x","arguments":[],"streamIds":["","a"]}"#;
    assert!(decode(Protocol::Json, Role::Client, empty).is_err());
    // The official server's JSON lets them be, and the call fails because no method takes such a stream.
    assert_eq!(invocation(json(empty)).stream_ids, ["", "a"]);
    for value in [
        "c0",
        "80",
        "a131",
        "9101",
        "91c0",
        "91a0",
        "92a131",
        "ddffffffff",
    ] {
        assert!(
            msgpack(&format!("960180c0a17890{value}")).is_err(),
            "{value}"
        );
    }
}
