//! Arguments that are missing, broken or too many.

use super::*;

#[test]
fn missing_arguments_are_none_to_a_client_and_an_error_to_a_server() {
    let text = r#"{"type":1,"target":"x"}"#;
    assert_eq!(
        json(text),
        Err(DecodeErrorKind::Missing {
            member: "arguments"
        })
    );
    let read = invocation(decode(Protocol::Json, Role::Client, text).map_err(|error| error.kind));
    assert_eq!(read.arguments.decode(), Ok(()));
    for role in [Role::Client, Role::Server] {
        for text in [
            r#"{"type":1,"target":"x","arguments":null}"#,
            r#"{"type":1,"target":"x","arguments":{}}"#,
        ] {
            assert!(decode(Protocol::Json, role, text).is_err());
        }
    }
}

#[test]
fn the_target_must_be_there_and_not_empty() {
    all_refused(&[
        r#"{"type":1,"arguments":[]}"#,
        r#"{"type":1,"target":null,"arguments":[]}"#,
        r#"{"type":1,"target":""}"#,
        r#"{"type":4,"invocationId":"1","target":5,"arguments":[]}"#,
    ]);
    let empty = r#"{"type":1,"target":"","arguments":[]}"#;
    assert!(decode(Protocol::Json, Role::Client, empty).is_err());
    for digits in ["930180c0", "950180c0a090", "950180c0c090", "950180c00590"] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
}

#[test]
fn an_empty_target_in_json_is_a_method_that_servers_do_not_have() {
    for text in [
        r#"{"type":1,"invocationId":"1","target":"","arguments":[1]}"#,
        r#"{"type":4,"invocationId":"1","arguments":[1],"target":""}"#,
    ] {
        let read = invocation(json(text));
        assert_eq!((&*read.target, read.arguments.len()), ("", Ok(1)));
    }
}

/// Whether a call with these arguments is read by a server, to fail when they are looked at.
fn fails_alone(arguments: &str) -> bool {
    for kind in [1, 4] {
        let call = |role| {
            let text = format!(
                r#"{{"type":{kind},"invocationId":"1","target":"Add","arguments":{arguments},"headers":{{"a":"b"}}}}"#
            );
            decode(Protocol::Json, role, text).map_err(|error| error.kind)
        };
        assert!(call(Role::Client).is_err(), "{arguments}");
        if call(Role::Server).is_err() {
            return false;
        }
        let read = invocation(call(Role::Server));
        assert_eq!(read.invocation_id.as_deref(), Some("1"));
        assert_eq!(read.headers, [("a".into(), "b".into())]);
        assert!(read.arguments.len().is_err(), "{arguments}");
        assert!(read.arguments.payloads().is_err(), "{arguments}");
        let values = read.arguments.decode::<(i32, i32)>();
        assert!(values.is_err(), "{arguments}");
    }
    true
}

#[test]
fn a_comma_too_many_in_the_arguments_fails_the_call_only() {
    for arguments in [
        "[1,2,]",
        "[1,2 , ]",
        "[1,]",
        "[1,2,3,]",
        r#"["a",]"#,
        "[[1],{\"a\":2},]",
        "[1,,2]",
        "[1,2,,3]",
        "[1, ,{\"a\":1}]",
    ] {
        assert!(fails_alone(arguments), "{arguments}");
    }
    for arguments in [
        "[,]",
        "[,1,2]",
        "[1,,]",
        "[1,2,,]",
        "[1,,2,]",
        "[1,,2,,3]",
        "[1,,,2]",
        "[1 2]",
        "[1,2",
        "[1,2}",
        "[1,x]",
        "[01,2,]",
        "[1,2.,]",
        "[1,:2]",
        "[1,2,]]",
        "[1,2,}]",
        "[[1,],2]",
        "[{\"a\":1,}]",
        "[1,/**/]",
        "[\"\\x\",]",
        "{,}",
        "1,",
    ] {
        assert!(!fails_alone(arguments), "{arguments}");
    }
}

#[test]
fn a_comma_too_many_is_forgiven_only_where_it_is_known_whose_call_it_is() {
    all_refused(&[
        r#"{"type":1,"invocationId":"1","arguments":[1,2,],"target":"Add"}"#,
        r#"{"type":1,"invocationId":"1","target":"","arguments":[1,2,]}"#,
        r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2,]"#,
        r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2,],}"#,
        r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2,],"x":[1,]}"#,
        r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2],"streamIds":["1",]}"#,
        r#"{"type":1,"invocationId":5,"target":"Add","arguments":[1,2,]}"#,
        r#"{"type":6,"arguments":[1,2,]}"#,
        r#"{"type":6,"x":[1,2,]}"#,
        r#"{"type":3,"invocationId":"1","result":[1,]}"#,
    ]);
    let late = r#"{"type":1,"target":"Add","arguments":[1,2,],"invocationId":"7"}x"#;
    assert_eq!(invocation(json(late)).invocation_id.as_deref(), Some("7"));
    let twice = r#"{"type":1,"target":"Add","arguments":[1,],"arguments":[3,4]}"#;
    assert_eq!(invocation(json(twice)).arguments.decode(), Ok((3, 4)));
    let nested = |depth: usize| {
        let value = "[".repeat(depth) + &"]".repeat(depth);
        json(&format!(
            r#"{{"type":1,"target":"x","arguments":[{value},]}}"#
        ))
    };
    assert!(nested(62).is_ok());
    assert_eq!(nested(63), Err(DecodeErrorKind::TooDeep { limit: 64 }));
}

#[test]
fn a_broken_item_in_json_fails_its_upload_only() {
    for item in [
        "[1,]}",
        "[1,,2]}",
        "[1 2]}",
        "[1}",
        "[1",
        "[,]}",
        r#"{"a":1,}}"#,
        r#"{"a":}}"#,
        r#"{"a"#,
        "[[1,]]}",
        "[01]}",
        r#"["\x"]}"#,
        "[1,],,",
        "[1,],\"x\":[1,]}",
    ] {
        let text = format!(r#"{{"type":2,"invocationId":"u","item":{item}"#);
        let Ok(Some(HubMessage::StreamItem {
            invocation_id,
            item,
            ..
        })) = json(&text)
        else {
            panic!("{text}")
        };
        assert_eq!(invocation_id, "u");
        assert!(item.decode::<serde::de::IgnoredAny>().is_err(), "{text}");
        assert!(decode(Protocol::Json, Role::Client, &text).is_err());
    }
    all_refused(&[
        r#"{"type":2,"item":[1,],"invocationId":"u"}"#,
        r#"{"type":2,"invocationId":"","item":[1,]}"#,
        r#"{"type":2,"invocationId":"u","item":01}"#,
        r#"{"type":2,"invocationId":"u","item":"\x"}"#,
        r#"{"type":2,"invocationId":"u","item":,}"#,
        r#"{"type":2,"invocationId":"u","item":5"#,
        r#"{"type":2,"invocationId":"u","item":7,"x":[1,]}"#,
        r#"{"invocationId":"u","item":[1,],"type":2}"#,
        r#"{"type":2,"invocationId":5,"item":[1,]}"#,
    ]);
}
