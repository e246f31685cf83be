//! Payloads and argument lists as applications see them.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use signalr_proto::codec::{CompletionOutcome, InvocationHead};
use signalr_proto::{Arguments, EncodeError, HubArguments, Payload, Protocol, Spread, Timestamp};

use crate::support::hex;

const HEAD: InvocationHead<'_> = InvocationHead {
    streaming: false,
    headers: &[],
    invocation_id: None,
    target: "t",
    stream_ids: &[],
};

fn json(text: &'static str) -> Payload {
    Payload::new(Protocol::Json, Bytes::from_static(text.as_bytes()))
}

fn msgpack(digits: &str) -> Payload {
    Payload::new(Protocol::MessagePack, hex(digits))
}

fn list(text: &'static str) -> Arguments {
    Arguments::new(Protocol::Json, Bytes::from_static(text.as_bytes()))
}

fn sent(protocol: Protocol, arguments: &impl HubArguments) -> Result<BytesMut, EncodeError> {
    let mut out = BytesMut::new();
    let result = protocol.encode_invocation(&mut out, HEAD, arguments);
    assert!(
        result.is_ok() || out.is_empty(),
        "nothing stays of a failure"
    );
    result.map(|()| out)
}

#[test]
fn a_wrong_number_of_arguments_is_told_in_the_words_of_the_official_server() {
    let error = list("[1]").decode::<(i32, i32)>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Invocation provides 1 argument(s) but target expects 2."
    );
    let error = list("[1,2,3]").decode::<()>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Invocation provides 3 argument(s) but target expects 0."
    );
    let error = Arguments::empty(Protocol::MessagePack)
        .decode::<(i32,)>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Invocation provides 0 argument(s) but target expects 1."
    );
}

#[test]
fn an_argument_of_the_wrong_type_is_named_by_its_number_and_not_shown() {
    let error = list(r#"[1,"secret"]"#).decode::<(i32, i32)>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument 2: invalid type: string, expected i32 at line 1 column 8"
    );
    for (payload, text) in [
        ("a6736563726574", "invalid type: string"),
        (
            "cb3ff0000000000000",
            "invalid type: floating point, expected i32",
        ),
        ("9105", "invalid type: array"),
    ] {
        assert_eq!(
            msgpack(payload).decode::<i32>().unwrap_err().to_string(),
            text
        );
    }
    assert_eq!(
        msgpack("cd012c").decode::<u8>().unwrap_err().to_string(),
        "invalid value: integer, expected u8"
    );
}

#[test]
fn argument_lists_of_every_kind_are_read() {
    let arguments = list(" [1 , 2,3] ");
    assert_eq!(arguments.len(), Ok(3));
    assert_eq!(arguments.decode(), Ok((1_u8, 2_i64, 3.0_f64)));
    assert_eq!(arguments.decode(), Ok(vec![1, 2, 3]));
    assert_eq!(arguments.decode::<Arguments>().as_ref(), Ok(&arguments));
    let payloads = arguments.decode::<Vec<Payload>>().unwrap();
    assert_eq!(payloads, [json("1"), json("2"), json("3")]);
    let twelve = Arguments::new(Protocol::MessagePack, hex("9c0102030405060708090a0b0c"));
    let (a, .., l) = twelve
        .decode::<(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8)>()
        .unwrap();
    assert_eq!((a, l), (1, 12));
}

#[test]
fn malformed_argument_lists_are_errors() {
    for text in ["", "[", "[1", "[1,]", "{}", "1", "[1] 2", "[1 2]"] {
        assert!(list(text).len().is_err(), "{text}");
        assert!(list(text).decode::<Vec<i32>>().is_err(), "{text}");
    }
    for digits in ["", "92", "9201", "910101", "80", "ddffffffff", "c1"] {
        let arguments = Arguments::new(Protocol::MessagePack, hex(digits));
        assert!(arguments.len().is_err(), "{digits}");
        assert!(arguments.payloads().is_err(), "{digits}");
    }
}

