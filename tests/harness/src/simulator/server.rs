//! The server: its endpoint, its machines, and their application.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use signalr_proto::server::{
    Action, CallId, CallOutcome, ConnectionKey, Endpoint, EndpointConfig, Event, FreshIds, Input,
    Output, RequestHead, Resource, ServerConfig, ServerConnection, Verdict,
};
use signalr_proto::{Instant, OpId, SendError};

use super::Plan;
use super::random::Random;

/// A call of the client that has not come to its end.
#[derive(Debug)]
struct Open {
    call: CallId,
    /// The client's name for it.
    id: u64,
    /// Items still to come, for a stream.
    items: Option<u64>,
}

/// The server's side of one logical connection.
#[derive(Debug)]
pub(super) struct Connection {
    key: Option<ConnectionKey>,
    /// None before a transport opened it.
    pub(super) machine: Option<ServerConnection>,
    pub(super) deadline: Option<Instant>,
    /// The WebSocket or event stream that is attached.
    pub(super) link: Option<usize>,
    /// Every numbered message the application sent, with the call it answers.
    pub(super) said: Vec<Option<u64>>,
    /// The numbers that the client may not have heard yet begin here.
    pub(super) heard_by_client: u64,
    /// Numbered messages that came from the client.
    pub(super) heard: u64,
    open: VecDeque<Open>,
    asked: u64,
    questions: HashSet<String>,
    /// Calls that the client has cancelled, and that have to end all the same.
    cancelled: Vec<CallId>,
    turned_away: bool,
    greeted: bool,
    pub(super) over: bool,
}

/// What the rest of the world has to do for a connection.
#[derive(Debug)]
pub(super) enum Wish {
    Act(Action),
    Greet,
    Resumed,
    Over,
}

impl Connection {
    fn new() -> Self {
        Self {
            key: None,
            machine: None,
            deadline: None,
            link: None,
            said: Vec::new(),
            heard_by_client: 0,
            heard: 0,
            open: VecDeque::new(),
            asked: 0,
            questions: HashSet::new(),
            cancelled: Vec::new(),
            turned_away: false,
            greeted: false,
            over: false,
        }
    }

    pub(super) fn input(&mut self, now: Instant, input: Input) {
        if let Some(machine) = &mut self.machine {
            machine.handle_input(now, input);
        }
    }

    /// Polls the machine until it waits.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Some(machine) = &mut self.machine {
            match machine.poll_output() {
                Output::Action(action) => wishes.push(Wish::Act(action)),
                Output::Event(event) => {
                    wishes.extend(self.hear(event));
                    self.end_cancelled(now);
                }
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
        wishes
    }

    fn hear(&mut self, event: Event) -> Option<Wish> {
        assert!(!self.over, "something after the end: {event:?}");
        match event {
            Event::Handshaken { .. } => return Some(Wish::Greet),
            Event::Invocation {
                call,
                streaming,
                invocation,
            } => {
                let (number,) = invocation
                    .arguments
                    .decode::<(u64,)>()
                    .expect("the arguments are one number");
                self.count(number);
                match invocation.invocation_id {
                    Some(id) => self.open.push_back(Open {
                        call,
                        id: id.parse().expect("ids of calls are numbers"),
                        items: streaming.then_some(number % 4),
                    }),
                    // Nobody waits for its answer, so it is done.
                    None => self.cancelled.push(call),
                }
            }
            Event::Completion {
                invocation_id,
                outcome,
            } => {
                let asked = self.questions.remove(&*invocation_id);
                assert!(asked, "an answer to no question");
                let signalr_proto::codec::Outcome::Result(result) = outcome else {
                    panic!("an answer without a result");
                };
                self.count(result.decode().expect("the result is a number"));
            }
            Event::Cancel { call } => {
                self.open.retain(|open| open.call != call);
                self.cancelled.push(call);
            }
            Event::Held { .. } => {}
            Event::Writable => self.turned_away = false,
            Event::Detached { .. } => self.link = None,
            Event::Resumed => return Some(Wish::Resumed),
            Event::Closed { .. } => {
                self.over = true;
                return Some(Wish::Over);
            }
            other => panic!("unexpected: {other:?}"),
        }
        None
    }

    fn end_cancelled(&mut self, now: Instant) {
        if let Some(machine) = &mut self.machine {
            for call in self.cancelled.drain(..) {
                let ended = machine.finish(now, call, CallOutcome::done());
                ended.expect("an end without a value can be encoded");
            }
        }
    }

    fn count(&mut self, number: u64) {
        assert_eq!(
            number, self.heard,
            "a message of the client is missing or comes twice"
        );
        self.heard += 1;
    }

    pub(super) fn greet(&mut self, now: Instant) {
        self.greeted = true;
        if let Some(machine) = &mut self.machine {
            machine.accept(now);
        }
    }

