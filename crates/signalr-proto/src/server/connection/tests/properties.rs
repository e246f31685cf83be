//! What holds whatever the client, the application, the driver and the network do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Something that happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Arrive(Port, u64),
    /// Bytes on the WebSocket, or of a POST; whether only when they are asked for.
    Bytes(Vec<u8>, bool),
    Sent(usize),
    End(usize, u8),
    Pass(u16),
    Deadline,
    Pause,
    Resume,
    Accept,
    Reject,
    Send(u16),
    Ask,
    Forget,
    Finish(usize, u8),
    Item(usize),
    Refuse(usize),
    Release(usize),
    Credit(usize, usize),
    Hungry(usize, usize),
    Judge(usize, bool),
    Close(bool),
    Blame,
    Abort,
    Poll,
}

const PIECES: &[&[u8]] = &[
    b"{\"protocol\":\"json\",\"version\":1}\x1e",
    b"{\"protocol\":\"messagepack\",\"version\":1}\x1e",
    b"{\"protocol\":\"json\",\"version\":2}\x1e",
    b"{\"type\":8,\"sequenceId\":2}\x1e",
    b"{\"type\":8,\"sequenceId\":90}\x1e",
    b"{\"type\":9,\"sequenceId\":1}\x1e",
    b"{\"type\":6}\x1e",
    b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"T\",\"arguments\":[1]}\x1e",
    b"{\"type\":1,\"target\":\"T\",\"arguments\":[]}\x1e",
    b"{\"type\":4,\"invocationId\":\"4\",\"target\":\"S\",\"arguments\":[]}\x1e",
    b"{\"type\":1,\"invocationId\":\"2\",\"target\":\"U\",\"arguments\":[],\"streamIds\":[\"a\",\"b\"]}\x1e",
    b"{\"type\":2,\"invocationId\":\"a\",\"item\":1}\x1e",
    b"{\"type\":2,\"invocationId\":\"b\",\"item\":2}\x1e",
    b"{\"type\":3,\"invocationId\":\"a\"}\x1e",
    b"{\"type\":3,\"invocationId\":\"q1\",\"result\":1}\x1e",
    b"{\"type\":5,\"invocationId\":\"1\"}\x1e",
    b"{\"type\":7}\x1e",
    b"{\"type\":99}\x1e",
    b"\x02\x91\x06",
    b"\x0d\x96\x01\x80\xa1\x31\xa3Add\x92\x01\x02\x90",
    b"{\"type\":",
    b"\x1e",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        4 => (7_usize..15, 1_usize..20).prop_map(|(piece, times)| PIECES[piece].repeat(times)),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0_usize..600).prop_map(|size| vec![b' '; size]),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    proptest::sample::select(&[
        Port::WebSocket,
        Port::Events,
        Port::Poll,
        Port::Poll,
        Port::Post,
        Port::Delete,
        Port::Refresh,
    ])
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (port(), 0_u64..4).prop_map(|(port, token)| Act::Arrive(port, token)),
        2 => Just(Act::Arrive(Port::Post, 0)),
        2 => Just(Act::Arrive(Port::Poll, 0)),
        12 => (piece(), any::<bool>()).prop_map(|(bytes, last)| Act::Bytes(bytes, last)),
        6 => any::<usize>().prop_map(Act::Sent),
        1 => (any::<usize>(), 0_u8..3).prop_map(|(op, how)| Act::End(op, how)),
        2 => any::<u16>().prop_map(Act::Pass),
        2 => Just(Act::Deadline),
        1 => Just(Act::Pause),
        2 => Just(Act::Resume),
        3 => Just(Act::Accept),
        4 => (0_u16..300).prop_map(Act::Send),
        1 => Just(Act::Ask),
        1 => Just(Act::Forget),
        6 => (any::<usize>(), 0_u8..4).prop_map(|(call, how)| Act::Finish(call, how)),
        2 => any::<usize>().prop_map(Act::Item),
        1 => any::<usize>().prop_map(Act::Refuse),
        1 => any::<usize>().prop_map(Act::Release),
        2 => (any::<usize>(), 0_usize..3).prop_map(|(call, upload)| Act::Credit(call, upload)),
        1 => (any::<usize>(), 0_usize..3).prop_map(|(call, upload)| Act::Hungry(call, upload)),
        2 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(op, yes)| Act::Judge(op, yes)),
        8 => Just(Act::Poll),
    ]
}

