//! A connection's machine, its driver, its application and its client.

use std::time::Duration;

use bytes::Bytes;
use signalr_proto::server::{
    Action, CallId, CallOutcome, ConnectionOptions, DisconnectReason, Event, Failure, Identity,
    Input, Output, Port, Refusal, ServerConfig, ServerConnection,
};
use signalr_proto::{EndCause, HubMessage, Instant, OpId, Protocol, TransportKind};

use super::calls::Calls;
use super::client::{self, Ear};
use super::requests::{Gets, Request, Requests, Stage, arrival};
use crate::bits::{Bits, pick};
use crate::trace::Trace;

/// The driver looks at the clock as late as this.
pub(super) const LATE: Duration = Duration::from_millis(255 * 20);

/// Unacknowledged bytes of a stateful connection beyond which nothing more is taken.
const REPLAY: usize = 256;

pub(super) struct Run {
    machine: ServerConnection,
    config: ServerConfig,
    stateful: bool,
    now: Instant,
    deadline: Option<Instant>,
    requests: Requests,
    calls: Calls,
    asked: u32,
    judged: Vec<OpId>,
    ear: Ear,
    /// The WebSocket or event stream that the client listens to.
    listens: Option<OpId>,
    /// A poll's answer that is under way, or was not taken.
    delivery: Option<Bytes>,
    /// Whether bytes are only handed in when they are asked for.
    obedient: bool,
    protocol: Option<Protocol>,
    /// The beginning of a message whose end is still to come.
    cut: Bytes,
    /// Since when nothing reaches the client.
    away: Option<Instant>,
    /// Since when the connection is about to end.
    ending: Option<Instant>,
    over: bool,
    outputs: usize,
    trace: Trace,
}

fn config(bits: &mut Bits<'_>) -> ServerConfig {
    let flags = bits.byte();
    let mut config = ServerConfig::default();
    config.limits.max_message_size = 400;
    config.limits.max_incoming_bytes = 1024;
    config.limits.max_outgoing_bytes = 256;
    config.stateful_reconnect_buffer_size = REPLAY;
    config.application_max_buffer_size = 300;
    config.max_posts = 3;
    config.maximum_parallel_invocations = 1 + usize::from(flags & 1);
    config.maximum_streams = 4;
    config.stream_buffer_capacity = 1 + usize::from((flags >> 1) & 1);
    config.max_messages_per_second = (flags & 4 != 0).then_some(20);
    config.poll_timeout = Duration::from_secs(if flags & 8 == 0 { 90 } else { 4 });
    config.client_timeout_interval = Duration::from_secs(if flags & 16 == 0 { 30 } else { 4 });
    config
}

impl Run {
    pub(super) fn of(data: &[u8], trace: Trace) -> String {
        let mut bits = Bits(data);
        let mut run = Self::new(&mut bits, trace);
        run.begin(&mut bits);
        let mut after = 0;
        while !bits.0.is_empty() && after < 8 {
            run.step(&mut bits);
            after += u8::from(run.over);
        }
        run.finish();
        run.trace.take()
    }

    fn new(bits: &mut Bits<'_>, trace: Trace) -> Self {
        let config = config(bits);
        let flags = bits.byte();
        let mut options = ConnectionOptions::default();
        options.stateful_reconnect = flags & 1 == 0;
        options.refreshable = flags & 2 == 0;
        options.close_on_expiration = flags & 4 == 0;
        options.identity = identity(flags >> 6);
        Self {
            stateful: options.stateful_reconnect,
            machine: ServerConnection::new(config.clone(), options, Instant::ZERO),
            config,
            now: Instant::ZERO,
            deadline: None,
            requests: Requests::default(),
            calls: Calls::default(),
            asked: 0,
            judged: Vec::new(),
            ear: Ear::new(),
            listens: None,
            delivery: None,
            obedient: flags & 8 == 0,
            protocol: None,
            cut: Bytes::new(),
            away: Some(Instant::ZERO),
            ending: None,
            over: false,
            outputs: 0,
            trace,
        }
    }

