//! The golden vectors of the hub protocol, in both directions.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use signalr_proto::codec::{Headers, Invocation, Outcome, Role};
use signalr_proto::{Arguments, HubMessage, Payload, Protocol, Timestamp};

use crate::support::{decode, hex, one_frame};

/// A message with its JSON text, without separator, and its MessagePack frame.
struct Vector {
    json: &'static str,
    msgpack: &'static str,
    message: fn(Protocol) -> HubMessage,
}

fn payload(protocol: Protocol, value: &impl Serialize) -> Payload {
    Payload::from_value(protocol, value).unwrap()
}

fn arguments(protocol: Protocol, values: &impl Serialize) -> Arguments {
    Arguments::new(protocol, payload(protocol, values).into_bytes())
}

fn invocation(id: Option<&'static str>, target: &'static str, arguments: Arguments) -> Invocation {
    Invocation {
        headers: Headers::new(),
        invocation_id: id.map(Into::into),
        target: target.into(),
        arguments,
        stream_ids: Vec::new(),
    }
}

fn completion(outcome: Outcome) -> HubMessage {
    HubMessage::Completion {
        headers: Headers::new(),
        invocation_id: "123".into(),
        outcome,
    }
}

const VECTORS: &[Vector] = &[
    Vector {
        json: r#"{"type":1,"invocationId":"123","target":"Send","arguments":[42,"Test Message"]}"#,
        msgpack: "1c960180a3313233a453656e64922aac54657374204d65737361676590",
        message: |p| {
            HubMessage::Invocation(invocation(
                Some("123"),
                "Send",
                arguments(p, &(42, "Test Message")),
            ))
        },
    },
    Vector {
        json: r#"{"type":1,"target":"Send","arguments":[42]}"#,
        msgpack: "0c960180c0a453656e64912a90",
        message: |p| HubMessage::Invocation(invocation(None, "Send", arguments(p, &(42,)))),
    },
    Vector {
        json: r#"{"type":1,"invocationId":"123","target":"Send","arguments":[42],"streamIds":["1"]}"#,
        msgpack: "11960180a3313233a453656e64912a91a131",
        message: |p| {
            let base = invocation(Some("123"), "Send", arguments(p, &(42,)));
            HubMessage::Invocation(Invocation {
                stream_ids: vec!["1".into()],
                ..base
            })
        },
    },
    Vector {
        json: r#"{"type":4,"invocationId":"123","target":"Stream","arguments":[5]}"#,
        msgpack: "11960480a3313233a653747265616d910590",
        message: |p| {
            HubMessage::StreamInvocation(invocation(Some("123"), "Stream", arguments(p, &(5,))))
        },
    },
    Vector {
        json: r#"{"type":2,"invocationId":"123","item":42}"#,
        msgpack: "08940280a33132332a",
        message: |p| HubMessage::StreamItem {
            headers: Headers::new(),
            invocation_id: "123".into(),
            item: payload(p, &42),
        },
    },
    Vector {
        json: r#"{"type":3,"invocationId":"123"}"#,
        msgpack: "08940380a331323302",
        message: |_| completion(Outcome::Void),
    },
    Vector {
        json: r#"{"type":3,"invocationId":"123","result":42}"#,
        msgpack: "09950380a3313233032a",
        message: |p| completion(Outcome::Result(payload(p, &42))),
    },
    Vector {
        json: r#"{"type":3,"invocationId":"123","result":null}"#,
        msgpack: "09950380a331323303c0",
        message: |p| completion(Outcome::Result(payload(p, &()))),
    },
    Vector {
        json: r#"{"type":3,"invocationId":"123","error":"It didn't work!"}"#,
        msgpack: "18950380a331323301af4974206469646e277420776f726b21",
        message: |_| completion(Outcome::Error("It didn't work!".into())),
    },
    Vector {
        json: r#"{"type":5,"invocationId":"123"}"#,
        msgpack: "07930580a3313233",
        message: |_| HubMessage::CancelInvocation {
            headers: Headers::new(),
            invocation_id: "123".into(),
        },
    },
    Vector {
        json: r#"{"type":6}"#,
        msgpack: "029106",
        message: |_| HubMessage::Ping,
    },
    Vector {
        json: r#"{"type":7}"#,
        msgpack: "049307c0c2",
        message: |_| HubMessage::Close {
            error: None,
            allow_reconnect: false,
        },
    },
    Vector {
        json: r#"{"type":7,"error":"xyz"}"#,
        msgpack: "079307a378797ac2",
        message: |_| HubMessage::Close {
            error: Some("xyz".into()),
            allow_reconnect: false,
        },
    },
    Vector {
        json: r#"{"type":7,"error":"xyz","allowReconnect":true}"#,
        msgpack: "079307a378797ac3",
        message: |_| HubMessage::Close {
            error: Some("xyz".into()),
            allow_reconnect: true,
        },
    },
    Vector {
        json: r#"{"type":8,"sequenceId":1394}"#,
        msgpack: "059208cd0572",
        message: |_| HubMessage::Ack { sequence_id: 1394 },
    },
    Vector {
        json: r#"{"type":9,"sequenceId":1234}"#,
        msgpack: "059209cd04d2",
        message: |_| HubMessage::Sequence { sequence_id: 1234 },
    },
    Vector {
        json: r#"{"type":1,"headers":{"x":"y","z":"z"},"invocationId":"xyz","target":"method","arguments":[42]}"#,
        msgpack: "19960182a178a179a17aa17aa378797aa66d6574686f64912a90",
        message: |p| {
            let base = invocation(Some("xyz"), "method", arguments(p, &(42,)));
            HubMessage::Invocation(Invocation {
                headers: vec![("x".into(), "y".into()), ("z".into(), "z".into())],
                ..base
            })
        },
    },
];

