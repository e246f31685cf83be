use std::io;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::Message as Theirs;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocket};

use super::property::{Heard, check};
use super::{FrameReader, MAX_CONTROL, Read, write_close, write_head, write_pong};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const CONTINUE: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const LAST: u8 = 0x80;

/// A masked frame whose first byte is this one.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

fn last(kind: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(LAST | kind, payload.as_ref())
}

fn part(kind: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(kind, payload.as_ref())
}

fn data(bytes: impl AsRef<[u8]>) -> Read {
    Read::Data(Bytes::copy_from_slice(bytes.as_ref()))
}

fn ping(bytes: impl AsRef<[u8]>) -> Read {
    Read::Ping(Bytes::copy_from_slice(bytes.as_ref()))
}

fn close(code: u16, reason: &str) -> Read {
    Read::Close {
        code,
        reason: reason.into(),
    }
}

/// As it comes from a socket: at once, and byte for byte.
fn hear(frames: &[Vec<u8>]) -> Heard {
    let stream = frames.concat();
    let heard = Heard::of([stream.as_slice()]);
    let slowly = Heard::of(stream.chunks(1));
    assert_eq!(heard.error, slowly.error);
    if heard.error.is_none() {
        assert!(heard == slowly, "{:?} and {:?}", heard.said, slowly.said);
    }
    heard
}

fn said(frames: &[Vec<u8>]) -> Vec<Read> {
    let heard = hear(frames);
    assert_eq!(heard.error, None);
    heard.said
}

#[test]
fn every_break_of_the_rules_has_its_code() {
    let unmasked = vec![LAST | TEXT, 1, b'a'];
    let endless = [vec![LAST | BINARY, 0xff], vec![0xff; 8], KEY.to_vec()].concat();
    let table: &[(&str, u16, Vec<Vec<u8>>)] = &[
        ("reserved bit 1", 1002, vec![last(0x40 | TEXT, "a")]),
        ("reserved bit 2", 1002, vec![last(0x20 | TEXT, "a")]),
        ("reserved bit 3", 1002, vec![last(0x10 | PING, "a")]),
        ("unknown kind of data", 1002, vec![last(3, "a")]),
        ("unknown kind of data", 1002, vec![last(7, "a")]),
        ("unknown kind of control", 1002, vec![last(0xb, "a")]),
        ("unknown kind of control", 1002, vec![last(0xf, "")]),
        ("no mask", 1002, vec![unmasked]),
        ("ping in fragments", 1002, vec![part(PING, "a")]),
        ("close in fragments", 1002, vec![part(CLOSE, "")]),
        ("ping of 126 bytes", 1002, vec![last(PING, [0; 126])]),
        ("pong of 70,000 bytes", 1002, vec![last(PONG, [0; 70_000])]),
        ("continues nothing", 1002, vec![last(CONTINUE, "a")]),
        (
            "continues a finished message",
            1002,
            vec![last(TEXT, "a"), part(CONTINUE, "b")],
        ),
        (
            "text within binary",
            1002,
            vec![part(BINARY, "a"), last(TEXT, "b")],
        ),
        (
            "text within text",
            1002,
            vec![part(TEXT, "a"), part(CONTINUE, "b"), part(TEXT, "c")],
        ),
        ("a length of 64 bits", 1002, vec![endless]),
        ("half a close code", 1002, vec![last(CLOSE, [3])]),
        ("text", 1007, vec![last(TEXT, [b'a', 0xff])]),
        ("text cut short", 1007, vec![last(TEXT, [0xe2, 0x82])]),
        (
            "text cut short over fragments",
            1007,
            vec![
                part(TEXT, [0xe2]),
                part(CONTINUE, ""),
                last(CONTINUE, [0x82]),
            ],
        ),
        (
            "text of two halves that do not fit",
            1007,
            vec![part(TEXT, [0xe2]), last(CONTINUE, "a")],
        ),
        ("a surrogate", 1007, vec![last(TEXT, [0xed, 0xa0, 0x80])]),
        ("an overlong slash", 1007, vec![last(TEXT, [0xc0, 0xaf])]),
        (
            "beyond the last character",
            1007,
            vec![part(TEXT, [0xf4]), last(CONTINUE, [0x90, 0x80, 0x80])],
        ),
        ("reason", 1007, vec![last(CLOSE, [0x03, 0xe8, 0xff])]),
        ("reason", 1007, vec![last(CLOSE, [0x03, 0xe8, 0xe2, 0x82])]),
    ];
    for (what, code, frames) in table {
        let error = hear(frames).error.map(|error| error.code);
        assert_eq!(error, Some(*code), "{what}");
    }
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    let allowed = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for code in allowed {
        let payload = u16::to_be_bytes(code);
        assert_eq!(said(&[last(CLOSE, payload)]), [close(code, "")]);
    }
    let forbidden = [
        0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535,
    ];
    for code in forbidden {
        let error = hear(&[last(CLOSE, u16::to_be_bytes(code))]).error;
        assert_eq!(error.map(|error| error.code), Some(1002), "{code}");
    }
}

