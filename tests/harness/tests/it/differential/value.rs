//! Values and messages that both sides can write, and the form in which they are compared.
//!
//! That form is JSON with what JSON cannot tell apart spelled out, see `peer.mjs`. All numbers are doubles there, since
//! JavaScript has no others.

use std::collections::BTreeMap;
use std::fmt;

use bytes::BytesMut;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use signalr_harness::simulator::Random;
use signalr_proto::codec::{CompletionOutcome, Headers, InvocationHead, Outcome};
use signalr_proto::{HubMessage, Payload, Protocol, Spread, Timestamp};

use super::official::hex;

/// A value of an argument, item or result.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    /// MessagePack only, like the next.
    Bytes(Vec<u8>),
    /// Milliseconds since 1970.
    Date(i64),
}

impl Plain {
    /// Any value; integers and floats are such that JavaScript writes them in the same way.
    pub(crate) fn any(random: &mut Random, protocol: Protocol, depth: u32) -> Self {
        match random.below(if depth == 0 { 8 } else { 11 }) {
            0 => Self::Null,
            1 => Self::Bool(random.percent(50)),
            2 | 3 => Self::Integer(integer(random)),
            4 => Self::Float(float(random)),
            5 if protocol == Protocol::MessagePack => {
                let length = random.of(&[0, 1, 31, 255, 256, 300]);
                Self::Bytes(
                    (0..length)
                        .map(|at| random.any() as u8 ^ at as u8)
                        .collect(),
                )
            }
            6 if protocol == Protocol::MessagePack => {
                // Whole seconds, some milliseconds, before 1970, after 2514; years 1 to 9999, as .NET has them.
                let shift = random.of(&[23, 30, 34, 20]);
                let milliseconds = (random.any() as i64 >> shift) * random.of(&[1, 1000]);
                let bound = if milliseconds < 0 {
                    62_135_596_800_000
                } else {
                    253_402_300_800_000
                };
                Self::Date(milliseconds % bound)
            }
            5..=7 => Self::Text(text(random)),
            8 => Self::List(Self::several(random, protocol, depth - 1)),
            9 => {
                let length = few(random);
                // Names that look like numbers are put first by JavaScript.
                let name = |random: &mut Random| format!("m{}", text(random));
                let member =
                    |random: &mut Random| (name(random), Self::any(random, protocol, depth - 1));
                Self::Map((0..length).map(|_| member(random)).collect())
            }
            _ => Self::List(vec![Self::any(random, protocol, depth - 1)]),
        }
    }

    fn several(random: &mut Random, protocol: Protocol, depth: u32) -> Vec<Self> {
        (0..few(random))
            .map(|_| Self::any(random, protocol, depth))
            .collect()
    }

    pub(crate) fn shown(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Integer(value) => number(*value as f64),
            Self::Float(value) => number(*value),
            Self::Text(text) => json!(text),
            Self::List(elements) => list(elements.iter().map(Self::shown).collect()),
            Self::Map(map) => map
                .iter()
                .map(|(name, value)| (name.clone(), value.shown()))
                .collect(),
            Self::Bytes(bytes) => json!({ "$bin": hex(bytes) }),
            Self::Date(milliseconds) => json!({ "$date": milliseconds }),
        }
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Map(map) => map.serialize(serializer),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Date(milliseconds) => {
                let nanoseconds = milliseconds.rem_euclid(1000) as u32 * 1_000_000;
                Timestamp::new(milliseconds.div_euclid(1000), nanoseconds)
                    .unwrap()
                    .serialize(serializer)
            }
        }
    }
}

/// A number of elements: few, and now and then more than fit a short header.
fn few(random: &mut Random) -> u64 {
    if random.percent(95) {
        random.below(4)
    } else {
        random.of(&[15, 16, 17])
    }
}

