//! What can go wrong, as values.

use core::time::Duration;

use bytes::Bytes;

/// Decides what goes wrong. A function of an [`Exchange`] is a plan, too.
pub trait Plan: Send + Sync + 'static {
    /// What to do with the connection of this number, counted from 0, before anything is read from it.
    fn accept(&self, connection: usize) -> Greeting {
        let _ = connection;
        Greeting::Serve
    }

    /// What to do with this request.
    fn exchange(&self, exchange: &Exchange) -> Fault;
}

impl<F: Fn(&Exchange) -> Fault + Send + Sync + 'static> Plan for F {
    fn exchange(&self, exchange: &Exchange) -> Fault {
        self(exchange)
    }
}

/// One fault, for one request; everything else gets through.
#[derive(Clone, Debug)]
pub struct Once {
    kind: RequestKind,
    nth: usize,
    fault: Fault,
}

impl Once {
    /// For the request of this kind that comes after `nth` others of the same kind.
    #[must_use]
    pub const fn new(kind: RequestKind, nth: usize, fault: Fault) -> Self {
        Self { kind, nth, fault }
    }
}

impl Plan for Once {
    fn exchange(&self, exchange: &Exchange) -> Fault {
        if exchange.kind == self.kind && exchange.nth == self.nth {
            self.fault.clone()
        } else {
            Fault::none()
        }
    }
}

/// What a connection meets when it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Greeting {
    /// Its requests are served.
    Serve,
    /// Nothing is ever read or written.
    Stall,
    /// An orderly close.
    Close,
    /// A reset.
    Reset,
    /// These bytes, which nobody asked for; then its requests are served.
    Say(Bytes),
}

/// A request as a plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The number of the connection, counted from 0.
    pub connection: usize,
    /// Requests that came before on this connection.
    pub on_connection: usize,
    /// What is asked for.
    pub kind: RequestKind,
    /// Requests of this kind that came before.
    pub nth: usize,
    /// The path, without the query.
    pub path: String,
}

/// What a SignalR client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// `POST …/negotiate`.
    Negotiate,
    /// A WebSocket.
    WebSocket,
    /// The GET of server-sent events.
    EventStream,
    /// A long poll.
    Poll,
    /// A POST with messages.
    Send,
    /// The DELETE that ends a long-polling connection.
    Delete,
    /// Anything else.
    Other,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Answer,
}

/// A place in the bytes of one direction of one exchange. What a WebSocket carries belongs to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum At {
    /// After so many bytes, the head's included.
    Byte(usize),
    /// After so many bytes of the body, as it is written on the wire.
    Body(usize),
    /// After the whole of it. WebSockets never get there.
    End,
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Orderly.
    Close,
    /// With a reset.
    Reset,
    /// Not at all: it stays open, and nothing more goes in this direction.
    Stall,
}

/// An end at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Cut {
    /// The direction whose bytes are counted.
    pub side: Side,
    /// The place.
    pub at: At,
    /// The end.
    pub end: End,
}

/// How fast an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Pace {
    /// Bytes written at a time.
    pub bytes: usize,
    /// The pause after each.
    pub pause: Duration,
    /// Whether the body is written at this pace, too.
    pub body: bool,
}

/// How the end of an answer's body is marked. All but the first do nothing to WebSockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// As the server has it.
    #[default]
    AsIs,
    /// In chunks of so many bytes.
    Chunked(usize),
    /// With a `Content-Length` that is off by so much. The whole answer is collected first.
    LengthOff(i64),
    /// With this `Content-Length`, whatever follows.
    LengthOf(u64),
    /// By the end of the connection.
    UntilClose,
}

/// What goes wrong with one exchange; any number of things at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a fault does nothing until a plan returns it"]
pub struct Fault {
    pub(super) delay: Duration,
    pub(super) interim: bool,
    pub(super) pace: Option<Pace>,
    pub(super) framing: Framing,
    pub(super) replaced: Option<Bytes>,
    pub(super) unheard: bool,
    pub(super) repeated: bool,
    pub(super) trailing: Bytes,
    pub(super) cut: Option<Cut>,
}

impl Fault {
    /// All goes well.
    pub fn none() -> Self {
        Self::default()
    }

    /// The connection ends at a place.
    pub fn cut(side: Side, at: At, end: End) -> Self {
        Self::none().and_cut(side, at, end)
    }

    /// Whether something follows the answer.
    pub(super) const fn has_more(&self) -> bool {
        self.repeated || !self.trailing.is_empty()
    }

    /// The connection ends at a place, after whatever else goes wrong.
    pub const fn and_cut(mut self, side: Side, at: At, end: End) -> Self {
        self.cut = Some(Cut { side, at, end });
        self
    }

    /// Whether the connection ends at a place.
    #[must_use]
    pub const fn cuts(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether the connection stalls at a place.
    #[must_use]
    pub fn stalls(&self) -> bool {
        self.cut.is_some_and(|cut| cut.end == End::Stall)
    }

    /// The request waits for so long before it is passed on.
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// `100 Continue` comes before the answer.
    pub const fn interim(mut self) -> Self {
        self.interim = true;
        self
    }

    /// The answer is written slowly.
    pub const fn pace(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// The answer's body is framed in another way.
    pub const fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// These bytes are the answer. The server never hears of the request.
    pub fn answer(mut self, answer: impl Into<Bytes>) -> Self {
        self.replaced = Some(answer.into());
        self.unheard = true;
        self
    }

    /// These bytes are the answer. The server gets the request all the same, and what it answers is lost.
    pub fn answer_instead(mut self, answer: impl Into<Bytes>) -> Self {
        self.replaced = Some(answer.into());
        self.unheard = false;
        self
    }

    /// The answer comes twice, in one piece and with its length. For answers that end.
    pub const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// These bytes follow the answer, in one piece with it. For answers that end.
    pub fn trailing(mut self, bytes: impl Into<Bytes>) -> Self {
        self.trailing = bytes.into();
        self
    }
}