#[test]
fn a_close_frame_brings_code_and_reason() {
    let reason = "r".repeat(123);
    let payload = [&[0x03, 0xe9], reason.as_bytes()].concat();
    assert_eq!(said(&[last(CLOSE, payload)]), [close(1001, &reason)]);
    assert_eq!(said(&[last(CLOSE, "")]), [close(1005, "")]);
}

#[test]
fn nothing_is_heard_after_a_close_frame() {
    let frames = [
        last(TEXT, "a"),
        last(CLOSE, ""),
        last(TEXT, "b"),
        vec![0xff; 40],
    ];
    assert_eq!(said(&frames), [data("a"), close(1005, "")]);
}

#[test]
fn what_came_before_an_error_is_handed_out_first() {
    let heard = hear(&[
        last(TEXT, "a"),
        last(PING, "p"),
        last(TEXT, "b"),
        last(3, ""),
    ]);
    assert_eq!(heard.said, [data("a"), ping("p"), data("b")]);
    assert_eq!(heard.error.map(|error| error.code), Some(1002));
}

#[test]
fn an_error_says_why() {
    let error = hear(&[last(3, "")]).error.unwrap();
    assert_eq!(
        error.to_string(),
        "the client sent a frame of an unknown kind (1002)"
    );
}

#[test]
fn messages_of_one_read_leave_as_one_piece() {
    let frames = [
        last(TEXT, "one"),
        last(TEXT, ""),
        part(TEXT, "tw"),
        part(CONTINUE, ""),
        last(CONTINUE, "o"),
        last(BINARY, [0xff; 300]),
        part(BINARY, "unfinished"),
    ];
    let mut input = frames.concat();
    let expected = [b"onetwo", [0xff; 300].as_slice(), b"unfinished"].concat();
    assert_eq!(
        FrameReader::default().read(&mut input.as_mut_slice()),
        Ok(Some(data(expected)))
    );
}

#[test]
fn control_frames_keep_their_place_between_the_fragments() {
    let frames = [
        part(TEXT, [b'a', 0xe2]),
        last(PING, ""),
        part(CONTINUE, [0x82]),
        last(PONG, "any"),
        last(PING, [7; MAX_CONTROL]),
        last(CONTINUE, [0xac]),
        last(PING, "last"),
    ];
    let expected = [
        data([b'a', 0xe2]),
        ping(""),
        data([0x82]),
        Read::Pong,
        ping([7; MAX_CONTROL]),
        data([0xac]),
        ping("last"),
    ];
    assert_eq!(said(&frames), expected);
}

#[test]
fn a_control_frame_behind_data_needs_no_more_bytes() {
    let mut reader = FrameReader::default();
    let mut bytes = [last(TEXT, "a"), last(PING, "")].concat();
    let mut input = bytes.as_mut_slice();
    assert_eq!(reader.read(&mut input), Ok(Some(data("a"))));
    assert_eq!(reader.read(&mut input), Ok(Some(ping(""))));
    assert_eq!(reader.read(&mut input), Ok(None));
}

