//! What must hold for a client machine whatever its driver, its application and its server do, in any order.
//!
//! The bytes of a fuzzer (or of proptest) are read as a list of operations; a small obvious model runs beside the machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use signalr_proto::client::{
    Action, ClientConfig, ClientConnection, ConnectionState, Event, Input, InvocationId, Output,
    ReconnectPolicy, ReplyTo,
};
use signalr_proto::codec::{ArgumentWriter, CompletionOutcome, HubArguments};
use signalr_proto::transport::negotiate::AccessToken;
use signalr_proto::{EncodeError, EndCause, Instant, Limits, OpId, Protocol, WsMessage};

use crate::script::OFFER;

/// Limits small enough to be met.
const LIMITS: Limits = {
    let mut limits = Limits::CLIENT;
    limits.max_message_size = 512;
    limits.max_outgoing_bytes = 256;
    limits.max_incoming_bytes = 1024;
    limits.max_pending_invocations = 4;
    limits.max_handshake_size = 64;
    limits
};

/// The longest message that an operation below writes.
const LARGEST_WRITE: usize = 200;

/// Runs the operations twice and checks every rule, the equality of both traces among them.
///
/// # Panics
/// When a rule is broken.
pub fn check(data: &[u8]) {
    let first = Run::of(data);
    let second = Run::of(data);
    assert_eq!(
        first, second,
        "the same seed and inputs gave different outputs"
    );
}

/// Reads operations from bytes; an exhausted list gives zeros.
struct Bits<'a>(&'a [u8]);

impl Bits<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> Bytes {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }
}

struct Streams(usize);

impl HubArguments for Streams {
    fn stream_count(&self) -> usize {
        self.0
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.value(&17)
    }
}

struct Run {
    client: ClientConnection,
    now: Instant,
    trace: String,
    /// The ops that were asked for last, to be answered (rightly or not).
    ops: Vec<OpId>,
    replies: Vec<ReplyTo>,
    /// The model: calls that must get their completion.
    open: BTreeSet<InvocationId>,
    streams: Vec<InvocationId>,
    in_flight: bool,
    /// Starts whose end was not told yet. More than one when a new start came before the end of the last was polled.
    lives: usize,
    deadline: Option<Instant>,
}

impl Run {
    fn of(data: &[u8]) -> String {
        let mut bits = Bits(data);
        let mut run = Self::new(&mut bits);
        while !bits.0.is_empty() {
            run.step(&mut bits);
            run.check_bounds();
        }
        run.finish();
        run.trace
    }

    fn new(bits: &mut Bits<'_>) -> Self {
        let flags = bits.byte();
        let mut config = ClientConfig::new("http://host/hub").expect("the address is valid");
        config.limits = LIMITS;
        config.protocol = if flags & 1 == 0 {
            Protocol::Json
        } else {
            Protocol::MessagePack
        };
        config.skip_negotiation = flags & 2 == 0;
        config.has_access_token = flags & 4 != 0;
        config.reconnect = match flags >> 6 {
            0 => ReconnectPolicy::Never,
            1 => ReconnectPolicy::standard(),
            2 => ReconnectPolicy::unlimited(),
            _ => ReconnectPolicy::Ask,
        };
        Self {
            client: ClientConnection::new(config, 3),
            now: Instant::ZERO,
            trace: String::new(),
            ops: Vec::new(),
            replies: Vec::new(),
            open: BTreeSet::new(),
            streams: Vec::new(),
            in_flight: false,
            lives: 0,
            deadline: None,
        }
    }

    fn step(&mut self, bits: &mut Bits<'_>) {
        match bits.byte() % 16 {
            0 => self.start(),
            1 => self.call(bits.byte()),
            2 => self.upload(bits.byte()),
            3 => self.answer_server(bits.byte()),
            4 => self.cancel(bits.byte()),
            5 => self.advance(bits.byte()),
            6 => self.respond(bits),
            7 => self.receive_anything(bits),
            8 | 9 => self.receive_sense(bits.byte()),
            10 => self.sent(bits.byte()),
            11 => self.end(bits.byte()),
            12 => self.answer_question(bits.byte()),
            13 => self.input(if bits.byte() & 1 == 0 {
                Input::ReadPaused
            } else {
                Input::ReadResumed
            }),
            14 => self.play_server(),
            _ => self.poll(usize::from(bits.byte() % 4)),
        }
        if bits.byte() & 3 != 0 {
            self.poll_all();
        }
    }

