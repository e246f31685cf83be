//! What goes wrong, where, and what the client must make of it.

use core::fmt;
use core::time::Duration;

use signalr::{Protocol, TransportKind};
use signalr_harness::fault_proxy::{
    At, End, Exchange, Fault, Framing, Greeting, Pace, Plan, RequestKind, Side,
};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNASKED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked";

/// What the client must make of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It does not notice.
    None,
    /// It may notice, and then says so and recovers.
    Some,
    /// Messages are lost that nobody can miss: what is called then ends with the caller's patience, and all else goes on.
    Lost,
    /// It cannot connect: the fault does not pass.
    Lasting,
}

/// A plan of the proxy.
#[derive(Clone, Debug)]
pub(crate) enum Planned {
    /// One request, by its kind and how many of the same kind came before.
    Once(RequestKind, usize, Fault),
    /// All requests of a kind.
    Always(RequestKind, Fault),
    /// All requests of some kinds.
    Blocks(&'static [RequestKind], Fault),
    /// The connection of this number.
    Greets(usize, Greeting),
}

impl Planned {
    /// Whether it concerns the end of a connection.
    pub(crate) const fn is_late(&self) -> bool {
        matches!(self, Self::Once(RequestKind::Delete, ..))
    }

    /// Whether a connection is cut at a place.
    pub(crate) fn cuts(&self) -> bool {
        match self {
            Self::Once(_, _, fault) | Self::Always(_, fault) | Self::Blocks(_, fault) => {
                fault.cuts()
            }
            Self::Greets(..) => false,
        }
    }
}

impl Case {
    /// Whether something has to time out.
    pub(crate) fn stalls(&self) -> bool {
        self.harm == Harm::Lost
            || match &self.plan {
                Planned::Once(_, _, fault)
                | Planned::Always(_, fault)
                | Planned::Blocks(_, fault) => fault.stalls(),
                Planned::Greets(_, greeting) => *greeting == Greeting::Stall,
            }
    }
}

impl Plan for Planned {
    fn accept(&self, connection: usize) -> Greeting {
        match self {
            Self::Greets(number, greeting) if *number == connection => greeting.clone(),
            Self::Greets(..) | Self::Once(..) | Self::Always(..) | Self::Blocks(..) => {
                Greeting::Serve
            }
        }
    }

    fn exchange(&self, exchange: &Exchange) -> Fault {
        match self {
            Self::Once(kind, nth, fault) if *kind == exchange.kind && *nth == exchange.nth => {
                fault.clone()
            }
            Self::Always(kind, fault) if *kind == exchange.kind => fault.clone(),
            Self::Blocks(kinds, fault) if kinds.contains(&exchange.kind) => fault.clone(),
            Self::Once(..) | Self::Always(..) | Self::Blocks(..) | Self::Greets(..) => {
                Fault::none()
            }
        }
    }
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    WebSockets,
    ServerSentEvents,
    LongPolling,
    /// Whatever works.
    Any,
    /// WebSockets that another one may take the place of.
    Stateful,
}

impl Way {
    pub(crate) const ALL: &[Self] = &[
        Self::WebSockets,
        Self::ServerSentEvents,
        Self::LongPolling,
        Self::Any,
        Self::Stateful,
    ];
    pub(crate) const OF_OUR_SERVER: &[Self] = &[Self::WebSockets, Self::Stateful];

    /// The transports that the client may use.
    pub(crate) const fn transports(self) -> &'static [TransportKind] {
        match self {
            Self::WebSockets | Self::Stateful => &[TransportKind::WebSockets],
            Self::ServerSentEvents => &[TransportKind::ServerSentEvents],
            Self::LongPolling => &[TransportKind::LongPolling],
            Self::Any => &[],
        }
    }

    /// Whether MessagePack can travel.
    const fn is_binary(self) -> bool {
        match self {
            Self::WebSockets | Self::LongPolling | Self::Stateful => true,
            // MessagePack does not fall back on server-sent events.
            Self::ServerSentEvents | Self::Any => false,
        }
    }