    /// The application does something at random.
    pub(super) fn act(&mut self, now: Instant, random: &mut Random) {
        let number = self.said.len() as u64;
        if self.turned_away {
            return;
        }
        let Some(machine) = self.machine.as_mut().filter(|machine| machine.is_open()) else {
            return;
        };
        let told = match random.below(8) {
            0..=2 => machine.send(now, "hear", &(number,)),
            // Before it is welcomed a client cannot be asked.
            3 if self.greeted => {
                let id = format!("q{}", self.asked);
                let told = machine.invoke(now, &id, "ask", &(number,));
                if told.is_ok() {
                    self.asked += 1;
                    self.questions.insert(id);
                }
                told
            }
            _ => return self.answer(now),
        };
        self.note(told, None);
    }

    /// Goes on with the answer to a call.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.turned_away {
            return;
        }
        let Some(machine) = self.machine.as_mut().filter(|machine| machine.is_open()) else {
            return;
        };
        let Some(mut open) = self.open.pop_front() else {
            return;
        };
        let number = self.said.len() as u64;
        let (told, more, numbered) = match &mut open.items {
            None => {
                let told = machine.finish(now, open.call, CallOutcome::Value(&number));
                (told.map_err(SendError::from), false, true)
            }
            Some(0) => {
                let told = machine.finish(now, open.call, CallOutcome::done());
                (told.map_err(SendError::from), false, false)
            }
            Some(left) => {
                let told = machine.item(now, open.call, &number);
                *left -= u64::from(told.is_ok());
                (told, true, true)
            }
        };
        let id = open.id;
        if more || told.is_err() {
            self.open.push_front(open);
        }
        if numbered || told.is_err() {
            self.note(told, Some(id));
        }
    }

    fn note(&mut self, told: Result<(), SendError>, call: Option<u64>) {
        match told {
            Ok(()) => self.said.push(call),
            Err(SendError::Full { .. }) => self.turned_away = true,
            // The transport has ended, and the machine has yet to say so.
            Err(SendError::NotConnected) => {}
            Err(error) => panic!("refused: {error}"),
        }
    }

    /// Whether everything that was begun has come to its end.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty() && self.questions.is_empty() && !self.turned_away && self.greeted
    }
}

/// The server.
#[derive(Debug)]
pub(super) struct ServerSide {
    pub(super) endpoint: Endpoint,
    /// As many as ids were drawn, each with the number in its ids.
    pub(super) connections: Vec<Connection>,
    keys: HashMap<ConnectionKey, usize>,
}

/// What becomes of a request.
pub(super) enum RequestOutcome {
    /// It belongs to this connection, under this name.
    Arrived(usize, OpId),
    Answer(Response<Bytes>),
}

impl ServerSide {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        let mut endpoint = EndpointConfig::default();
        endpoint.stateful_reconnect = plan.stateful;
        let mut config = ServerConfig::default();
        config.keep_alive_interval = Duration::from_secs(random.of(&[5, 15]));
        config.poll_timeout = Duration::from_secs(random.of(&[2, 20, 90]));
        config.limits.max_outgoing_bytes = random.of(&[300, 64 << 10]);
        config.application_max_buffer_size = random.of(&[100, 64 << 10]);
        config.stateful_reconnect_buffer_size = random.of(&[200, 2000, 100_000]);
        config.maximum_parallel_invocations = random.of(&[1, 3, 1000]);
        Self {
            endpoint: Endpoint::new(endpoint, config),
            connections: Vec::new(),
            keys: HashMap::new(),
        }
    }

    pub(super) fn route(
        &mut self,
        now: Instant,
        request: &Request<Bytes>,
        upgrade: bool,
    ) -> RequestOutcome {
        let head = RequestHead {
            method: request.method(),
            resource: Resource::of(request.uri().path()),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            upgrade,
            identity: None,
        };
        let connections = &mut self.connections;
        let ids = || {
            let name = connections.len().to_string();
            connections.push(Connection::new());
            FreshIds {
                connection_id: format!("id-{name}").into(),
                connection_token: name.into(),
            }
        };
        let (index, arrival) = match self.endpoint.handle(now, ids, &head) {
            Verdict::Respond(response) => return RequestOutcome::Answer(response),
            Verdict::Open {
                key,
                ids,
                connection,
                arrival,
            } => {
                let index = Self::index(&ids.connection_id);
                self.keys.insert(key, index);
                if let Some(opened) = self.connections.get_mut(index) {
                    opened.key = Some(key);
                    opened.machine = Some(*connection);
                }
                (index, arrival)
            }
            Verdict::Join { key, arrival } => {
                let index = self.keys.get(&key).copied();
                (index.expect("what is joined was opened"), arrival)
            }
        };
        let connection = self.connections.get_mut(index);
        let connection = connection.filter(|connection| !connection.over);
        let connection = connection.expect("what is over is unknown");
        let op = arrival.op;
        connection.input(now, Input::Arrived(arrival));
        RequestOutcome::Arrived(index, op)
    }

    /// The connection of this public id.
    pub(super) fn index(connection_id: &str) -> usize {
        let number = connection_id.strip_prefix("id-");
        number
            .and_then(|number| number.parse().ok())
            .expect("the id is one of ours")
    }

    pub(super) fn closed(&mut self, index: usize) {
        let key = self.connections.get(index).and_then(|closed| closed.key);
        self.endpoint
            .closed(key.expect("what is closed was opened"));
    }
}