    fn start(&mut self) {
        let idle = self.client.state() == ConnectionState::Disconnected;
        assert_eq!(self.client.start(self.now).is_ok(), idle);
        self.lives += usize::from(idle);
    }

    fn call(&mut self, how: u8) {
        let arguments = Streams(usize::from(how >> 6));
        let call = match how % 4 {
            0 => self.client.send(self.now, "Send", &arguments),
            1 => self.client.stream(self.now, "Stream", &arguments),
            2 => self.client.invoke(self.now, "Invoke", &arguments),
            _ => return self.client.stop(self.now),
        };
        let Ok(call) = call else { return };
        assert_eq!(self.client.state(), ConnectionState::Connected);
        self.streams.extend(call.streams());
        if how % 4 != 0 {
            assert!(self.open.insert(call.id()), "an id was used twice");
        }
    }

    fn upload(&mut self, how: u8) {
        let Some(stream) = self
            .streams
            .get(usize::from(how >> 1) % self.streams.len().max(1))
            .copied()
        else {
            return;
        };
        let _ = if how & 1 == 0 {
            self.client.send_item(self.now, stream, "item")
        } else {
            self.client.end_stream(self.now, stream, None)
        };
    }

    fn answer_server(&mut self, how: u8) {
        let Some(reply) = self.replies.pop() else {
            return;
        };
        let outcome = if how & 1 == 0 {
            CompletionOutcome::Result(&how)
        } else {
            CompletionOutcome::Error("no")
        };
        let _ = self.client.complete(self.now, reply, outcome);
    }

    fn cancel(&mut self, how: u8) {
        let Some(id) = self
            .open
            .iter()
            .nth(usize::from(how) % self.open.len().max(1))
            .copied()
        else {
            return;
        };
        self.open.remove(&id);
        self.client.cancel(self.now, id);
        self.client.cancel(self.now, id);
    }

    fn advance(&mut self, how: u8) {
        self.poll_all();
        let Some(deadline) = self.deadline.filter(|_| how & 1 == 0) else {
            self.now = self.now.after(Duration::from_millis(u64::from(how) * 100));
            return self.input(Input::Timeout);
        };
        self.now = self.now.max(deadline);
        let before = self.trace.len();
        self.input(Input::Timeout);
        self.poll_all();
        let moved = self.deadline.is_none_or(|next| next > deadline);
        assert!(
            moved || self.trace.len() > before,
            "the deadline stands still: {}",
            self.client.wait_reason()
        );
    }

    fn op(&self, how: u8) -> Option<OpId> {
        self.ops
            .get(usize::from(how) % self.ops.len().max(1))
            .copied()
    }

    fn respond(&mut self, bits: &mut Bits<'_>) {
        let how = bits.byte();
        let Some(op) = self.op(how) else { return };
        let body = if how & 1 == 0 {
            Bytes::from_static(OFFER.as_bytes())
        } else {
            bits.take(usize::from(how))
        };
        let status = if how & 2 == 0 { 200 } else { 404 };
        let response = http::Response::builder()
            .status(status)
            .body(body)
            .expect("the status is valid");
        self.input(Input::Response { op, response });
    }

    fn receive_anything(&mut self, bits: &mut Bits<'_>) {
        let how = bits.byte();
        let bytes = bits.take(usize::from(how));
        self.receive(how, WsMessage::Binary(bytes));
    }

    fn receive(&mut self, how: u8, message: WsMessage) {
        let op = if how >= 250 {
            self.op(how)
        } else {
            self.ops.last().copied()
        };
        if let Some(op) = op {
            self.input(Input::Received { op, message });
        }
    }

