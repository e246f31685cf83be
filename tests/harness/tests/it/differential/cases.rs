//! Messages that are unusual, and messages that are wrong.

use bytes::BytesMut;
use serde_json::{Value, json};
use signalr_harness::simulator::Random;
use signalr_proto::Protocol;

use super::value::{Message, Plain};

/// What members are replaced by.
const ODD_JSON: [&str; 33] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e0",
    "2.5",
    "1E400",
    "-1e-400",
    "2147483647",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "0.30000000000000004",
    "123456789012345678901234567890.5e-20",
    "\"\"",
    "\"x\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\\/\"",
    "[]",
    "[1,\"a\",null,[{}]]",
    "[\"a\",\"\"]",
    "{}",
    "{\"a\":\"b\",\"a\":\"c\",\"n\":null}",
    "{\"a\":1}",
    "{\"__proto__\":\"x\",\"\":\"y\"}",
];

/// What elements are replaced by.
const ODD_PACKED: [&[u8]; 48] = [
    &[0xc0],
    &[0xc2],
    &[0xc3],
    &[0x00],
    &[0x01],
    &[0xff],
    &[0xcc, 0x01],
    &[0xcd, 0, 3],
    &[0xce, 0, 0, 0, 2],
    &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7],
    &[0xd0, 9],
    &[0xd1, 0, 8],
    &[0xd2, 0, 0, 0, 6],
    &[0xd3, 0, 0, 0, 0, 0, 0, 0, 1],
    &[0xd0, 0x80],
    &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xca, 0x3f, 0x80, 0, 0],
    &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
    &[0xca, 0x7f, 0xc0, 0, 1],
    &[0xa0],
    &[0xa1, 0x78],
    &[0xd9, 1, 0x78],
    &[0xda, 0, 1, 0x78],
    &[0xdb, 0, 0, 0, 1, 0x78],
    &[0xa2, 0xc3, 0x28],
    &[0xa3, 0xed, 0xa0, 0x80],
    &[0xc4, 1, 7],
    &[0xc5, 0, 1, 7],
    &[0xc6, 0, 0, 0, 1, 7],
    &[0xd4, 5, 1],
    &[0xc7, 3, 5, 1, 2, 3],
    &[0xc7, 0, 5],
    &[0xd6, 0xff, 0x58, 0xec, 0x1c, 0x80],
    &[0xd7, 0xff, 0, 0, 0, 8, 0, 0, 0, 0],
    &[
        0xc7, 12, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ],
    &[0xd5, 0xff, 1, 2],
    &[0x90],
    &[0x91, 0xa0],
    &[0xdc, 0, 2, 0xa1, 0x61, 0xa1, 0x62],
    &[0xdd, 0, 0, 0, 1, 0xa1, 0x61],
    &[0x80],
    &[0x81, 0xa1, 0x61, 0xa1, 0x62],
    &[0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02],
    &[0xde, 0, 1, 0xa1, 0x61, 0xd9, 1, 0x62],
    &[0x82, 0x07, 0xc0, 0xd0, 0xf9, 0xc0],
    &[0x81, 0xc0, 0x01],
];