/// Acts, and a few that most sessions do not survive.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let fatal = prop_oneof![
        Just(Act::Reject),
        any::<bool>().prop_map(Act::Close),
        Just(Act::Blame),
        Just(Act::Abort),
    ];
    let few = proptest::collection::vec(fatal, 0..2);
    (
        proptest::collection::vec(act(), 0..150),
        few,
        any::<usize>(),
    )
        .prop_map(|(mut acts, few, at)| {
            for fatal in few {
                acts.insert(at % (acts.len() + 1), fatal);
            }
            acts
        })
}

/// What a request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Nothing was heard of it yet.
    Waiting(Port),
    /// An open WebSocket or event stream, and whether something is under way on it.
    Open {
        stream: bool,
        busy: bool,
    },
    /// A poll whose answer is under way.
    Delivering,
    /// Its client left it. What was decided before may still be polled.
    Left,
    Over,
}

/// The machine and what must be true of it.
struct Watch {
    machine: ServerConnection,
    now: Instant,
    deadline: Option<Instant>,
    requests: BTreeMap<OpId, Request>,
    next_op: u32,
    calls: Vec<CallId>,
    asked: u32,
    judging: Vec<OpId>,
    /// Whether bytes are only handed in when they are asked for.
    obedient: bool,
    over: bool,
    trace: String,
}

const LIMIT: usize = 1024;

impl Watch {
    fn new(obedient: bool) -> Self {
        let limits = Limits {
            max_message_size: 512,
            max_incoming_bytes: LIMIT,
            max_outgoing_bytes: 256,
            ..Limits::SERVER
        };
        let config = ServerConfig {
            limits,
            stateful_reconnect_buffer_size: 256,
            application_max_buffer_size: 300,
            max_posts: 3,
            maximum_parallel_invocations: 2,
            maximum_streams: 3,
            stream_buffer_capacity: 2,
            max_messages_per_second: Some(50),
            ..ServerConfig::default()
        };
        let options = ConnectionOptions {
            stateful_reconnect: true,
            refreshable: true,
            close_on_expiration: true,
            identity: token(0),
        };
        Self {
            machine: ServerConnection::new(config, options, Instant::ZERO),
            now: Instant::ZERO,
            deadline: None,
            requests: BTreeMap::new(),
            next_op: 0,
            calls: Vec::new(),
            asked: 0,
            judging: Vec::new(),
            obedient,
            over: false,
            trace: String::new(),
        }
    }

