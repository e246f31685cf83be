//! What holds for any message: round trips, agreement of the protocols, no panic on any bytes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::Value;
use signalr_proto::codec::{Headers, Invocation, Outcome, Role};
use signalr_proto::{Arguments, HubMessage, Payload, Protocol};

use crate::support::{frames, one_frame};

/// A message without a protocol.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Invocation {
        streaming: bool,
        headers: Vec<(String, String)>,
        id: Option<String>,
        target: String,
        arguments: Vec<Value>,
        stream_ids: Vec<String>,
    },
    StreamItem(Vec<(String, String)>, String, Value),
    Completion(Vec<(String, String)>, String, Option<Result<Value, String>>),
    Cancel(Vec<(String, String)>, String),
    Ping,
    Close(Option<String>, bool),
    Ack(u64),
    Sequence(u64),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|half| Value::from(f64::from(half) / 2.0 + 0.25)),
        any::<String>().prop_map(Value::from),
        "[\"\\\\\u{1e}\n\u{1f600}\u{7f}x]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..20).prop_map(object)
        ]
    })
}

fn object(members: BTreeMap<String, Value>) -> Value {
    Value::Object(members.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{1,40}", "[a-z\"\\\\\u{1e}\u{0}\u{1f600}]{1,200}"]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((text(), text()), 0..20)]
}

fn plain() -> impl Strategy<Value = Plain> {
    let outcome = prop::option::of(prop_oneof![
        value().prop_map(Ok),
        any::<String>().prop_map(Err)
    ]);
    prop_oneof![
        4 => (any::<bool>(), headers(), prop::option::of(text()), text(), prop::collection::vec(value(), 0..20), prop::collection::vec(text(), 0..3)).prop_map(
            |(streaming, headers, id, target, arguments, stream_ids)| {
                let id = if streaming { id.or_else(|| Some("1".to_owned())) } else { id };
                Plain::Invocation { streaming, headers, id, target, arguments, stream_ids }
            }
        ),
        2 => (headers(), text(), value()).prop_map(|(headers, id, item)| Plain::StreamItem(headers, id, item)),
        2 => (headers(), text(), outcome).prop_map(|(headers, id, outcome)| Plain::Completion(headers, id, outcome)),
        1 => (headers(), text()).prop_map(|(headers, id)| Plain::Cancel(headers, id)),
        1 => Just(Plain::Ping),
        1 => (prop::option::of(any::<String>()), any::<bool>()).prop_map(|(error, reconnect)| Plain::Close(error, reconnect)),
        1 => (0..=i64::MAX as u64).prop_map(Plain::Ack),
        1 => (0..=i64::MAX as u64).prop_map(Plain::Sequence),
    ]
}

fn to_headers(headers: &[(String, String)]) -> Headers {
    headers
        .iter()
        .map(|(name, value)| (name.clone().into(), value.clone().into()))
        .collect()
}

fn from_headers(headers: &Headers) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn message(protocol: Protocol, plain: &Plain) -> HubMessage {
    let payload = |value: &Value| Payload::from_value(protocol, value).unwrap();
    match plain.clone() {
        Plain::Invocation {
            streaming,
            headers,
            id,
            target,
            arguments,
            stream_ids,
        } => {
            let invocation = Invocation {
                headers: to_headers(&headers),
                invocation_id: id.map(Into::into),
                target: target.into(),
                arguments: Arguments::new(
                    protocol,
                    Payload::from_value(protocol, &arguments)
                        .unwrap()
                        .into_bytes(),
                ),
                stream_ids: stream_ids.into_iter().map(Into::into).collect(),
            };
            if streaming {
                HubMessage::StreamInvocation(invocation)
            } else {
                HubMessage::Invocation(invocation)
            }
        }
        Plain::StreamItem(headers, id, item) => HubMessage::StreamItem {
            headers: to_headers(&headers),
            invocation_id: id.into(),
            item: payload(&item),
        },
        Plain::Completion(headers, id, outcome) => {
            let outcome = match outcome {
                None => Outcome::Void,
                Some(Ok(value)) => Outcome::Result(payload(&value)),
                Some(Err(error)) => Outcome::Error(error.into()),
            };
            HubMessage::Completion {
                headers: to_headers(&headers),
                invocation_id: id.into(),
                outcome,
            }
        }
        Plain::Cancel(headers, id) => HubMessage::CancelInvocation {
            headers: to_headers(&headers),
            invocation_id: id.into(),
        },
        Plain::Ping => HubMessage::Ping,
        Plain::Close(error, allow_reconnect) => HubMessage::Close {
            error: error.map(Into::into),
            allow_reconnect,
        },
        Plain::Ack(sequence_id) => HubMessage::Ack { sequence_id },
        Plain::Sequence(sequence_id) => HubMessage::Sequence { sequence_id },
    }
}