    /// The requests of a connection that can go wrong: what, and after how many of the same kind. The first send is the
    /// handshake, the second a ping; the first poll is answered at once and with nothing.
    const fn targets(self) -> &'static [(RequestKind, usize)] {
        match self {
            Self::WebSockets => &[(RequestKind::Negotiate, 0), (RequestKind::WebSocket, 0)],
            Self::ServerSentEvents => &[
                (RequestKind::Negotiate, 0),
                (RequestKind::EventStream, 0),
                (RequestKind::Send, 0),
                (RequestKind::Send, 2),
            ],
            Self::LongPolling => &[
                (RequestKind::Negotiate, 0),
                (RequestKind::Poll, 0),
                (RequestKind::Poll, 1),
                (RequestKind::Poll, 2),
                (RequestKind::Send, 0),
                (RequestKind::Send, 2),
                (RequestKind::Delete, 0),
            ],
            Self::Any | Self::Stateful => &[],
        }
    }

    /// What has how many bytes in which direction, at least: all of them are cut at.
    const fn bytes(self) -> &'static [(RequestKind, usize, Side, usize)] {
        match self {
            Self::WebSockets => &[
                (RequestKind::Negotiate, 0, Side::Request, 230),
                (RequestKind::Negotiate, 0, Side::Answer, 290),
                (RequestKind::WebSocket, 0, Side::Request, 540),
                (RequestKind::WebSocket, 0, Side::Answer, 440),
            ],
            Self::ServerSentEvents => &[
                (RequestKind::EventStream, 0, Side::Request, 230),
                (RequestKind::EventStream, 0, Side::Answer, 700),
                (RequestKind::Send, 2, Side::Request, 550),
                (RequestKind::Send, 2, Side::Answer, 90),
            ],
            Self::LongPolling => &[
                (RequestKind::Poll, 2, Side::Request, 210),
                (RequestKind::Poll, 1, Side::Answer, 120),
                (RequestKind::Poll, 2, Side::Answer, 200),
                (RequestKind::Send, 2, Side::Request, 340),
                (RequestKind::Send, 2, Side::Answer, 90),
                (RequestKind::Delete, 0, Side::Answer, 90),
            ],
            Self::Any | Self::Stateful => &[],
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) protocol: Protocol,
    pub(crate) plan: Planned,
    pub(crate) harm: Harm,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.way, self.protocol.name(), self.name)
    }
}

/// Every fault at the places that matter.
pub(crate) fn table(way: Way) -> Vec<Case> {
    let mut table = Table::of(way);
    for (kind, nth) in way.targets().iter().copied() {
        table.harmless(kind, nth);
        table.ends(kind, nth);
        table.answers(kind, nth);
        table.lengths(kind, nth);
        if kind != RequestKind::EventStream {
            table.extras(kind, nth);
        }
        if kind != RequestKind::Delete {
            table.stays(kind);
        }
    }
    match way {
        Way::Any => table.blocked(),
        Way::Stateful => {}
        Way::WebSockets | Way::ServerSentEvents | Way::LongPolling => table.greetings(),
    }
    table.cases
}

/// A connection that ends after each `step`th byte of each request and each answer, by turns orderly and with a reset.
pub(crate) fn bytes(way: Way, first: usize, step: usize) -> Vec<Case> {
    let mut table = Table::of(way);
    for (kind, nth, side, count) in way.bytes().iter().copied() {
        for (index, place) in (first..count).step_by(step).enumerate() {
            let end = if index % 2 == 0 {
                End::Reset
            } else {
                End::Close
            };
            table.cut(kind, nth, side, At::Byte(place), end);
        }
    }
    if way == Way::Stateful {
        table.resumed(first, step);
    }
    table.cases
}

struct Table {
    way: Way,
    cases: Vec<Case>,
}

impl Table {
    const fn of(way: Way) -> Self {
        Self {
            way,
            cases: Vec::new(),
        }
    }

    fn add(&mut self, name: String, harm: Harm, plan: Planned) {
        // Both encodings get their turn.
        let protocol = match self.cases.len() % 4 {
            2 | 3 if self.way.is_binary() => Protocol::MessagePack,
            _ => Protocol::Json,
        };
        self.cases.push(Case {
            name,
            way: self.way,
            protocol,
            plan,
            harm,
        });
    }

    fn once(&mut self, what: &str, harm: Harm, kind: RequestKind, nth: usize, fault: Fault) {
        self.add(
            format!("{kind:?} {nth}: {what}"),
            harm,
            Planned::Once(kind, nth, fault),
        );
    }