    fn run(&mut self, act: &Act) {
        let now = self.now;
        let call = |index: usize| self.calls.get(index % self.calls.len().max(1)).copied();
        match act {
            Act::Arrive(port, claims) => self.arrive(*port, *claims),
            Act::Bytes(bytes, last) => self.bytes(bytes, *last),
            Act::Sent(index) => self.sent(*index),
            Act::End(index, how) => self.end(*index, *how),
            Act::Pass(milliseconds) => {
                self.now = now.after(Duration::from_millis(u64::from(*milliseconds)));
                self.input(Input::Timeout);
            }
            Act::Deadline => self.pass_deadline(),
            Act::Pause => self.input(Input::ReadPaused),
            Act::Resume => self.input(Input::ReadResumed),
            Act::Accept => self.machine.accept(now),
            Act::Reject => self.machine.reject(now, Failure::hub_exception("no")),
            Act::Send(size) => {
                let text = "x".repeat(usize::from(*size));
                let _ = self.machine.send(now, "T", &(text,));
            }
            Act::Ask => {
                self.asked += 1;
                let id = format!("q{}", self.asked);
                let _ = self.machine.invoke(now, &id, "Q", &());
            }
            Act::Forget => {
                let id = format!("q{}", self.asked);
                self.machine.forget_result(now, &id);
            }
            Act::Finish(index, how) => {
                if let Some(call) = call(*index) {
                    self.finish(call, *how);
                }
            }
            Act::Item(index) => {
                if let Some(call) = call(*index) {
                    let _ = self.machine.item(now, call, &1);
                }
            }
            Act::Refuse(index) => {
                if let Some(call) = call(*index) {
                    self.machine.refuse(now, call, Refusal::NoSuchMethod);
                }
            }
            Act::Release(index) => {
                if let Some(call) = call(*index) {
                    self.machine.release(now, call);
                }
            }
            Act::Credit(index, upload) => {
                if let Some(call) = call(*index) {
                    self.machine.credit(now, call, *upload, 1);
                }
            }
            Act::Hungry(index, upload) => {
                if let Some(call) = call(*index) {
                    self.machine.hungry(now, call, *upload);
                }
            }
            Act::Judge(index, accepted) => {
                if !self.judging.is_empty() {
                    let op = self.judging.remove(index % self.judging.len());
                    self.machine.reauthenticate(now, op, *accepted);
                }
            }
            Act::Close(allow_reconnect) => self.machine.close(now, *allow_reconnect),
            Act::Blame => self.machine.close_for(now, DisconnectReason::ForeignAnswer),
            Act::Abort => self.machine.abort(now),
            Act::Poll => self.poll(),
        }
        self.check_sizes();
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
    }

    fn arrive(&mut self, port: Port, claims: u64) {
        self.next_op += 1;
        let op = OpId::new(self.next_op);
        self.requests.insert(op, Request::Waiting(port));
        let identity = token(claims);
        self.input(Input::Arrived(Arrival { op, port, identity }));
    }

    fn bytes(&mut self, bytes: &[u8], last: bool) {
        let bytes = Bytes::copy_from_slice(bytes);
        let wanted = self.machine.reading();
        let op = if self.obedient {
            wanted
        } else {
            let mut open = self.requests.iter().filter(|(_, request)| {
                matches!(
                    request,
                    Request::Waiting(Port::Post) | Request::Open { stream: false, .. }
                )
            });
            open.next_back().map(|(op, _)| *op)
        };
        let Some(op) = op else { return };
        let posted = self.requests[&op] == Request::Waiting(Port::Post);
        self.input(if posted {
            Input::Body { op, bytes, last }
        } else {
            Input::Received { op, bytes }
        });
    }

    /// The transport takes something: mostly what is under way, sometimes nothing that ever was.
    fn sent(&mut self, index: usize) {
        let busy = self.requests.iter_mut().find(|(_, request)| {
            matches!(
                request,
                Request::Open { busy: true, .. } | Request::Delivering
            )
        });
        let op = match busy {
            Some((op, request)) => {
                *request = match *request {
                    Request::Open { stream, .. } => open(stream, false),
                    Request::Waiting(_) | Request::Delivering | Request::Left | Request::Over => {
                        Request::Left
                    }
                };
                *op
            }
            None => OpId::new(u32::try_from(index % 30).unwrap()),
        };
        self.input(Input::Sent { op });
    }

    fn end(&mut self, index: usize, how: u8) {
        let alive = self.alive();
        let Some(op) = alive.get(index % alive.len().max(1)).copied() else {
            return;
        };
        self.requests.insert(op, Request::Left);
        let cause = match how {
            0 => EndCause::Clean,
            1 => EndCause::WebSocketClose {
                code: 1006,
                reason: Box::default(),
            },
            _ => EndCause::Failed {
                detail: "broken".into(),
            },
        };
        self.input(Input::Ended { op, cause });
    }

    fn alive(&self) -> Vec<OpId> {
        let requests = self.requests.iter();
        let alive =
            requests.filter(|(_, request)| !matches!(request, Request::Left | Request::Over));
        alive.map(|(op, _)| *op).collect()
    }

