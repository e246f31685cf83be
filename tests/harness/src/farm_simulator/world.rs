//! The servers with their applications, and what happens to them.

mod acts;
mod rest;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use signalr_proto::backplane::{
    Audience, BackplaneAction, BackplaneConfig, BackplaneError, BackplaneEvent, BackplaneInput,
    BackplaneNode, BackplaneOutput, BackplaneState, Channel, Channels, Counted, Invocation,
    OperationId, ResultRequest, WhenAway,
};
use signalr_proto::codec::{CompletionOutcome, Outcome};
use signalr_proto::{Instant, OpId, Payload, Protocol};

use super::broker::{Broker, LinkId};
use super::model::{Id, MembershipState, Model, Recipients, Tally, number_of};
use super::{Plan, Weather};
use crate::simulator::Random;

const SERVERS: usize = 3;
const GROUPS: u64 = 3;
const USERS: u64 = 3;

/// Longer than every operation may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    Connect {
        server: usize,
        life: u32,
        op: OpId,
    },
    AtBroker {
        id: LinkId,
        action: BackplaneAction,
    },
    /// Comes over a link, if it is still there.
    Answer {
        id: LinkId,
        input: BackplaneInput,
    },
    /// A server learns of its link's end.
    Told {
        id: LinkId,
        input: BackplaneInput,
    },
    Act,
    Answers {
        server: usize,
        life: u32,
        id: Id,
        question: ResultRequest,
    },
    BrokerIsBack,
}

/// What an operation was for.
#[derive(Debug)]
enum OperationPurpose {
    Connect(Id),
    Join(Id, u64, MembershipState),
    Leave(Id, u64),
    Send,
    Ask(String),
    Count,
}

#[derive(Debug)]
pub(super) struct Server {
    node: BackplaneNode,
    pub(super) life: u32,
    pub(super) link: Option<OpId>,
    purposes: BTreeMap<OperationId, (Instant, OperationPurpose)>,
    /// Its table of groups, as the node's events make it.
    members: BTreeSet<(u64, Id)>,
}

#[derive(Debug)]
struct Client {
    server: usize,
    user: Option<u64>,
    confirmed: bool,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) servers: Vec<Server>,
    pub(super) broker: Broker,
    pub(super) model: Model,
    future: BTreeMap<(Instant, u64), Happening>,
    scheduled: u64,
    seed: u64,
    clients: BTreeMap<Id, Client>,
    last_client: Id,
    standings: BTreeMap<(Id, u64), MembershipState>,
    questions: u64,
    acts: u64,
    calm: bool,
}

fn name(server: usize, life: u32) -> String {
    format!("s{server}_{life}")
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan, random: Random, now: Instant) -> Self {
        let mut world = Self {
            plan,
            random,
            now,
            servers: Vec::new(),
            broker: Broker::new(),
            model: Model::default(),
            future: BTreeMap::new(),
            scheduled: 0,
            seed,
            clients: BTreeMap::new(),
            last_client: 0,
            standings: BTreeMap::new(),
            questions: 0,
            acts: plan.acts,
            calm: plan.weather == Weather::Calm,
        };
        for server in 0..SERVERS {
            let born = world.born(server, 0);
            world.servers.push(born);
        }
        world
    }

    fn born(&self, server: usize, life: u32) -> Server {
        let mut config = BackplaneConfig::new("Hub", name(server, life));
        if self.plan.patient {
            config.when_away = WhenAway::Wait(Duration::from_secs(20));
        }
        let seed = self.seed ^ (server as u64) << 32 ^ u64::from(life);
        Server {
            node: BackplaneNode::new(config, seed, self.now),
            life,
            link: None,
            purposes: BTreeMap::new(),
            members: BTreeSet::new(),
        }
    }

    pub(super) fn schedule(&mut self, at: Instant, happening: Happening) {
        self.scheduled += 1;
        self.future.insert((at, self.scheduled), happening);
    }

    pub(super) fn play(mut self) -> Tally {
        self.schedule(self.now, Happening::Act);
        self.run_until(None);
        // Everything comes to rest: what was lost is found, and what cannot end in another way is given up.
        self.calm = true;
        self.broker.up = true;
        let end = self.now.after(Duration::from_secs(120));
        self.run_until(Some(end));
        self.check_rest();
        let longest = Duration::from_millis(2 * self.plan.delay);
        self.model.settle(longest);
        self.model.tally
    }

    /// Lets happen what happens until then, or until the acts are over.
    fn run_until(&mut self, end: Option<Instant>) {
        loop {
            self.poll_all();
            if end.is_none() && self.acts == 0 {
                return;
            }
            let timers =
                self.servers
                    .iter_mut()
                    .filter_map(|server| match server.node.poll_output() {
                        BackplaneOutput::Wait(deadline) => deadline,
                        other => panic!("{other:?} after waiting"),
                    });
            let timer = timers.min();
            let next = self.future.keys().next().map(|(at, _)| *at);
            let Some(at) = timer.into_iter().chain(next).min() else {
                return;
            };
            if let Some(end) = end.filter(|end| at > *end) {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            if next == Some(at) {
                let (_, happening) = self.future.pop_first().expect("there is one");
                self.happen(happening);
            } else {
                let now = self.now;
                for server in &mut self.servers {
                    server.node.handle_input(now, BackplaneInput::Timeout);
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connect { server, life, op } => self.connect(server, life, op),
            Happening::AtBroker { id, action } => self.at_broker(id, action),
            Happening::Answer { id, input } => {
                if self.broker.is_linked(id) {
                    self.give(id.server, id.life, input);
                }
            }
            Happening::Told { id, input } => self.give(id.server, id.life, input),
            Happening::Act => {
                if self.acts > 0 {
                    self.acts -= 1;
                    self.act();
                    let rest = self.random.up_to(self.plan.rest);
                    self.schedule(self.now.after(rest), Happening::Act);
                }
            }
            Happening::Answers {
                server,
                life,
                id,
                question,
            } => self.client_answers(server, life, id, &question),
            Happening::BrokerIsBack => self.broker.up = true,
        }
    }

    pub(super) fn give(&mut self, server: usize, life: u32, input: BackplaneInput) {
        let now = self.now;
        let server = &mut self.servers[server];
        if server.life == life {
            server.node.handle_input(now, input);
        }
    }

    pub(super) fn loses(&mut self) -> bool {
        !self.calm && self.random.percent(3)
    }

    pub(super) fn outage_begins(&mut self, server: usize) {
        self.model.outage_begins(server, self.now);
    }

    fn poll_all(&mut self) {
        for server in 0..SERVERS {
            loop {
                match self.servers[server].node.poll_output() {
                    BackplaneOutput::Wait(_) => break,
                    BackplaneOutput::Action(action) => self.ask_broker(server, action),
                    BackplaneOutput::Event(event) => self.told(server, event),
                }
            }
        }
    }
}

fn number(text: &str) -> u32 {
    text.parse().expect("names are numbers")
}

fn encoded(invocation: &Invocation) -> Bytes {
    let mut out = BytesMut::new();
    invocation.encode(&mut out);
    out.freeze()
}