#[test]
fn every_vector_is_written_byte_for_byte() {
    for vector in VECTORS {
        for protocol in Protocol::ALL {
            let mut out = BytesMut::new();
            protocol
                .encode(&mut out, &(vector.message)(protocol))
                .unwrap();
            assert_eq!(out, vector_bytes(vector, protocol), "{}", vector.json);
        }
    }
}

#[test]
fn every_vector_is_read_by_both_roles() {
    for vector in VECTORS {
        for protocol in Protocol::ALL {
            let frame = one_frame(protocol, vector_bytes(vector, protocol));
            for role in [Role::Client, Role::Server] {
                assert_eq!(
                    protocol.decode(role, &frame),
                    Ok(Some((vector.message)(protocol))),
                    "{}",
                    vector.json
                );
            }
        }
    }
}

fn vector_bytes(vector: &Vector, protocol: Protocol) -> Bytes {
    match protocol {
        Protocol::Json => format!("{}\x1e", vector.json).into(),
        Protocol::MessagePack => hex(vector.msgpack),
        _ => unreachable!("no other protocol"),
    }
}

#[test]
fn other_shapes_of_the_same_messages_are_read_alike() {
    let cases = [
        // The JavaScript client writes no stream ids and no flag.
        (
            "950180a3313233a453656e64922aac54657374204d657373616765",
            "960180a3313233a453656e64922aac54657374204d65737361676590",
        ),
        ("9207c0", "9307c0c2"),
        ("9207a378797a", "9307a378797ac2"),
        // Wider integers than needed.
        ("9209cc13", "920913"),
        ("9208cc24", "920824"),
        ("9208d30000000000000572", "9208cd0572"),
        ("91cc06", "9106"),
        ("91d30000000000000006", "9106"),
        ("950380a3313233cd00032a", "950380a3313233032a"),
        // More elements than known, and bytes after the array.
        (
            "980180a3313233a453656e64912a90c3a26578",
            "960180a3313233a453656e64912a90",
        ),
        ("9306c0c0", "9106"),
        ("9106ffff", "9106"),
        ("970580a3313233c0c0c0c0", "930580a3313233"),
        // Wider strings, arrays and maps.
        (
            "dd00000006cd0001df00000000da0003313233db0000000453656e64dc00012adc0000",
            "960180a3313233a453656e64dc00012a90",
        ),
    ];
    for (given, expected) in cases {
        let given = decode(Protocol::MessagePack, Role::Server, hex(given)).unwrap();
        assert!(given.is_some());
        assert_eq!(
            given,
            decode(Protocol::MessagePack, Role::Server, hex(expected)).unwrap()
        );
    }
}