    fn pass_deadline(&mut self) {
        self.poll();
        let Some(deadline) = self.deadline else {
            return;
        };
        self.now = deadline;
        self.input(Input::Timeout);
        let before = self.trace.len();
        self.poll();
        let outputs = self.trace[before..].lines().count();
        assert!(
            outputs > 1 || self.deadline.is_none_or(|next| next > deadline),
            "the deadline stands still"
        );
    }

    fn finish(&mut self, call: CallId, how: u8) {
        let (now, failure) = (self.now, Failure::hub_exception("no"));
        let outcome = match how {
            0 => CallOutcome::Done,
            1 => CallOutcome::Value(&7),
            2 => CallOutcome::Failed(failure),
            _ => CallOutcome::StreamFailed(failure),
        };
        self.machine.finish(now, call, outcome).unwrap();
        self.calls.retain(|other| *other != call);
    }

    fn check_sizes(&self) {
        let machine = &self.machine;
        // A message or two over the limit, the answers to all running calls, and what was said again.
        let most = 256 + 300 + 256 + 8 * 200;
        assert!(
            machine.outbox.pending() <= most,
            "too much waits to be sent"
        );
        let incoming = machine.incoming.bytes() + machine.posts.early_bytes();
        let piece = 20 * 100;
        let allowed = if self.obedient { 300 } else { LIMIT };
        assert!(incoming <= allowed + piece, "too much waits to be read");
        assert!(
            machine.ahead.bytes() <= LIMIT + 1000,
            "too much was read ahead"
        );
        assert!(machine.outputs.len() < 500, "too much waits to be polled");
    }