/// All that JavaScript can hold, more of them near the ends of the widths.
fn integer(random: &mut Random) -> i64 {
    let width = random.of(&[5, 7, 8, 15, 16, 31, 32, 33, 53]);
    let edge = (1_i64 << width) - 3 + random.below(4) as i64;
    let value = if random.percent(50) {
        edge
    } else {
        (random.any() >> (64 - width)) as i64
    };
    let value = value.min((1 << 53) - 1);
    if random.percent(40) { -value } else { value }
}

/// Any double that is no integer: JavaScript cannot tell 1.0 from 1.
fn float(random: &mut Random) -> f64 {
    loop {
        let value = match random.below(3) {
            0 => f64::from_bits(random.any()),
            1 => random.below(100_000) as f64 / 1000.0,
            _ => (random.any() >> 11) as f64 / (1_u64 << 53) as f64,
        };
        if value.is_finite() && (value.fract() != 0.0 || value.abs() > 1e20) {
            return value;
        }
    }
}

/// Letters of every kind, not empty.
pub(crate) fn text(random: &mut Random) -> String {
    const LETTERS: [char; 24] = [
        'a',
        'b',
        'Z',
        '0',
        ' ',
        '"',
        '\\',
        '/',
        '\'',
        '<',
        '&',
        '+',
        '\n',
        '\t',
        '\0',
        '\u{1e}',
        '\u{7f}',
        '\u{80}',
        'é',
        '€',
        '\u{2028}',
        '\u{fffd}',
        '\u{1f600}',
        '\u{10ffff}',
    ];
    let length = match random.below(2000) {
        0 => random.of(&[65_535, 65_536]),
        1..50 => random.of(&[31, 32, 255, 256, 300]),
        _ => 1 + random.below(12),
    };
    // Long ones of a single kind, so that their lengths in bytes are at the edges.
    let same = random.of(&LETTERS);
    (0..length)
        .map(|_| {
            if length > 30 {
                same
            } else {
                random.of(&LETTERS)
            }
        })
        .collect()
}

/// A number as `peer.mjs` shows it.
pub(crate) fn number(value: f64) -> Value {
    let value = if value.is_nan() { f64::NAN } else { value };
    json!({ "$number": format!("{:016x}", value.to_bits()) })
}

/// A list; how many lists hold nothing but the next one is counted, since answers must not nest too deep.
fn list(mut elements: Vec<Value>) -> Value {
    match &mut elements[..] {
        [Value::Array(_)] => json!({ "$nested": [1, elements[0]] }),
        [Value::Object(only)] if only.contains_key("$nested") => {
            let depth = only["$nested"][0].as_u64().unwrap();
            json!({ "$nested": [depth + 1, only["$nested"][1]] })
        }
        _ => elements.into(),
    }
}

/// A message of any type.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) headers: Vec<(String, String)>,
    /// Always there where it must be.
    pub(crate) id: Option<String>,
    pub(crate) target: String,
    pub(crate) arguments: Vec<Plain>,
    pub(crate) stream_ids: Vec<String>,
    /// A stream's item, and a completion's result.
    pub(crate) value: Option<Plain>,
    pub(crate) error: Option<String>,
    pub(crate) allow_reconnect: bool,
    pub(crate) sequence_id: u64,
}

impl Message {
    pub(crate) fn any(random: &mut Random, protocol: Protocol, kinds: &[u8]) -> Self {
        let kind = random.of(kinds);
        let count = if random.percent(70) {
            0
        } else {
            random.below(4)
        };
        let headers: BTreeMap<_, _> = (0..count)
            .map(|_| (format!("h{}", text(random)), text(random)))
            .collect();
        let no_id = kind == 1 && random.percent(50);
        let outcome = random.below(3);
        let value = match (kind, outcome) {
            (2, _) | (3, 0) => Some(Plain::any(random, protocol, 3)),
            _ => None,
        };
        Self {
            kind,
            headers: headers.into_iter().collect(),
            id: (!no_id).then(|| text(random)),
            target: text(random),
            arguments: Plain::several(random, protocol, 3),
            stream_ids: (0..random.of(&[0, 0, 0, 1, 2]))
                .map(|_| text(random))
                .collect(),
            value,
            error: matches!((kind, outcome), (3 | 7, 1)).then(|| text(random)),
            allow_reconnect: random.percent(50),
            sequence_id: random.any() >> random.of(&[11, 32, 48, 57]),
        }
    }

