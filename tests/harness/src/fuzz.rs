//! What must hold for any bytes, shared by the fuzz targets and by the test that replays their corpus.
//!
//! Every function here panics when the property does not hold.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::{self, HandshakeDecoder};
use signalr_proto::codec::{Outcome, Role};
use signalr_proto::transport::EventStream;
use signalr_proto::transport::event_stream;
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_proto::{
    Arguments, DecodeError, DecodeErrorKind, HubMessage, Payload, Protocol, Timestamp,
};

use crate::forgiven::is_forgiven;

/// The limit for messages in these runs.
const LIMIT: usize = 4096;

/// A stream of JSON records, after a byte that says how it is cut into pieces, and by its lowest bit in which role it is read.
pub fn decode_json(data: &[u8]) {
    plain_stream(Protocol::Json, data);
}

/// A stream of MessagePack frames, after a byte as for [`decode_json`].
pub fn decode_msgpack(data: &[u8]) {
    plain_stream(Protocol::MessagePack, data);
}

/// As [`decode_json`], and what both roles read is compared with each other and with what is read after it was written again. That
/// takes several times as long.
pub fn decode_json_compared(data: &[u8]) {
    stream(Protocol::Json, data);
}

/// The same of MessagePack.
pub fn decode_msgpack_compared(data: &[u8]) {
    stream(Protocol::MessagePack, data);
}

/// The frames of a client's WebSocket, after a byte that says how they are cut.
#[cfg(feature = "frames")]
pub fn web_socket_frames(data: &[u8]) {
    signalr_server::fuzzing::web_socket_frames(data);
}

/// The body of a negotiate answer: what is read can be written and read again, unless a later version hides members from us.
pub fn negotiate(data: &[u8]) {
    let Ok(response) = NegotiateResponse::decode(data) else {
        return;
    };
    if let NegotiateResponse::Connect(offer) = &response {
        assert!(
            offer.connection_token.is_some() == (offer.version > 0),
            "{offer:?}"
        );
    }
    assert_eq!(NegotiateResponse::decode(&response.encode()), Ok(response));
}

/// A stream that begins with a handshake record, after a byte that says how it is cut into pieces.
pub fn handshake(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let whole = handshake_record([Bytes::copy_from_slice(bytes)]);
    assert_eq!(
        whole,
        handshake_record(pieces(bytes, *size)),
        "the pieces made a difference"
    );
    let Ok((Some(record), _)) = whole else {
        return;
    };
    if let Ok(request) = handshake::decode_request(&record) {
        // The writer knows the names of protocols only.
        if let Some(protocol) = Protocol::from_name(&request.protocol) {
            let mut out = BytesMut::new();
            handshake::encode_request(&mut out, protocol, request.version);
            let again = handshake::decode_request(&without_separator(out))
                .expect("a written request is read");
            assert_eq!(
                (&*again.protocol, again.version),
                (protocol.name(), request.version)
            );
        }
    }
    if let Ok(response) = handshake::decode_response(&record) {
        let mut out = BytesMut::new();
        handshake::encode_response(&mut out, response.error.as_deref());
        assert_eq!(
            handshake::decode_response(&without_separator(out)),
            Ok(response)
        );
    }
}

/// An event stream, after a byte that says how it is cut into pieces.
pub fn sse(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    for limit in [16, LIMIT] {
        let whole = events(limit, [Bytes::copy_from_slice(bytes)]);
        assert_eq!(
            whole,
            events(limit, pieces(bytes, *size)),
            "the pieces made a difference"
        );
        assert_eq!(
            (whole.0, whole.1.is_some()),
            simple_events(limit, bytes),
            "the simple reader reads something else"
        );
    }
    written_events(bytes);
}

/// Whatever is written as an event is read again, with LF for each end of a line.
fn written_events(payload: &[u8]) {
    let mut out = BytesMut::from(event_stream::OPENING);
    event_stream::encode(&mut out, payload);
    event_stream::encode(&mut out, b"last");
    let mut events = events(usize::MAX, [out.freeze()]).0;
    assert_eq!(events.pop().as_deref(), Some(&b"last"[..]));
    assert_eq!(
        events.pop().unwrap_or_default(),
        lines(payload).join(&b'\n')
    );
    assert!(events.is_empty());
}

fn events(
    limit: usize,
    pieces: impl IntoIterator<Item = Bytes>,
) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut decoder = EventStream::new(limit);
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        decoder.decode(&mut piece),
                        Err(error),
                        "an error did not stay"
                    );
                    return (events, Some(error));
                }
            }
            assert!(decoder.buffered() == 0, "bytes of an event were kept");
        }
        assert!(piece.is_empty(), "input was left");
        assert!(decoder.buffered() <= limit, "more was kept than the limit");
    }
    (events, None)
}

