//! Requests and WebSockets between the two sides, whose parts come late, in pieces, or never.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use signalr_proto::{Instant, OpId};

use super::random::Random;
use super::{Happening, Schedule};

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToClient,
    ToServer,
}

/// What arrives at one end.
#[derive(Debug)]
pub(super) enum Arrival {
    /// At the server: a request, or the wish for a WebSocket.
    Request(Box<Request<Bytes>>),
    /// A piece of what is said on a WebSocket, or of a body.
    Bytes(Bytes),
    /// The last piece of a request's body.
    Last(Bytes),
    /// At the client: the WebSocket is open.
    Opened,
    /// At the client: a whole answer.
    Answer(Box<Response<Bytes>>),
    /// At the client: an answer whose body follows.
    Head(Box<Response<Bytes>>),
    /// At the client: the body is complete.
    End,
    /// A close frame.
    Closed(u16),
    /// The end learns that the connection broke.
    Lost,
}

/// What the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Negotiate,
    Socket,
    Events,
    Poll,
    Post,
    Delete,
}

impl RequestKind {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let events = request
            .headers()
            .get(header::ACCEPT)
            .is_some_and(|accept| accept == "text/event-stream");
        match *request.method() {
            _ if request.uri().path().ends_with("/negotiate") => Self::Negotiate,
            Method::GET if events => Self::Events,
            Method::GET => Self::Poll,
            Method::POST => Self::Post,
            Method::DELETE => Self::Delete,
            _ => panic!("who sends {}?", request.method()),
        }
    }
}

#[derive(Debug, Default)]
struct Pipe {
    /// When the last piece arrives: nothing overtakes it.
    last: Instant,
    /// What is on its way or sent from now on is lost.
    dead: bool,
    /// The receiving end is not interested any more.
    left: bool,
}

/// One request, or one WebSocket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) kind: RequestKind,
    /// The client's name for it.
    pub(super) op: OpId,
    /// Whether the client wants the answer in one piece.
    pub(super) whole: bool,
    /// The server's connection and its name for the link, once it has come there.
    pub(super) server: Option<(usize, OpId)>,
    /// What the server has not read yet.
    pub(super) inbox: VecDeque<Arrival>,
    /// The server's transport is about to have taken what was sent.
    pub(super) taking: bool,
    to_client: Pipe,
    to_server: Pipe,
}

impl Link {
    pub(super) fn new(kind: RequestKind, op: OpId, whole: bool) -> Self {
        Self {
            kind,
            op,
            whole,
            server: None,
            inbox: VecDeque::new(),
            taking: false,
            to_client: Pipe::default(),
            to_server: Pipe::default(),
        }
    }

    const fn pipe(&mut self, way: Direction) -> &mut Pipe {
        match way {
            Direction::ToClient => &mut self.to_client,
            Direction::ToServer => &mut self.to_server,
        }
    }

    /// What is on its way is lost, and what follows too.
    pub(super) const fn kill(&mut self, way: Direction) {
        self.pipe(way).dead = true;
    }

    /// The end that receives from this way has turned its back on the link.
    pub(super) fn leave(&mut self, way: Direction) {
        self.pipe(way).left = true;
        if way == Direction::ToServer {
            self.inbox.clear();
        }
    }

    /// Whether the client still expects something.
    pub(super) const fn is_live(&self) -> bool {
        !self.to_client.left && !self.to_client.dead
    }

    /// Whether an arrival reaches its end.
    pub(super) const fn arrives(&mut self, way: Direction, arrival: &Arrival) -> bool {
        let pipe = self.pipe(way);
        !pipe.left && (!pipe.dead || matches!(arrival, Arrival::Lost))
    }
}

/// How slow the network is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    /// The most milliseconds a piece takes.
    pub(super) latency: u64,
}

/// The network's view of one link.
pub(super) struct LinkView<'a> {
    pub(super) index: usize,
    pub(super) link: &'a mut Link,
    pub(super) delays: Delays,
    pub(super) schedule: &'a mut Schedule,
    pub(super) random: &'a mut Random,
}

impl LinkView<'_> {
    /// Puts something on its way.
    pub(super) fn put(&mut self, way: Direction, arrivals: impl IntoIterator<Item = Arrival>) {
        let now = self.schedule.now;
        let pipe = self.link.pipe(way);
        for arrival in arrivals {
            pipe.last = pipe
                .last
                .max(now.after(self.random.up_to(self.delays.latency)));
            if !pipe.dead {
                let arrives = Happening::Arrival(self.index, way, arrival);
                self.schedule.at(pipe.last, arrives);
            }
        }
    }

    /// Puts something on its way, and tells the sender when the transport has taken it.
    pub(super) fn transmit(&mut self, way: Direction, arrivals: impl IntoIterator<Item = Arrival>) {
        self.put(way, arrivals);
        let now = self.schedule.now;
        let Pipe { last, dead, .. } = *self.link.pipe(way);
        // A system's buffer may take what is never delivered, or be full for ever.
        let taken_at = if dead {
            let delay = self.random.up_to(self.delays.latency);
            self.random.percent(50).then(|| now.after(delay))
        } else if self.random.percent(50) {
            Some(now.after(self.random.up_to(2)))
        } else {
            Some(last)
        };
        if let Some(at) = taken_at {
            self.link.taking |= way == Direction::ToClient;
            self.schedule.at(at, Happening::Taken(self.index, way));
        }
    }
}

/// Bytes in up to three pieces.
pub(super) fn pieces(mut bytes: Bytes, random: &mut Random) -> Vec<Arrival> {
    let cuts = random.below(3);
    let mut pieces: Vec<Arrival> = (0..cuts)
        .map(|_| {
            let at = random.index(bytes.len() + 1);
            Arrival::Bytes(bytes.split_to(at))
        })
        .collect();
    pieces.push(Arrival::Bytes(bytes));
    pieces
}
