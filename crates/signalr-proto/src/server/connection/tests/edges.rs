//! Every edge of the diagrams is walked, and there is no other.

use std::collections::BTreeSet;

use super::*;
use crate::server::connection::link::{Link, Poll};

const STATES: &[(&str, &str)] = &[
    ("Closing", "Closed"),
    ("Greeting", "Closed"),
    ("Greeting", "Closing"),
    ("Greeting", "Open"),
    ("Handshaking", "Closed"),
    ("Handshaking", "Closing"),
    ("Handshaking", "Greeting"),
    ("Open", "Closed"),
    ("Open", "Closing"),
];

/// Those to `None` are the end of a connection.
const LINKS: &[(&str, &str)] = &[
    ("Away", "None"),
    ("Away", "Over"),
    ("Away", "Waiting"),
    ("Delivering", "Away"),
    ("Delivering", "None"),
    ("Delivering", "Over"),
    ("Delivering", "Waiting"),
    ("Events", "None"),
    ("Events", "Over"),
    ("Lost", "None"),
    ("Lost", "Over"),
    ("Lost", "WebSocket"),
    ("None", "Away"),
    ("None", "Events"),
    ("None", "WebSocket"),
    ("Over", "None"),
    ("Waiting", "Away"),
    ("Waiting", "Delivering"),
    ("Waiting", "None"),
    ("Waiting", "Over"),
    ("WebSocket", "Lost"),
    ("WebSocket", "None"),
    ("WebSocket", "Over"),
    ("WebSocket", "WebSocket"),
];

type Edges = BTreeSet<(&'static str, &'static str)>;

const fn name(link: &Link) -> &'static str {
    match link {
        Link::None => "None",
        Link::WebSocket { .. } => "WebSocket",
        Link::Events { .. } => "Events",
        Link::Polls(Poll::Away) => "Away",
        Link::Polls(Poll::Waiting(_)) => "Waiting",
        Link::Polls(Poll::Delivering { .. }) => "Delivering",
        Link::Lost { .. } => "Lost",
        Link::Over { .. } => "Over",
    }
}

struct Walk {
    machine: ServerConnection,
    now: Instant,
    next_op: u32,
    states: Edges,
    links: Edges,
}

impl Walk {
    fn new() -> Self {
        let options = ConnectionOptions {
            stateful_reconnect: true,
            ..ConnectionOptions::default()
        };
        let config = ServerConfig {
            maximum_parallel_invocations: 1000,
            ..ServerConfig::default()
        };
        Self {
            machine: ServerConnection::new(config, options, Instant::ZERO),
            now: Instant::ZERO,
            next_op: 0,
            states: Edges::new(),
            links: Edges::new(),
        }
    }

    /// Does something, and polls one output after the other.
    fn step(&mut self, act: impl FnOnce(&mut ServerConnection, Instant)) {
        let before = self.place();
        act(&mut self.machine, self.now);
        self.note(before);
        loop {
            let before = self.place();
            let output = self.machine.poll_output();
            self.note(before);
            if matches!(output, Output::Wait(_)) {
                return;
            }
        }
    }

    const fn place(&self) -> (&'static str, &'static str, Option<OpId>) {
        let machine = &self.machine;
        let socket = machine.link.web_socket();
        (machine.state.name(), name(&machine.link), socket)
    }

    fn note(&mut self, (state, link, socket): (&'static str, &'static str, Option<OpId>)) {
        let (state_now, link_now, socket_now) = self.place();
        if state != state_now {
            self.states.insert((state, state_now));
        }
        if link != link_now || socket != socket_now {
            self.links.insert((link, link_now));
        }
    }

    fn input(&mut self, input: Input) {
        self.step(|machine, now| machine.handle_input(now, input));
    }

    fn arrive(&mut self, port: Port) -> OpId {
        self.next_op += 1;
        let (op, identity) = (OpId::new(self.next_op), None);
        self.input(Input::Arrived(Arrival { op, port, identity }));
        op
    }

    /// What is open, or was.
    fn op(&self) -> OpId {
        match self.machine.link {
            Link::WebSocket { op }
            | Link::Events { op, .. }
            | Link::Polls(Poll::Waiting(op) | Poll::Delivering { op, .. }) => op,
            Link::None | Link::Polls(Poll::Away) | Link::Lost { .. } | Link::Over { .. } => {
                OpId::new(self.next_op)
            }
        }
    }

    fn bytes(&mut self, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        let last = true;
        if let Some(op) = self.machine.link.web_socket() {
            self.input(Input::Received { op, bytes });
        } else {
            let op = self.arrive(Port::Post);
            self.input(Input::Body { op, bytes, last });
        }
    }

    /// One of the things that can happen.
    fn go(&mut self, choice: u32) {
        let op = self.op();
        let end = |code| EndCause::WebSocketClose {
            code,
            reason: Box::default(),
        };
        match choice {
            0..=2 => drop(self.arrive(Port::Poll)),
            3 => drop(self.arrive(Port::Events)),
            4 | 5 => drop(self.arrive(Port::WebSocket)),
            6 => self.bytes(b"{\"protocol\":\"json\",\"version\":2}\x1e"),
            7 => self.bytes(b"{\"type\":1,\"target\":\"T\",\"arguments\":[]}\x1e"),
            8 => self.bytes(b"{\"type\":7}\x1e"),
            9 | 10 => self.input(Input::Sent { op }),
            11 => self.input(Input::Ended {
                op,
                cause: end(1000),
            }),
            12 | 13 => self.input(Input::Ended {
                op,
                cause: end(1006),
            }),
            14 => {
                self.now = self.now.after(Duration::from_secs(16));
                self.input(Input::Timeout);
            }
            15 | 16 => self.step(ServerConnection::accept),
            17..=19 => self.step(|machine, now| drop(machine.send(now, "T", &()))),
            20 => self.step(|machine, now| machine.close(now, true)),
            21 => self.step(ServerConnection::abort),
            22 => self.input(Input::ReadPaused),
            23 => self.input(Input::ReadResumed),
            _ => drop(self.arrive(Port::Delete)),
        }
    }
}

#[test]
fn every_edge_of_the_diagrams_is_walked_and_there_is_no_other() {
    let (mut states, mut links) = (Edges::new(), Edges::new());
    let mut random = 1_u32;
    for _ in 0..20_000 {
        let mut walk = Walk::new();
        for _ in 0..40 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            walk.go((random >> 16) % 25);
        }
        states.append(&mut walk.states);
        links.append(&mut walk.links);
    }
    assert_eq!(states, STATES.iter().copied().collect());
    assert_eq!(links, LINKS.iter().copied().collect());
}