/// A frame of a message whose members may be missing, strange, elsewhere, or there twice.
pub(crate) fn variant(random: &mut Random, protocol: Protocol) -> Vec<u8> {
    let message = Message::any(random, protocol, &[1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
    if protocol == Protocol::Json {
        json_variant(random, &message)
    } else {
        packed_variant(random, &message)
    }
}

fn json_variant(random: &mut Random, message: &Message) -> Vec<u8> {
    let mut members = json_members(message);
    for _ in 0..random.of(&[0, 0, 1, 1, 2]) {
        let at = random.index(members.len());
        let odd = random.of(&ODD_JSON).to_owned();
        match random.below(6) {
            0 => drop(members.remove(at)),
            1 => {
                const NAMES: [&str; 14] = [
                    "type",
                    "headers",
                    "invocationId",
                    "target",
                    "arguments",
                    "streamIds",
                    "item",
                    "error",
                    "result",
                    "allowReconnect",
                    "sequenceId",
                    "Type",
                    "extra",
                    "",
                ];
                members.insert(at, (random.of(&NAMES).to_owned(), odd));
            }
            2 => {
                let again = members[at].clone();
                members.push(again);
            }
            3 => {
                let name = members[at].0.clone();
                members.push((name, odd));
            }
            _ => members[at].1 = odd,
        }
        if members.is_empty() {
            break;
        }
    }
    for at in 0..members.len() {
        if random.percent(60) {
            let other = random.index(members.len());
            members.swap(at, other);
        }
    }
    let spaced = random.percent(20);
    let space = |random: &mut Random| {
        if spaced {
            random.of(&["", " ", "\n", "\t\r ", "  "])
        } else {
            ""
        }
    };
    let mut text = space(random).to_owned() + "{";
    for (at, (name, value)) in members.iter().enumerate() {
        text += if at > 0 { "," } else { "" };
        text += space(random);
        text += &json_text(random, name);
        text += space(random);
        text += ":";
        text += space(random);
        text += value;
        text += space(random);
    }
    text += "}";
    text += space(random);
    if random.percent(3) {
        text += random.of(&["x", "{}", "}", " 1", "\u{b}"]);
    }
    text.push('\u{1e}');
    text.into_bytes()
}

/// The members of a message with their values in JSON.
fn json_members(message: &Message) -> Vec<(String, String)> {
    let mut out = BytesMut::new();
    message.encode(Protocol::Json, &mut out);
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(&out[..out.len() - 1]).unwrap();
    object
        .into_iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

/// The text in quotation marks, now and then with escapes where none are needed.
fn json_text(random: &mut Random, text: &str) -> String {
    if random.percent(90) {
        return json!(text).to_string();
    }
    let escaped: String = text
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    format!("\"{escaped}\"")
}

fn packed_variant(random: &mut Random, message: &Message) -> Vec<u8> {
    let pack = |value: &Plain| {
        signalr_proto::Payload::from_value(Protocol::MessagePack, value)
            .unwrap()
            .as_bytes()
            .to_vec()
    };
    let text = |text: &str| pack(&Plain::Text(text.to_owned()));
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Plain::Text(value.clone())));
    let headers = pack(&Plain::Map(headers.collect()));
    let id = || message.id.as_deref().map_or_else(|| vec![0xc0], text);
    let mut elements = vec![vec![message.kind]];
    match message.kind {
        1 | 4 => {
            let ids = message
                .stream_ids
                .iter()
                .cloned()
                .map(Plain::Text)
                .collect();
            elements.extend([
                headers,
                id(),
                text(&message.target),
                pack(&Plain::List(message.arguments.clone())),
                pack(&Plain::List(ids)),
            ]);
        }
        2 => elements.extend([headers, id(), pack(message.value.as_ref().unwrap())]),
        3 => elements.extend(match (&message.error, &message.value) {
            (Some(error), _) => vec![headers, id(), vec![1], text(error)],
            (None, Some(value)) => vec![headers, id(), vec![3], pack(value)],
            (None, None) => vec![headers, id(), vec![2]],
        }),
        5 => elements.extend([headers, id()]),
        7 => elements.extend([
            message.error.as_deref().map_or_else(|| vec![0xc0], text),
            vec![0xc2 | u8::from(message.allow_reconnect)],
        ]),
        8 | 9 => elements.push(pack(&Plain::Integer(message.sequence_id as i64))),
        _ => {}
    }
    for _ in 0..random.of(&[0, 0, 1, 1, 2]) {
        let at = random.index(elements.len());
        match random.below(5) {
            0 => drop(elements.pop()),
            1 => elements.push(random.of(&ODD_PACKED).to_vec()),
            _ => elements[at] = random.of(&ODD_PACKED).to_vec(),
        }
        if elements.is_empty() {
            break;
        }
    }
    let count = elements.len() as u8;
    let announced = if random.percent(95) {
        count
    } else {
        random.below(9) as u8
    };
    let mut body = match random.below(10) {
        0 => vec![0xdc, 0, announced],
        1 => vec![0xdd, 0, 0, 0, announced],
        _ => vec![0x90 | announced],
    };
    body.extend(elements.concat());
    if random.percent(3) {
        body.push(random.any() as u8);
    }
    framed(random, &body)
}

/// With a length, which may take more bytes than it has to.
fn framed(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut left = body.len();
    let mut frame = Vec::new();
    let least = if random.percent(90) {
        1
    } else {
        random.of(&[1, 2, 3, 5])
    };
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        if left == 0 && frame.len() + 1 >= least {
            frame.push(low);
            break;
        }
        frame.push(low | 0x80);
    }
    frame.extend(body);
    frame
}