    /// Messages that mean something, cut in two now and then.
    fn receive_sense(&mut self, how: u8) {
        const JSON: [&str; 8] = [
            "{}\u{1e}",
            "{\"type\":6}\u{1e}{\"type\":3,\"invocationId\":\"1\",\"result\":1}\u{1e}",
            "{\"type\":1,\"target\":\"a\",\"arguments\":[1]}\u{1e}{\"type\":3,\"invocationId\":\"2\",\"error\":\"no\"}\u{1e}",
            "{\"type\":1,\"invocationId\":\"s1\",\"target\":\"q\",\"arguments\":[]}\u{1e}",
            "{\"type\":2,\"invocationId\":\"1\",\"item\":1}\u{1e}{\"type\":2,\"invocationId\":\"3\",\"item\":1}\u{1e}",
            "{\"type\":7,\"allowReconnect\":true}\u{1e}",
            "{\"type\":7}\u{1e}",
            "{\"error\":\"no\"}\u{1e}",
        ];
        const MESSAGE_PACK: [&[u8]; 8] = [
            b"{}\x1e",
            b"\x02\x91\x06\x07\x95\x03\x80\xa11\x03\x01",
            b"\x09\x96\x01\x80\xc0\xa1a\x91\x01\x90",
            b"\x0a\x96\x01\x80\xa2s1\xa1q\x90\x90",
            b"\x06\x94\x02\x80\xa11\x01",
            b"\x04\x93\x07\xc0\xc3",
            b"\x04\x93\x07\xc0\xc2",
            b"{\"error\":\"no\"}\x1e",
        ];
        let index = usize::from(how % 8);
        let json = JSON.get(index).map(|text| text.as_bytes());
        let text = if self.client.config().protocol == Protocol::Json {
            json
        } else {
            MESSAGE_PACK.get(index).copied()
        };
        let bytes = Bytes::from_static(text.unwrap_or_default());
        let cut = if how & 8 == 0 {
            bytes.len()
        } else {
            usize::from(how >> 4).min(bytes.len())
        };
        self.receive(0, WsMessage::Text(bytes.slice(..cut)));
        self.receive(0, WsMessage::Text(bytes.slice(cut..)));
    }

    fn sent(&mut self, how: u8) {
        if let Some(op) = if how & 1 == 0 {
            self.ops.last().copied()
        } else {
            self.op(how)
        } {
            if self.ops.last() == Some(&op) {
                self.in_flight = false;
            }
            self.input(Input::Sent { op });
        }
    }

    fn end(&mut self, how: u8) {
        let cause = match how % 4 {
            0 => EndCause::Clean,
            1 => EndCause::WebSocketClose {
                code: 1000 + u16::from(how >> 4),
                reason: "why".into(),
            },
            2 => EndCause::Refused { status: 404 },
            _ => EndCause::Failed {
                detail: "broken".into(),
            },
        };
        if let Some(op) = if how & 4 == 0 {
            self.ops.last().copied()
        } else {
            self.op(how)
        } {
            self.input(Input::Ended { op, cause });
        }
    }

    fn answer_question(&mut self, how: u8) {
        let Some(op) = self.op(how) else { return };
        self.input(match how % 4 {
            0 => Input::AccessToken {
                op,
                token: Ok(AccessToken::new("token")),
            },
            1 => Input::AccessToken {
                op,
                token: Err("no".into()),
            },
            2 => Input::RetryDelay {
                op,
                delay: Some(Duration::from_secs(1)),
            },
            _ => Input::RetryDelay { op, delay: None },
        });
    }

