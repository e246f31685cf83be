//! The world outside of a client machine: what it wished for and did not get yet, and what must hold for that.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use signalr_proto::client::{Action, Input};
use signalr_proto::{EndCause, Instant, OpId};

use crate::script::Wish;

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationKind {
    /// A question for an access token.
    Token,
    /// A question for the delay before the next attempt.
    Delay,
    /// A WebSocket that is being opened.
    Opening,
    /// A WebSocket.
    Socket,
    /// A WebSocket that got its close frame: its driver's business, and of interest to a machine that stops.
    Closing,
    /// A request whose answer is awaited.
    Asked(Wish),
    /// An event stream or a poll whose body comes in.
    Reading(Wish),
}

/// One thing that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) op: OpId,
    pub(super) kind: OperationKind,
    /// When it began, or when the last piece of it came.
    since: Instant,
}

/// Everything under way.
#[derive(Debug, Default)]
pub(super) struct World {
    pending: Vec<Pending>,
    /// Every name ever used.
    names: BTreeSet<OpId>,
    /// The socket on which a message is in flight.
    in_flight: Option<OpId>,
}

/// Longer than this no request waits for its answer, and no question for its.
const PATIENCE: Duration = Duration::from_secs(100);
const OPENING: Duration = Duration::from_secs(30);

/// Looking.
impl World {
    pub(super) fn all(&self) -> &[Pending] {
        &self.pending
    }

    pub(super) fn find(&self, is_it: impl Fn(OperationKind) -> bool) -> Option<Pending> {
        self.pending.iter().copied().find(|one| is_it(one.kind))
    }

    /// Some name that was ever used.
    pub(super) fn name(&self, how: u8) -> Option<OpId> {
        let index = usize::from(how) % self.names.len().max(1);
        self.names.iter().nth(index).copied()
    }

    pub(super) fn is_over(&self, op: OpId) -> bool {
        self.pending.iter().all(|one| one.op != op)
    }

    pub(super) fn in_flight(&self) -> Option<OpId> {
        self.in_flight
    }

    fn count(&self, kind: impl Fn(OperationKind) -> bool) -> usize {
        self.pending.iter().filter(|one| kind(one.kind)).count()
    }

    fn is(&self, op: OpId, kind: OperationKind) -> bool {
        let is_it = |one: &Pending| one.op == op && one.kind == kind;
        self.pending.iter().any(is_it)
    }
}

/// What the machine wants.
impl World {
    pub(super) fn note(&mut self, now: Instant, action: &Action) {
        match action {
            Action::Request { op, request, .. } => {
                let wish = Wish::of(request);
                self.begin(now, *op, OperationKind::Asked(wish));
                self.check_number_of(wish);
            }
            Action::OpenWebSocket { op, .. } => {
                self.begin(now, *op, OperationKind::Opening);
                let sockets = self
                    .count(|kind| matches!(kind, OperationKind::Opening | OperationKind::Socket));
                assert_eq!(sockets, 1, "two sockets");
            }
            Action::GetAccessToken { op } => {
                self.begin(now, *op, OperationKind::Token);
                // One for the connection, one for its refresh.
                let questions = self.count(|kind| kind == OperationKind::Token);
                assert!(questions <= 2, "{questions} questions for a token");
            }
            Action::NextRetryDelay { op, .. } => {
                self.begin(now, *op, OperationKind::Delay);
                assert_eq!(self.count(|kind| kind == OperationKind::Delay), 1);
            }
            Action::Abort { op } => {
                assert!(!self.is_over(*op), "{op} is over and was given up");
                self.end(*op);
            }
            Action::Send { op, .. } => self.note_send(*op),
            Action::Close { op, .. } => self.note_close(*op),
            other => panic!("what is {other:?}?"),
        }
    }

    fn begin(&mut self, now: Instant, op: OpId, kind: OperationKind) {
        assert!(self.names.insert(op), "{op} was used twice");
        self.pending.push(Pending {
            op,
            kind,
            since: now,
        });
    }

    fn end(&mut self, op: OpId) {
        self.pending.retain(|one| one.op != op);
        self.in_flight = self.in_flight.filter(|flying| *flying != op);
    }

    fn check_number_of(&self, wish: Wish) {
        let same = |kind| matches!(kind, OperationKind::Asked(other) | OperationKind::Reading(other) if other == wish);
        // The last request of a connection may outlive it.
        let fine = wish == Wish::Delete || self.count(same) == 1;
        assert!(fine, "two of {wish:?} under way");
    }

    fn note_send(&mut self, op: OpId) {
        assert!(
            self.is(op, OperationKind::Socket),
            "nothing can be sent on {op}"
        );
        assert_eq!(self.in_flight, None, "a send behind one in flight");
        self.in_flight = Some(op);
    }

    /// A close frame may follow a message in flight, which nobody hears of any more.
    fn note_close(&mut self, op: OpId) {
        assert!(self.is(op, OperationKind::Socket), "{op} cannot be closed");
        self.in_flight = None;
        for one in self.pending.iter_mut().filter(|one| one.op == op) {
            one.kind = OperationKind::Closing;
        }
    }
}

