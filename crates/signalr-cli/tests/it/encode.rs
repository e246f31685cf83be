//! `signalr encode`, and that it undoes `decode`.

use proptest::prelude::*;

use crate::common::{decode, encode, encode_hex};

#[test]
fn members_may_be_left_out() {
    let lines = r#"
        {"type":"invocation","target":"Send"}
        {"arguments":[1],"target":"Send","type":"streamInvocation","invocationId":"1"}
        {"type":"completion","invocationId":"1"}
        {"type":"completion","invocationId":"1","result":2}
        {"type":"completion","invocationId":"1","error":"no"}
        {"type":"close"}
    "#;
    let expected = concat!(
        "{\"type\":1,\"target\":\"Send\",\"arguments\":[]}\u{1e}",
        "{\"type\":4,\"invocationId\":\"1\",\"target\":\"Send\",\"arguments\":[1]}\u{1e}",
        "{\"type\":3,\"invocationId\":\"1\"}\u{1e}",
        "{\"type\":3,\"invocationId\":\"1\",\"result\":2}\u{1e}",
        "{\"type\":3,\"invocationId\":\"1\",\"error\":\"no\"}\u{1e}",
        "{\"type\":7}\u{1e}",
    );
    assert_eq!(encode("json", lines).ok_text(), expected);
}

