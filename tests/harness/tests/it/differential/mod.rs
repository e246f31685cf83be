//! Our codecs against those of Microsoft's JavaScript packages: the same bytes through both readers, and what either side
//! writes through the other's.
//!
//! The packages are installed with npm into the target directory. Where node or npm is missing the tests say that they were
//! skipped; with `CI=true` they must run. `SIGNALR_SEED` decides which messages are made, `SIGNALR_CASES` how many.

mod cases;
mod differences;
mod official;
mod plain;
mod value;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use signalr_harness::simulator::Random;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::decode_response;
use signalr_proto::codec::{HubMessage, Role};
use signalr_proto::{DecodeError, DecodeErrorKind, Protocol};

use differences::{Difference, Ours};
use official::{hex, unhex};
use value::{Message, shown};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Different numbers for each test and protocol.
fn random(test: u64, protocol: Protocol) -> Random {
    Random::new(setting("SIGNALR_SEED", 1) << 8 | test << 4 | protocol as u64)
}

fn cases() -> u64 {
    setting("SIGNALR_CASES", 3000)
}

#[test]
fn what_we_write_is_read_by_the_official_client_as_by_ours() {
    for protocol in Protocol::ALL {
        let mut random = random(1, protocol);
        let mut streams = Vec::new();
        for _ in 0..cases() / 3 {
            let messages: Vec<Message> = (0..1 + random.below(5))
                .map(|_| Message::any(&mut random, protocol, &[1, 1, 2, 3, 3, 6, 7, 8, 9, 4, 5]))
                .collect();
            let mut out = BytesMut::new();
            messages
                .iter()
                .for_each(|message| message.encode(protocol, &mut out));
            streams.push((messages, out.freeze()));
        }
        let questions = streams
            .iter()
            .map(|(_, stream)| official::read(protocol.name(), stream))
            .collect();
        let Some(answers) = official::ask(questions) else {
            return;
        };
        for ((messages, stream), answer) in streams.iter().zip(answers) {
            // Cut anywhere: the official reader wants all of it at once.
            let pieces = pieces(&mut random, stream);
            let frames = Frames::of(protocol, pieces).whole();
            let read: Vec<Value> = frames
                .iter()
                .map(|frame| shown(&decode(protocol, Role::Client, frame).unwrap().unwrap()))
                .collect();
            let meant: Vec<Value> = messages.iter().map(Message::shown).collect();
            assert_eq!(read, meant, "ours");
            let theirs: Vec<Value> = meant.into_iter().filter_map(to_clients).collect();
            assert_eq!(answer, json!({ "messages": theirs }), "the official reader");
        }
    }
}

#[test]
fn what_the_official_client_writes_is_read_by_our_server() {
    for protocol in Protocol::ALL {
        let mut random = random(2, protocol);
        let messages: Vec<Message> = (0..cases())
            .map(|_| Message::any(&mut random, protocol, &[1, 1, 4, 4, 2, 3, 3, 5, 6, 7, 8, 9]))
            .collect();
        let questions = messages
            .iter()
            .map(|message| json!({ "write": protocol.name(), "message": message.shown() }))
            .collect();
        let Some(answers) = official::ask(questions) else {
            return;
        };
        for (message, answer) in messages.iter().zip(answers) {
            let theirs = unhex(answer["bytes"].as_str().expect("the writer wrote"));
            let frames = Frames::of(protocol, pieces(&mut random, &theirs)).whole();
            let [frame] = &frames[..] else {
                panic!("one frame was written: {frames:?}");
            };
            let read = shown(&decode(protocol, Role::Server, frame).unwrap().unwrap());
            let mut meant = message.shown();
            let mut ours = BytesMut::new();
            message.encode(protocol, &mut ours);
            if (protocol, message.kind) == (Protocol::MessagePack, 7) {
                // The official MessagePack writer has one Close for all.
                meant["error"] = Value::Null;
                meant["allowReconnect"] = json!(false);
            } else if protocol == Protocol::MessagePack {
                assert_eq!(hex(&theirs), hex(&ours), "{meant}");
            }
            assert_eq!(read, meant);
        }
    }
}