    /// Answers the latest wish as a good server and driver would.
    fn play_server(&mut self) {
        self.poll_all();
        let Some(op) = self.ops.last().copied() else {
            return;
        };
        self.input(Input::AccessToken {
            op,
            token: Ok(None),
        });
        let response = http::Response::new(Bytes::from_static(OFFER.as_bytes()));
        self.poll_all();
        if let Some(op) = self.ops.last().copied() {
            self.input(Input::Response { op, response });
        }
        self.poll_all();
        if let Some(op) = self.ops.last().copied() {
            self.input(Input::AccessToken {
                op,
                token: Ok(None),
            });
        }
        self.poll_all();
        if let Some(op) = self.ops.last().copied() {
            self.input(Input::Opened { op });
            self.poll_all();
            self.in_flight = false;
            self.input(Input::Sent { op });
            self.receive_sense(0);
        }
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(self.now, input);
    }

    fn poll_all(&mut self) {
        self.poll(10_000);
    }

    fn poll(&mut self, times: usize) {
        for _ in 0..times {
            match self.client.poll_output() {
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    assert!(
                        self.lives > 0 || deadline.is_none(),
                        "a deadline after the end"
                    );
                    return;
                }
                Output::Action(action) => self.note_action(&action),
                Output::Event(event) => self.note_event(event),
            }
        }
        assert!(times < 10_000, "the machine never waits");
    }

    fn note_action(&mut self, action: &Action) {
        let _ = writeln!(self.trace, "{action:?}");
        match action {
            Action::Request { op, .. }
            | Action::OpenWebSocket { op, .. }
            | Action::GetAccessToken { op }
            | Action::NextRetryDelay { op, .. } => {
                assert!(self.lives > 0, "a wish after the end");
                assert!(!self.ops.contains(op), "an op was used twice");
                self.ops.push(*op);
                self.in_flight = false;
            }
            Action::Send {
                message: WsMessage::Close(_),
                ..
            }
            | Action::Abort { .. } => self.in_flight = false,
            Action::Send {
                message: WsMessage::Text(bytes) | WsMessage::Binary(bytes),
                ..
            } => {
                assert!(!self.in_flight, "two sends in flight");
                let _ = writeln!(self.trace, "{bytes:?}");
                self.in_flight = true;
            }
            _ => {}
        }
    }

    fn note_event(&mut self, event: Event) {
        let _ = writeln!(self.trace, "{event:?}");
        assert!(self.lives > 0, "an event after the end: {event:?}");
        match event {
            Event::Completion { invocation_id, .. } => assert!(
                self.open.remove(&invocation_id),
                "a completion for nothing: {invocation_id}"
            ),
            Event::StreamItem { invocation_id, .. } => assert!(
                self.open.contains(&invocation_id),
                "an item for nothing: {invocation_id}"
            ),
            Event::Invocation { reply_to, .. } => self.replies.extend(reply_to),
            Event::Reconnecting { .. } => self.expect_no_open_calls(),
            Event::Closed { .. } | Event::StartFailed { .. } => {
                self.expect_no_open_calls();
                self.lives -= 1;
            }
            _ => {}
        }
    }

    /// Calls made between the loss and its event could not have been accepted, so none may be open.
    fn expect_no_open_calls(&self) {
        assert!(
            self.open.is_empty(),
            "calls were left unresolved: {:?}",
            self.open
        );
    }

    fn check_bounds(&self) {
        assert!(
            self.client.incoming_bytes() <= LIMITS.max_incoming_bytes + 256,
            "incoming: {}",
            self.client.incoming_bytes()
        );
        let outgoing =
            LIMITS.max_outgoing_bytes + LARGEST_WRITE + 40 * LIMITS.max_pending_invocations;
        assert!(
            self.client.outgoing_bytes() <= outgoing.max(4096),
            "outgoing: {}",
            self.client.outgoing_bytes()
        );
    }

    /// A stop and some patience end everything.
    fn finish(&mut self) {
        self.poll_all();
        self.client.stop(self.now);
        self.poll_all();
        self.now = self.now.after(Duration::from_secs(5));
        self.input(Input::Timeout);
        self.poll_all();
        assert_eq!(self.client.state(), ConnectionState::Disconnected);
        self.expect_no_open_calls();
        assert_eq!((self.lives, self.deadline), (0, None));
    }
}
