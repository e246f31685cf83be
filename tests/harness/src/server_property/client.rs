//! What a client says, and what it makes of what it hears.

use bytes::{Bytes, BytesMut};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::{self, HandshakeDecoder};
use signalr_proto::codec::{CompletionOutcome, InvocationHead, Role};
use signalr_proto::transport::EventStream;
use signalr_proto::{HubMessage, Protocol};

use crate::bits::pick;

/// The largest message of a server that is read.
const LIMIT: usize = 1 << 20;

const IDS: [&str; 4] = ["1", "2", "3", "4"];
const STREAMS: [&str; 3] = ["a", "b", "c"];

pub(super) fn handshake(how: u8) -> Bytes {
    let mut out = BytesMut::new();
    match how % 8 {
        6 => out.extend_from_slice(b"{\"protocol\":\"xml\",\"version\":1}\x1e"),
        7 => out.extend_from_slice(b"{}\x1e"),
        how => {
            let protocol = if how & 1 == 0 {
                Protocol::Json
            } else {
                Protocol::MessagePack
            };
            handshake::encode_request(&mut out, protocol, 1 + i32::from(how > 1));
        }
    }
    out.freeze()
}

/// A message, and the id of the call it makes.
pub(super) fn message(protocol: Protocol, how: u8, which: u8) -> (Bytes, Option<&'static str>) {
    let mut out = BytesMut::new();
    let id = pick(&IDS, which);
    let stream = pick(&STREAMS, which);
    let mut call = |streaming: bool, id: Option<&'static str>, streams: usize| {
        let streams: Vec<_> = STREAMS
            .iter()
            .take(streams)
            .map(|id| (*id).into())
            .collect();
        let head = InvocationHead {
            streaming,
            headers: &[],
            invocation_id: id,
            target: "Method",
            stream_ids: &streams,
        };
        let encoded = protocol.encode_invocation(&mut out, head, &(1,));
        encoded.expect("an integer can be encoded");
        id
    };
    let called = match how % 20 {
        0..=2 => call(false, Some(id), 0),
        3 => call(false, None, 0),
        4 => call(true, Some(id), 0),
        5 => call(false, Some(id), 1 + usize::from(which >> 6) % 3),
        6 => call(true, Some(id), 1),
        7..=9 => {
            let encoded = protocol.encode_stream_item(&mut out, &[], stream, &which);
            encoded.expect("an integer can be encoded");
            None
        }
        10 => {
            end(protocol, &mut out, stream);
            None
        }
        11 => {
            end(protocol, &mut out, &format!("q{}", which % 4));
            None
        }
        12 => {
            protocol.encode_cancel_invocation(&mut out, &[], id);
            None
        }
        13 => {
            protocol.encode_ack(&mut out, u64::from(which % 16));
            None
        }
        14 => {
            protocol.encode_sequence(&mut out, u64::from(which % 4));
            None
        }
        15 if which > 200 => {
            protocol.encode_close(&mut out, None, false);
            None
        }
        16 => {
            let large = "x".repeat(usize::from(which) * 2);
            let encoded = protocol.encode_stream_item(&mut out, &[], stream, &large);
            encoded.expect("a text can be encoded");
            None
        }
        _ => {
            protocol.encode_ping(&mut out);
            None
        }
    };
    (out.freeze(), called)
}

fn end(protocol: Protocol, out: &mut BytesMut, id: &str) {
    let void = CompletionOutcome::void();
    let encoded = protocol.encode_completion(out, &[], id, void);
    encoded.expect("nothing can be encoded");
}

/// Reads what the server says. Each unit of a transport has to end where a message does
/// ([TR-33](signalr_proto::spec::transports#tr-33)).
pub(super) struct Ear {
    handshake: Option<HandshakeDecoder>,
    frames: FrameDecoder,
    events: Option<EventStream>,
    protocol: Protocol,
    /// The last message was heard.
    pub(super) closed: bool,
    deaf: bool,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self {
            handshake: Some(HandshakeDecoder::new(LIMIT)),
            frames: FrameDecoder::new(Protocol::Json, LIMIT),
            events: None,
            protocol: Protocol::Json,
            closed: false,
            deaf: false,
        }
    }

    pub(super) fn speaks(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.frames = FrameDecoder::new(protocol, LIMIT);
    }

    /// Another WebSocket takes over. A client that does so before it has its answer to the handshake gets nothing sensible.
    pub(super) fn resumes(&mut self) {
        self.deaf |= self.handshake.is_some();
    }

    /// What comes is an event stream.
    pub(super) fn reads_events(&mut self) {
        self.events = Some(EventStream::new(LIMIT));
    }

    pub(super) fn hear(&mut self, mut bytes: Bytes) -> Vec<HubMessage> {
        let mut messages = Vec::new();
        if self.deaf {
            return messages;
        }
        if self.events.is_none() {
            self.hear_unit(bytes, &mut messages);
            return messages;
        }
        while let Some(event) = self.next_event(&mut bytes) {
            self.hear_unit(event, &mut messages);
        }
        messages
    }

    fn next_event(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        let events = self.events.as_mut()?;
        events.decode(bytes).expect("the event is sound")
    }

    fn hear_unit(&mut self, mut unit: Bytes, messages: &mut Vec<HubMessage>) {
        assert!(!self.closed, "something after the last message");
        if let Some(decoder) = &mut self.handshake {
            let record = decoder.decode(&mut unit).expect("the answer is short");
            let record = record.expect("the answer comes in one unit");
            let response = handshake::decode_response(&record).expect("the answer is one");
            self.handshake = None;
            self.closed = response.error.is_some();
        }
        while let Some(frame) = self.frames.decode(&mut unit).expect("the frame is sound") {
            let message = self.protocol.decode(Role::Client, &frame);
            let message = message.expect("the message is sound");
            let message = message.expect("its type is known");
            assert!(!self.closed, "something after the last message");
            self.closed = matches!(message, HubMessage::Close { .. });
            messages.push(message);
        }
        assert!(!self.frames.is_mid_frame(), "half a message in one unit");
    }
}