    /// Mostly a good one, up to a welcome.
    fn begin(&mut self, bits: &mut Bits<'_>) {
        let how = bits.byte();
        if how > 240 {
            return;
        }
        const PORTS: [Port; 4] = [Port::WebSocket, Port::WebSocket, Port::Events, Port::Poll];
        let port = pick(&PORTS, how);
        let handshake = client::handshake(if port == Port::Events { 0 } else { how >> 2 });
        self.arrive(port, 0);
        self.poll_all();
        if port != Port::WebSocket {
            self.arrive(Port::Post, 0);
            self.poll_all();
        }
        self.bytes(handshake);
        self.poll_all();
        if how & 0xc0 != 0 {
            self.machine.accept(self.now);
        }
        self.sent();
    }

    fn step(&mut self, bits: &mut Bits<'_>) {
        match bits.byte() % 32 {
            0 | 1 => self.arrive_any(bits.byte()),
            2 | 3 => self.poll_again(),
            4..=11 => self.say(bits.byte(), bits.byte()),
            12 => self.say_anything(bits.byte(), bits),
            13..=16 => self.sent(),
            17 => self.lose(bits),
            18 => self.news_of_the_past(bits),
            19 => self.advance(bits.byte()),
            20 => self.pause(bits.byte()),
            21 => self.welcome(bits.byte()),
            22 | 23 => self.tell(bits.byte()),
            24..=26 => self.serve(bits.byte(), bits.byte()),
            27 => self.feed_uploads(bits.byte()),
            28 => self.judge(bits.byte()),
            29 => self.end(bits.byte()),
            _ => self.poll(usize::from(bits.byte() % 4)),
        }
        if bits.byte() & 3 != 0 {
            self.poll_all();
        }
    }

    /// Whatever happened: when nobody does anything any more, the end comes.
    fn finish(&mut self) {
        self.poll_all();
        self.machine.close(self.now, false);
        self.input(Input::ReadResumed);
        for _ in 0..100 {
            self.poll_all();
            if self.over {
                break;
            }
            while let Some(call) = self.calls.first() {
                self.finish_call(call, 0);
            }
            let alive = self.requests.alive();
            if let Some(op) = alive.first().copied() {
                let cause = EndCause::Clean;
                self.input(Input::Ended { op, cause });
            }
            self.pass_deadline();
        }
        assert!(self.over && self.machine.is_closed(), "no end");
    }
}

/// What the client does.
impl Run {
    fn arrive(&mut self, port: Port, claims: u8) {
        if self.over {
            self.poll_all();
        }
        let op = self.requests.begin(self.now, port);
        let (over, before) = (self.over, self.outputs);
        self.input(arrival(op, port, identity(claims)));
        if port == Port::Poll && self.machine.transport() == Some(TransportKind::LongPolling) {
            // Even one that is answered at once shows that there is a client.
            self.away = None;
        }
        if over {
            self.poll_all();
            assert_eq!(self.outputs, before + 1, "it is answered, and that is all");
            let stage = self.requests.get(op).map(|request| request.stage);
            assert_eq!(stage, Some(Stage::Over));
        }
    }

    fn arrive_any(&mut self, how: u8) {
        const PORTS: [Port; 8] = [
            Port::WebSocket,
            Port::Post,
            Port::Poll,
            Port::Refresh,
            Port::Post,
            Port::Events,
            Port::WebSocket,
            Port::Delete,
        ];
        let port = pick(&PORTS, how);
        if port != Port::Delete || how > 200 {
            self.arrive(port, how >> 6);
        }
    }

    /// Says something sensible, the way that the client has.
    fn say(&mut self, how: u8, which: u8) {
        let handshake = self.protocol.is_none();
        let (bytes, call) = match self.protocol {
            None => (client::handshake(how), None),
            Some(protocol) => client::message(protocol, how, which),
        };
        if !self.can_speak() {
            return;
        }
        if let Some(id) = call {
            self.calls.came(id);
        }
        let mut bytes = [&core::mem::take(&mut self.cut)[..], &bytes].concat();
        if which & 0x30 == 0x30 && !handshake {
            // The rest of it comes with what is said next.
            let end = bytes.split_off(bytes.len() / 2);
            self.cut = end.into();
        }
        if self.machine.reading().is_none() {
            self.arrive(Port::Post, 0);
            self.poll_all();
        }
        if !self.bytes(bytes.clone().into()) {
            bytes.extend_from_slice(&self.cut);
            self.cut = bytes.into();
        }
    }

