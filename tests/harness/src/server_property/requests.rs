//! The requests of one client as their driver sees them: what each has come to, and what may be done with it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use signalr_proto::server::{Action, Arrival, Input, Port};
use signalr_proto::{Instant, OpId};

use super::connection::LATE;

/// Longer than this no transport takes for what is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was heard of it yet.
    Waiting,
    /// An open WebSocket or event stream.
    Open,
    /// An open WebSocket or event stream on which something is under way.
    Busy,
    /// A poll whose answer is under way.
    Delivering,
    /// Its client left it, or has got all. What was decided before may still be polled.
    Left,
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) port: Port,
    pub(super) stage: Stage,
    /// When it came to that.
    pub(super) since: Instant,
    /// Its body, if it has one, is complete.
    complete: bool,
}

/// All requests that ever came.
#[derive(Debug, Default)]
pub(super) struct Requests {
    all: BTreeMap<OpId, Request>,
    last: u32,
    /// The client has ended its polling: a delivery goes on by itself.
    deleted: bool,
}

/// Something that the client gets.
#[derive(Debug, PartialEq)]
pub(super) enum Gets {
    /// A WebSocket or event stream begins.
    Beginning(OpId),
    /// Bytes on it.
    Bytes(OpId, Bytes),
    /// The answer to a poll, when it is taken.
    Delivery(Bytes),
}

/// Looking.
impl Requests {
    pub(super) fn get(&self, op: OpId) -> Option<Request> {
        self.all.get(&op).copied()
    }

    pub(super) fn find(&self, is_it: impl Fn(&Request) -> bool) -> Option<OpId> {
        let mut all = self.all.iter();
        all.find(|(_, request)| is_it(request)).map(|(op, _)| *op)
    }

    pub(super) fn latest(&self, is_it: impl Fn(&Request) -> bool) -> Option<OpId> {
        let mut all = self.all.iter().rev();
        all.find(|(_, request)| is_it(request)).map(|(op, _)| *op)
    }

    /// Those that are not over.
    pub(super) fn alive(&self) -> Vec<OpId> {
        let alive = self.all.iter().filter(|(_, request)| request.is_alive());
        alive.map(|(op, _)| *op).collect()
    }

    /// Some request that is over.
    pub(super) fn past(&self, which: usize) -> Option<OpId> {
        let over = |request: &&Request| request.stage == Stage::Over;
        let count = self.all.values().filter(over).count();
        let mut past = self.all.iter().filter(|(_, request)| over(request));
        past.nth(which.checked_rem(count)?).map(|(op, _)| *op)
    }

    /// Whether the client has something open over which it can be reached, apart from what does not count.
    pub(super) fn reaches_but(&self, counts: impl Fn(OpId) -> bool) -> bool {
        self.all.iter().any(|(op, request)| {
            let way = matches!(request.port, Port::WebSocket | Port::Events | Port::Poll);
            way && request.is_alive() && counts(*op)
        })
    }
}

impl Request {
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Left | Stage::Over)
    }

    /// Whether a driver may hand in bytes for it.
    pub(super) fn takes_bytes(&self) -> bool {
        match self.port {
            Port::WebSocket => matches!(self.stage, Stage::Open | Stage::Busy),
            Port::Post => self.stage == Stage::Waiting && !self.complete,
            Port::Events | Port::Poll | Port::Delete | Port::Refresh => false,
        }
    }
}

/// What the client and the driver do.
impl Requests {
    pub(super) fn begin(&mut self, now: Instant, port: Port) -> OpId {
        self.last += 1;
        let op = OpId::new(self.last);
        let request = Request {
            port,
            stage: Stage::Waiting,
            since: now,
            complete: false,
        };
        self.all.insert(op, request);
        op
    }

    pub(super) fn told(&mut self, now: Instant, input: &Input) {
        match input {
            Input::Body { op, last: true, .. } => {
                if let Some(request) = self.all.get_mut(op) {
                    request.complete = true;
                }
            }
            Input::Ended { op, .. } => self.put(now, *op, Stage::Left),
            Input::Sent { op } => {
                let next = match self.get(*op).map(|request| request.stage) {
                    Some(Stage::Busy) => Stage::Open,
                    Some(Stage::Delivering) => Stage::Left,
                    _ => return,
                };
                self.put(now, *op, next);
            }
            _ => {}
        }
    }