/// The events of a whole stream and whether one was too large, read in the plainest way.
fn simple_events(limit: usize, stream: &[u8]) -> (Vec<Bytes>, bool) {
    let mut lines = lines(stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream));
    // What follows the last end of a line is no line, yet it may be too large already.
    let unfinished = lines.pop().unwrap_or_default();
    let mut events = Vec::new();
    let mut data: Vec<&[u8]> = Vec::new();
    let mut kind: &[u8] = b"";
    for line in lines {
        if line.is_empty() {
            let event = data.join(&b'\n');
            if !event.is_empty() && matches!(kind, b"" | b"message") {
                events.push(Bytes::from(event));
            }
            data.clear();
            kind = b"";
        } else if line == b"event" {
            kind = b"";
        } else if let Some(value) = line.strip_prefix(b"event:") {
            kind = value.strip_prefix(b" ").unwrap_or(value);
        } else if line == b"data" {
            data.push(b"");
        } else if let Some(value) = line.strip_prefix(b"data:") {
            data.push(value.strip_prefix(b" ").unwrap_or(value));
        }
        if data.join(&b'\n').len() > limit {
            return (events, true);
        }
    }
    if let Some(value) = unfinished.strip_prefix(b"data:") {
        data.push(value.strip_prefix(b" ").unwrap_or(value));
    }
    (events, data.join(&b'\n').len() > limit)
}

/// What lies between the ends of lines.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, end) = rest.split_at(at);
        lines.push(line);
        rest = end
            .strip_prefix(b"\r\n")
            .or_else(|| end.get(1..))
            .unwrap_or_default();
    }
    lines.push(rest);
    lines
}

fn handshake_record(
    pieces: impl IntoIterator<Item = Bytes>,
) -> Result<(Option<Bytes>, Bytes), DecodeErrorKind> {
    let mut decoder = HandshakeDecoder::new(LIMIT);
    let mut record = None;
    let mut rest = BytesMut::new();
    for mut piece in pieces {
        if record.is_none() {
            record = decoder.decode(&mut piece).map_err(|error| error.kind)?;
        }
        rest.extend_from_slice(&piece);
    }
    Ok((record, rest.freeze()))
}

fn without_separator(mut record: BytesMut) -> Bytes {
    record.truncate(record.len().saturating_sub(1));
    record.freeze()
}

fn stream(protocol: Protocol, data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let (frames, error) = frames(protocol, [Bytes::copy_from_slice(bytes)]);
    assert_eq!(
        (frames.clone(), error),
        self::frames(protocol, pieces(bytes, *size)),
        "the pieces made a difference"
    );
    for frame in &frames {
        frame_of(protocol, frame);
    }
    // Bytes that make no frame can still be a message.
    frame_of(protocol, &Bytes::copy_from_slice(bytes));
}

/// The bounds of the framing, and that nothing panics. What is read is counted, and compared with nothing.
fn plain_stream(protocol: Protocol, data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let role = if size & 1 == 0 {
        Role::Client
    } else {
        Role::Server
    };
    let whole = Bytes::copy_from_slice(bytes);
    let step = usize::from(*size).max(1);
    let cuts = (0..bytes.len()).step_by(step);
    let pieces = cuts.map(|start| whole.slice(start..bytes.len().min(start + step)));
    for frame in frames(protocol, pieces).0 {
        plain_frame(protocol, role, &frame);
    }
    // Bytes that make no frame can still be a message.
    plain_frame(protocol, role, &whole);
}

fn plain_frame(protocol: Protocol, role: Role, frame: &Bytes) {
    // To read values as types that they are not takes longer than all the rest.
    if let Ok(Some(HubMessage::Invocation(call) | HubMessage::StreamInvocation(call))) =
        protocol.decode(role, frame)
    {
        assert_eq!(
            call.arguments.len().ok(),
            call.arguments.payloads().ok().map(|all| all.len())
        );
    }
}

fn pieces(bytes: &[u8], size: u8) -> Vec<Bytes> {
    bytes
        .chunks(usize::from(size).max(1))
        .map(Bytes::copy_from_slice)
        .collect()
}