/// What the machine is told.
impl World {
    pub(super) fn told(&mut self, now: Instant, input: &Input) {
        match input {
            Input::Response { op, response } => self.answered(now, *op, response.status().as_u16()),
            Input::Chunk { op, .. } => self.touch(now, |one| {
                one.op == *op && matches!(one.kind, OperationKind::Reading(_))
            }),
            Input::Opened { op } => self.opened(*op),
            Input::Sent { op } => self.in_flight = self.in_flight.filter(|flying| flying != op),
            Input::Ended { op, .. } => self.end(*op),
            Input::AccessToken { op, .. } => self.answer(*op, OperationKind::Token),
            Input::RetryDelay { op, .. } => self.answer(*op, OperationKind::Delay),
            // A poll that nobody read has its time again.
            Input::ReadResumed => self.touch(now, |one| is_poll(one.kind)),
            _ => {}
        }
    }

    fn answer(&mut self, op: OpId, kind: OperationKind) {
        if self.is(op, kind) {
            self.end(op);
        }
    }

    fn touch(&mut self, now: Instant, is_it: impl Fn(&Pending) -> bool) {
        for one in self.pending.iter_mut().filter(|one| is_it(one)) {
            one.since = now;
        }
    }

    fn opened(&mut self, op: OpId) {
        for one in &mut self.pending {
            if one.op == op && one.kind == OperationKind::Opening {
                one.kind = OperationKind::Socket;
            }
        }
    }

    fn answered(&mut self, now: Instant, op: OpId, status: u16) {
        let Some(one) = self.pending.iter_mut().find(|one| one.op == op) else {
            return;
        };
        match one.kind {
            // No body follows.
            OperationKind::Asked(Wish::Poll) if status == 204 => self.end(op),
            OperationKind::Asked(wish @ (Wish::Poll | Wish::Events)) => {
                one.kind = OperationKind::Reading(wish);
                one.since = now;
            }
            OperationKind::Asked(_) => self.end(op),
            OperationKind::Token
            | OperationKind::Delay
            | OperationKind::Opening
            | OperationKind::Socket
            | OperationKind::Closing
            | OperationKind::Reading(_) => {}
        }
    }
}

/// Rules.
impl World {
    /// After the deadlines were met nothing waits for longer than it may.
    pub(super) fn check_patience(&self, now: Instant, reading_is_paused: bool) {
        for one in &self.pending {
            let limit = match one.kind {
                OperationKind::Opening | OperationKind::Asked(Wish::Negotiate | Wish::Events) => {
                    OPENING
                }
                OperationKind::Token | OperationKind::Asked(Wish::Post | Wish::Refresh) => PATIENCE,
                OperationKind::Asked(Wish::Poll) | OperationKind::Reading(Wish::Poll)
                    if !reading_is_paused =>
                {
                    PATIENCE
                }
                // The application may think; a stream and a socket have the server timeout; the last request has no end.
                _ => continue,
            };
            let waits = now.since(one.since);
            assert!(waits <= limit, "{one:?} waits for {waits:?}");
        }
    }

    /// Nothing is left behind but the last requests of connections, and sockets that got their close frame.
    pub(super) fn check_nothing_left(&self) {
        let last = |one: &Pending| {
            matches!(
                one.kind,
                OperationKind::Asked(Wish::Delete) | OperationKind::Closing
            )
        };
        assert!(self.pending.iter().all(last), "left: {:?}", self.pending);
    }
}

fn is_poll(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::Asked(Wish::Poll) | OperationKind::Reading(Wish::Poll)
    )
}

/// Any news of `op`, mostly of a kind that does not fit it.
pub(super) fn any_news(op: OpId, how: u8, bytes: Bytes) -> Input {
    let cause = match how >> 4 {
        0..=3 => EndCause::Clean,
        4..=7 => EndCause::WebSocketClose {
            code: 1000 + u16::from(how >> 4),
            reason: "why".into(),
        },
        8..=11 => EndCause::Refused { status: 404 },
        _ => EndCause::Failed {
            detail: "broken".into(),
        },
    };
    let response = response(status(how >> 4), bytes.clone());
    let token = Err("no".into());
    match how % 8 {
        0 => Input::Response { op, response },
        1 => Input::Chunk { op, bytes },
        2 => Input::Opened { op },
        3 => Input::Received { op, bytes },
        4 => Input::Sent { op },
        5 => Input::AccessToken { op, token },
        6 => Input::RetryDelay { op, delay: None },
        _ => Input::Ended { op, cause },
    }
}

/// Success in half of the cases.
fn status(how: u8) -> u16 {
    match how % 8 {
        0..=3 => 200,
        4 => 204,
        5 => 401,
        6 => 404,
        _ => 500,
    }
}

/// An answer that passes for an event stream too.
pub(super) fn response(status: u16, body: Bytes) -> http::Response<Bytes> {
    http::Response::builder()
        .status(status)
        .header("content-type", "text/event-stream")
        .body(body)
        .expect("the status is valid")
}
