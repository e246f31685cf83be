//! `signalr decode`.

use std::io::Read as _;
use std::process::Stdio;

use crate::common::process::Running;
use crate::common::{decode, decode_hex, program, run};

/// Cases of the protocol's documentation: JSON, MessagePack in hexadecimal digits with the length, and the object printed.
const GOLDEN: &[(&str, &str, &str)] = &[
    (
        r#"{"type":1,"invocationId":"123","target":"Send","arguments":[42,"Test Message"]}"#,
        "1c960180a3313233a453656e64922aac54657374204d65737361676590",
        r#"{"type":"invocation","headers":{},"invocationId":"123","target":"Send","arguments":[42,"Test Message"],"streamIds":[]}"#,
    ),
    (
        r#"{"type":1,"target":"Send","arguments":[42]}"#,
        "0c960180c0a453656e64912a90",
        r#"{"type":"invocation","headers":{},"invocationId":null,"target":"Send","arguments":[42],"streamIds":[]}"#,
    ),
    (
        r#"{"type":1,"invocationId":"123","target":"Send","arguments":[42],"streamIds":["1"]}"#,
        "11960180a3313233a453656e64912a91a131",
        r#"{"type":"invocation","headers":{},"invocationId":"123","target":"Send","arguments":[42],"streamIds":["1"]}"#,
    ),
    (
        r#"{"type":4,"invocationId":"123","target":"Stream","arguments":[5]}"#,
        "11960480a3313233a653747265616d910590",
        r#"{"type":"streamInvocation","headers":{},"invocationId":"123","target":"Stream","arguments":[5],"streamIds":[]}"#,
    ),
    (
        r#"{"type":2,"invocationId":"123","item":42}"#,
        "08940280a33132332a",
        r#"{"type":"streamItem","headers":{},"invocationId":"123","item":42}"#,
    ),
    (
        r#"{"type":3,"invocationId":"123"}"#,
        "08940380a331323302",
        r#"{"type":"completion","headers":{},"invocationId":"123","outcome":"void"}"#,
    ),
    (
        r#"{"type":3,"invocationId":"123","result":42}"#,
        "09950380a3313233032a",
        r#"{"type":"completion","headers":{},"invocationId":"123","outcome":"result","result":42}"#,
    ),
    (
        r#"{"type":3,"invocationId":"123","result":null}"#,
        "09950380a331323303c0",
        r#"{"type":"completion","headers":{},"invocationId":"123","outcome":"result","result":null}"#,
    ),
    (
        r#"{"type":3,"invocationId":"123","error":"It didn't work!"}"#,
        "18950380a331323301af4974206469646e277420776f726b21",
        r#"{"type":"completion","headers":{},"invocationId":"123","outcome":"error","error":"It didn't work!"}"#,
    ),
    (
        r#"{"type":5,"invocationId":"123"}"#,
        "07930580a3313233",
        r#"{"type":"cancelInvocation","headers":{},"invocationId":"123"}"#,
    ),
    (r#"{"type":6}"#, "029106", r#"{"type":"ping"}"#),
    (
        r#"{"type":7}"#,
        "049307c0c2",
        r#"{"type":"close","error":null,"allowReconnect":false}"#,
    ),
    (
        r#"{"type":7,"error":"xyz"}"#,
        "079307a378797ac2",
        r#"{"type":"close","error":"xyz","allowReconnect":false}"#,
    ),
    (
        r#"{"type":7,"error":"xyz","allowReconnect":true}"#,
        "079307a378797ac3",
        r#"{"type":"close","error":"xyz","allowReconnect":true}"#,
    ),
    (
        r#"{"type":8,"sequenceId":1394}"#,
        "059208cd0572",
        r#"{"type":"ack","sequenceId":1394}"#,
    ),
    (
        r#"{"type":9,"sequenceId":1234}"#,
        "059209cd04d2",
        r#"{"type":"sequence","sequenceId":1234}"#,
    ),
    (
        r#"{"type":1,"headers":{"x":"y","z":"z"},"invocationId":"xyz","target":"method","arguments":[42]}"#,
        "19960182a178a179a17aa17aa378797aa66d6574686f64912a90",
        r#"{"type":"invocation","headers":{"x":"y","z":"z"},"invocationId":"xyz","target":"method","arguments":[42],"streamIds":[]}"#,
    ),
];

#[test]
fn golden_vectors_are_printed_and_encoded_back_in_both_protocols() {
    let json: String = GOLDEN
        .iter()
        .map(|(json, _, _)| format!("{json}\u{1e}"))
        .collect();
    let digits: String = GOLDEN
        .iter()
        .map(|(_, digits, _)| format!("{digits}\n"))
        .collect();
    let objects: String = GOLDEN
        .iter()
        .map(|(_, _, object)| format!("{object}\n"))
        .collect();
    assert_eq!(decode("json", json.as_bytes()).ok_text(), objects);
    assert_eq!(decode_hex("messagepack", &digits).ok_text(), objects);
    assert_eq!(
        String::from_utf8(crate::common::encode("json", &objects).ok()).unwrap(),
        json
    );
    assert_eq!(
        crate::common::encode_hex("messagepack", &objects).ok_text(),
        digits
    );
}

#[test]
fn other_shapes_of_messagepack_are_read_too() {
    let cases = [
        (
            "1b950180a3313233a453656e64922aac54657374204d657373616765",
            GOLDEN[0].2,
        ),
        (
            "039207c0",
            r#"{"type":"close","error":null,"allowReconnect":false}"#,
        ),
        (
            "0c940280a3313233ca42280000",
            r#"{"type":"streamItem","headers":{},"invocationId":"123","item":42.0}"#,
        ),
        ("82009106", r#"{"type":"ping"}"#),
    ];
    for (digits, object) in cases {
        assert_eq!(
            decode_hex("messagepack", digits).ok_text(),
            format!("{object}\n"),
            "{digits}"
        );
    }
}

#[test]
fn values_that_json_lacks_are_printed_in_their_own_forms() {
    let item = |hex: &str| {
        let body = format!("940280a131{hex}");
        let run = decode_hex("messagepack", &format!("{:02x}{body}", body.len() / 2)).ok_text();
        run.trim_end()
            .strip_prefix(r#"{"type":"streamItem","headers":{},"invocationId":"1","item":"#)
            .unwrap()
            .strip_suffix('}')
            .unwrap()
            .to_owned()
    };
    let cases = [
        ("c40200ff", r#"{"$bin":"00ff"}"#),
        ("c400", r#"{"$bin":""}"#),
        (
            "d7ffa1a5d6005e0d5da5",
            r#"{"$timestamp":"2020-01-02T03:04:05.678Z"}"#,
        ),
        ("d6ff00000000", r#"{"$timestamp":"1970-01-01T00:00:00Z"}"#),
        (
            "c70cff000000007fffffffffffffff",
            r#"{"$ext":[-1,"000000007fffffffffffffff"]}"#,
        ),
        ("d4050a", r#"{"$ext":[5,"0a"]}"#),
        ("cb3ff0000000000000", "1.0"),
        ("ca3f800000", "1.0"),
        ("cb8000000000000000", "-0.0"),
        ("cb7ff8000000000000", r#"{"$f64":"NaN"}"#),
        ("ca7f800000", r#"{"$f32":"Infinity"}"#),
        ("cfffffffffffffffff", "18446744073709551615"),
        ("d38000000000000000", "-9223372036854775808"),
        ("8101c3", r#"{"$map":[[1,true]]}"#),
        ("82a16101a16202", r#"{"a":1,"b":2}"#),
        ("81a42462696ea0", r#"{"$map":[["$bin",""]]}"#),
        ("a4f09f9880", "\"😀\""),
    ];
    for (hex, expected) in cases {
        assert_eq!(item(hex), expected, "{hex}");
    }
}

#[test]
fn json_payloads_keep_their_spelling_but_for_white_space() {
    let input = "{\"type\":1,\"target\":\"T\",\"arguments\":[ 1.50 , 1E5, 123456789012345678901234567890,\n {\"a\" : 1, \"a\":2}, \" \\u00e9 \" ]}\u{1e}";
    let expected = "{\"type\":\"invocation\",\"headers\":{},\"invocationId\":null,\"target\":\"T\",\"arguments\":[1.50,1E5,123456789012345678901234567890,{\"a\":1,\"a\":2},\" \\u00e9 \"],\"streamIds\":[]}\n";
    assert_eq!(decode("json", input.as_bytes()).ok_text(), expected);
}

#[test]
fn messages_of_unknown_type_print_nothing() {
    assert_eq!(
        decode("json", b"{\"type\":99}\x1e{\"type\":6}\x1e").ok_text(),
        "{\"type\":\"ping\"}\n"
    );
    assert_eq!(
        decode_hex("messagepack", "02 91 63 02 91 06").ok_text(),
        "{\"type\":\"ping\"}\n"
    );
}

#[test]
fn an_unfinished_message_is_reported_with_its_size() {
    assert_eq!(
        decode("json", b"{\"type\":6}\x1e{\"ty").ok_text(),
        "{\"type\":\"ping\"}\n{\"type\":\"incomplete\",\"bytes\":4}\n"
    );
    assert_eq!(
        decode_hex("messagepack", "0501").ok_text(),
        "{\"type\":\"incomplete\",\"bytes\":2}\n"
    );
    assert_eq!(
        decode_hex("messagepack", "029106 ff").ok_text(),
        "{\"type\":\"ping\"}\n{\"type\":\"incomplete\",\"bytes\":1}\n"
    );
    assert_eq!(decode("json", b"").ok_text(), "");
}

#[test]
fn errors_come_with_their_offset_after_what_came_before() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("json", b"{\"type\":6}\x1e{\"type\":x}\x1e", "byte 19:"),
        ("json", b"{\"type\":6}\x1e\x1e", "byte 11:"),
        (
            "json",
            b"{\"type\":6}\x1e{\"type\":2,\"invocationId\":\"1\",\"item\":\"a\xffb\"}\x1e",
            "byte 49:",
        ),
        (
            "json",
            b"{\"type\":6}\x1e{\"type\":2,\"invocationId\":\"1\",\"item\":\"\\ud800\"}\x1e",
            "byte 48:",
        ),
        ("messagepack", &[2, 0x91, 6, 0], "byte 4:"),
        (
            "messagepack",
            &[2, 0x91, 6, 0xff, 0xff, 0xff, 0xff, 8],
            "byte 8:",
        ),
        (
            "messagepack",
            &[2, 0x91, 6, 5, 0x91, 0xa3, b'f', b'o', b'o'],
            "byte 5:",
        ),
        (
            "messagepack",
            &[
                2, 0x91, 6, 9, 0x94, 2, 0x80, 0xa1, b'1', 0xdd, 0xff, 0xff, 0xff,
            ],
            "byte",
        ),
    ];
    for (protocol, input, place) in cases {
        let run = decode(protocol, input);
        assert_eq!(
            (run.code, run.text()),
            (1, "{\"type\":\"ping\"}\n"),
            "{input:?}"
        );
        assert!(run.err.contains(place), "{}", run.err);
    }
}

#[test]
fn documented_rejects_are_rejected() {
    let json = [
        "null",
        "\"foo\"",
        "[42]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":1,"invocationId":42}"#,
        r#"{"type":2,"invocationId":"42"}"#,
        r#"{"type":3,"invocationId":"42","error":"foo","result":true}"#,
    ];
    for case in json {
        assert_eq!(
            decode("json", format!("{case}\u{1e}").as_bytes()).code,
            1,
            "{case}"
        );
    }
    let messagepack = [
        "91a3666f6f",
        "9201a3666f6f",
        "9201822aa3666f6f",
        "920180",
        "930180a3616263",
        "940180a36162632a",
        "930280c2",
        "940380a378797a2a",
        "940380a378797a01",
        "950380a378797a012a",
        "940380a378797a03",
    ];
    for case in messagepack {
        assert_eq!(
            decode_hex("messagepack", &format!("{:02x}{case}", case.len() / 2)).code,
            1,
            "{case}"
        );
    }
}

#[test]
fn a_server_wants_arguments_and_a_client_does_not() {
    let input = b"{\"type\":1,\"target\":\"T\"}\x1e";
    assert!(decode("json", input).ok_text().contains("\"arguments\":[]"));
    assert_eq!(
        crate::common::run_with(&["decode", "--protocol", "json", "--role", "server"], input).code,
        1
    );
}

#[test]
fn handshakes_are_read() {
    assert_eq!(
        decode(
            "handshake-request",
            b"{\"version\":1,\"protocol\":\"json\",\"x\":[]}\x1e"
        )
        .ok_text(),
        "{\"protocol\":\"json\",\"version\":1}\n"
    );
    assert_eq!(
        decode(
            "handshake-response",
            b"{}\x1e{\"error\":\"no \\\"x\\\"\"}\x1e"
        )
        .ok_text(),
        "{\"error\":null}\n{\"error\":\"no \\\"x\\\"\"}\n"
    );
    assert_eq!(decode("handshake-response", b"{\"type\":6}\x1e").code, 1);
    assert_eq!(
        decode("handshake-request", b"{\"protocol\":\"json\"}\x1e").code,
        1
    );
    assert_eq!(
        decode("handshake-request", b"{\"prot").ok_text(),
        "{\"type\":\"incomplete\",\"bytes\":6}\n"
    );
}

#[test]
fn negotiate_responses_are_printed_with_all_members() {
    let cases = [
        (
            r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}],"useStatefulReconnect":true}"#,
            r#"{"connectionId":"i","connectionToken":"t","version":1,"transports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}],"url":null,"accessToken":null,"useStatefulReconnect":true,"error":null}"#,
        ),
        (
            r#"{"url":"https://other/hub","accessToken":"a"}"#,
            r#"{"connectionId":null,"connectionToken":null,"version":0,"transports":[],"url":"https://other/hub","accessToken":"a","useStatefulReconnect":false,"error":null}"#,
        ),
        (
            r#"{"error":"no"}"#,
            r#"{"connectionId":null,"connectionToken":null,"version":0,"transports":[],"url":null,"accessToken":null,"useStatefulReconnect":false,"error":"no"}"#,
        ),
        // Of members that are there twice the last counts, of whatever level they are.
        (
            r#"{"connectionId":"a","connectionId":"i","availableTransports":[],"availableTransports":[{"transport":"X","transport":"LongPolling","transferFormats":[],"transferFormats":["Text"]}],"error":"no","error":""}"#,
            r#"{"connectionId":"i","connectionToken":null,"version":0,"transports":[{"transport":"LongPolling","transferFormats":["Text"]}],"url":null,"accessToken":null,"useStatefulReconnect":false,"error":null}"#,
        ),
    ];
    for (body, object) in cases {
        assert_eq!(
            decode("negotiate", body.as_bytes()).ok_text(),
            format!("{object}\n")
        );
    }
    for body in ["", "[]", "{}", "nonsense", r#"{"ProtocolVersion":"1.5"}"#] {
        assert_eq!(decode("negotiate", body.as_bytes()).code, 1, "{body}");
    }
}

#[test]
fn a_byte_order_mark_in_front_of_text_is_no_part_of_it() {
    let offer = r#"{"connectionId":"i","availableTransports":[]}"#;
    for (format, text) in [
        ("json", "{\"type\":6}\u{1e}"),
        (
            "handshake-request",
            "{\"protocol\":\"json\",\"version\":1}\u{1e}",
        ),
        ("handshake-response", "{}\u{1e}"),
        ("negotiate", offer),
        ("sse", "data: {\"type\":6}\u{1e}\n\n"),
    ] {
        let plain = decode(format, text.as_bytes()).ok_text();
        assert!(!plain.is_empty(), "{format}");
        let marked = decode(format, format!("\u{feff}{text}").as_bytes());
        assert_eq!(marked.ok_text(), plain, "{format}");
        let twice = decode(format, format!("\u{feff}\u{feff}{text}").as_bytes());
        assert_ne!((twice.code, twice.text()), (0, plain.as_str()), "{format}");
    }
}

#[test]
fn hexadecimal_input_must_be_hexadecimal() {
    assert_eq!(
        decode_hex("messagepack", " 0\n2 9 1\t06\r\n").ok_text(),
        "{\"type\":\"ping\"}\n"
    );
    for text in ["0", "0x02", "029g"] {
        assert_eq!(decode_hex("messagepack", text).code, 1, "{text}");
    }
}

#[test]
fn files_are_read_and_missing_ones_are_named() {
    let file = std::env::temp_dir().join(format!("signalr-cli-decode-{}", std::process::id()));
    std::fs::write(&file, b"{\"type\":6}\x1e").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(
        run(&["decode", "--protocol", "json", path]).ok_text(),
        "{\"type\":\"ping\"}\n"
    );
    std::fs::remove_file(&file).unwrap();
    let missing = run(&["decode", "--protocol", "json", path]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains(path), "{}", missing.err);
}

#[test]
fn large_inputs_are_split_anywhere() {
    let message = "{\"type\":2,\"invocationId\":\"1\",\"item\":\"0123456789\"}\u{1e}";
    let large = format!(
        "{{\"type\":2,\"invocationId\":\"1\",\"item\":\"{}\"}}\u{1e}",
        "x".repeat(1_000_000)
    );
    let input = format!("{}{large}{}", message.repeat(50_000), message.repeat(3));
    let out = decode("json", input.as_bytes()).ok_text();
    assert_eq!(out.lines().count(), 50_004);
    assert!(
        out.lines()
            .all(|line| line.starts_with("{\"type\":\"streamItem\"") && line.ends_with("\"}"))
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut running =
        Running::start(program(&["decode", "--protocol", "json"]).stdin(Stdio::piped()));
    let mut stdin = running.take_stdin();
    let mut stdout = running.take_stdout();
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        let block = "{\"type\":6}\u{1e}".repeat(10_000);
        while stdin.write_all(block.as_bytes()).is_ok() {}
    });
    let mut first = [0; 15];
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let run = running.end();
    writer.join().unwrap();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}

#[test]
fn nesting_is_read_to_the_limits_and_not_beyond() {
    let json = |levels: usize| {
        format!(
            "{{\"type\":2,\"invocationId\":\"1\",\"item\":{}{}}}\u{1e}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert_eq!(decode("json", json(63).as_bytes()).code, 0);
    assert_eq!(decode("json", json(64).as_bytes()).code, 1);
    let messagepack = |levels: usize| {
        let body: Vec<u8> = [
            vec![0x94, 2, 0x80, 0xa1, b'1'],
            vec![0x91; levels],
            vec![0xc0],
        ]
        .concat();
        [
            vec![
                u8::try_from(body.len() & 0x7f).unwrap() | 0x80,
                u8::try_from(body.len() >> 7).unwrap(),
            ],
            body,
        ]
        .concat()
    };
    let deep = decode("messagepack", &messagepack(256)).ok_text();
    assert_eq!(
        decode(
            "messagepack",
            &crate::common::encode("messagepack", &deep).ok()
        )
        .ok_text(),
        deep
    );
    assert_eq!(decode("messagepack", &messagepack(257)).code, 1);
    assert_eq!(decode("messagepack", &messagepack(10_000)).code, 1);
}

#[test]
fn events_of_a_stream_are_printed_with_their_data() {
    let stream = b":\r\ndata: {\"type\":6}\x1e\r\n\r\nid: 1\ndata: a\ndata:b\n\ndata:\n\n";
    assert_eq!(
        decode("sse", stream).ok_text(),
        "{\"data\":\"{\\\"type\\\":6}\\u001e\"}\n{\"data\":\"a\\nb\"}\n"
    );
    assert_eq!(
        decode_hex("sse", "64 61 74 61 3a 78 0d 0d").ok_text(),
        "{\"data\":\"x\"}\n"
    );
}

#[test]
fn an_event_that_is_cut_off_is_incomplete_and_a_comment_is_not() {
    assert_eq!(
        decode("sse", b"data: a\r\n\r\n\r\nid: 1\ndata: b\n").ok_text(),
        "{\"data\":\"a\"}\n{\"type\":\"incomplete\",\"bytes\":14}\n"
    );
    assert_eq!(
        decode("sse", b"data: a\r\n\r\n: comment").ok_text(),
        "{\"data\":\"a\"}\n"
    );
}

#[test]
fn data_that_is_no_text_is_an_error_with_its_place() {
    let run = decode("sse", b"data: a\n\ndata: \xff\n\n");
    assert_eq!((run.code, run.text()), (1, "{\"data\":\"a\"}\n"));
    assert_eq!(
        run.err,
        "signalr: protocol error at byte 9: the event that begins here has data that is not UTF-8\n"
    );
}

#[test]
fn a_byte_order_mark_before_digits_is_no_digit() {
    let marked = decode_hex("messagepack", "\u{feff}02 91 06");
    assert_eq!(marked.ok_text(), "{\"type\":\"ping\"}\n");
}
