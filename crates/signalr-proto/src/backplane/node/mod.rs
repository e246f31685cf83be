//! One server's part in a farm.

mod commands;
mod endings;
mod link;
mod operations;
mod receive;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::api::{
    BackplaneCounters, BackplaneEvent, BackplaneInput, BackplaneOutput, BackplaneState,
};
use super::outgoing::Outgoing;
use super::subscriptions::Subscriptions;
use super::{Ack, BackplaneConfig, Channel, Channels, Invocation};
use crate::Protocol;
use crate::time::Instant;
use crate::transport::OpIds;
use operations::Operations;
use state::State;

/// One server's part in the farm of one hub.
///
/// Application commands: [`connect`](Self::connect) and [`disconnect`](Self::disconnect) of local clients,
/// [`join`](Self::join) and [`leave`](Self::leave) of any, [`publish`](Self::publish), [`ask`](Self::ask) and
/// [`answer`](Self::answer), [`count`](Self::count) of the farm's connections. What becomes of them is told in events.
///
/// The table of who is in which group is this node's: the driver keeps its own in step with `Joined` and `Left`.
#[derive(Debug)]
pub struct BackplaneNode {
    config: BackplaneConfig,
    channels: Channels,
    ids: OpIds,
    state: State,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    operations: Operations,
    /// Local connections.
    members: BTreeMap<ByteString, Member>,
    outputs: VecDeque<BackplaneOutput>,
    counters: BackplaneCounters,
    /// What a probe says: nothing, to clients of any protocol.
    probe: Bytes,
    /// Its heartbeats are acks of a command that no server ever gives, with a number of their own: so they are known from those of
    /// another server with the same name.
    pulse: Ack,
    /// There is such a server.
    has_namesake: bool,
    random: u64,
    now: Instant,
}

#[derive(Debug, Default)]
struct Member {
    user: Option<ByteString>,
    groups: BTreeSet<ByteString>,
}

impl BackplaneNode {
    /// A node that connects as soon as it is polled. The seed decides the jitter of its delays, and tells it
    /// from a server with the same name.
    #[must_use]
    pub fn new(config: BackplaneConfig, seed: u64, now: Instant) -> Self {
        let channels = Channels::new(&config.prefix, &config.hub);
        let mut subscriptions = Subscriptions::default();
        for channel in [
            Channel::All,
            Channel::GroupCommands,
            Channel::Acks(&config.server_name),
            Channel::Returns(&config.server_name),
            Channel::Census,
            Channel::Counts(&config.server_name),
        ] {
            subscriptions.hold(&channels.name(channel));
        }
        Self {
            channels,
            ids: OpIds::default(),
            state: State::START,
            subscriptions,
            outgoing: Outgoing::default(),
            operations: Operations::default(),
            members: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: BackplaneCounters::default(),
            probe: probe(),
            pulse: pulse(seed),
            has_namesake: false,
            random: seed,
            now,
            config,
        }
    }

    /// How it stands with the broker.
    #[must_use]
    pub const fn state(&self) -> BackplaneState {
        match &self.state {
            State::Away { .. } => BackplaneState::Away,
            State::Connecting { .. } => BackplaneState::Connecting,
            State::Linked(link) if link.is_up() => BackplaneState::Up,
            State::Linked(_) => BackplaneState::Restoring,
            State::Stopped => BackplaneState::Stopped,
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> BackplaneCounters {
        BackplaneCounters {
            waiting_bytes: self.outgoing.bytes() as u64,
            channels: self.subscriptions.len() as u64,
            ..self.counters
        }
    }

    /// Whether a connection is one of this server's.
    #[must_use]
    pub fn is_local(&self, connection_id: &str) -> bool {
        self.members.contains_key(connection_id)
    }

    /// The world has news.
    pub fn handle_input(&mut self, now: Instant, input: BackplaneInput) {
        self.advance(now);
        match input {
            BackplaneInput::Timeout => {}
            BackplaneInput::Connected { op } => self.connected(op),
            BackplaneInput::Published { op, receivers } => self.published(op, receivers),
            BackplaneInput::Subscribed { op } => self.subscribed(op),
            BackplaneInput::Failed { op, detail } => self.failed(op, detail),
            BackplaneInput::Received { link, message } => self.received(link, message),
            BackplaneInput::Lost { link, detail } => self.link_lost(link, detail),
        }
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> BackplaneOutput {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if !self.set_out() {
                return BackplaneOutput::Wait(self.deadline());
            }
        }
    }

    /// Time passes, and with it deadlines.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.expire();
        self.keep_link();
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.operations.deadline(), self.state.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn tell(&mut self, event: BackplaneEvent) {
        self.outputs.push_back(BackplaneOutput::Event(event));
    }
}

/// Reaches whoever listens for a connection, and not the connection. A protocol that is missing would close official servers'
/// clients, and nil is nothing to them.
fn probe() -> Bytes {
    let nothing = Invocation {
        payloads: Protocol::ALL
            .map(|protocol| (protocol.name().into(), None))
            .into(),
        ..Invocation::default()
    };
    let mut out = BytesMut::new();
    nothing.encode(&mut out);
    out.freeze()
}

/// A negative number, made of a seed that may be small.
fn pulse(seed: u64) -> Ack {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let number = i32::try_from(mixed).unwrap_or_default();
    Ack { id: !number }
}