#[test]
fn a_payload_is_handed_out_as_it_comes_whatever_is_announced() {
    let mut reader = FrameReader::default();
    let mut head = vec![LAST | BINARY, 0xff, 0x7f];
    head.extend([0xff; 7]);
    head.extend([0; 4]);
    assert_eq!(reader.read(&mut head.as_mut_slice()), Ok(None));
    for _ in 0..3 {
        let mut bytes = *b"some";
        let mut input = bytes.as_mut_slice();
        assert_eq!(reader.read(&mut input), Ok(Some(data("some"))));
        assert_eq!(reader.read(&mut input), Ok(None));
    }
}

#[test]
fn an_idle_reader_is_small() {
    assert!(
        size_of::<FrameReader>() < 200,
        "{}",
        size_of::<FrameReader>()
    );
}

#[test]
fn values_that_hold_payloads_do_not_show_them() {
    let shown = format!(
        "{:?} {:?} {:?}",
        data("secret"),
        ping("secret"),
        close(1000, "secret")
    );
    assert!(!shown.contains("secret"), "{shown}");
}

/// What the official peer reads of this.
fn theirs(bytes: &[u8], role: Role) -> tungstenite::Result<Vec<Theirs>> {
    let mut socket = WebSocket::from_partially_read(Nowhere, bytes.to_vec(), role, None);
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(messages);
            }
            Err(tungstenite::Error::ConnectionClosed) => return Ok(messages),
            Err(error) => return Err(error),
        }
    }
}

/// A socket that has nothing more to read and takes everything.
struct Nowhere;

impl io::Read for Nowhere {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl io::Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that keeps what is written.
#[derive(Default)]
struct Written(Vec<u8>);

impl io::Read for Written {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut Nowhere, buffer)
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn frames_are_what_a_client_reads() {
    let long = vec![b'x'; 70_000];
    let mut out = BytesMut::new();
    for payload in [
        &b""[..],
        b"short",
        &long[..125],
        &long[..126],
        &long[..65_535],
        &long,
    ] {
        write_head(&mut out, OpCode::Data(Data::Text), payload.len());
        out.extend_from_slice(payload);
    }
    write_head(&mut out, OpCode::Data(Data::Binary), 1);
    out.extend_from_slice(&[0xff]);
    write_pong(&mut out, b"p");
    write_close(&mut out, 1002, "so");
    let text = |length: usize| Theirs::text("x".repeat(length));
    let expected = [
        Theirs::text(""),
        Theirs::text("short"),
        text(125),
        text(126),
        text(65_535),
        text(70_000),
        Theirs::binary(vec![0xff]),
        Theirs::Pong("p".into()),
        Theirs::Close(Some(CloseFrame {
            code: 1002.into(),
            reason: "so".into(),
        })),
    ];
    assert_eq!(theirs(&out, Role::Client).unwrap(), expected);
}

#[test]
fn a_head_fits_into_an_array() {
    let mut room = [0; 10];
    let mut out = &mut room[..];
    write_head(&mut out, OpCode::Data(Data::Binary), usize::MAX >> 1);
    assert!(out.is_empty());
    let mut out = &mut room[..];
    write_head(&mut out, OpCode::Data(Data::Binary), 65_535);
    assert_eq!(out.len(), 6);
}

#[test]
fn reasons_that_do_not_fit_are_cut_between_characters() {
    for (reason, kept) in [
        ("é".repeat(70), "é".repeat(61)),
        ("r".repeat(124), "r".repeat(123)),
    ] {
        let mut out = BytesMut::new();
        write_close(&mut out, 1011, &reason);
        assert_eq!(&out[4..], kept.as_bytes());
    }
    let mut out = BytesMut::new();
    write_close(&mut out, 1005, "");
    assert_eq!(&out[..], [LAST | CLOSE, 0]);
}

/// A frame of a stream that is mostly right.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let text = || prop_oneof!["[ -~]{0,40}", "\\PC{0,12}", "[a-z]{100,300}"];
    let message = (
        prop_oneof![Just(TEXT), Just(BINARY)],
        text(),
        vec(any::<prop::sample::Index>(), 0..3),
    );
    prop_oneof![
        8 => message.prop_map(|(kind, text, cuts)| in_fragments(kind, text.as_bytes(), &cuts)),
        1 => vec(any::<u8>(), 0..60).prop_map(|bytes| last(BINARY, bytes)),
        2 => (prop_oneof![Just(PING), Just(PONG)], vec(any::<u8>(), 0..126)).prop_map(|(kind, bytes)| last(kind, bytes)),
        1 => text().prop_map(|text| part(CONTINUE, text)),
    ]
}