#[test]
fn members_may_come_in_any_order_and_with_white_space() {
    let cases = [
        (
            r#"{ "arguments": [1,2], "type":1, "target": "Method" }"#,
            r#"{"type":1,"target":"Method","arguments":[1,2]}"#,
        ),
        (
            r#"{ "type":3, "result": 10, "invocationId": "15" }"#,
            r#"{"type":3,"invocationId":"15","result":10}"#,
        ),
        (
            r#"{ "item": "foo", "invocationId": "1a", "type":2 }"#,
            r#"{"type":2,"invocationId":"1a","item":"foo"}"#,
        ),
        (r#"{"extraParameter":"1","type":6}"#, r#"{"type":6}"#),
        (" \r\n\t{ \"type\" : 6 } \n", r#"{"type":6}"#),
    ];
    for (given, expected) in cases {
        assert_eq!(
            decode(Protocol::Json, Role::Server, given),
            decode(Protocol::Json, Role::Server, expected),
            "{given}"
        );
    }
}

#[test]
fn malformed_bodies_are_refused() {
    let msgpack = [
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
        "90",
        "c0",
        "2a",
        "a3666f6f",
        "80",
        "c1",
        "9601c0a131a44563686f910190",
        "9105",
        "920580",
        "930580c0",
        "930580a0",
        "930580ff",
        "9108",
        "9208c0",
        "9208ff",
        "9208ca3f800000",
        "9209cfffffffffffffffff",
        "9107",
        "92072a",
        "9307c001",
        "960180a131a0910190",
        "96018001a456",
    ];
    for body in msgpack {
        let body = hex(body);
        assert!(
            decode(Protocol::MessagePack, Role::Client, body.clone()).is_err(),
            "{body:x?}"
        );
    }
    let json = [
        "null",
        r#""foo""#,
        "[42]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":1,"invocationId":42}"#,
        r#"{"type":2,"invocationId":"42"}"#,
        r#"{"type":3,"invocationId":"42","error":"foo","result":true}"#,
    ];
    for body in json {
        assert!(
            decode(Protocol::Json, Role::Client, body).is_err(),
            "{body}"
        );
    }
}

#[test]
fn framed_sizes_are_those_of_the_official_server() {
    let size = |protocol: Protocol, message: &HubMessage| {
        let mut out = BytesMut::new();
        protocol.encode(&mut out, message).unwrap();
        out.len()
    };
    let id = || "1".into();
    let m = Protocol::MessagePack;
    let close = HubMessage::Close {
        error: None,
        allow_reconnect: false,
    };
    let void = HubMessage::Completion {
        headers: vec![],
        invocation_id: id(),
        outcome: Outcome::Void,
    };
    let call = |p| HubMessage::Invocation(invocation(None, "Target", arguments(p, &(1,))));
    assert_eq!(size(m, &HubMessage::Ping), 3);
    assert_eq!(size(m, &close), 5);
    assert_eq!(
        size(
            m,
            &HubMessage::CancelInvocation {
                headers: vec![],
                invocation_id: id()
            }
        ),
        6
    );
    assert_eq!(size(m, &void), 7);
    assert_eq!(
        size(
            m,
            &HubMessage::StreamItem {
                headers: vec![],
                invocation_id: id(),
                item: payload(m, &1)
            }
        ),
        7
    );
    assert_eq!(size(m, &call(m)), 15);
    assert_eq!(size(Protocol::Json, &call(Protocol::Json)), 45);
    assert_eq!(size(Protocol::Json, &close), 11);
    assert_eq!(size(Protocol::Json, &void), 30);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    string_prop: String,
    double_prop: f64,
    int_prop: i32,
    date_time_prop: Timestamp,
    null_prop: Option<i32>,
    #[serde(with = "serde_bytes")]
    byte_arr_prop: Vec<u8>,
}

#[test]
fn dotnet_objects_are_maps_of_their_property_names() {
    let body = hex(
        "950380a378797a0386aa537472696e6750726f70a85369676e616c5221aa446f75626c6550726f70cb401921fb5442cf12a7496e7450726f702aac4461746554696d6550726f70d6ff58ec1c80\
         a84e756c6c50726f70c0ab4279746541727250726f70c403010203",
    );
    let Ok(Some(HubMessage::Completion {
        outcome: Outcome::Result(result),
        ..
    })) = decode(Protocol::MessagePack, Role::Client, body)
    else {
        panic!("expected a completion with a result");
    };
    let sample: Sample = result.decode().unwrap();
    let expected = Sample {
        string_prop: "SignalR!".into(),
        double_prop: 6.283_185_307_1,
        int_prop: 42,
        date_time_prop: "2017-04-11T00:00:00Z".parse().unwrap(),
        null_prop: None,
        byte_arr_prop: vec![1, 2, 3],
    };
    assert_eq!(sample, expected);
    assert_eq!(
        Payload::from_value(Protocol::MessagePack, &sample).unwrap(),
        result
    );
}

#[test]
fn floats_keep_their_width_and_enums_are_names() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Count {
        One,
    }
    let Ok(Some(HubMessage::StreamItem { item, .. })) = decode(
        Protocol::MessagePack,
        Role::Client,
        hex("940280a378797aca42280000"),
    ) else {
        panic!()
    };
    assert_eq!(item.decode::<f32>(), Ok(42.0));
    assert_eq!(
        Payload::from_value(Protocol::MessagePack, &42.0_f32).unwrap(),
        item
    );
    let Ok(Some(HubMessage::Completion {
        outcome: Outcome::Result(result),
        ..
    })) = decode(
        Protocol::MessagePack,
        Role::Client,
        hex("950380a378797a03a34f6e65"),
    )
    else {
        panic!()
    };
    assert_eq!(result.decode::<Count>(), Ok(Count::One));
    assert_eq!(
        Payload::from_value(Protocol::MessagePack, &Count::One).unwrap(),
        result
    );
}