    fn harmless(&mut self, kind: RequestKind, nth: usize) {
        let slow = |bytes, pause, body| Pace {
            bytes,
            pause: Duration::from_millis(pause),
            body,
        };
        let faults = [
            ("late", Fault::none().delay(Duration::from_millis(100))),
            ("after 100 Continue", Fault::none().interim()),
            ("a slow head", Fault::none().pace(slow(8, 1, false))),
            ("byte by byte", Fault::none().pace(slow(1, 0, true))),
            ("chunks of one byte", framed(Framing::Chunked(1))),
            ("chunks of seven bytes", framed(Framing::Chunked(7))),
            (
                "chunks of two bytes, byte by byte",
                framed(Framing::Chunked(2)).pace(slow(1, 0, true)),
            ),
        ];
        for (what, fault) in faults {
            self.once(what, Harm::None, kind, nth, fault);
        }
        if is_whole(kind) {
            self.once(
                "until the connection closes",
                Harm::None,
                kind,
                nth,
                framed(Framing::UntilClose),
            );
            // The close may come in the moment in which the kept connection is used again. What may have reached the server
            // is not sent a second time, so that is an error that is told.
            self.once(
                "closed after the answer",
                Harm::Some,
                kind,
                nth,
                Fault::cut(Side::Answer, At::End, End::Close),
            );
        }
    }

    fn ends(&mut self, kind: RequestKind, nth: usize) {
        for end in [End::Close, End::Reset, End::Stall] {
            for at in [
                At::Byte(0),
                At::Byte(1),
                At::Byte(17),
                At::Body(0),
                At::Body(1),
            ] {
                if at != At::Body(1) || has_body(kind, nth) {
                    self.cut(kind, nth, Side::Answer, at, end);
                }
            }
            for at in [At::Byte(0), At::Byte(30), At::Body(0)] {
                self.cut(kind, nth, Side::Request, at, end);
            }
            if is_whole(kind) {
                self.cut(kind, nth, Side::Answer, At::End, end);
                self.cut(kind, nth, Side::Request, At::End, end);
            }
        }
    }

    fn cut(&mut self, kind: RequestKind, nth: usize, side: Side, at: At, end: End) {
        let what = format!("{side:?} ends with {end:?} at {at:?}");
        // A poll without an answer is repeated after a while, and what the server had answered is lost.
        let unheard = side == Side::Request || matches!(at, At::Byte(_));
        let harm = if kind == RequestKind::Poll && nth > 0 && end == End::Stall && unheard {
            Harm::Lost
        } else {
            Harm::Some
        };
        self.once(&what, harm, kind, nth, Fault::cut(side, at, end));
    }

    /// Once the handshake is through, the loss of a WebSocket is nobody's business.
    fn resumed(&mut self, first: usize, step: usize) {
        for (side, places) in [(Side::Request, 60..350), (Side::Answer, 6..300)] {
            for (index, place) in places.skip(first).step_by(step).enumerate() {
                let end = if index % 2 == 0 {
                    End::Reset
                } else {
                    End::Close
                };
                let what = format!("{side:?} ends with {end:?} at {place} of the body");
                let fault = Fault::cut(side, At::Body(place), end);
                self.once(&what, Harm::None, RequestKind::WebSocket, 0, fault);
            }
        }
    }

