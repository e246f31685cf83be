//! The outer shape: types, members, names.

use super::*;

#[test]
fn unknown_types_are_ignored_whatever_else_is_in_them() {
    for text in [
        r#"{"type":0}"#,
        r#"{"type":-1}"#,
        r#"{"type":10,"target":5,"error":{}}"#,
        r#"{"type":2147483647}"#,
    ] {
        assert_eq!(json(text), Ok(None), "{text}");
    }
    for digits in ["9100", "91ff", "910a", "930ac1c1", "91ce7fffffff"] {
        assert_eq!(msgpack(digits), Ok(None), "{digits}");
    }
}

#[test]
fn the_type_must_be_an_integer_of_32_bits() {
    all_refused(&[
        "{}",
        r#"{"target":"x"}"#,
        r#"{"type":null}"#,
        r#"{"type":"6"}"#,
        r#"{"type":6.0}"#,
        r#"{"type":6e0}"#,
        r#"{"type":1.5}"#,
        r#"{"type":2147483648}"#,
        r#"{"type":99999999999999999999999}"#,
        r#"{"type":[6]}"#,
        r#"{"Type":6}"#,
    ]);
    for digits in [
        "90",
        "91c0",
        "91a136",
        "91ca40c00000",
        "91ce80000000",
        "91cfffffffffffffffff",
    ] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
    assert_eq!(
        json(r#"{"target":"x"}"#),
        Err(DecodeErrorKind::Missing { member: "type" })
    );
}

#[test]
fn a_message_is_an_object_or_an_array() {
    all_refused(&[
        "",
        " ",
        "null",
        "6",
        r#""x""#,
        "[6]",
        "garbage",
        "{",
        r#"{"type":6"#,
        "\u{feff}{\"type\":6}",
        r#"/* c */{"type":6}"#,
        r#"{"type":6,}"#,
        r#"{"type":6,"a":[1,]}"#,
    ]);
    assert_eq!(json(""), Err(DecodeErrorKind::Empty));
    for digits in ["", "c0", "06", "a106", "8106c0", "92", "dc00"] {
        assert!(msgpack(digits).is_err(), "{digits}");
    }
}

#[test]
fn text_after_the_object_is_ignored() {
    for text in [r#"{"type":6}x"#, r#"{"type":6}{"type":"#, r#"{"type":6}]"#] {
        assert_eq!(json(text), Ok(Some(HubMessage::Ping)));
    }
}

#[test]
fn unknown_members_are_skipped_and_names_are_case_sensitive() {
    let read = invocation(json(
        r#"{"type":1,"extra":[1,{"x":[{},[]]}],"Target":5,"target":"Add","TYPE":"x","arguments":[1],"\ud800":1}"#,
    ));
    assert_eq!((&*read.target, read.arguments.decode()), ("Add", Ok((1,))));
}

#[test]
fn of_members_that_come_twice_the_last_counts() {
    assert_eq!(
        json(r#"{"type":1,"type":6,"target":"x","arguments":[]}"#),
        Ok(Some(HubMessage::Ping))
    );
    let read = invocation(json(
        r#"{"type":1,"target":"Nope","target":"Add","arguments":5,"arguments":[],"invocationId":"1","invocationId":"2"}"#,
    ));
    assert_eq!(
        (&*read.target, read.invocation_id.as_deref()),
        ("Add", Some("2"))
    );
}

#[test]
fn names_and_strings_may_hold_escapes() {
    let read = invocation(json(
        r#"{"t\u0079pe":1,"\u0074arget":"\ud83d\ude00\n","arguments":["\u001e"],"headers":{"\"":"\\"},"streamIds":["\u0031"]}"#,
    ));
    assert_eq!(read.target, "\u{1f600}\n");
    assert_eq!(read.headers, [("\"".into(), "\\".into())]);
    assert_eq!(read.stream_ids, ["1"]);
    assert_eq!(read.arguments.decode(), Ok(("\u{1e}".to_owned(),)));
}