#[test]
fn argument_lists_of_every_kind_are_written() {
    let expected = "{\"type\":1,\"target\":\"t\",\"arguments\":[1,2]}\x1e";
    let list = list("[ 1,2 ]");
    for out in [
        sent(Protocol::Json, &(1, 2)),
        sent(Protocol::Json, &Spread(vec![1, 2])),
        sent(Protocol::Json, &Spread([1, 2])),
        sent(Protocol::Json, &Spread(&[1, 2][..])),
        sent(Protocol::Json, &list),
        sent(Protocol::Json, &(json("1"), &json("2"))),
        sent(Protocol::Json, &Spread(vec![json("1"), json("2")])),
    ] {
        assert_eq!(out.unwrap(), expected);
    }
    assert_eq!(
        sent(Protocol::Json, &()).unwrap(),
        "{\"type\":1,\"target\":\"t\",\"arguments\":[]}\x1e"
    );
}

#[test]
fn long_argument_lists_get_longer_headers() {
    for (count, header) in [
        (15_usize, "9f"),
        (16, "dc0010"),
        (65_535, "dcffff"),
        (65_536, "dd00010000"),
    ] {
        let arguments = vec![7_u8; count];
        let out = sent(Protocol::MessagePack, &Spread(&arguments[..]))
            .unwrap()
            .freeze();
        let frame = crate::support::one_frame(Protocol::MessagePack, out);
        let expected = [&hex("960180c0a174")[..], &hex(header), &arguments, &[0x90]].concat();
        assert_eq!(frame, expected);
    }
}

#[test]
fn raw_payloads_that_would_break_the_message_are_refused() {
    for text in [
        "",
        "1,2",
        "[1",
        "1]}",
        "\"\x1e\"",
        "\"\n\"",
        "{\"a\":1}\x1e",
        "tru",
    ] {
        assert_eq!(
            sent(Protocol::Json, &(json(text),)),
            Err(EncodeError::RawPayload),
            "{text}"
        );
        if text != "1,2" {
            assert_eq!(
                sent(
                    Protocol::Json,
                    &Arguments::new(Protocol::Json, format!("[{text} ,1]").into())
                ),
                Err(EncodeError::RawPayload),
                "{text}"
            );
        }
    }
    let not_text = Payload::new(Protocol::Json, Bytes::from_static(b"\"\xff\""));
    assert_eq!(
        sent(Protocol::Json, &(not_text,)),
        Err(EncodeError::RawPayload)
    );
    for digits in ["", "0101", "9201", "c1", "a5"] {
        assert_eq!(
            sent(Protocol::MessagePack, &(msgpack(digits),)),
            Err(EncodeError::RawPayload),
            "{digits}"
        );
    }
    assert_eq!(
        sent(Protocol::Json, &(msgpack("01"),)),
        Err(EncodeError::RawPayload)
    );
    assert_eq!(
        sent(Protocol::MessagePack, &(json("1"),)),
        Err(EncodeError::RawPayload)
    );
    assert_eq!(
        sent(Protocol::MessagePack, &Arguments::empty(Protocol::Json)),
        Err(EncodeError::RawPayload)
    );
}

#[test]
fn a_value_that_cannot_be_written_leaves_the_buffer_as_it_was() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    for protocol in Protocol::ALL {
        let mut out = BytesMut::from(&b"before"[..]);
        let results = [
            protocol.encode_invocation(&mut out, HEAD, &("x".repeat(500), Fails)),
            protocol.encode_stream_item(&mut out, &[], "1", &(1, Fails)),
            protocol.encode_completion(&mut out, &[], "1", CompletionOutcome::Result(&[Fails])),
        ];
        for result in results {
            assert_eq!(
                result,
                Err(EncodeError::Serialize {
                    detail: "no".into()
                })
            );
        }
        assert_eq!(out, "before");
    }
}

#[test]
fn headers_that_the_official_reader_refuses_are_not_written() {
    let headers = [
        ("a".into(), "b".into()),
        ("".into(), "x".into()),
        ("y".into(), "".into()),
    ];
    let mut out = BytesMut::new();
    Protocol::MessagePack.encode_cancel_invocation(&mut out, &headers, "1");
    assert_eq!(out, &hex("09 93 05 81a161a162 a131")[..]);
}

#[test]
fn msgpack_integers_of_any_width_fit_any_integer_that_holds_them() {
    for digits in [
        "05",
        "cc05",
        "cd0005",
        "ce00000005",
        "cf0000000000000005",
        "d005",
        "d10005",
        "d200000005",
        "d30000000000000005",
    ] {
        assert_eq!(msgpack(digits).decode::<u8>(), Ok(5), "{digits}");
        assert_eq!(msgpack(digits).decode::<i64>(), Ok(5), "{digits}");
        assert_eq!(msgpack(digits).decode::<f64>(), Ok(5.0), "{digits}");
    }
    assert_eq!(msgpack("d3ffffffffffffffff").decode::<i8>(), Ok(-1));
    for digits in ["ca40a00000", "c3", "a135", "c0"] {
        assert!(msgpack(digits).decode::<i32>().is_err(), "{digits}");
    }
}

