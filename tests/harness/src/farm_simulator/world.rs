//! The servers with their applications, and what happens to them.

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

/// What nodes tell.
impl World {
    fn told(&mut self, server: usize, event: BackplaneEvent) {
        match event {
            BackplaneEvent::Deliver {
                audience,
                invocation,
            } => self.deliver(server, &audience, &invocation),
            BackplaneEvent::Ask {
                connection_id,
                result_request,
                ..
            } => {
                let id = number(&connection_id);
                let wait = self.random.up_to(2_000);
                // Some never answer, unless they leave.
                if self.random.percent(80) {
                    let life = self.servers[server].life;
                    let happening = Happening::Answers {
                        server,
                        life,
                        id,
                        question: result_request,
                    };
                    self.schedule(self.now.after(wait), happening);
                }
            }
            BackplaneEvent::Joined {
                connection_id,
                group,
            } => {
                let entry = (u64::from(number(&group)), number(&connection_id));
                assert!(self.servers[server].members.insert(entry), "joined twice");
            }
            BackplaneEvent::Left {
                connection_id,
                group,
            } => {
                let entry = (u64::from(number(&group)), number(&connection_id));
                assert!(self.servers[server].members.remove(&entry), "left twice");
            }
            BackplaneEvent::Done { operation, result } => self.done(server, operation, result),
            BackplaneEvent::Answered { operation, outcome } => {
                let purpose = self.servers[server].purposes.remove(&operation);
                let Some((_, OperationPurpose::Ask(question))) = purpose else {
                    panic!("{operation:?} was no question, or was answered twice");
                };
                match outcome {
                    Outcome::Result(payload) => {
                        assert_eq!(payload.decode::<String>().expect("a text"), question);
                        self.model.tally.answers += 1;
                    }
                    other => assert_eq!(other, Outcome::Error("gone".into())),
                }
            }
            BackplaneEvent::Counted { operation, count } => {
                let purpose = self.servers[server].purposes.remove(&operation);
                assert!(
                    matches!(purpose, Some((_, OperationPurpose::Count))),
                    "{operation:?}"
                );
                // Whoever came or left meanwhile may have been counted or not, and nobody twice.
                assert!(count <= u64::from(self.last_client), "{count}");
            }
            BackplaneEvent::Up => self.model.outage_ends(server, self.now),
            BackplaneEvent::Away { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self, server: usize, audience: &Audience, invocation: &Invocation) {
        let Some(message) = number_of(invocation) else {
            // A probe.
            assert!(invocation.payloads.iter().all(|(_, frame)| frame.is_none()));
            return;
        };
        let local = |(id, client): (&Id, &Client)| (client.server == server).then_some(*id);
        let (meant, hearers): (Recipients, Vec<Id>) = match audience {
            Audience::All => (
                Recipients::All,
                self.clients.iter().filter_map(local).collect(),
            ),
            Audience::Group(group) => {
                let group = u64::from(number(group));
                let members = self.servers[server].members.iter();
                let members = members.filter(|(known, _)| *known == group);
                (
                    Recipients::Group(group),
                    members.map(|(_, id)| *id).collect(),
                )
            }
            Audience::User(user) => {
                let user = u64::from(number(user));
                let own = self
                    .clients
                    .iter()
                    .filter(|(_, client)| client.user == Some(user));
                (Recipients::User(user), own.filter_map(local).collect())
            }
            Audience::Connection(id) => {
                let id = number(id);
                let one = self.clients.get_key_value(&id).and_then(local);
                (Recipients::One(id), one.into_iter().collect())
            }
        };
        for id in hearers {
            if let Recipients::Group(group) = meant {
                let standing = self.standing(id, group);
                assert_ne!(
                    standing,
                    MembershipState::Out,
                    "{id} is not in group {group}"
                );
            }
            self.model.hears(id, message, &meant);
        }
    }

    fn done(&mut self, server: usize, operation: OperationId, result: Result<(), BackplaneError>) {
        let purpose = self.servers[server].purposes.remove(&operation);
        let Some((begun, purpose)) = purpose else {
            panic!("{operation:?} ended twice");
        };
        assert!(
            self.now.since(begun) <= PATIENCE,
            "{purpose:?} took too long"
        );
        if result.is_err() {
            assert!(
                !self.calm || self.may_fail(&purpose),
                "{purpose:?}: {result:?} without a reason"
            );
            self.model.tally.failures += 1;
        }
        let now = self.now;
        match purpose {
            OperationPurpose::Connect(id) => self.connected(id, result.is_ok()),
            OperationPurpose::Join(id, group, before) => {
                let local = self
                    .clients
                    .get(&id)
                    .is_none_or(|client| client.server == server);
                let after = match (result, before) {
                    (Ok(()), MembershipState::In(_)) | (Err(_), MembershipState::In(_)) => before,
                    (Ok(()), _) => {
                        if let Some(client) = self.clients.get(&id) {
                            let meant = Recipients::Group(group);
                            self.model.memberships(id, client.server, meant, now);
                        }
                        self.model.tally.commands += u64::from(!local);
                        MembershipState::In(now)
                    }
                    (Err(_), _) if local && before == MembershipState::Out => MembershipState::Out,
                    (Err(_), _) => self.unknown(),
                };
                self.stand(id, group, after);
            }
            OperationPurpose::Leave(id, group) => {
                let local = self
                    .clients
                    .get(&id)
                    .is_none_or(|client| client.server == server);
                self.model.tally.commands += u64::from(result.is_ok() && !local);
                let after = if result.is_ok() {
                    MembershipState::Out
                } else {
                    self.unknown()
                };
                self.stand(id, group, after);
            }
            OperationPurpose::Send | OperationPurpose::Ask(_) | OperationPurpose::Count => {}
        }
    }

    /// What may fail although nothing is broken: what concerns a connection that is not there, or is asked and says nothing.
    fn may_fail(&self, purpose: &OperationPurpose) -> bool {
        match purpose {
            OperationPurpose::Join(id, ..) | OperationPurpose::Leave(id, _) => {
                !self.clients.contains_key(id)
            }
            OperationPurpose::Ask(_) => true,
            // The end of a session is calm, and ends what the storm has begun.
            OperationPurpose::Connect(_) | OperationPurpose::Send | OperationPurpose::Count => {
                self.plan.weather == Weather::Rough
            }
        }
        .max(self.plan.weather == Weather::Rough)
    }

    /// A command may still be on its way.
    const fn unknown(&self) -> MembershipState {
        MembershipState::Unknown(
            self.now
                .after(Duration::from_millis(4 * self.plan.delay + 1)),
        )
    }

    fn stand(&mut self, id: Id, group: u64, standing: MembershipState) {
        if self.clients.contains_key(&id) {
            self.standings.insert((id, group), standing);
        }
    }

    fn standing(&self, id: Id, group: u64) -> MembershipState {
        self.standings
            .get(&(id, group))
            .copied()
            .unwrap_or_default()
    }

    fn connected(&mut self, id: Id, well: bool) {
        if !well {
            return self.disconnect(id);
        }
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.confirmed = true;
        let (server, user) = (client.server, client.user);
        self.model.memberships(id, server, Recipients::All, now);
        self.model.memberships(id, server, Recipients::One(id), now);
        if let Some(user) = user {
            self.model
                .memberships(id, server, Recipients::User(user), now);
        }
    }

    fn client_answers(&mut self, server: usize, life: u32, id: Id, question: &ResultRequest) {
        if self.servers[server].life != life {
            return;
        }
        let there = self
            .clients
            .get(&id)
            .is_some_and(|client| client.server == server);
        let payload = Payload::from_value(Protocol::MessagePack, &question.id.to_string());
        let payload = payload.expect("a text can be encoded");
        let outcome = if there {
            CompletionOutcome::Result(&payload)
        } else {
            CompletionOutcome::Error("gone")
        };
        let now = self.now;
        let node = &mut self.servers[server].node;
        let answered = node.answer(now, question, Protocol::MessagePack, outcome);
        answered.expect("a text can be encoded");
    }
}

/// What applications and fate do.
impl World {
    fn act(&mut self) {
        if !self.calm && self.random.percent(8) {
            return self.misfortune();
        }
        let server = self.random.index(SERVERS);
        match self.random.below(100) {
            0..=14 => self.come(server),
            15..=19 => self.go(),
            20..=44 => self.change_group(server),
            45..=82 => self.send(server),
            83 | 84 => {
                let now = self.now;
                let operation = self.servers[server].node.count(now, Counted::All);
                self.begin(server, operation, OperationPurpose::Count);
            }
            _ => self.ask(server),
        }
    }

    fn misfortune(&mut self) {
        match self.random.below(10) {
            0..=4 => {
                let links = self.broker.links();
                if !links.is_empty() {
                    let id = links[self.random.index(links.len())];
                    self.model.tally.cuts += 1;
                    self.cut(id);
                }
            }
            5..=7 => {
                self.model.tally.restarts += 1;
                self.broker.up = false;
                for id in self.broker.links() {
                    self.cut(id);
                }
                let away = self.random.up_to(15_000);
                self.schedule(self.now.after(away), Happening::BrokerIsBack);
            }
            _ => self.die(),
        }
    }

    /// A server dies with all its clients, and another one takes its place.
    fn die(&mut self) {
        self.model.tally.deaths += 1;
        let server = self.random.index(SERVERS);
        self.outage_begins(server);
        for id in self.broker.links() {
            if id.server == server {
                self.broker.forget(id);
            }
        }
        let clients = self
            .clients
            .iter()
            .filter(|(_, client)| client.server == server);
        let ids: Vec<Id> = clients.map(|(id, _)| *id).collect();
        for id in ids {
            self.clients.remove(&id);
            self.standings.retain(|(known, _), _| *known != id);
            self.model.leaves(id, None, self.now);
        }
        let life = self.servers[server].life + 1;
        let born = self.born(server, life);
        let dead = std::mem::replace(&mut self.servers[server], born);
        // What it asked of others may be done or not.
        for (_, purpose) in dead.purposes.into_values() {
            if let OperationPurpose::Join(id, group, _) | OperationPurpose::Leave(id, group) =
                purpose
            {
                let unknown = self.unknown();
                self.stand(id, group, unknown);
            }
        }
    }

    fn begin(&mut self, server: usize, operation: OperationId, purpose: OperationPurpose) {
        let now = self.now;
        self.servers[server]
            .purposes
            .insert(operation, (now, purpose));
    }

    fn come(&mut self, server: usize) {
        self.last_client += 1;
        let (id, now) = (self.last_client, self.now);
        let user = self.random.percent(50).then(|| self.random.below(USERS));
        let client = Client {
            server,
            user,
            confirmed: false,
        };
        self.clients.insert(id, client);
        let user = user.map(|user| user.to_string());
        let node = &mut self.servers[server].node;
        let operation = node.connect(now, &id.to_string(), user.as_deref());
        self.begin(server, operation, OperationPurpose::Connect(id));
    }

    fn go(&mut self) {
        let ids: Vec<Id> = self.clients.keys().copied().collect();
        if !ids.is_empty() {
            let id = ids[self.random.index(ids.len())];
            self.disconnect(id);
        }
    }

    fn disconnect(&mut self, id: Id) {
        let now = self.now;
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.standings.retain(|(known, _), _| *known != id);
        self.model.leaves(id, None, now);
        let server = &mut self.servers[client.server];
        server.node.disconnect(now, &id.to_string());
        server.members.retain(|(_, known)| *known != id);
    }

    /// Someone that is there, or nearly never someone that is not.
    fn someone(&mut self) -> Option<Id> {
        let there = self.clients.iter().filter(|(_, client)| client.confirmed);
        let ids: Vec<Id> = there.map(|(id, _)| *id).collect();
        if ids.is_empty() || self.random.percent(2) {
            return self.random.percent(10).then_some(1_000_000);
        }
        Some(ids[self.random.index(ids.len())])
    }

    fn change_group(&mut self, server: usize) {
        let Some(id) = self.someone() else { return };
        let (group, now) = (self.random.below(GROUPS), self.now);
        let before = self.standing(id, group);
        let busy = match before {
            MembershipState::Changing => true,
            MembershipState::Unknown(until) => until > now,
            MembershipState::Out | MembershipState::In(_) => false,
        };
        if busy {
            return;
        }
        self.stand(id, group, MembershipState::Changing);
        // Mostly on its own server.
        let owner = self.clients.get(&id).map(|client| client.server);
        let server = if self.random.percent(50) {
            owner.unwrap_or(server)
        } else {
            server
        };
        let node = &mut self.servers[server].node;
        let (connection, name) = (id.to_string(), group.to_string());
        if self.random.percent(65) {
            let operation = node.join(now, &connection, &name).expect("within limits");
            self.begin(server, operation, OperationPurpose::Join(id, group, before));
        } else {
            let operation = node.leave(now, &connection, &name);
            self.model.leaves(id, Some(&Recipients::Group(group)), now);
            self.begin(server, operation, OperationPurpose::Leave(id, group));
        }
    }

    fn send(&mut self, server: usize) {
        let meant = match self.random.below(10) {
            0..=3 => Recipients::All,
            4..=6 => Recipients::Group(self.random.below(GROUPS)),
            7 => Recipients::User(self.random.below(USERS)),
            _ => match self.someone() {
                Some(id) => Recipients::One(id),
                None => return,
            },
        };
        let excluded: BTreeSet<Id> = if self.random.percent(30) {
            self.someone().into_iter().collect()
        } else {
            BTreeSet::new()
        };
        let now = self.now;
        let names = excluded.iter().map(|id| id.to_string().into()).collect();
        let message = self.model.sending(meant.clone(), excluded, now);
        let text = Bytes::from(format!("{message}\x1e"));
        let payload = encoded(&Invocation {
            excluded: names,
            payloads: vec![("json".into(), Some(text))],
            result_request: None,
        });
        let name = match &meant {
            Recipients::All => String::new(),
            Recipients::Group(name) | Recipients::User(name) => name.to_string(),
            Recipients::One(id) => id.to_string(),
        };
        let channel = match meant {
            Recipients::All => Channel::All,
            Recipients::Group(_) => Channel::Group(&name),
            Recipients::User(_) => Channel::User(&name),
            Recipients::One(_) => Channel::Connection(&name),
        };
        let node = &mut self.servers[server].node;
        let operation = node.publish(now, [channel], &payload);
        self.begin(server, operation, OperationPurpose::Send);
    }

    fn ask(&mut self, server: usize) {
        let Some(id) = self.someone() else { return };
        let own = self.clients.get(&id).map(|client| client.server);
        if own == Some(server) {
            return;
        }
        self.questions += 1;
        let question = format!("q{}", self.questions);
        let now = self.now;
        let node = &mut self.servers[server].node;
        let payload = encoded(&Invocation {
            excluded: Vec::new(),
            payloads: vec![("messagepack".into(), Some(Bytes::from_static(b"\x01?")))],
            result_request: Some(node.result_request(&question)),
        });
        let timeout = Duration::from_secs(30);
        let operation = node.ask(now, &id.to_string(), &question, payload, timeout);
        self.begin(server, operation, OperationPurpose::Ask(question));
    }

    /// Nothing is left over when everything has come to rest.
    fn check_rest(&self) {
        let channels = Channels::new("", "Hub");
        for (index, server) in self.servers.iter().enumerate() {
            assert_eq!(
                server.node.state(),
                BackplaneState::Up,
                "{index} is not back"
            );
            assert!(server.purposes.is_empty(), "{:?}", server.purposes);
            let own = name(index, server.life);
            let mut wanted = vec![
                Channel::All,
                Channel::GroupCommands,
                Channel::Acks(&own),
                Channel::Returns(&own),
                Channel::Census,
                Channel::Counts(&own),
            ];
            let clients = self
                .clients
                .iter()
                .filter(|(_, client)| client.server == index);
            let clients = clients.map(|(id, client)| {
                let user = client.user.map(|user| user.to_string());
                (id.to_string(), user)
            });
            let clients: Vec<_> = clients.collect();
            for (id, user) in &clients {
                wanted.push(Channel::Connection(id));
                wanted.extend(user.as_deref().map(Channel::User));
            }
            let groups: Vec<String> = server
                .members
                .iter()
                .map(|(group, _)| group.to_string())
                .collect();
            wanted.extend(groups.iter().map(|group| Channel::Group(group)));
            let wanted: BTreeSet<String> = wanted
                .into_iter()
                .map(|channel| channels.name(channel).to_string())
                .collect();
            assert_eq!(self.broker.subscribed(index, server.life), wanted);
            for (id, client) in self
                .clients
                .iter()
                .filter(|(_, client)| client.server == index)
            {
                assert!(client.confirmed, "{id} was forgotten");
                for group in 0..GROUPS {
                    let member = server.members.contains(&(group, *id));
                    match self.standing(*id, group) {
                        MembershipState::In(_) => assert!(member, "{id} is in {group}"),
                        MembershipState::Out => assert!(!member, "{id} is not in {group}"),
                        MembershipState::Unknown(_) => {}
                        MembershipState::Changing => panic!("{id} still changes"),
                    }
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