    fn poll(&mut self) {
        for _ in 0..3000 {
            let output = self.machine.poll_output();
            writeln!(self.trace, "{output:?}").unwrap();
            match output {
                Output::Action(action) => self.act(action),
                Output::Event(event) => self.hear(event),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    let left = self.requests.values_mut();
                    left.filter(|request| **request == Request::Left)
                        .for_each(|request| *request = Request::Over);
                    assert!(
                        deadline.is_none_or(|deadline| deadline > self.now),
                        "a deadline that has passed"
                    );
                    assert!(!self.over || deadline.is_none(), "a deadline after the end");
                    self.check_answered();
                    return;
                }
            }
        }
        panic!("the machine does not come to rest");
    }

    /// Nobody waits when the connection is over. A delivery goes on by itself.
    fn check_answered(&self) {
        let alive = self.alive();
        let waits = |op: &OpId| self.requests[op] != Request::Delivering;
        assert!(!self.over || !alive.iter().any(waits), "{alive:?} are left");
    }

    fn act(&mut self, action: Action) {
        if self.requests[&op_of(&action)] == Request::Left {
            return;
        }
        let (op, after) = match &action {
            Action::Respond { op, .. } => {
                assert!(
                    matches!(self.requests[op], Request::Waiting(_)),
                    "{action:?}"
                );
                (*op, Request::Over)
            }
            Action::Deliver { op, response } => {
                assert_eq!(self.requests[op], Request::Waiting(Port::Poll));
                assert!(!response.body().is_empty());
                (*op, Request::Delivering)
            }
            Action::Stream { op, .. } => {
                assert_eq!(self.requests[op], Request::Waiting(Port::Events));
                (*op, open(true, false))
            }
            Action::Accept { op } => {
                assert_eq!(self.requests[op], Request::Waiting(Port::WebSocket));
                (*op, open(false, false))
            }
            Action::Chunk { op, bytes } => {
                assert_eq!(self.requests[op], open(true, false));
                assert!(!bytes.is_empty());
                (*op, open(true, true))
            }
            Action::Send { op, .. } => {
                assert_eq!(self.requests[op], open(false, false));
                (*op, open(false, true))
            }
            Action::Finish { op } => {
                assert_eq!(self.requests[op], open(true, false));
                (*op, Request::Over)
            }
            Action::Close { op, .. } => {
                assert_eq!(self.requests[op], open(false, false));
                (*op, Request::Over)
            }
            Action::Abort { op } => {
                let request = self.requests[op];
                assert!(matches!(
                    request,
                    Request::Open { .. } | Request::Delivering
                ));
                (*op, Request::Over)
            }
        };
        // Only those that come after the end are answered after it.
        assert!(!self.over || matches!(action, Action::Respond { .. }));
        self.requests.insert(op, after);
    }

    fn hear(&mut self, event: Event) {
        assert!(!self.over, "an event after the end");
        match event {
            Event::Invocation { call, .. } => {
                assert!(!self.calls.contains(&call));
                self.calls.push(call);
                // Plain calls with a permit and without, and streams.
                assert!(self.calls.len() <= 2 + 3 + 3);
            }
            Event::Reauthenticate { op, .. } => self.judging.push(op),
            Event::Closed { reason } => {
                self.over = true;
                let flooded = matches!(reason, DisconnectReason::IncomingLimit { .. });
                assert!(!(flooded && self.obedient), "{reason}");
            }
            Event::Handshaken { .. }
            | Event::Held { .. }
            | Event::Cancel { .. }
            | Event::StreamItem { .. }
            | Event::UploadEnded { .. }
            | Event::Completion { .. }
            | Event::UnknownCompletion { .. }
            | Event::Reauthenticated { .. }
            | Event::Writable
            | Event::Detached { .. }
            | Event::Ignored(_)
            | Event::Resumed => {}
        }
    }

    fn run_all(obedient: bool, acts: &[Act]) -> String {
        let mut watch = Self::new(obedient);
        acts.iter().for_each(|act| watch.run(act));
        watch.poll();
        // Whatever happened, an end comes when nobody does anything any more.
        watch.input(Input::ReadResumed);
        for _ in 0..2000 {
            watch.poll();
            if watch.over {
                break;
            }
            watch.machine.accept(watch.now);
            let calls = core::mem::take(&mut watch.calls);
            calls.into_iter().for_each(|call| watch.finish(call, 0));
            if let Some(op) = watch.alive().first().copied() {
                watch.requests.insert(op, Request::Left);
                let cause = EndCause::Clean;
                watch.input(Input::Ended { op, cause });
            }
            watch.pass_deadline();
        }
        assert!(watch.over && watch.machine.is_closed(), "no end");
        watch.trace
    }
}

const fn op_of(action: &Action) -> OpId {
    match action {
        Action::Respond { op, .. }
        | Action::Deliver { op, .. }
        | Action::Stream { op, .. }
        | Action::Chunk { op, .. }
        | Action::Finish { op }
        | Action::Accept { op }
        | Action::Send { op, .. }
        | Action::Close { op, .. }
        | Action::Abort { op } => *op,
    }
}

const fn open(stream: bool, busy: bool) -> Request {
    Request::Open { stream, busy }
}

fn token(claims: u64) -> Option<Identity> {
    (claims > 0).then(|| Identity {
        user_id: None,
        claims,
        expires_at: (claims > 1).then_some(Instant(Duration::from_secs(claims * 40))),
    })
}

proptest! {
    #[test]
    fn anything_in_any_order_keeps_every_rule_and_can_be_replayed(
        obedient: bool,
        first in proptest::sample::select(&[Port::WebSocket, Port::WebSocket, Port::Events, Port::Poll]),
        handshake in proptest::sample::select(&[0_usize, 0, 1, 2]),
        acts in acts(),
    ) {
        let begin = [
            Act::Arrive(Port::Post, 0),
            Act::Bytes(PIECES[handshake].to_vec(), true),
            Act::Arrive(first, 1),
            Act::Poll,
            Act::Accept,
            Act::Sent(0),
        ];
        let acts: Vec<Act> = begin.into_iter().chain(acts).collect();
        prop_assert_eq!(Watch::run_all(obedient, &acts), Watch::run_all(obedient, &acts));
    }
}
