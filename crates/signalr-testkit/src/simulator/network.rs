//! Connections between the two sides, which deliver late, in pieces, and break.

use bytes::Bytes;
use signalr_proto::{Instant, OpId, WsMessage};

use super::random::Random;
use super::{Happening, Schedule};

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToClient,
    ToServer,
}

/// What arrives at one end.
#[derive(Clone, Debug)]
pub(super) enum Arrival {
    Bytes(Bytes),
    /// A close frame.
    Closed(u16),
    /// The end learns that the connection broke.
    Lost,
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

/// One WebSocket.
#[derive(Debug)]
pub(super) struct Link {
    /// The client's name for it.
    pub(super) op: OpId,
    /// The server's name for it.
    pub(super) server_op: OpId,
    /// The server's connection.
    pub(super) connection: usize,
    to_client: Pipe,
    to_server: Pipe,
}

impl Link {
    pub(super) fn new(op: OpId, server_op: OpId, connection: usize) -> Self {
        Self {
            op,
            server_op,
            connection,
            to_client: Pipe::default(),
            to_server: Pipe::default(),
        }
    }

    const fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToClient => &mut self.to_client,
            Way::ToServer => &mut self.to_server,
        }
    }

    /// Nothing arrives before this.
    pub(super) const fn not_before(&mut self, way: Way, at: Instant) {
        self.pipe(way).last = at;
    }

    /// What is on its way is lost, and what follows too.
    pub(super) const fn kill(&mut self, way: Way) {
        self.pipe(way).dead = true;
    }

    /// The end that receives from this way has turned its back on the link.
    pub(super) const fn leave(&mut self, way: Way) {
        self.pipe(way).left = true;
    }

    /// Whether an arrival reaches its end.
    pub(super) const fn arrives(&mut self, way: Way, arrival: &Arrival) -> bool {
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

/// Puts a message on its way, in up to three pieces, and tells the sender when the transport has taken it.
pub(super) fn transmit(
    link_index: usize,
    link: &mut Link,
    way: Way,
    message: WsMessage,
    delays: Delays,
    schedule: &mut Schedule,
    random: &mut Random,
) {
    let now = schedule.now;
    let dead = link.pipe(way).dead;
    let mut last = link.pipe(way).last;
    for arrival in pieces(message, random) {
        last = last.max(now.after(random.up_to(delays.latency)));
        if !dead {
            schedule.at(last, Happening::Arrival(link_index, way, arrival));
        }
    }
    link.pipe(way).last = last;
    // A system's buffer may take what is never delivered, or be full for ever.
    let taken_at = if dead {
        random
            .percent(50)
            .then(|| now.after(random.up_to(delays.latency)))
    } else if random.percent(50) {
        Some(now.after(random.up_to(2)))
    } else {
        Some(last)
    };
    if let Some(at) = taken_at {
        schedule.at(at, Happening::Taken(link_index, way));
    }
}

fn pieces(message: WsMessage, random: &mut Random) -> Vec<Arrival> {
    match message {
        WsMessage::Close(code) => vec![Arrival::Closed(code)],
        WsMessage::Text(mut bytes) | WsMessage::Binary(mut bytes) => {
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
    }
}