    /// Its frame, as we write it.
    pub(crate) fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let headers: Headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect();
        let stream_ids: Vec<_> = self
            .stream_ids
            .iter()
            .map(|id| id.as_str().into())
            .collect();
        let id = self.id.as_deref().unwrap_or_default();
        match self.kind {
            1 | 4 => {
                let head = InvocationHead {
                    streaming: self.kind == 4,
                    headers: &headers,
                    invocation_id: self.id.as_deref(),
                    target: &self.target,
                    stream_ids: &stream_ids,
                };
                protocol.encode_invocation(out, head, &Spread(&self.arguments[..]))
            }
            2 => protocol.encode_stream_item(out, &headers, id, self.value.as_ref().unwrap()),
            3 => {
                let outcome = match (&self.error, &self.value) {
                    (Some(error), _) => CompletionOutcome::Error(error.as_str()),
                    (None, Some(value)) => CompletionOutcome::Result(value),
                    (None, None) => CompletionOutcome::Void,
                };
                protocol.encode_completion(out, &headers, id, outcome)
            }
            5 => {
                protocol.encode_cancel_invocation(out, &headers, id);
                Ok(())
            }
            6 => {
                protocol.encode_ping(out);
                Ok(())
            }
            7 => {
                protocol.encode_close(out, self.error.as_deref(), self.allow_reconnect);
                Ok(())
            }
            8 => {
                protocol.encode_ack(out, self.sequence_id);
                Ok(())
            }
            _ => {
                protocol.encode_sequence(out, self.sequence_id);
                Ok(())
            }
        }
        .unwrap();
    }

    /// How it is shown, which is also how the official writer is told to write it.
    pub(crate) fn shown(&self) -> Value {
        let kind = self.kind;
        let mut shown = json!({ "type": kind });
        let mut set = |name: &str, value: Value| {
            shown[name] = value;
        };
        if kind <= 5 {
            let headers: Map<_, _> = self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            set("headers", headers.into());
            if let Some(id) = &self.id {
                set("invocationId", json!(id));
            }
        }
        if matches!(kind, 1 | 4) {
            set("target", json!(self.target));
            set(
                "arguments",
                self.arguments.iter().map(Plain::shown).collect(),
            );
            set("streamIds", json!(self.stream_ids));
        }
        if let Some(value) = &self.value {
            set(if kind == 2 { "item" } else { "result" }, value.shown());
        }
        if let (3, Some(error)) = (kind, &self.error) {
            set("error", json!(error));
        }
        if kind == 7 {
            set("error", json!(self.error));
            set("allowReconnect", json!(self.allow_reconnect));
        }
        if kind >= 8 {
            set("sequenceId", number(self.sequence_id as f64));
        }
        shown
    }
}