/// Bytes of which some were changed, dropped, doubled or put in.
pub(crate) fn damaged(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    const LIKELY: &[u8] =
        b"{}[]\",:\\\x1e 0123456789-.eEutrfnl\x00\x80\x90\xa1\xc0\xc1\xd9\xdc\xdf\xff\xf0";
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.index(bytes.len());
        let new = if random.percent(50) {
            random.of(LIKELY)
        } else {
            random.any() as u8
        };
        match random.below(6) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, new),
            2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + 1 + random.index(20)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes[at] = new,
        }
    }
    bytes
}

/// Streams whose frames are cut in unusual places, or are none, and messages that chance rarely makes.
pub(crate) fn rarities(protocol: Protocol) -> Vec<Vec<u8>> {
    let streams: &[&[u8]] = if protocol == Protocol::Json {
        &[
            b"",
            b"\x1e",
            b"{\"type\":6}\x1e\x1e",
            b"{\"type\":6}",
            b"{\"type\":6}\x1e{\"ty",
            b"\xef\xbb\xbf{\"type\":6}\x1e",
            b"null\x1e",
            b"\"foo\"\x1e",
            b"[42]\x1e",
            b"{}\x1e",
            b"{\"type\":6,}\x1e",
            b"{\"type\":6/**/}\x1e",
            b"{'type':6}\x1e",
            b"{\"type\":06}\x1e",
            b"{\"type\":+6}\x1e",
            b"{\"type\":6}\0\x1e",
            b"{\"type\":42}\x1e{\"type\":6}\x1e",
            b"{\"type\":1,\"invocationId\":\"\",\"target\":\"x\",\"arguments\":[]}\x1e",
            b"{\"type\":3,\"invocationId\":\"1\",\"error\":\"\",\"result\":1}\x1e",
            b"{\"type\":3,\"invocationId\":\"1\",\"error\":\"\",\"result\":null}\x1e",
            b"{\"type\":3,\"invocationId\":\"1\",\"error\":\"x\",\"result\":null}\x1e",
            b"{\"type\":3,\"invocationId\":\"1\",\"error\":\"x\",\"result\":1}\x1e",
            b"{\"type\":2,\"invocationId\":\"1\",\"item\":[1E400,\"\\ud800\"]}\x1e",
            b"{\"type\":2,\"invocationId\":\"1\",\"item\":1E400}\x1e",
        ]
    } else {
        &[
            b"",
            &[0x00],
            &[0x80],
            &[0x80, 0x00],
            &[0xff, 0xff],
            &[0x05, 0x01],
            &[0x02, 0x91, 0x06, 0x02, 0x91],
            &[0x82, 0x00, 0x91, 0x06],
            &[0x82, 0x80, 0x80, 0x80, 0x00, 0x91, 0x06],
            &[0x80, 0x80, 0x80, 0x80, 0x80],
            &[0xff, 0xff, 0xff, 0xff, 0x07],
            &[0xff, 0xff, 0xff, 0xff, 0x08],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x01, 0x06],
            &[0x01, 0x90],
            &[0x01, 0xc0],
            &[0x02, 0x91, 0x2a, 0x02, 0x91, 0x06],
            &[0x03, 0xdc, 0x00, 0x01],
            &[0x06, 0xdd, 0xff, 0xff, 0xff, 0xff, 0x06],
        ]
    };
    let mut streams: Vec<Vec<u8>> = streams.iter().map(|stream| stream.to_vec()).collect();
    for depth in [60, 61, 62, 63, 64, 200, 254, 255, 256, 257, 500] {
        streams.push(if protocol == Protocol::Json {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!("{{\"type\":2,\"invocationId\":\"1\",\"item\":{open}{close}}}\u{1e}")
                .into_bytes()
        } else {
            let mut body = vec![0x94, 0x02, 0x80, 0xa1, 0x31];
            body.extend(vec![0x91; depth]);
            body.push(0xc0);
            framed(&mut Random::new(0), &body)
        });
    }
    streams
}

/// Handshake responses without their separator.
pub(crate) fn handshakes(random: &mut Random) -> Vec<String> {
    let mut responses = vec!["{}".to_owned(), " { } ".to_owned(), String::new()];
    for odd in ODD_JSON {
        for name in ["error", "type", "minorVersion", "Error"] {
            responses.push(format!("{{\"{name}\":{odd}}}"));
            responses.push(format!("{{\"error\":\"no\",\"{name}\":{odd}}}"));
        }
        responses.push(odd.to_owned());
        responses.push(format!("{{}}{odd}"));
    }
    let damaged: Vec<String> = responses
        .iter()
        .map(|response| damaged(random, response.clone().into_bytes()))
        .filter_map(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| !text.contains('\u{1e}'))
        .collect();
    responses.extend(damaged);
    responses
}