    /// It waits anew.
    pub(super) fn restart(&mut self, now: Instant, op: OpId) {
        if let Some(request) = self.all.get_mut(&op) {
            request.since = now;
        }
    }

    fn put(&mut self, now: Instant, op: OpId, stage: Stage) {
        if let Some(request) = self
            .all
            .get_mut(&op)
            .filter(|request| request.stage != Stage::Over)
        {
            (request.stage, request.since) = (stage, now);
        }
    }

    /// The machine waits: nothing more is said of requests that were left.
    pub(super) fn rest(&mut self) {
        for request in self.all.values_mut() {
            if request.stage == Stage::Left {
                request.stage = Stage::Over;
            }
        }
    }
}

/// What the machine does.
impl Requests {
    /// Checks that the action fits, and tells what the client gets.
    pub(super) fn carry_out(&mut self, now: Instant, action: &Action) -> Option<Gets> {
        let op = op_of(action);
        let Some(Request { port, stage, .. }) = self.get(op) else {
            panic!("{op} never came");
        };
        if stage == Stage::Left {
            return None;
        }
        let (fits, next, gets) = match action {
            Action::Respond { response, .. } => {
                let poll = port == Port::Poll;
                let uncached = response.headers().contains_key("cache-control");
                assert!(!poll || uncached, "an answer to a poll that may be kept");
                self.deleted |= response.status() == StatusCode::ACCEPTED;
                (stage == Stage::Waiting, Stage::Over, None)
            }
            Action::Deliver { response, .. } => {
                let body = response.body().clone();
                assert!(!body.is_empty(), "a delivery of nothing");
                let fits = (port, stage) == (Port::Poll, Stage::Waiting);
                (fits, Stage::Delivering, Some(Gets::Delivery(body)))
            }
            Action::Stream { .. } => {
                let fits = (port, stage) == (Port::Events, Stage::Waiting);
                (fits, Stage::Open, Some(Gets::Beginning(op)))
            }
            Action::Accept { .. } => {
                let fits = (port, stage) == (Port::WebSocket, Stage::Waiting);
                (fits, Stage::Open, Some(Gets::Beginning(op)))
            }
            Action::Chunk { bytes, .. } => {
                let fits = (port, stage) == (Port::Events, Stage::Open);
                (fits, Stage::Busy, Some(Gets::Bytes(op, bytes.clone())))
            }
            Action::Send { bytes, .. } => {
                let fits = (port, stage) == (Port::WebSocket, Stage::Open);
                (fits, Stage::Busy, Some(Gets::Bytes(op, bytes.clone())))
            }
            Action::Finish { .. } => {
                let fits = (port, stage) == (Port::Events, Stage::Open);
                (fits, Stage::Over, None)
            }
            Action::Close { .. } => {
                let fits = (port, stage) == (Port::WebSocket, Stage::Open);
                (fits, Stage::Over, None)
            }
            Action::Abort { .. } => {
                let open = matches!(stage, Stage::Open | Stage::Busy | Stage::Delivering);
                (open, Stage::Over, None)
            }
            other => panic!("what is {other:?}?"),
        };
        assert!(fits, "{action:?} for a {port:?} that is {stage:?}");
        self.put(now, op, next);
        gets
    }

    /// Nothing waits for longer than it may. `judged` are those that wait for the application.
    pub(super) fn check_patience(&self, now: Instant, poll_timeout: Duration, judged: &[OpId]) {
        for (op, request) in &self.all {
            let waits = now.since(request.since);
            let most = match (request.stage, request.port) {
                (Stage::Delivering, _) if self.deleted => continue,
                (Stage::Busy | Stage::Delivering, _) => SEND_TIMEOUT,
                (Stage::Waiting, Port::Post) => continue,
                (Stage::Waiting, _) if judged.contains(op) => continue,
                // It may have come while another was being answered.
                (Stage::Waiting, Port::Poll) => poll_timeout + SEND_TIMEOUT + LATE,
                (Stage::Waiting, _) => Duration::ZERO,
                (Stage::Open | Stage::Left | Stage::Over, _) => continue,
            };
            assert!(waits <= most, "{op} waits for {waits:?}: {request:?}");
        }
    }
}

fn op_of(action: &Action) -> OpId {
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
        other => panic!("what is {other:?}?"),
    }
}

/// As an endpoint routes it.
pub(super) fn arrival(
    op: OpId,
    port: Port,
    identity: Option<signalr_proto::server::Identity>,
) -> Input {
    Input::Arrived(Arrival { op, port, identity })
}
