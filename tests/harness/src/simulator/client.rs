//! The client's machine and its application.

use std::collections::{HashMap, HashSet, VecDeque};

use signalr_proto::client::{
    Action, CallError, ClientConfig, ClientConnection, ConnectionState, Event, Input, InvocationId,
    Output, ReconnectPolicy, ReplyTo,
};
use signalr_proto::codec::CompletionOutcome;
use signalr_proto::{Instant, Payload, SendError};

use super::Plan;
use super::random::Random;

/// What the client knows of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallKind {
    Call,
    Stream,
}

/// What the rest of the world has to do for the client.
#[derive(Debug)]
pub(super) enum Wish {
    Act(Box<Action>),
    /// A message with this number came from the server.
    Heard(u64),
    /// Connected, for the first time or again, to the connection of this id.
    Joined(Box<str>),
    /// The connection is lost for good.
    Lost,
    Closed,
}

/// The client's side.
#[derive(Debug)]
pub(super) struct ClientSide {
    pub(super) machine: ClientConnection,
    pub(super) deadline: Option<Instant>,
    /// Messages the application sent on the present connection.
    pub(super) said: u64,
    /// Calls whose answers are not wanted any more.
    pub(super) cancelled: HashSet<u64>,
    pending: HashMap<u64, CallKind>,
    questions: VecDeque<ReplyTo>,
    turned_away: bool,
}

impl ClientSide {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        Self {
            machine: ClientConnection::new(config(plan, random), random.any()),
            deadline: None,
            said: 0,
            cancelled: HashSet::new(),
            pending: HashMap::new(),
            questions: VecDeque::new(),
            turned_away: false,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.machine.state() == ConnectionState::Connected
    }

    pub(super) fn input(&mut self, now: Instant, input: Input) {
        self.machine.handle_input(now, input);
    }

    /// Polls the machine until it waits.
    pub(super) fn poll(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        loop {
            match self.machine.poll_output() {
                Output::Action(action) => wishes.push(Wish::Act(Box::new(action))),
                Output::Event(event) => wishes.extend(self.hear(event)),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return wishes;
                }
            }
        }
    }

    fn hear(&mut self, event: Event) -> Option<Wish> {
        match event {
            Event::Connected { connection_id, .. } | Event::Reconnected { connection_id, .. } => {
                self.begin();
                connection_id.map(|id| Wish::Joined(id.into()))
            }
            Event::Reconnecting { .. } => {
                self.nothing_pends();
                Some(Wish::Lost)
            }
            Event::Closed { .. } | Event::StartFailed { .. } => {
                self.nothing_pends();
                Some(Wish::Closed)
            }
            Event::Invocation {
                arguments,
                reply_to,
                ..
            } => {
                self.questions.extend(reply_to);
                let (number,) = arguments
                    .decode::<(u64,)>()
                    .expect("the arguments are one number");
                Some(Wish::Heard(number))
            }
            Event::StreamItem {
                invocation_id,
                item,
            } => {
                let kind = self.pending.get(&invocation_id.number());
                assert_eq!(kind, Some(&CallKind::Stream), "an item of no stream");
                Some(Wish::Heard(number(&item)))
            }
            Event::Completion {
                invocation_id,
                outcome,
            } => self.complete(invocation_id, outcome),
            Event::Writable => {
                self.turned_away = false;
                None
            }
            // What is on the way changes nothing.
            Event::ReconnectAttempt { .. }
            | Event::Fallback { .. }
            | Event::Resuming { .. }
            | Event::Resumed => None,
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn begin(&mut self) {
        self.nothing_pends();
        self.said = 0;
        self.cancelled.clear();
        self.questions.clear();
        self.turned_away = false;
    }

    pub(super) fn nothing_pends(&self) {
        assert!(self.pending.is_empty(), "calls were forgotten");
    }

    fn complete(
        &mut self,
        id: InvocationId,
        outcome: Result<Option<Payload>, CallError>,
    ) -> Option<Wish> {
        let Some(kind) = self.pending.remove(&id.number()) else {
            panic!("a call is completed twice");
        };
        match outcome {
            Ok(Some(result)) => {
                assert_eq!(kind, CallKind::Call, "a result of a stream");
                Some(Wish::Heard(number(&result)))
            }
            Ok(None) => {
                assert_eq!(kind, CallKind::Stream, "a call without a result");
                None
            }
            Err(error) => {
                assert!(matches!(error, CallError::ConnectionLost(_)), "{error}");
                None
            }
        }
    }

    /// The application does something at random.
    pub(super) fn act(&mut self, now: Instant, random: &mut Random) {
        if !self.is_connected() || self.turned_away {
            return;
        }
        let number = (self.said,);
        let told = match random.below(10) {
            0..=3 => self.machine.send(now, "send", &number).map(drop),
            4 | 5 => self.machine.invoke(now, "call", &number).map(|call| {
                self.pending.insert(call.id().number(), CallKind::Call);
            }),
            6 => self.machine.stream(now, "stream", &number).map(|call| {
                self.pending.insert(call.id().number(), CallKind::Stream);
            }),
            7 => return self.cancel(now, random),
            _ => return self.answer(now),
        };
        self.note(told);
    }

    fn note(&mut self, told: Result<(), SendError>) {
        match told {
            Ok(()) => self.said += 1,
            Err(SendError::Full { .. }) => self.turned_away = true,
            Err(error) => panic!("refused: {error}"),
        }
    }

    fn cancel(&mut self, now: Instant, random: &mut Random) {
        let mut ids: Vec<u64> = self.pending.keys().copied().collect();
        ids.sort_unstable();
        if let Some(id) = ids.get(random.index(ids.len())) {
            self.pending.remove(id);
            self.cancelled.insert(*id);
            self.machine.cancel(now, InvocationId::from_number(*id));
        }
    }

    /// Answers a question of the server.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.turned_away || !self.is_connected() {
            return;
        }
        let Some(question) = self.questions.pop_front() else {
            return;
        };
        let result = CompletionOutcome::Result(&self.said);
        let told = self.machine.complete(now, question, result);
        let told = told.map_err(|(error, question)| {
            self.questions.push_front(question);
            error
        });
        self.note(told);
    }

    /// Whether everything that was begun has come to its end.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.questions.is_empty() && !self.turned_away
    }
}

fn number(payload: &Payload) -> u64 {
    payload.decode().expect("the payload is a number")
}

fn config(plan: &Plan, random: &mut Random) -> ClientConfig {
    let mut config = ClientConfig::new("http://host/hub").expect("the address is valid");
    config.protocol = plan.protocol;
    config.transports = vec![plan.transport];
    config.keep_alive_interval = std::time::Duration::from_secs(random.of(&[4, 15]));
    config.reconnect = ReconnectPolicy::Backoff {
        first: random.up_to(2000),
        max: std::time::Duration::from_secs(8),
        max_attempts: None,
    };
    config.stateful_reconnect = plan.stateful.then(|| random.of(&[200, 2000, 100_000]));
    config.limits.max_outgoing_bytes = random.of(&[300, 1 << 20]);
    config
}