#[test]
fn unusual_and_damaged_messages_are_read_alike_but_for_what_differs_on_purpose() {
    let mut findings = Findings::default();
    for protocol in Protocol::ALL {
        let mut random = random(3, protocol);
        let mut streams = cases::rarities(protocol);
        for _ in 0..cases() {
            let stream = cases::variant(&mut random, protocol);
            if random.percent(50) {
                streams.push(cases::damaged(&mut random, stream.clone()));
            }
            streams.push(stream);
        }
        if compare(&mut random, protocol, &streams, &mut findings).is_none() {
            return;
        }
    }
    let mut random = Random::new(setting("SIGNALR_SEED", 1));
    if compare_handshakes(&cases::handshakes(&mut random), &mut findings).is_none() {
        return;
    }
    findings.conclude();
}

/// Compares the readers on each stream as a whole, and on each of its frames.
fn compare(
    random: &mut Random,
    protocol: Protocol,
    streams: &[Vec<u8>],
    findings: &mut Findings,
) -> Option<()> {
    let cut: Vec<Frames> = streams
        .iter()
        .map(|stream| Frames::of(protocol, pieces(random, stream)))
        .collect();
    let mut questions = Vec::new();
    for (stream, frames) in streams.iter().zip(&cut) {
        questions.push(official::read(protocol.name(), stream));
        let framed = frames.frames.iter().map(|frame| framed(protocol, frame));
        questions.extend(framed.map(|bytes| official::read(protocol.name(), &bytes)));
    }
    let mut answers = official::ask(questions)?.into_iter();
    for (stream, frames) in streams.iter().zip(&cut) {
        let whole = answers.next().unwrap();
        let mut messages = Some(Vec::new());
        for frame in &frames.frames {
            let theirs = answers.next().unwrap();
            let ours = decode(protocol, Role::Client, frame);
            let difference = if protocol == Protocol::Json {
                differences::of_json(frame)
            } else {
                differences::of_messagepack(frame)
            };
            let holds = |expected| match expected {
                Ours::Refuses => ours.is_err(),
                Ours::Reads => ours.is_ok(),
                Ours::ReadsUpTo(end) => {
                    let shorter = decode(protocol, Role::Client, &frame.slice(..end));
                    as_shown(&ours) == as_shown(&shorter)
                }
                Ours::Any => true,
            };
            findings.check(difference, same(&ours, &theirs), holds, || {
                let name = protocol.name();
                format!(
                    "{name} {}\nours: {ours:?}\ntheirs: {theirs}",
                    readable(frame)
                )
            });
            messages = messages
                .zip(theirs["messages"].as_array())
                .map(|(all, more)| [all, more.clone()].concat());
        }
        // A stream that ends amid a frame is an error to the official reader; ours waits for the rest.
        let is_whole = frames.error.is_none() && !frames.is_mid_frame;
        let expected = messages.filter(|_| is_whole);
        assert_eq!(
            whole["messages"].as_array(),
            expected.as_ref(),
            "{} {} {whole}",
            protocol.name(),
            readable(stream)
        );
    }
    Some(())
}

fn compare_handshakes(responses: &[String], findings: &mut Findings) -> Option<()> {
    let questions = responses
        .iter()
        .map(|response| official::read("handshake", &[response.as_bytes(), b"\x1erest"].concat()))
        .collect();
    for (response, theirs) in responses.iter().zip(official::ask(questions)?) {
        let frame = Bytes::from(response.clone());
        let ours = decode_response(&frame);
        let their_error = theirs["response"]["error"].clone();
        let same = match &ours {
            Ok(ours) => {
                theirs["rest"] == json!(hex(b"rest")) && json!(ours.error.as_deref()) == their_error
            }
            Err(_) => theirs["error"].is_string(),
        };
        let holds = |expected| match expected {
            Ours::Refuses => ours.is_err(),
            Ours::Reads => ours.is_ok(),
            Ours::ReadsUpTo(end) => ours.clone().ok() == decode_response(&frame.slice(..end)).ok(),
            Ours::Any => true,
        };
        findings.check(differences::of_handshake(&frame), same, holds, || {
            format!("handshake {response}\nours: {ours:?}\ntheirs: {theirs}")
        });
    }
    Some(())
}