#[test]
fn special_values_are_understood_in_messagepack() {
    let cases = [
        (r#"{"$bin":"00FF"}"#, "c40200ff"),
        (
            r#"{"$timestamp":"2020-01-02T03:04:05.678Z"}"#,
            "d7ffa1a5d6005e0d5da5",
        ),
        (
            r#"{"$timestamp":"1970-01-01T01:00:01+01:00"}"#,
            "d6ff00000001",
        ),
        (r#"{"$ext":[5,"0a"]}"#, "d4050a"),
        (r#"{"$f32":1.5}"#, "ca3fc00000"),
        (r#"{"$f64":1}"#, "cb3ff0000000000000"),
        (r#"{"$f32":"-Infinity"}"#, "caff800000"),
        (
            r#"{"$map":[[1,{"$map":[]}],["a",[2]]]}"#,
            "82 01 80 a161 9102",
        ),
        (r#"{"a":{"$bin":""},"b":1}"#, "82 a161 c400 a162 01"),
        ("1.0", "cb3ff0000000000000"),
        ("-1", "ff"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("-9223372036854775808", "d38000000000000000"),
    ];
    for (value, expected) in cases {
        let line = format!(r#"{{"type":"streamItem","invocationId":"1","item":{value}}}"#);
        let text = encode_hex("messagepack", &line).ok_text();
        assert_eq!(
            text.trim_end().split_at(12).1,
            expected.replace(' ', ""),
            "{value}"
        );
    }
}

#[test]
fn special_values_in_json_take_the_forms_of_dotnet() {
    let line = r#"{"type":"invocation","target":"T","arguments":[{"$bin":"00ff"},{"$timestamp":"2020-01-02T03:04:05.678Z"},{"$f32":0.1},{"$map":[["$bin",1]]}]}"#;
    let expected = "{\"type\":1,\"target\":\"T\",\"arguments\":[\"AP8=\",\"2020-01-02T03:04:05.678Z\",0.1,{\"$bin\":1}]}\u{1e}";
    assert_eq!(encode("json", line).ok_text(), expected);
}

#[test]
fn errors_name_the_line_after_what_came_before() {
    let cases = [
        ("json", "not json", "expected a JSON value"),
        ("json", "[]", "expected a JSON object"),
        ("json", "{}", "'type' is missing"),
        ("json", r#"{"type":"pong"}"#, "pong"),
        ("json", r#"{"type":"ping","x":1}"#, "'x'"),
        ("json", r#"{"type":"ping","type":"ping"}"#, "second member"),
        ("json", r#"{"type":"invocation"}"#, "'target'"),
        ("json", r#"{"type":"invocation","target":""}"#, "'target'"),
        (
            "json",
            r#"{"type":"invocation","target":"T","arguments":{}}"#,
            "'arguments'",
        ),
        (
            "json",
            r#"{"type":"invocation","target":"T","headers":{"a":1}}"#,
            "'headers'",
        ),
        (
            "json",
            r#"{"type":"streamItem","invocationId":"1"}"#,
            "'item'",
        ),
        (
            "json",
            r#"{"type":"streamItem","invocationId":"1","item":{"$ext":[5,"00"]}}"#,
            "extension",
        ),
        (
            "json",
            r#"{"type":"streamItem","invocationId":"1","item":{"$map":[[1,2]]}}"#,
            "key",
        ),
        (
            "json",
            r#"{"type":"streamItem","invocationId":"1","item":{"$f64":"NaN"}}"#,
            "NaN",
        ),
        (
            "json",
            r#"{"type":"streamItem","invocationId":"1","item":"\ud800"}"#,
            "surrogate",
        ),
        ("json", r#"{"type":"ack","sequenceId":-1}"#, "'sequenceId'"),
        (
            "json",
            r#"{"type":"ack","sequenceId":9223372036854775808}"#,
            "'sequenceId'",
        ),
        (
            "json",
            r#"{"type":"completion","invocationId":"1","outcome":"maybe"}"#,
            "'outcome'",
        ),
        ("json", r#"{"type":"ping"} {"type":"ping"}"#, "the end"),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":18446744073709551616}"#,
            "64 bits",
        ),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":1e999}"#,
            "range",
        ),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":{"$bin":"0"}}"#,
            "$bin",
        ),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":{"$ext":[128,"00"]}}"#,
            "$ext",
        ),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":{"$timestamp":"soon"}}"#,
            "$timestamp",
        ),
        (
            "messagepack",
            r#"{"type":"streamItem","invocationId":"1","item":{"$map":[1]}}"#,
            "$map",
        ),
    ];
    for (protocol, line, words) in cases {
        let run = encode_hex(
            protocol,
            &format!("{{\"type\":\"ping\"}}\n\n{line}\n{{\"type\":\"ping\"}}\n"),
        );
        assert_eq!((run.code, run.lines().len()), (1, 1), "{line}: {}", run.err);
        assert!(
            run.err.contains("line 3") && run.err.contains(words),
            "{line}: {}",
            run.err
        );
    }
}

#[test]
fn incomplete_messages_come_out_as_long_as_they_went_in() {
    for protocol in ["json", "messagepack"] {
        for bytes in [1, 2, 4, 5, 6, 127, 128, 129, 20_000] {
            let objects =
                format!("{{\"type\":\"ping\"}}\n{{\"type\":\"incomplete\",\"bytes\":{bytes}}}\n");
            assert_eq!(
                decode(protocol, &encode(protocol, &objects).ok()).ok_text(),
                objects
            );
        }
        assert_eq!(
            encode(
                protocol,
                "{\"type\":\"incomplete\",\"bytes\":1}\n{\"type\":\"ping\"}"
            )
            .code,
            1
        );
    }
}

#[test]
fn hexadecimal_output_is_read_back() {
    let objects =
        "{\"type\":\"ping\"}\n{\"type\":\"close\",\"error\":\"\",\"allowReconnect\":true}\n";
    let digits = encode_hex("messagepack", objects).ok_text();
    assert_eq!(
        crate::common::decode_hex("messagepack", &digits).ok_text(),
        objects
    );
}

fn json_string() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("$bin".to_owned()),
        Just("$map".to_owned()),
        Just("$timestamp".to_owned()),
        "[a-z\u{1e}\"\\\\é😀]{0,6}",
    ]
    .prop_map(|text| serde_json::to_string(&text).unwrap())
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other floats", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
    ]
}

/// Values as `decode` prints them. `special` allows those that only MessagePack has.
fn value(special: bool) -> BoxedStrategy<String> {
    let plain = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        json_string()
    ];
    let own = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| format!("{{\"$bin\":\"{}\"}}", hex(&bytes))),
        (0_i8..=127, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(kind, bytes)| format!("{{\"$ext\":[{kind},\"{}\"]}}", hex(&bytes))),
        Just(r#"{"$timestamp":"2020-01-02T03:04:05.678Z"}"#.to_owned()),
        Just(r#"{"$f32":"NaN"}"#.to_owned()),
        Just(r#"{"$f64":"-Infinity"}"#.to_owned()),
    ];
    let leaf = if special {
        prop_oneof![3 => plain, 1 => own].boxed()
    } else {
        plain.boxed()
    };
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let pairs = proptest::collection::vec((json_string(), inner.clone()), 0..4);
        let list = proptest::collection::vec(inner, 0..4)
            .prop_map(|elements| format!("[{}]", elements.join(",")));
        prop_oneof![list, pairs.prop_map(|pairs| object(&pairs))]
    })
    .boxed()
}

/// Objects that look reserved are printed in the escaped form.
fn object(pairs: &[(String, String)]) -> String {
    if let [(name, value)] = pairs
        && ["\"$bin\"", "\"$map\"", "\"$timestamp\""].contains(&name.as_str())
    {
        return format!("{{\"$map\":[[{name},{value}]]}}");
    }
    let members: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id() -> impl Strategy<Value = String> {
    "[a-z0-9é\"]{1,40}".prop_map(|text| serde_json::to_string(&text).unwrap())
}

fn headers() -> impl Strategy<Value = String> {
    proptest::collection::vec((json_string(), json_string()), 0..3).prop_map(|pairs| {
        let members: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn message(special: bool) -> impl Strategy<Value = String> {
    let arguments = proptest::collection::vec(value(special), 0..4)
        .prop_map(|list| list.join(","))
        .boxed();
    let streams = proptest::collection::vec(id(), 0..3)
        .prop_map(|list| list.join(","))
        .boxed();
    let maybe_id = prop_oneof![id(), Just("null".to_owned())];
    prop_oneof![
        (headers(), maybe_id, id(), arguments.clone(), streams.clone()).prop_map(|(headers, id, target, arguments, streams)| format!(
            "{{\"type\":\"invocation\",\"headers\":{headers},\"invocationId\":{id},\"target\":{target},\"arguments\":[{arguments}],\"streamIds\":[{streams}]}}"
        )),
        (headers(), id(), id(), arguments, streams).prop_map(|(headers, id, target, arguments, streams)| format!(
            "{{\"type\":\"streamInvocation\",\"headers\":{headers},\"invocationId\":{id},\"target\":{target},\"arguments\":[{arguments}],\"streamIds\":[{streams}]}}"
        )),
        (headers(), id(), value(special))
            .prop_map(|(headers, id, item)| format!("{{\"type\":\"streamItem\",\"headers\":{headers},\"invocationId\":{id},\"item\":{item}}}")),
        (headers(), id(), value(special)).prop_map(|(headers, id, result)| format!(
            "{{\"type\":\"completion\",\"headers\":{headers},\"invocationId\":{id},\"outcome\":\"result\",\"result\":{result}}}"
        )),
        (headers(), id(), json_string()).prop_map(|(headers, id, error)| format!(
            "{{\"type\":\"completion\",\"headers\":{headers},\"invocationId\":{id},\"outcome\":\"error\",\"error\":{error}}}"
        )),
        (headers(), id()).prop_map(|(headers, id)| format!("{{\"type\":\"completion\",\"headers\":{headers},\"invocationId\":{id},\"outcome\":\"void\"}}")),
        (headers(), id()).prop_map(|(headers, id)| format!("{{\"type\":\"cancelInvocation\",\"headers\":{headers},\"invocationId\":{id}}}")),
        (json_string(), any::<bool>()).prop_map(|(error, again)| format!("{{\"type\":\"close\",\"error\":{error},\"allowReconnect\":{again}}}")),
        (0..=u64::MAX >> 1).prop_map(|number| format!("{{\"type\":\"ack\",\"sequenceId\":{number}}}")),
        (0..=u64::MAX >> 1).prop_map(|number| format!("{{\"type\":\"sequence\",\"sequenceId\":{number}}}")),
        Just("{\"type\":\"ping\"}".to_owned()),
    ]
}

fn assert_round_trip(protocol: &str, objects: &[String]) {
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let bytes = encode(protocol, &lines).ok();
    assert_eq!(decode(protocol, &bytes).ok_text(), lines);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_in_json_decodes_to_the_same_objects(objects in proptest::collection::vec(message(false), 1..30)) {
        assert_round_trip("json", &objects);
    }

    #[test]
    fn what_is_encoded_in_messagepack_decodes_to_the_same_objects(objects in proptest::collection::vec(message(true), 1..30)) {
        assert_round_trip("messagepack", &objects);
    }

    #[test]
    fn no_bytes_make_the_programs_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in ["json", "messagepack", "handshake-request", "handshake-response", "negotiate"] {
            let run = decode(protocol, &bytes);
            prop_assert!(run.code == 0 || run.code == 1);
        }
        prop_assert!(encode("json", &String::from_utf8_lossy(&bytes)).code <= 1);
    }
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_passed_over() {
    let text = encode("json", "\u{feff}{\"type\":\"ping\"}\n").ok_text();
    assert_eq!(text, "{\"type\":6}\u{1e}");
}