    fn answers(&mut self, kind: RequestKind, nth: usize) {
        for status in [
            "200 OK",
            "201 Created",
            "301 Moved Permanently",
            "401 Unauthorized",
            "404 Not Found",
            "503 Service Unavailable",
        ] {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi");
            self.answer(status, kind, nth, Fault::none().answer(answer));
        }
        for (what, answer) in [
            ("204 at once", NO_CONTENT),
            ("200 without a body", EMPTY),
            ("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            ("zeros", "\0\0\0\0\r\n\r\n"),
            ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
            (
                "a length that is no number",
                "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            ),
            (
                "two lengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            ),
            (
                "a chunk that is none",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            ),
            (
                "a chunk that is too long",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            ),
            (
                "101 without a WebSocket",
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ),
        ] {
            self.answer(what, kind, nth, Fault::none().answer(answer));
        }
        let old = Fault::none().answer("HTTP/1.0 200 OK\r\n\r\n");
        let old = old.and_cut(Side::Answer, At::End, End::Close);
        self.answer("HTTP/1.0", kind, nth, old);
        if is_whole(kind) {
            for (what, answer) in [
                ("204 in place of the answer", NO_CONTENT),
                ("200 in place of the answer", EMPTY),
            ] {
                self.answer(what, kind, nth, Fault::none().answer_instead(answer));
            }
        }
    }

    /// An answer that may be a lie.
    fn answer(&mut self, what: &str, kind: RequestKind, nth: usize, fault: Fault) {
        let harm = if self.way == Way::LongPolling && nth > 0 {
            Harm::Lost
        } else {
            Harm::Some
        };
        self.once(what, harm, kind, nth, fault);
    }

    fn lengths(&mut self, kind: RequestKind, nth: usize) {
        if is_whole(kind) {
            for by in [-1, 1, 5] {
                let fault = framed(Framing::LengthOff(by));
                for end in [End::Close, End::Reset, End::Stall] {
                    if has_body(kind, nth) || by > 0 {
                        let what = format!("a length off by {by}, then {end:?}");
                        let fault = fault.clone().and_cut(Side::Answer, At::End, end);
                        if by < 0 {
                            self.answer(&what, kind, nth, fault);
                        } else {
                            self.once(&what, Harm::Some, kind, nth, fault);
                        }
                    }
                }
            }
        }
        if kind != RequestKind::WebSocket && has_body(kind, nth) {
            for end in [End::Close, End::Reset, End::Stall] {
                for at in [0, 1, 2, 4, 5, 7] {
                    let fault =
                        framed(Framing::Chunked(2)).and_cut(Side::Answer, At::Body(at), end);
                    let what = format!("chunks end with {end:?} after {at}");
                    self.once(&what, Harm::Some, kind, nth, fault);
                }
            }
        }
    }

    fn extras(&mut self, kind: RequestKind, nth: usize) {
        for (what, fault) in [
            ("twice", Fault::none().repeated()),
            (
                "with an answer that nobody asked for",
                Fault::none().trailing(UNASKED),
            ),
            ("with garbage", Fault::none().trailing("garbage\r\n\r\n")),
        ] {
            self.once(what, Harm::Some, kind, nth, fault);
        }
    }

    /// What does not pass.
    fn stays(&mut self, kind: RequestKind) {
        // What comes of a send is told elsewhere, so its answer may as well be missing.
        let side = if kind == RequestKind::Send {
            Side::Request
        } else {
            Side::Answer
        };
        for (what, fault) in [
            ("reset", Fault::cut(side, At::Byte(0), End::Reset)),
            ("silent", Fault::cut(side, At::Byte(0), End::Stall)),
            ("broken off", Fault::cut(side, At::Byte(30), End::Close)),
            (
                "503",
                Fault::none().answer("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            ),
        ] {
            self.add(
                format!("every {kind:?}: {what}"),
                Harm::Lasting,
                Planned::Always(kind, fault),
            );
        }
    }

    /// A network in which some transports never work: another one must.
    fn blocked(&mut self) {
        for kinds in [
            &[RequestKind::WebSocket][..],
            &[RequestKind::EventStream],
            &[RequestKind::WebSocket, RequestKind::EventStream],
            &[RequestKind::EventStream, RequestKind::Poll],
        ] {
            for (what, harm, fault) in [
                (
                    "reset",
                    Harm::None,
                    Fault::cut(Side::Answer, At::Byte(0), End::Reset),
                ),
                (
                    "closed",
                    Harm::None,
                    Fault::cut(Side::Request, At::Byte(9), End::Close),
                ),
                (
                    "silent",
                    Harm::Some,
                    Fault::cut(Side::Answer, At::Byte(0), End::Stall),
                ),
                (
                    "403",
                    Harm::None,
                    Fault::none().answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
                ),
            ] {
                let name = format!("every one of {kinds:?}: {what}");
                self.add(name, harm, Planned::Blocks(kinds, fault));
            }
        }
    }

    fn greetings(&mut self) {
        for number in 0..2 {
            for greeting in [
                Greeting::Close,
                Greeting::Reset,
                Greeting::Stall,
                Greeting::Say(UNASKED.into()),
                Greeting::Say("220 ready\r\n".into()),
            ] {
                self.add(
                    format!("connection {number} meets {greeting:?}"),
                    Harm::Some,
                    Planned::Greets(number, greeting),
                );
            }
        }
    }
}

fn framed(framing: Framing) -> Fault {
    Fault::none().framing(framing)
}

/// Whether the answer comes to an end by itself.
const fn is_whole(kind: RequestKind) -> bool {
    !matches!(kind, RequestKind::WebSocket | RequestKind::EventStream)
}

/// Whether something follows the answer's head.
const fn has_body(kind: RequestKind, nth: usize) -> bool {
    match kind {
        RequestKind::Send | RequestKind::Delete => false,
        // The first poll is answered at once, with nothing.
        RequestKind::Poll => nth > 0,
        _ => true,
    }
}