/// What came of the comparisons.
#[derive(Default)]
struct Findings {
    /// The deliberate differences that were met with.
    met: BTreeSet<&'static str>,
    /// Those that nobody meant.
    wrong: Vec<String>,
}

impl Findings {
    /// `holds` tells whether our reader does what it has to where it may differ.
    fn check(
        &mut self,
        difference: Option<Difference>,
        same: bool,
        holds: impl FnOnce(Ours) -> bool,
        context: impl FnOnce() -> String,
    ) {
        match difference {
            None if same => {}
            Some((why, expected)) if holds(expected) => {
                if !same {
                    self.met.insert(why);
                }
            }
            None | Some(_) => self.wrong.push(format!("{difference:?} {}", context())),
        }
    }

    fn conclude(self) {
        let first: Vec<_> = self.wrong.iter().take(10).collect();
        assert!(first.is_empty(), "{} differ: {first:#?}", self.wrong.len());
        // A difference that is never met with is none.
        let missing: Vec<_> = differences::ALL
            .iter()
            .filter(|why| !self.met.contains(*why))
            .collect();
        assert!(missing.is_empty(), "never met with: {missing:#?}");
    }
}

fn as_shown(read: &Result<Option<HubMessage>, DecodeError>) -> Option<Option<Value>> {
    let message = read.as_ref().ok()?;
    Some(message.as_ref().map(shown))
}

/// Whether both readers say the same about one frame.
fn same(ours: &Result<Option<HubMessage>, DecodeError>, theirs: &Value) -> bool {
    match ours {
        Err(_) => theirs["error"].is_string(),
        Ok(message) => {
            let ours: Vec<Value> = message.iter().map(shown).filter_map(to_clients).collect();
            *theirs == json!({ "messages": ours })
        }
    }
}

/// What the official client's readers tell of a message: they know nothing of types 4 and 5 and of `streamIds`.
fn to_clients(mut message: Value) -> Option<Value> {
    if message["type"] == 4 || message["type"] == 5 {
        return None;
    }
    message.as_object_mut().unwrap().remove("streamIds");
    Some(message)
}

fn decode(
    protocol: Protocol,
    role: Role,
    frame: &Bytes,
) -> Result<Option<HubMessage>, DecodeError> {
    protocol.decode(role, frame)
}

/// The frames of a stream.
struct Frames {
    frames: Vec<Bytes>,
    error: Option<DecodeError>,
    is_mid_frame: bool,
}

impl Frames {
    fn of(protocol: Protocol, pieces: Vec<Bytes>) -> Self {
        let mut decoder = FrameDecoder::new(protocol, usize::MAX);
        let mut frames = Vec::new();
        let mut error = None;
        'stream: for mut piece in pieces {
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(found) => {
                        error = Some(found);
                        break 'stream;
                    }
                }
            }
        }
        assert!(
            error.is_none_or(|error| matches!(
                error.kind,
                DecodeErrorKind::Prefix | DecodeErrorKind::Empty
            )),
            "{error:?}"
        );
        Self {
            frames,
            error,
            is_mid_frame: decoder.is_mid_frame(),
        }
    }

    /// All frames of a stream that is a series of them.
    fn whole(self) -> Vec<Bytes> {
        assert!(self.error.is_none() && !self.is_mid_frame);
        self.frames
    }
}

fn framed(protocol: Protocol, frame: &[u8]) -> Vec<u8> {
    if protocol == Protocol::Json {
        return [frame, b"\x1e"].concat();
    }
    // Always five bytes, which is as good as fewer.
    let mut out = [0, 7, 14, 21, 28]
        .map(|shift| (frame.len() >> shift) as u8 | 0x80)
        .to_vec();
    out[4] &= 0x7f;
    out.extend(frame);
    out
}

/// The stream in a few pieces.
fn pieces(random: &mut Random, stream: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(stream);
    let mut pieces = Vec::new();
    for _ in 0..random.below(4) {
        pieces.push(rest.split_to(random.index(rest.len() + 1)));
    }
    pieces.push(rest);
    pieces
}

fn readable(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    let shown: String = text.chars().take(1500).collect();
    format!("{shown} = {}", hex(&bytes[..bytes.len().min(300)]))
}