/// What we read, in the form of [`Message::shown`].
pub(crate) fn shown(message: &HubMessage) -> Value {
    let of_headers = |headers: &Headers| -> Value {
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(&**value)))
            .collect::<Map<_, _>>()
            .into()
    };
    match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            let streaming = matches!(message, HubMessage::StreamInvocation(_));
            let arguments = invocation
                .arguments
                .payloads()
                .map_or_else(|_| undecodable(), |list| list.iter().map(seen).collect());
            let stream_ids: Vec<&str> = invocation.stream_ids.iter().map(|id| &**id).collect();
            let mut shown = json!({
                "type": if streaming { 4 } else { 1 },
                "headers": of_headers(&invocation.headers),
                "target": &*invocation.target,
                "arguments": arguments,
                "streamIds": stream_ids,
            });
            if let Some(id) = &invocation.invocation_id {
                shown["invocationId"] = json!(&**id);
            }
            shown
        }
        HubMessage::StreamItem {
            headers,
            invocation_id,
            item,
        } => json!({
            "type": 2,
            "headers": of_headers(headers),
            "invocationId": &**invocation_id,
            "item": seen(item),
        }),
        HubMessage::Completion {
            headers,
            invocation_id,
            outcome,
        } => {
            let mut shown = json!({
                "type": 3,
                "headers": of_headers(headers),
                "invocationId": &**invocation_id,
            });
            match outcome {
                Outcome::Result(result) => shown["result"] = seen(result),
                Outcome::Error(error) if !error.is_empty() => shown["error"] = json!(&**error),
                // To callers an empty error is none.
                Outcome::Error(_) | Outcome::Void => {}
            }
            shown
        }
        HubMessage::CancelInvocation {
            headers,
            invocation_id,
        } => json!({
            "type": 5,
            "headers": of_headers(headers),
            "invocationId": &**invocation_id,
        }),
        HubMessage::Ping => json!({ "type": 6 }),
        HubMessage::Close {
            error,
            allow_reconnect,
        } => json!({
            "type": 7,
            "error": error.as_deref(),
            "allowReconnect": allow_reconnect,
        }),
        HubMessage::Ack { sequence_id } => {
            json!({ "type": 8, "sequenceId": number(*sequence_id as f64) })
        }
        HubMessage::Sequence { sequence_id } => {
            json!({ "type": 9, "sequenceId": number(*sequence_id as f64) })
        }
        other => panic!("a message of a type that is not known here: {other:?}"),
    }
}

fn undecodable() -> Value {
    json!({ "$undecodable": true })
}

fn seen(payload: &Payload) -> Value {
    payload
        .decode::<Seen>()
        .map_or_else(|_| undecodable(), |seen| seen.0)
}

/// Any value, as an application would read it that does not know its type.
struct Seen(Value);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seeing)
    }
}

struct Seeing;

impl<'de> Visitor<'de> for Seeing {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(Seen(json!(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Seen, E> {
        Ok(Seen(number(value as f64)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen(number(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Seen, E> {
        Ok(Seen(number(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen, E> {
        Ok(Seen(json!(text)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Seen, E> {
        Ok(Seen(json!({ "$bin": hex(bytes) })))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Seen, A::Error> {
        let mut seen = Vec::new();
        while let Some(Seen(element)) = elements.next_element()? {
            seen.push(element);
        }
        Ok(Seen(list(seen)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Seen, A::Error> {
        let mut map = Map::new();
        while let Some((Name(name), Seen(value))) = members.next_entry()? {
            map.insert(name, value);
        }
        Ok(Seen(map.into()))
    }

    /// An extension.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Seen, D::Error> {
        let (kind, Seen(body)) = <(i8, Seen)>::deserialize(inner)?;
        let digits = body["$bin"].as_str().unwrap_or_default();
        Ok(Seen(if kind == -1 {
            json!({ "$date": date(&super::official::unhex(digits)) })
        } else {
            json!({ "$ext": [kind, digits] })
        }))
    }
}

/// Milliseconds since 1970, as JavaScript has them; `None` for what is beyond its dates.
fn date(body: &[u8]) -> Option<i64> {
    let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    let (seconds, nanoseconds) = match body.len() {
        4 => (i64::from(word(0)), 0),
        8 => (
            (i64::from(word(0)) & 3) << 32 | i64::from(word(4)),
            word(0) >> 2,
        ),
        12 => (i64::from_be_bytes(body[4..].try_into().unwrap()), word(0)),
        _ => return None,
    };
    let milliseconds = seconds as f64 * 1e3 + f64::from(nanoseconds) / 1e6;
    (milliseconds.abs() <= 8.64e15).then_some(milliseconds as i64)
}

/// A member's name; JavaScript makes a text of numbers.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Naming;
        impl Visitor<'_> for Naming {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.to_owned()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Name, E> {
                Ok(Name(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Name, E> {
                Ok(Name(value.to_string()))
            }
        }
        deserializer.deserialize_any(Naming)
    }
}