fn frames(
    protocol: Protocol,
    pieces: impl IntoIterator<Item = Bytes>,
) -> (Vec<Bytes>, Option<DecodeErrorKind>) {
    let mut decoder = FrameDecoder::new(protocol, LIMIT);
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        decoder.decode(&mut piece),
                        Err(error),
                        "an error did not stay"
                    );
                    return (frames, Some(error.kind));
                }
            }
            assert!(decoder.buffered() == 0, "bytes of a frame were kept");
        }
        assert!(piece.is_empty(), "input was left");
        assert!(decoder.buffered() <= LIMIT, "more was kept than the limit");
    }
    (frames, None)
}

fn frame_of(protocol: Protocol, frame: &Bytes) {
    let as_client = protocol.decode(Role::Client, frame);
    let as_server = protocol.decode(Role::Server, frame);
    match (&as_client, &as_server) {
        (Ok(client), Ok(server)) => assert_eq!(client, server, "the roles read different things"),
        // What it forgives in JSON it forgives whatever the type, which may come later.
        (Err(error), Ok(server)) => {
            let forgiven = protocol == Protocol::Json && is_forgiven(frame, error.position);
            let alone = server
                .as_ref()
                .is_some_and(|message| fails_alone(protocol, message));
            // Arguments that claim to be more than they are have swallowed the stream ids, down to the end of the frame.
            let swallowed = protocol == Protocol::MessagePack
                && error.position == frame.len() as u64
                && server.as_ref().is_some_and(is_call_without_streams);
            assert!(
                forgiven || alone || swallowed,
                "only a server reads {server:?}"
            );
            if let Some(message) = server {
                payloads(message);
            }
        }
        // A client takes a call without arguments.
        (_, Err(_)) => {}
    }
    if let Ok(Some(message)) = as_client {
        payloads(&message);
        rewritten(protocol, &message);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only calls have stream ids")]
fn is_call_without_streams(message: &HubMessage) -> bool {
    match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            invocation.stream_ids.is_empty()
        }
        _ => false,
    }
}

/// Whether a server can hold this against a call or an upload, though a client would hold it against the connection.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what clients ask for can fail alone"
)]
fn fails_alone(protocol: Protocol, message: &HubMessage) -> bool {
    let is_malformed = written(protocol, message).is_none();
    match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            is_malformed
                || invocation.target.is_empty()
                || invocation.stream_ids.iter().any(|id| id.is_empty())
        }
        HubMessage::StreamItem { .. } => is_malformed,
        _ => false,
    }
}

/// A message that can be written is read as it was.
fn rewritten(protocol: Protocol, message: &HubMessage) {
    let Some(once) = written(protocol, message) else {
        return;
    };
    let read = protocol
        .decode(Role::Server, &once)
        .expect("what was written is read")
        .expect("its type is known");
    let twice = written(protocol, &read).expect("what was read is written");
    assert_eq!(once, twice);
    assert_eq!(protocol.decode(Role::Client, &twice), Ok(Some(read)));
}

fn written(protocol: Protocol, message: &HubMessage) -> Option<Bytes> {
    let mut out = BytesMut::from(&b"before"[..]);
    let result = protocol.encode(&mut out, message);
    let mut frame = out.split_off(6).freeze();
    assert_eq!(out, "before");
    if result.is_err() {
        assert!(frame.is_empty(), "a part of a message was left");
        return None;
    }
    let found = FrameDecoder::new(protocol, usize::MAX)
        .decode(&mut frame)
        .expect("what was written is framed");
    assert!(frame.is_empty());
    found
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most messages carry no payload"
)]
fn payloads(message: &HubMessage) {
    match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            arguments(&invocation.arguments)
        }
        HubMessage::StreamItem { item, .. } => payload(item),
        HubMessage::Completion {
            outcome: Outcome::Result(result),
            ..
        } => payload(result),
        _ => {}
    }
}

fn arguments(arguments: &Arguments) {
    let (count, payloads) = (arguments.len(), arguments.payloads());
    assert_eq!(count.is_ok(), payloads.is_ok());
    if let (Ok(count), Ok(payloads)) = (count, payloads) {
        assert_eq!(count, payloads.len());
        payloads.iter().for_each(payload);
    }
    let _ = arguments.decode::<(String, i64)>();
    let _ = arguments.decode::<Vec<Option<f64>>>();
}

fn payload(payload: &Payload) {
    let _ = payload.decode::<String>();
    let _ = payload.decode::<&str>();
    let _ = payload.decode::<Option<u8>>();
    let _ = payload.decode::<f64>();
    let _ = payload.decode::<Timestamp>();
    let _ = payload.decode::<Vec<Vec<i8>>>();
    let _ = payload.decode::<BTreeMap<String, bool>>();
    if payload.is_null() {
        assert_eq!(payload.decode::<Option<u8>>(), Ok(None));
    }
}