    fn poll_again(&mut self) {
        if self.machine.transport() == Some(TransportKind::LongPolling) {
            self.arrive(Port::Poll, 0);
        }
    }

    fn can_speak(&mut self) -> bool {
        self.poll_all();
        let socket = |request: &Request| request.port == Port::WebSocket && request.takes_bytes();
        !self.over
            && if self.machine.transport() == Some(TransportKind::WebSockets) {
                self.requests.find(socket).is_some() && self.machine.reading().is_some()
            } else {
                true
            }
    }

    /// Rarely, for few connections survive it.
    fn say_anything(&mut self, rarely: u8, bits: &mut Bits<'_>) {
        if rarely > 16 {
            return;
        }
        if !self.cut.is_empty() {
            self.calls.mangle();
        }
        let how = bits.byte();
        let bytes = bits.take(usize::from(how) / 4);
        self.bytes(if how & 1 == 0 {
            bytes
        } else {
            Bytes::from(vec![b' '; usize::from(how) * 3])
        });
    }

    /// Bytes for what is read, or, without being asked, for whatever may take some. `false` when there is nothing.
    fn bytes(&mut self, bytes: Bytes) -> bool {
        self.poll_all();
        let op = if self.obedient {
            self.machine.reading()
        } else {
            self.requests.latest(Request::takes_bytes)
        };
        let Some((op, request)) = op.and_then(|op| Some((op, self.requests.get(op)?))) else {
            return false;
        };
        assert!(request.takes_bytes(), "bytes are wanted of {request:?}");
        self.input(if request.port == Port::Post {
            let last = bytes.len() % 3 != 0;
            Input::Body { op, bytes, last }
        } else {
            Input::Received { op, bytes }
        });
        true
    }

    /// The transport takes what is under way.
    fn sent(&mut self) {
        let under_way =
            |request: &Request| matches!(request.stage, Stage::Busy | Stage::Delivering);
        let Some(op) = self.requests.find(under_way) else {
            return;
        };
        if self.requests.get(op).map(|request| request.stage) == Some(Stage::Delivering) {
            let body = self.delivery.take().expect("something is delivered");
            self.hear(body);
        }
        self.input(Input::Sent { op });
    }

    fn lose(&mut self, bits: &mut Bits<'_>) {
        if bits.byte() > 80 {
            return self.poll_all();
        }
        let alive = self.requests.alive();
        let index = bits.index(alive.len());
        let Some(op) = index.and_then(|index| alive.get(index).copied()) else {
            return;
        };
        let cause = cause(bits.byte());
        self.input(Input::Ended { op, cause });
        self.poll_all();
    }

    /// What is said of something that is over has no effect.
    fn news_of_the_past(&mut self, bits: &mut Bits<'_>) {
        self.poll_all();
        let Some(op) = self.requests.past(usize::from(bits.byte())) else {
            return;
        };
        let before = (self.outputs, self.deadline);
        let how = bits.byte();
        let bytes = bits.take(usize::from(how >> 4));
        self.input(match how & 3 {
            0 => Input::Sent { op },
            1 => Input::Received { op, bytes },
            2 => Input::Ended {
                op,
                cause: cause(how),
            },
            _ => Input::Body {
                op,
                bytes,
                last: how & 4 == 0,
            },
        });
        self.poll_all();
        assert_eq!((self.outputs, self.deadline), before, "{op} is over");
    }
}

/// What the application does.
impl Run {
    fn welcome(&mut self, how: u8) {
        if how > 250 {
            self.machine.reject(self.now, Failure::hub_exception("no"));
        } else {
            self.machine.accept(self.now);
        }
    }

    fn tell(&mut self, how: u8) {
        let now = self.now;
        match how % 8 {
            0 | 1 => {
                self.asked += 1;
                let id = format!("q{}", self.asked % 4);
                if self.machine.invoke(now, &id, "Question", &()).is_ok() {
                    self.calls.ask(id);
                }
            }
            2 => {
                let id = format!("q{}", self.asked % 4);
                self.machine.forget_result(now, &id);
                self.calls.forget(&id);
            }
            _ => {
                let text = "x".repeat(usize::from(how));
                let told = self.machine.send(now, "Method", &(text,));
                assert!(told.is_err() || self.machine.is_open());
            }
        }
    }