#[test]
fn visitors_see_binaries_floats_and_extensions_as_such() {
    assert_eq!(
        msgpack("c403010203").decode::<ByteBuf>().unwrap(),
        [1, 2, 3]
    );
    assert_eq!(msgpack("93010203").decode::<ByteBuf>().unwrap(), [1, 2, 3]);
    assert_eq!(msgpack("a3010203").decode::<ByteBuf>().unwrap(), [1, 2, 3]);
    assert_eq!(msgpack("ca3f000000").decode::<f64>(), Ok(0.5));
    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    #[serde(rename = "_ExtStruct")]
    struct Extension((i8, ByteBuf));
    let extension = msgpack("d42a07").decode::<Extension>().unwrap();
    assert_eq!(extension, Extension((42, ByteBuf::from([7]))));
    assert_eq!(
        Payload::from_value(Protocol::MessagePack, &extension).unwrap(),
        msgpack("d42a07")
    );
}

#[test]
fn doubles_are_read_to_the_last_bit() {
    for value in [
        0.1 + 0.2,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::from_bits(0x7eaa_af1d_b8fd_debc),
        f64::from_bits(0x3fd5_5555_5555_5555),
    ] {
        for protocol in Protocol::ALL {
            let payload = Payload::from_value(protocol, &value).unwrap();
            assert_eq!(
                payload.decode::<f64>().map(f64::to_bits),
                Ok(value.to_bits()),
                "{protocol:?} {value:e}"
            );
        }
    }
}

#[test]
fn a_value_may_be_borrowed_from_its_payload() {
    #[derive(Deserialize)]
    struct Borrowed<'a> {
        name: &'a str,
    }
    let payload = json(r#"{"name":"x"}"#);
    let borrowed: Borrowed<'_> = payload.decode().unwrap();
    assert_eq!(borrowed.name, "x");
    assert_eq!(
        msgpack("81a46e616d65a178")
            .decode::<Borrowed<'_>>()
            .map(|value| value.name.len()),
        Ok(1)
    );
}

#[test]
fn structs_and_enums_take_the_forms_that_dotnet_reads() {
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    enum Colour {
        Red,
        Mixed { red: u8 },
    }
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Shape {
        sides: u8,
        colours: Vec<Colour>,
        names: BTreeMap<String, Option<bool>>,
    }
    let shape = Shape {
        sides: 3,
        colours: vec![Colour::Red, Colour::Mixed { red: 1 }],
        names: BTreeMap::from([("a".into(), None)]),
    };
    let written = Payload::from_value(Protocol::MessagePack, &shape).unwrap();
    assert_eq!(
        written,
        msgpack(
            "83 a57369646573 03 a7636f6c6f757273 92 a3526564 81 a54d69786564 81 a3726564 01 a56e616d6573 81 a161 c0"
        )
    );
    for protocol in Protocol::ALL {
        assert_eq!(
            Payload::from_value(protocol, &shape)
                .unwrap()
                .decode()
                .as_ref(),
            Ok(&shape)
        );
    }
}

#[test]
fn trailing_bytes_after_a_payload_are_an_error() {
    assert!(json("1 2").decode::<i32>().is_err());
    assert!(msgpack("0102").decode::<i32>().is_err());
    assert_eq!(json(" 1 ").decode(), Ok(1));
}

