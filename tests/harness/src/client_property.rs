//! What must hold for a client machine whatever its driver, its application and its server do, in any order.
//!
//! The bytes of a fuzzer (or of proptest) are read as a list of operations; a small obvious model runs beside the machine: the
//! calls that must be answered, and the world outside with everything that is under way.

mod server;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use signalr_proto::client::{
    Action, CallOptions, ClientConfig, ClientConnection, ConnectionState, Event, Input,
    InvocationId, OfflineQueue, Output, ReconnectPolicy, ReplyTo, WhileReconnecting,
};
use signalr_proto::{
    AccessToken, CompletionOutcome, Instant, Limits, Protocol, TransportKind, WithUploads,
};

use world::{OperationKind, World};

use crate::bits::Bits;
use crate::trace::Trace;

/// Limits small enough to be met.
const LIMITS: Limits = Limits::CLIENT
    .with_max_message_size(512)
    .with_max_outgoing_bytes(256)
    .with_max_incoming_bytes(1024)
    .with_max_pending_invocations(4)
    .with_max_handshake_size(64);

/// The longest message that an operation below writes.
const LARGEST_WRITE: usize = 200;

/// Unacknowledged bytes of a stateful connection beyond which calls are refused.
const REPLAY: usize = 200;

/// Runs the operations and checks every rule.
///
/// # Panics
/// When a rule is broken.
pub fn rules(data: &[u8]) {
    Run::of(data, Trace::OFF);
}

/// Runs the operations twice and checks every rule, the equality of both traces among them: that takes several times as long.
///
/// # Panics
/// When a rule is broken.
pub fn check(data: &[u8]) {
    let first = trace(data);
    let second = trace(data);
    assert_eq!(
        first, second,
        "the same seed and inputs gave different outputs"
    );
}

/// What the operations lead to, line by line: what the machine was told, its actions and its events.
///
/// # Panics
/// When a rule is broken.
#[must_use]
pub fn trace(data: &[u8]) -> String {
    Run::of(data, Trace::KEPT)
}

/// A call that must get its completion.
#[derive(Clone, Copy)]
struct Open {
    /// Whether it went out on the present connection.
    sent: bool,
    /// Whether it may go out on the next one too.
    repeats: bool,
}

struct Run {
    client: ClientConnection,
    now: Instant,
    trace: Trace,
    /// Actions and events so far.
    outputs: usize,
    world: World,
    replies: Vec<ReplyTo>,
    open: BTreeMap<InvocationId, Open>,
    streams: Vec<InvocationId>,
    paused: bool,
    /// When the present connection was last heard of, and when it began to stop.
    heard: Instant,
    stopping: Option<Instant>,
    /// Starts whose end was not told yet. More than one when a new start came before the end of the last was polled.
    lives: usize,
    deadline: Option<Instant>,
}

fn policy(how: u8) -> ReconnectPolicy {
    match how % 4 {
        0 => ReconnectPolicy::Never,
        1 => ReconnectPolicy::standard(),
        2 => ReconnectPolicy::unlimited(),
        _ => ReconnectPolicy::Ask,
    }
}

fn config(bits: &mut Bits<'_>) -> ClientConfig {
    let (flags, more) = (bits.byte(), bits.byte());
    let mut config = ClientConfig::new("http://host/hub").expect("the address is valid");
    config.limits = LIMITS;
    if flags & 1 != 0 {
        config.protocol = Protocol::MessagePack;
    }
    config.has_access_token = flags & 4 != 0;
    config.stateful_reconnect = (flags & 8 == 0).then_some(REPLAY);
    config.reconnect = policy(flags >> 6);
    config.retry_start = policy(flags >> 4);
    config.transports = match more & 7 {
        0 => vec![TransportKind::LongPolling],
        1 => vec![TransportKind::ServerSentEvents, TransportKind::LongPolling],
        2 => vec![TransportKind::WebSockets],
        _ => vec![],
    };
    config.skip_negotiation = flags & 2 == 0 && more & 7 > 1 && more & 16 != 0;
    if more & 32 != 0 {
        config.while_reconnecting = WhileReconnecting::Wait;
    }
    config.offline_queue =
        (more & 64 != 0).then_some(OfflineQueue::new(100, Duration::from_secs(20)));
    config
}