    fn serve(&mut self, how: u8, which: u8) {
        let Some(call) = self.calls.pick(which) else {
            return;
        };
        let now = self.now;
        match how % 8 {
            0..=3 => self.finish_call(call, how >> 4),
            4 => {
                let _ = self.machine.item(now, call, &which);
            }
            5 => {
                self.machine.refuse(now, call, Refusal::NoSuchMethod);
                self.calls.end(call);
            }
            _ => {
                self.machine.release(now, call);
                self.calls.release(call);
            }
        }
    }

    fn finish_call(&mut self, call: CallId, how: u8) {
        let failure = Failure::hub_exception("no");
        let outcome = match how % 4 {
            0 => CallOutcome::Done,
            1 => CallOutcome::Value(&7),
            2 => CallOutcome::Failed(failure),
            _ => CallOutcome::StreamFailed(failure),
        };
        let finished = self.machine.finish(self.now, call, outcome);
        finished.expect("an integer can be encoded");
        self.calls.end(call);
    }

    fn feed_uploads(&mut self, how: u8) {
        let Some(call) = self.calls.pick(how) else {
            return;
        };
        let upload = usize::from(how >> 6);
        if how & 8 == 0 {
            self.machine.credit(self.now, call, upload, 1);
            self.calls.credit(&self.config, call, upload);
        } else {
            self.machine.hungry(self.now, call, upload);
        }
    }

    fn judge(&mut self, how: u8) {
        if !self.judged.is_empty() {
            let op = self.judged.remove(usize::from(how) % self.judged.len());
            self.requests.restart(self.now, op);
            self.machine.reauthenticate(self.now, op, how & 0x70 != 0);
        }
    }

    fn pause(&mut self, how: u8) {
        self.input(if how & 3 == 0 {
            Input::ReadPaused
        } else {
            Input::ReadResumed
        });
    }

    /// Rarely, for nothing survives it.
    fn end(&mut self, how: u8) {
        match how {
            0 => self.machine.abort(self.now),
            1 | 2 => self.machine.close(self.now, how == 1),
            3 => self
                .machine
                .close_for(self.now, DisconnectReason::ForeignAnswer),
            _ => {}
        }
    }
}

/// Time.
impl Run {
    fn advance(&mut self, how: u8) {
        self.poll_all();
        if how & 1 == 0 {
            return self.pass_deadline();
        }
        self.now = self.now.after(Duration::from_millis(u64::from(how) * 20));
        self.input(Input::Timeout);
        self.poll_all();
        self.check_patience();
    }

    fn pass_deadline(&mut self) {
        let Some(deadline) = self.deadline else {
            return;
        };
        self.now = self.now.max(deadline);
        let before = self.outputs;
        self.input(Input::Timeout);
        self.poll_all();
        let moved = self.deadline.is_none_or(|next| next > deadline);
        assert!(moved || self.outputs > before, "the deadline stands still");
        self.check_patience();
    }

    fn check_patience(&self) {
        if self.over {
            return;
        }
        self.requests
            .check_patience(self.now, self.config.poll_timeout, &self.judged);
        let away = self
            .away
            .map_or(Duration::ZERO, |since| self.now.since(since));
        // What was received may be handed out for a while longer.
        assert!(away <= Duration::from_secs(20) + LATE, "away for {away:?}");
        let ending = self
            .ending
            .map_or(Duration::ZERO, |since| self.now.since(since));
        assert!(ending <= Duration::from_secs(5), "ending for {ending:?}");
    }
}

/// What the machine does.
impl Run {
    fn input(&mut self, input: Input) {
        self.trace.line(format_args!("{:?} < {input:?}", self.now));
        self.requests.told(self.now, &input);
        self.machine.handle_input(self.now, input);
    }

    fn poll_all(&mut self) {
        self.poll(10_000);
    }