#[test]
fn timestamps_take_the_shortest_extension_and_are_read_in_all() {
    let cases = [
        (0, 0, "d6ff00000000"),
        (0x58ec_1c80, 0, "d6ff58ec1c80"),
        (u32::MAX.into(), 0, "d6ffffffffff"),
        (1 << 32, 0, "d7ff0000000100000000"),
        (1, 500_000_000, "d7ff7735940000000001"),
        ((1 << 34) - 1, 999_999_999, "d7ffee6b27ffffffffff"),
        (1 << 34, 0, "c70cff000000000000000400000000"),
        (-1, 0, "c70cff00000000ffffffffffffffff"),
        (-1, 1, "c70cff00000001ffffffffffffffff"),
    ];
    for (seconds, nanoseconds, digits) in cases {
        let timestamp = Timestamp::new(seconds, nanoseconds).unwrap();
        assert_eq!(
            Payload::from_value(Protocol::MessagePack, &timestamp).unwrap(),
            msgpack(digits),
            "{digits}"
        );
        assert_eq!(msgpack(digits).decode(), Ok(timestamp), "{digits}");
        let longest = [
            &hex("c70cff")[..],
            &nanoseconds.to_be_bytes(),
            &seconds.to_be_bytes(),
        ]
        .concat();
        assert_eq!(
            Payload::new(Protocol::MessagePack, longest.into()).decode(),
            Ok(timestamp)
        );
    }
    for digits in [
        "d6fe00000000",
        "d7ffffffffff00000000",
        "c70cff3b9aca000000000000000000",
        "c703ff000000",
        "05",
        "a130",
        "c0",
        "d4ff00",
    ] {
        assert!(msgpack(digits).decode::<Timestamp>().is_err(), "{digits}");
    }
}

#[test]
fn timestamps_are_rfc_3339_in_json() {
    let timestamp: Timestamp = "2020-01-02T03:04:05.678Z".parse().unwrap();
    assert_eq!(
        (timestamp.seconds(), timestamp.nanoseconds()),
        (1_577_934_245, 678_000_000)
    );
    assert_eq!(
        Payload::from_value(Protocol::Json, &timestamp).unwrap(),
        json(r#""2020-01-02T03:04:05.678Z""#)
    );
    assert_eq!(
        json(r#""2020-01-02T04:34:05.678+01:30""#).decode(),
        Ok(timestamp)
    );
    assert_eq!(
        json(r#""1969-12-31T23:59:59.5Z""#).decode(),
        Ok(Timestamp::new(-1, 500_000_000).unwrap())
    );
    assert_eq!(timestamp.to_string(), "2020-01-02T03:04:05.678Z");
    let error = json(r#""secret""#).decode::<Timestamp>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value: string, expected a date and time"
    );
    assert!("2020-01-02".parse::<Timestamp>().is_err());
}

#[test]
fn timestamps_are_read_and_written_from_year_1_to_9999() {
    for (seconds, text) in [
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        let timestamp = Timestamp::new(seconds, 0).unwrap();
        assert_eq!(timestamp.to_string(), text);
        for protocol in Protocol::ALL {
            let payload = Payload::from_value(protocol, &timestamp).unwrap();
            assert_eq!(payload.decode(), Ok(timestamp), "{protocol:?}");
        }
    }
    for seconds in [-62_135_596_801_i64, 253_402_300_800] {
        let timestamp = Timestamp::new(seconds, 0).unwrap();
        for protocol in Protocol::ALL {
            assert!(Payload::from_value(protocol, &timestamp).is_err());
        }
        let extension = [&hex("c70cff00000000")[..], &seconds.to_be_bytes()].concat();
        let payload = Payload::new(Protocol::MessagePack, extension.into());
        assert!(payload.decode::<Timestamp>().is_err(), "{seconds}");
    }
    assert!(
        json(r#""0000-12-31T23:59:59Z""#)
            .decode::<Timestamp>()
            .is_err()
    );
}

#[test]
fn timestamps_outside_of_the_calendar_do_not_panic() {
    for (seconds, nanoseconds, text) in [
        (i64::MAX, 999_999_999, "@9223372036854775807+999999999ns"),
        (i64::MIN, 0, "@-9223372036854775808"),
        (-70_000_000_000, 0, "@-70000000000"),
    ] {
        let timestamp = Timestamp::new(seconds, nanoseconds).unwrap();
        assert_eq!(timestamp.to_string(), text);
        assert!(Payload::from_value(Protocol::Json, &timestamp).is_err());
        let _ = timestamp.to_system_time();
    }
    assert_eq!(Timestamp::new(0, 1_000_000_000), None);
}

#[test]
fn timestamps_and_system_times_convert_both_ways() {
    for time in [
        UNIX_EPOCH,
        UNIX_EPOCH + Duration::new(5, 7),
        UNIX_EPOCH - Duration::new(5, 0),
        UNIX_EPOCH - Duration::new(5, 7),
    ] {
        assert_eq!(Timestamp::from(time).to_system_time(), Some(time));
    }
    assert_eq!(
        Timestamp::from(UNIX_EPOCH - Duration::from_nanos(1)),
        Timestamp::new(-1, 999_999_999).unwrap()
    );
}