impl Run {
    fn of(data: &[u8], trace: Trace) -> String {
        let mut bits = Bits(data);
        let mut run = Self::new(&mut bits, trace);
        while !bits.0.is_empty() {
            run.step(&mut bits);
            run.check_bounds();
        }
        run.finish();
        run.trace.take()
    }

    fn new(bits: &mut Bits<'_>, trace: Trace) -> Self {
        Self {
            client: ClientConnection::new(config(bits), 3),
            now: Instant::ZERO,
            trace,
            outputs: 0,
            world: World::default(),
            replies: Vec::new(),
            open: BTreeMap::new(),
            streams: Vec::new(),
            paused: false,
            heard: Instant::ZERO,
            stopping: None,
            lives: 0,
            deadline: None,
        }
    }

    fn step(&mut self, bits: &mut Bits<'_>) {
        match bits.byte() % 27 {
            0 => self.start(),
            1 | 2 => self.call(bits.byte()),
            3 => self.upload(bits.byte()),
            4 => self.answer_server(bits.byte()),
            5 => self.cancel(bits.byte()),
            6 => self.advance(bits.byte()),
            7 => self.news_of_the_past(bits),
            8 => self.receive_anything(bits),
            9..=11 => self.receive_sense(bits.byte()),
            12 => self.misfortune(bits),
            13 => self.answer_question(bits.byte()),
            14 => self.pause(bits.byte()),
            15 => self.command(bits.byte()),
            16..=21 => self.help(bits.byte()),
            22 => self.play_server(bits.byte()),
            23 => self.cut(bits.byte()),
            24 => self.cut_and_help(bits.byte()),
            25 => self.flood(bits.byte()),
            _ => self.poll(usize::from(bits.byte() % 4)),
        }
        if bits.byte() & 3 != 0 {
            self.poll_all();
        }
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

/// What the application does.
impl Run {
    fn start(&mut self) {
        let idle = self.client.state() == ConnectionState::Disconnected;
        assert_eq!(self.client.start(self.now).is_ok(), idle);
        self.lives += usize::from(idle);
    }

    fn call(&mut self, how: u8) {
        // What waits must not be confused with what an event, not yet polled, told of.
        self.poll_all();
        let options = CallOptions::new().wait(how & 4 != 0).repeat(how & 8 != 0);
        let arguments = WithUploads::new((17,), usize::from(how >> 6));
        let (client, now) = (&mut self.client, self.now);
        let call = match how % 4 {
            0 => client.send_with(now, "Send", &arguments, options),
            1 => client.stream_with(now, "Stream", &arguments, options),
            _ => client.invoke_with(now, "Invoke", &arguments, options),
        };
        let Ok(call) = call else { return };
        let state = self.client.state();
        let (idle, stopping) = (
            ConnectionState::Disconnected,
            ConnectionState::Disconnecting,
        );
        assert!(state != idle && state != stopping, "a call without hope");
        self.streams.extend(call.streams());
        if how % 4 != 0 {
            let open = Open {
                sent: state == ConnectionState::Connected,
                repeats: options.repeat,
            };
            let twice = self.open.insert(call.id(), open);
            assert!(twice.is_none(), "an id was used twice");
        }
    }

    /// More than may wait.
    fn flood(&mut self, how: u8) {
        for _ in 0..16 {
            self.call(how & 8);
        }
    }

    fn upload(&mut self, how: u8) {
        let index = usize::from(how >> 1) % self.streams.len().max(1);
        let Some(stream) = self.streams.get(index).copied() else {
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
        let index = usize::from(how) % self.open.len().max(1);
        let Some(id) = self.open.keys().nth(index).copied() else {
            return;
        };
        self.open.remove(&id);
        self.client.cancel(self.now, id);
        self.client.cancel(self.now, id);
    }

    fn command(&mut self, how: u8) {
        match how % 4 {
            0 => self.client.stop(self.now),
            1 => self.client.retry_now(self.now),
            _ => {
                let _ = self.client.refresh_authentication(self.now);
            }
        }
    }

    fn pause(&mut self, how: u8) {
        self.paused = how & 1 == 0;
        self.input(if self.paused {
            Input::ReadPaused
        } else {
            Input::ReadResumed
        });
        self.heard = self.now;
    }

    fn answer_question(&mut self, how: u8) {
        self.poll_all();
        let is_question = |kind| matches!(kind, OperationKind::Token | OperationKind::Delay);
        let Some(one) = self.world.find(is_question) else {
            return;
        };
        let op = one.op;
        let token = match how % 4 {
            0 => Ok(None),
            1 => Err("no".into()),
            _ => Ok(AccessToken::new("token")),
        };
        let delay = (how & 1 == 0).then_some(Duration::from_millis(u64::from(how)));
        self.input(if one.kind == OperationKind::Token {
            Input::AccessToken { op, token }
        } else {
            Input::RetryDelay { op, delay }
        });
    }
}

/// What the clock and the network do.
impl Run {
    fn advance(&mut self, how: u8) {
        self.poll_all();
        let Some(deadline) = self.deadline.filter(|_| how & 1 == 0) else {
            self.now = self.now.after(Duration::from_millis(u64::from(how) * 500));
            self.input(Input::Timeout);
            self.poll_all();
            return self.check_patience();
        };
        self.now = self.now.max(deadline);
        let before = self.outputs;
        self.input(Input::Timeout);
        self.poll_all();
        let moved = self.deadline.is_none_or(|next| next > deadline);
        assert!(
            moved || self.outputs > before,
            "the deadline stands still: {}",
            self.client.wait_reason()
        );
        self.check_patience();
    }

    /// What is said of something that is over has no effect.
    fn news_of_the_past(&mut self, bits: &mut Bits<'_>) {
        self.poll_all();
        let how = bits.byte();
        let Some(op) = self.world.name(how).filter(|op| self.world.is_over(*op)) else {
            return;
        };
        let how = bits.byte();
        let bytes = bits.take(usize::from(how));
        let before = (self.outputs, self.deadline, self.client.state());
        self.input(world::any_news(op, how, bytes));
        self.poll_all();
        let after = (self.outputs, self.deadline, self.client.state());
        assert_eq!(before, after, "{op} is over");
    }

    /// Anything happens to something that is under way, whether it fits or not.
    fn misfortune(&mut self, bits: &mut Bits<'_>) {
        self.poll_all();
        let how = bits.byte();
        let index = usize::from(how) % self.world.all().len().max(1);
        let Some(one) = self.world.all().get(index).copied() else {
            return;
        };
        let how = bits.byte();
        let bytes = bits.take(usize::from(how >> 5));
        self.input(world::any_news(one.op, how, bytes));
    }

    /// What brings bytes breaks.
    fn cut(&mut self, how: u8) {
        self.poll_all();
        let is_way = |kind| {
            matches!(
                kind,
                OperationKind::Socket | OperationKind::Opening | OperationKind::Reading(_)
            )
        };
        if let Some(one) = self.world.find(is_way) {
            self.input(world::any_news(one.op, how | 7, Bytes::new()));
        }
    }

    /// As above, and what the machine does about it goes well.
    fn cut_and_help(&mut self, how: u8) {
        self.cut(how);
        for _ in 0..4 {
            self.poll_all();
            if let Some(one) = self.world.all().last().copied() {
                self.help_with(one, how);
            }
        }
    }

    fn receive_anything(&mut self, bits: &mut Bits<'_>) {
        self.poll_all();
        let how = bits.byte();
        let bytes = bits.take(usize::from(how));
        self.deliver(bytes, how);
    }

    fn input(&mut self, input: Input) {
        self.trace.line(format_args!("{:?} < {input:?}", self.now));
        self.world.told(self.now, &input);
        let said = match &input {
            Input::Chunk { bytes, .. } | Input::Received { bytes, .. } => !bytes.is_empty(),
            _ => false,
        };
        if said {
            self.heard = self.now;
        }
        self.client.handle_input(self.now, input);
    }
}

/// What the machine does.
impl Run {
    fn poll_all(&mut self) {
        self.poll(10_000);
    }

    fn poll(&mut self, times: usize) {
        for _ in 0..times {
            match self.client.poll_output() {
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return self.check_rest();
                }
                Output::Action(action) => self.note_action(&action),
                Output::Event(event) => self.note_event(event),
            }
        }
        assert!(times < 10_000, "the machine never waits");
    }

    fn note_action(&mut self, action: &Action) {
        self.outputs += 1;
        let bytes = match action {
            Action::Send { bytes, .. } => Some(bytes),
            Action::Request { request, .. } => Some(request.body()),
            _ => None,
        };
        self.trace.line(format_args!("{action:?} {bytes:?}"));
        assert!(self.lives > 0, "a wish after the end");
        self.world.note(self.now, action);
    }

    fn note_event(&mut self, event: Event) {
        self.outputs += 1;
        self.trace.line(format_args!("{event:?}"));
        assert!(self.lives > 0, "an event after the end: {event:?}");
        match event {
            Event::Completion { invocation_id, .. } => assert!(
                self.open.remove(&invocation_id).is_some(),
                "a completion for nothing: {invocation_id}"
            ),
            Event::StreamItem { invocation_id, .. } => assert!(
                self.open.contains_key(&invocation_id),
                "an item for nothing: {invocation_id}"
            ),
            Event::Invocation { reply_to, .. } => self.replies.extend(reply_to),
            Event::Connected { .. } | Event::Reconnected { .. } => {
                self.heard = self.now;
                self.open.values_mut().for_each(|open| open.sent = true);
            }
            Event::Reconnecting { .. } => {
                for (id, open) in &mut self.open {
                    assert!(!open.sent || open.repeats, "{id} was left unresolved");
                    open.sent = false;
                }
            }
            Event::Closed { .. } | Event::StartFailed { .. } => {
                self.expect_no_open_calls();
                self.lives -= 1;
            }
            _ => {}
        }
    }
}

/// Rules.
impl Run {
    /// What must hold whenever there is nothing more to do.
    fn check_rest(&mut self) {
        let state = self.client.state();
        if state == ConnectionState::Disconnecting {
            self.stopping.get_or_insert(self.now);
        } else {
            self.stopping = None;
        }
        if self.lives == 0 {
            assert_eq!(state, ConnectionState::Disconnected);
            assert_eq!(self.deadline, None, "a deadline after the end");
            self.world.check_nothing_left();
        } else if self.deadline.is_none() {
            // Only the application is waited for: its policy, or its slowness.
            let thinks = self
                .world
                .find(|kind| kind == OperationKind::Delay)
                .is_some();
            assert!(
                thinks || self.is_polling() && self.paused,
                "{state:?} waits for ever: {:?}",
                self.world
            );
        }
    }

    fn is_polling(&self) -> bool {
        self.client.transport() == Some(TransportKind::LongPolling)
    }

    /// What waits has its time, and no longer.
    fn check_patience(&self) {
        self.world.check_patience(self.now, self.paused);
        let silence = self.now.since(self.heard);
        let state = self.client.state();
        if state == ConnectionState::Connected && !self.is_polling() && !self.paused {
            assert!(silence <= Duration::from_secs(30), "silent for {silence:?}");
        }
        if state == ConnectionState::Disconnecting {
            let since = self.stopping.expect("the stop was seen");
            let lasts = self.now.since(since);
            assert!(lasts <= Duration::from_secs(5), "stopping for {lasts:?}");
        }
    }

    fn expect_no_open_calls(&self) {
        let open: Vec<_> = self.open.keys().collect();
        assert!(open.is_empty(), "calls were left unresolved: {open:?}");
    }

    fn check_bounds(&self) {
        assert!(
            self.client.incoming_bytes() <= LIMITS.max_incoming_bytes + 256,
            "incoming: {}",
            self.client.incoming_bytes()
        );
        // What is accepted, once over the limit, and again when it is repeated; and what is never refused: a cancellation for
        // each call, and what waited for the connection.
        let outgoing = 3 * (LIMITS.max_outgoing_bytes + REPLAY + LARGEST_WRITE);
        assert!(
            self.client.outgoing_bytes() <= outgoing,
            "outgoing: {}",
            self.client.outgoing_bytes()
        );
    }
}