fn plain_of(message: HubMessage) -> Plain {
    let of_invocation = |streaming, invocation: Invocation| Plain::Invocation {
        streaming,
        headers: from_headers(&invocation.headers),
        id: invocation.invocation_id.map(|id| id.to_string()),
        target: invocation.target.to_string(),
        arguments: invocation.arguments.decode().unwrap(),
        stream_ids: invocation
            .stream_ids
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    match message {
        HubMessage::Invocation(invocation) => of_invocation(false, invocation),
        HubMessage::StreamInvocation(invocation) => of_invocation(true, invocation),
        HubMessage::StreamItem {
            headers,
            invocation_id,
            item,
        } => Plain::StreamItem(
            from_headers(&headers),
            invocation_id.to_string(),
            item.decode().unwrap(),
        ),
        HubMessage::Completion {
            headers,
            invocation_id,
            outcome,
        } => {
            let outcome = match outcome {
                Outcome::Void => None,
                Outcome::Result(result) => Some(Ok(result.decode().unwrap())),
                Outcome::Error(error) => Some(Err(error.to_string())),
            };
            Plain::Completion(from_headers(&headers), invocation_id.to_string(), outcome)
        }
        HubMessage::CancelInvocation {
            headers,
            invocation_id,
        } => Plain::Cancel(from_headers(&headers), invocation_id.to_string()),
        HubMessage::Ping => Plain::Ping,
        HubMessage::Close {
            error,
            allow_reconnect,
        } => Plain::Close(error.map(|error| error.to_string()), allow_reconnect),
        HubMessage::Ack { sequence_id } => Plain::Ack(sequence_id),
        HubMessage::Sequence { sequence_id } => Plain::Sequence(sequence_id),
        other => panic!("{other:?}"),
    }
}

fn written(protocol: Protocol, message: &HubMessage) -> Bytes {
    let mut out = BytesMut::new();
    protocol.encode(&mut out, message).unwrap();
    out.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_is_read_as_it_was_written_in_both_protocols(plain in plain()) {
        for protocol in Protocol::ALL {
            let message = message(protocol, &plain);
            for role in [Role::Client, Role::Server] {
                let read = protocol.decode(role, &one_frame(protocol, written(protocol, &message))).unwrap().unwrap();
                prop_assert_eq!(&read, &message);
                prop_assert_eq!(&plain_of(read), &plain);
            }
        }
    }

    #[test]
    fn a_record_is_json_without_a_separator_inside(plain in plain()) {
        let record = written(Protocol::Json, &message(Protocol::Json, &plain));
        let (separator, text) = record.split_last().unwrap();
        prop_assert_eq!(*separator, 0x1e);
        prop_assert!(!text.contains(&0x1e));
        prop_assert!(serde_json::from_slice::<Value>(text).is_ok());
    }

    #[test]
    fn members_may_come_in_any_order(plain in plain(), seed in any::<u64>()) {
        let record = written(Protocol::Json, &message(Protocol::Json, &plain));
        let text = std::str::from_utf8(record.strip_suffix(b"\x1e").unwrap()).unwrap();
        let object: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(text).unwrap();
        let mut members: Vec<String> = object.iter().map(|(name, value)| format!("{name:?} : {value}")).collect();
        let turn = usize::try_from(seed % members.len() as u64).unwrap();
        members.rotate_left(turn);
        if seed & 1 << 32 != 0 {
            members.reverse();
        }
        let frame = Bytes::from(format!(" {{ {} , \"x\":{{}} }} ", members.join(" , ")));
        prop_assert_eq!(plain_of(Protocol::Json.decode(Role::Client, &frame).unwrap().unwrap()), plain);
    }

    #[test]
    fn what_is_cut_off_is_never_a_message(plain in plain(), cut in any::<prop::sample::Index>()) {
        for protocol in Protocol::ALL {
            let whole = written(protocol, &message(protocol, &plain));
            let part = whole.slice(..cut.index(whole.len()));
            prop_assert_eq!(frames(protocol, usize::MAX, &[part]), (Vec::new(), None));
        }
        let frame = one_frame(Protocol::Json, written(Protocol::Json, &message(Protocol::Json, &plain)));
        prop_assert!(Protocol::Json.decode(Role::Client, &frame.slice(..cut.index(frame.len()))).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        look_at(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic(plain in plain(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for protocol in Protocol::ALL {
            let frame = one_frame(protocol, written(protocol, &message(protocol, &plain)));
            let mut damaged = frame.to_vec();
            damaged[at.index(frame.len())] = byte;
            look_at(&damaged);
        }
    }

    #[test]
    fn json_that_is_nearly_right_never_panics(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20)) {
        look_at(pieces.concat().as_bytes());
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"type\":1",
    "\"type\":",
    "1",
    "\"target\":\"x\"",
    "\"arguments\":[1]",
    "\"headers\":{\"a\":\"b\"}",
    "\"invocationId\":\"1\"",
    "\"streamIds\":[\"1\"]",
    "\"item\":",
    "\"error\":\"\"",
    "\"result\":null",
    "\\",
    "\"",
    "\\u00",
    "\u{1f600}",
    " ",
    "{\"type\":1,",
    "-",
    "0",
    "1e5",
    "true",
    "null",
];

/// Reads the bytes in every way there is.
fn look_at(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    for protocol in Protocol::ALL {
        for role in [Role::Client, Role::Server] {
            if let Ok(Some(message)) = protocol.decode(role, &frame) {
                let _ = protocol.encode(&mut BytesMut::new(), &message);
            }
        }
        let arguments = Arguments::new(protocol, frame.clone());
        let _ = (
            arguments.len(),
            arguments.decode::<(Value, Value)>(),
            arguments.decode::<Vec<Value>>(),
        );
        let payload = Payload::new(protocol, frame.clone());
        let _ = (
            payload.is_null(),
            payload.decode::<Value>(),
            payload.decode::<signalr_proto::Timestamp>(),
        );
    }
    let _ = signalr_proto::codec::handshake::decode_request(&frame);
    let _ = signalr_proto::codec::handshake::decode_response(&frame);
}