fn in_fragments(kind: u8, payload: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut ends: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(payload.len() + 1))
        .collect();
    ends.extend([0, payload.len()]);
    ends.sort_unstable();
    let count = ends.len() - 2;
    let parts = ends.windows(2).enumerate().map(|(number, ends)| {
        let kind = if number == 0 { kind } else { CONTINUE };
        let fin = if number == count { LAST } else { 0 };
        frame(kind | fin, &payload[ends[0]..ends[1]])
    });
    parts.collect::<Vec<_>>().concat()
}

/// Frames, perhaps with one byte changed.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let change = proptest::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    (vec(any_frame(), 0..8), change).prop_map(|(frames, change)| {
        let mut stream = frames.concat();
        if let Some((at, byte)) = change.filter(|_| !stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

proptest! {
    #[test]
    fn cuts_make_no_difference(size in 1..40_u8, stream in any_stream()) {
        check(&[&[size], stream.as_slice()].concat());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn tungstenite_finds_the_same_in_frames_and_the_same_mistakes(stream in any_stream()) {
        let ours = Heard::of([stream.as_slice()]);
        let Ok(messages) = theirs(&stream, Role::Server) else {
            prop_assert!(ours.error.is_some());
            return Ok(());
        };
        let mut whole = Vec::new();
        let mut controls = Vec::new();
        for message in messages {
            if matches!(message, Theirs::Text(_) | Theirs::Binary(_)) {
                whole.extend_from_slice(&message.into_data());
            } else {
                controls.push(message);
            }
        }
        // It looks at a frame when it has come whole, and answers a code that nobody may send with a close frame.
        if ours.error.is_none() {
            let said = ours.said.iter().filter(|read| !matches!(read, Read::Data(_)));
            prop_assert_eq!(said.count(), controls.len());
            prop_assert!(ours.data().starts_with(&whole));
        }
    }

    #[test]
    fn what_tungstenite_writes_arrives(
        messages in vec(prop_oneof![
            "\\PC{0,80}".prop_map(Theirs::text),
            vec(any::<u8>(), 0..400).prop_map(Theirs::binary),
            vec(any::<u8>(), 0..125).prop_map(|bytes| Theirs::Ping(bytes.into())),
        ], 0..8),
        size in 1..200_usize,
    ) {
        let mut socket = WebSocket::from_raw_socket(Written::default(), Role::Client, None);
        let mut expected = Heard::default();
        for message in messages {
            if let Theirs::Ping(bytes) = &message {
                expected.said.push(Read::Ping(bytes.clone()));
            } else {
                expected.add_all(message.clone().into_data());
            }
            socket.send(message).unwrap();
        }
        socket.close(None).unwrap();
        expected.said.push(close(1005, ""));
        socket.flush().unwrap();
        let heard = Heard::of(socket.get_ref().0.chunks(size));
        prop_assert_eq!(heard.error, None);
        prop_assert!(heard == expected, "{:?}, not {:?}", heard.said, expected.said);
    }
}

impl Heard {
    fn add_all(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if let Some(Read::Data(before)) = self.said.last_mut() {
            *before = [before.as_ref(), bytes.as_ref()].concat().into();
        } else {
            self.said.push(Read::Data(bytes));
        }
    }
}