    fn poll(&mut self, times: usize) {
        for _ in 0..times {
            match self.machine.poll_output() {
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return self.check_rest();
                }
                Output::Action(action) => self.act(&action),
                Output::Event(event) => self.note(&event),
            }
        }
        assert!(times < 10_000, "the machine never waits");
    }

    fn act(&mut self, action: &Action) {
        self.outputs += 1;
        self.trace.line(format_args!("{action:?}"));
        let is_answer = matches!(action, Action::Respond { .. });
        assert!(!self.over || is_answer, "{action:?} after the end");
        match self.requests.carry_out(self.now, action) {
            Some(Gets::Beginning(op)) => {
                self.listens = Some(op);
                if matches!(action, Action::Stream { .. }) {
                    self.ear.reads_events();
                }
            }
            // What an older WebSocket brings the client has turned its back on.
            Some(Gets::Bytes(op, bytes)) if self.listens == Some(op) => self.hear(bytes),
            Some(Gets::Delivery(body)) => {
                if let Some(before) = self.delivery.replace(body) {
                    let now = self.delivery.as_ref();
                    let again = now.is_some_and(|body| body.starts_with(&before));
                    assert!(again, "what was not taken is forgotten");
                }
            }
            Some(Gets::Bytes(..)) | None => {}
        }
    }

    fn hear(&mut self, bytes: Bytes) {
        assert!(bytes.len() < 8192, "a batch without bound");
        let closed = self.ear.closed;
        for message in self.ear.hear(bytes) {
            // On a connection that resumes, answers come again.
            if let HubMessage::Completion { invocation_id, .. } = message {
                if !self.stateful {
                    self.calls.answered(&invocation_id);
                }
            }
        }
        assert!(!closed, "something after the last message");
    }

    fn note(&mut self, event: &Event) {
        self.outputs += 1;
        self.trace.line(format_args!("{event:?}"));
        assert!(!self.over, "{event:?} after the end");
        self.calls.hear(&self.config, event);
        match event {
            Event::Handshaken { protocol } => {
                assert_eq!(self.protocol, None, "there is one handshake");
                self.protocol = Some(*protocol);
                self.ear.speaks(*protocol);
            }
            Event::Reauthenticate { op, .. } => self.judged.push(*op),
            // What was cut off is forgotten with the old WebSocket.
            Event::Resumed => {
                self.cut = Bytes::new();
                self.ear.resumes();
                // It may be lost again at once, before there is rest.
                self.away = None;
            }
            Event::Closed { reason } => {
                self.over = true;
                let flooded = matches!(reason, DisconnectReason::IncomingLimit { .. });
                assert!(!(flooded && self.obedient), "{reason}");
            }
            _ => {}
        }
    }

    /// What must hold whenever there is nothing more to do.
    fn check_rest(&mut self) {
        self.requests.rest();
        if self.over {
            assert_eq!(self.deadline, None, "a deadline after the end");
            assert!(self.machine.is_closed() && self.calls.is_idle());
            let alive = self.requests.alive();
            // A delivery goes on by itself.
            let waits = |op: &OpId| {
                let stage = self.requests.get(*op).map(|request| request.stage);
                stage != Some(Stage::Delivering)
            };
            assert!(!alive.iter().any(waits), "{alive:?} are left");
            return;
        }
        let deadline = self.deadline.expect("something is always waited for");
        assert!(deadline > self.now, "a deadline that has passed");
        if let Some(op) = self.machine.reading() {
            let request = self.requests.get(op).expect("it came");
            assert!(request.takes_bytes(), "bytes are wanted of {request:?}");
        }
        let waits = |op: OpId| !self.judged.contains(&op);
        let reached = self.requests.reaches_but(waits);
        if reached {
            self.away = None;
        } else {
            self.away.get_or_insert(self.now);
        }
        let polls = self.machine.transport() == Some(TransportKind::LongPolling);
        if self.protocol.is_some() && !self.machine.is_open() && !polls {
            self.ending.get_or_insert(self.now);
        }
    }
}

fn identity(claims: u8) -> Option<Identity> {
    (claims > 0).then(|| Identity {
        user_id: None,
        claims: u64::from(claims),
        expires_at: (claims > 1).then_some(Instant(Duration::from_secs(u64::from(claims) * 40))),
    })
}

fn cause(how: u8) -> EndCause {
    match how & 3 {
        0 => EndCause::Clean,
        1 => EndCause::WebSocketClose {
            code: if how & 4 == 0 { 1000 } else { 1006 },
            reason: Box::default(),
        },
        _ => EndCause::Failed {
            detail: "broken".into(),
        },
    }
}
