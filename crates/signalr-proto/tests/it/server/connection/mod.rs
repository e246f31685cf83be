//! One client's connection, under a virtual clock.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use http::Response;

use signalr_proto::codec::Invocation;
use signalr_proto::server::{
    Action, Arrival, CallId, CallOutcome, ConnectionOptions, DisconnectReason, Event, Failure,
    Identity, Input, Output, Port, Refusal, ServerConfig, ServerConnection,
};
use signalr_proto::{
    DecodeError, DecodeErrorKind, EndCause, Instant, Limits, OpId, Protocol, SendError,
    TransferFormat, TransportKind,
};

use crate::server::with;

mod calls;
mod ending;
mod events;
mod handshake;
mod keep_alive;
mod limits;
mod misuse;
mod polls;
mod posts;
mod questions;
mod refresh;
mod resuming;
mod uploads;

/// A machine, the virtual clock, and what the machine has said.
struct Test {
    machine: ServerConnection,
    now: Instant,
    /// The name of the next request.
    next_op: u32,
    /// The WebSocket, or the event stream.
    socket: OpId,
    sent: Vec<u8>,
    binary: Option<bool>,
    events: Vec<Event>,
    /// Every action apart from messages that were sent, in order.
    actions: Vec<String>,
    responses: VecDeque<(OpId, Response<Bytes>)>,
    deadline: Option<Instant>,
    /// Whether the transport takes what is sent.
    takes: bool,
}

impl Test {
    /// Nothing has come yet.
    fn new(config: ServerConfig, options: ConnectionOptions) -> Self {
        let machine = ServerConnection::new(config, options, Instant::ZERO);
        let mut test = Self {
            machine,
            now: Instant::ZERO,
            next_op: 1,
            socket: OpId::new(0),
            sent: Vec::new(),
            binary: None,
            events: Vec::new(),
            actions: Vec::new(),
            responses: VecDeque::new(),
            deadline: None,
            takes: true,
        };
        test.poll();
        test
    }

    /// With a WebSocket, before the handshake.
    fn web_socket(config: ServerConfig, options: ConnectionOptions) -> Self {
        let mut test = Self::new(config, options);
        test.socket = test.arrive(Port::WebSocket);
        assert_eq!(test.actions(), ["Accept 1"]);
        test
    }

    /// Past the handshake, welcomed, nothing noted.
    fn open() -> Self {
        Self::open_with(config())
    }

    fn open_with(config: ServerConfig) -> Self {
        let mut test = Self::web_socket(config, ConnectionOptions::default());
        test.shake_hands(HANDSHAKE);
        test
    }

    fn shake_hands(&mut self, handshake: &[u8]) {
        self.receive(handshake);
        self.machine.accept(self.now);
        self.poll();
        self.sent.clear();
        self.events.clear();
    }

    fn arrive(&mut self, port: Port) -> OpId {
        self.arrive_as(port, None)
    }

    fn arrive_as(&mut self, port: Port, identity: Option<Identity>) -> OpId {
        let op = OpId::new(self.next_op);
        self.next_op += 1;
        self.input(Input::Arrived(Arrival { op, port, identity }));
        op
    }

    fn poll(&mut self) {
        loop {
            match self.machine.poll_output() {
                Output::Action(action) => self.act(action),
                Output::Event(event) => self.events.push(event),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { op, bytes, format } => {
                self.binary = Some(format == TransferFormat::Binary);
                self.take(op, &bytes);
            }
            Action::Chunk { op, bytes } => self.take(op, &bytes),
            Action::Deliver { op, response } => {
                self.actions
                    .push(format!("Deliver {op} {}", response.status().as_u16()));
                self.take(op, response.body());
            }
            Action::Respond { op, response } => {
                self.actions
                    .push(format!("Respond {op} {}", response.status().as_u16()));
                self.responses.push_back((op, *response));
            }
            Action::Stream { op, head } => {
                self.actions
                    .push(format!("Stream {op} {}", head.status().as_u16()));
            }
            Action::Finish { op } => self.actions.push(format!("Finish {op}")),
            Action::Accept { op } => self.actions.push(format!("Accept {op}")),
            Action::Close { op, code } => self.actions.push(format!("Close {op} {code}")),
            Action::Abort { op } => self.actions.push(format!("Abort {op}")),
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, op: OpId, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        if self.takes {
            self.machine.handle_input(self.now, Input::Sent { op });
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        self.poll();
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input(Input::Received {
            op: self.socket,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    fn receive_json(&mut self, records: &[&str]) {
        self.receive(&json(records));
    }

    /// Lets the time pass from deadline to deadline.
    fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline in the past");
            self.now = deadline;
            self.input(Input::Timeout);
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent))
            .unwrap()
            .replace('\u{1e}', "|")
    }

    /// What the machine asked for since the last time.
    fn actions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.actions)
    }

    /// Bytes that were received and wait to be read.
    fn unread(&self) -> usize {
        self.shown("incoming_bytes: ")
    }

    /// Bytes that wait to be sent.
    fn unsent(&self) -> usize {
        self.shown("pending: ")
    }

    /// A number in the machine's debug output.
    fn shown(&self, field: &str) -> usize {
        let shown = format!("{:?}", self.machine);
        let (_, rest) = shown.split_once(field).unwrap();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    fn reason(&self) -> Option<&DisconnectReason> {
        match self.events.last() {
            Some(Event::Closed { reason }) => Some(reason),
            _ => None,
        }
    }

    fn end(&mut self, code: u16) {
        self.end_with(EndCause::WebSocketClose {
            code,
            reason: Box::default(),
        });
    }

    fn fail(&mut self, detail: &str) {
        let detail = detail.into();
        self.end_with(EndCause::Failed { detail });
    }

    fn end_with(&mut self, cause: EndCause) {
        self.input(Input::Ended {
            op: self.socket,
            cause,
        });
    }

    fn calls(&self) -> Vec<(CallId, &Invocation)> {
        fn call(event: &Event) -> Option<(CallId, &Invocation)> {
            if let Event::Invocation {
                call, invocation, ..
            } = event
            {
                Some((*call, invocation))
            } else {
                None
            }
        }
        self.events.iter().filter_map(call).collect()
    }

    fn targets(&self) -> Vec<&str> {
        let calls = self.calls().into_iter();
        calls.map(|(_, invocation)| &*invocation.target).collect()
    }

    fn say(&mut self, target: &str) {
        self.machine.send(self.now, target, &()).unwrap();
        self.poll();
    }

    fn last_call(&self) -> CallId {
        self.calls().last().unwrap().0
    }

    fn finish(&mut self, call: CallId) {
        self.machine
            .finish(self.now, call, CallOutcome::done())
            .unwrap();
        self.poll();
    }
}

fn json(records: &[&str]) -> Vec<u8> {
    records
        .iter()
        .flat_map(|record| [record.as_bytes(), &[0x1e]].concat())
        .collect()
}

/// Any number of calls may run, unless the test is about that.
fn config() -> ServerConfig {
    with(ServerConfig::default(), |config| {
        config.maximum_parallel_invocations = 1000;
    })
}

const HANDSHAKE: &[u8] = b"{\"protocol\":\"json\",\"version\":1}\x1e";
const PING: &str = r#"{"type":6}"#;
const CALL: &str = r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#;
const CLOSED: &str =
    r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}|"#;
const SECOND: Duration = Duration::from_secs(1);
