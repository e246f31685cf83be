//! Client machine against server machine in one thread, the endpoint between them, over all transports, under a virtual clock and
//! over a network that delays, cuts and loses:
//! [`run`] plays one session that its seed decides.
//!
//! Both applications number what they say, in one sequence for each connection and direction, whatever kind of message it is.
//! So each side sees at once when a message is missing, comes twice or comes out of order. What may happen instead is that a
//! connection is reported as lost; then every pending call has been resolved, and counting starts anew.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use signalr_proto::client::{Action, Input};
use signalr_proto::server::{Action as ServerAction, Input as ServerInput};
use signalr_proto::{BodyMode, EndCause, Instant, OpId, Protocol, TransportKind};

mod client;
mod network;
mod random;
mod server;

use client::ClientSide;
use network::{Arrival, Delays, Direction, Link};
pub use random::Random;
use server::{Connection, ServerSide};

/// How much a session has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Cuts come one at a time, and both sides are given time to recover: with stateful reconnect nothing is ever lost.
    Gentle,
    /// Cuts come at any time, re-attachments are refused, requests fail, applications close connections.
    Rough,
}

/// The percentage of acts that are followed by a rest.
const BURST: u64 = 15;

/// What kind of session it is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    weather: Weather,
    transport: TransportKind,
    stateful: bool,
    protocol: Protocol,
    delays: Delays,
    /// Things that the client's application does; the server's does as many. Both do them in bursts.
    acts: u64,
    /// The longest rest between bursts, in milliseconds.
    rest: u64,
    cuts: u64,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let weather = random.of(&[Weather::Gentle, Weather::Rough]);
        let cuts = random.below(5);
        let acts = random.of(&[10, 60, 200]);
        // The applications are still at it when the last cut comes.
        let span = match weather {
            Weather::Gentle => cuts * (CALM + 2_500) + 2_000,
            Weather::Rough => cuts * 4_000 + 2_000,
        };
        let transport = match random.below(10) {
            0..=4 => TransportKind::WebSockets,
            5 | 6 => TransportKind::ServerSentEvents,
            _ => TransportKind::LongPolling,
        };
        let binary = transport != TransportKind::ServerSentEvents && random.percent(50);
        Self {
            weather,
            transport,
            stateful: transport == TransportKind::WebSockets && random.percent(85),
            protocol: if binary {
                Protocol::MessagePack
            } else {
                Protocol::Json
            },
            delays: Delays {
                latency: random.of(&[1, 20, 200]),
            },
            acts,
            rest: span * 200 / (acts * BURST),
            cuts,
        }
    }
}

/// What happened in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages that arrived, of both directions.
    pub messages: u64,
    /// WebSockets that were cut.
    pub cuts: u64,
    /// Connections that went on with a new WebSocket.
    pub resumed: u64,
    /// Of these, connections whose server had not noticed the loss of the old one.
    pub taken_over: u64,
    /// Connections that were lost, and reported so.
    pub lost: u64,
    /// Messages that arrived over event streams and POSTs.
    pub over_events: u64,
    /// Messages that arrived over polls and POSTs.
    pub over_polls: u64,
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.cuts += other.cuts;
        self.resumed += other.resumed;
        self.taken_over += other.taken_over;
        self.lost += other.lost;
        self.over_events += other.over_events;
        self.over_polls += other.over_polls;
    }
}

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    /// Something reaches one end of a link.
    Arrival(usize, Direction, Arrival),
    /// The transport takes what was sent this way.
    Taken(usize, Direction),
    /// The network fails one way of a link.
    Dies(usize, Direction),
    /// Both applications say something, and then the network fails.
    Cut,
    /// Both ways, one a little later than the other.
    Breaks,
    ClientActs,
    ServerActs,
    ClientPauses(bool),
    ServerPauses(usize, bool),
    Greet(usize),
}

/// What will happen, in its order.
#[derive(Debug, Default)]
struct Schedule {
    now: Instant,
    serial: u64,
    queue: BinaryHeap<Reverse<Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    serial: u64,
    happening: Happening,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl Schedule {
    fn at(&mut self, at: Instant, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse(Entry {
            at,
            serial: self.serial,
            happening,
        }));
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now.after(delay), happening);
    }

    fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }
}

/// The most steps of a session: more would mean that somebody spins.
const MOST_STEPS: u64 = 200_000;

/// How long everything may take to come to its end once nothing disturbs it.
const PATIENCE: Duration = Duration::from_secs(200);

/// How much longer gentle weather lasts than anybody needs to recover.
const CALM: u64 = 12_000;

struct World {
    plan: Plan,
    random: Random,
    schedule: Schedule,
    links: Vec<Link>,
    client: ClientSide,
    server: ServerSide,
    links_of_client: HashMap<OpId, usize>,
    links_of_server: HashMap<OpId, usize>,
    /// The server's connection that the client is on.
    joined: Option<usize>,
    acts: u64,
    /// Troubles still to come.
    troubles: u64,
    tally: Tally,
    /// The first start has succeeded.
    started: bool,
    closed: bool,
    steps: u64,
}

/// Plays the session of this seed.
///
/// # Panics
/// When a machine breaks a rule; the seed is printed.
pub fn run(seed: u64) -> Tally {
    let _named = Named(seed);
    let mut random = Random::new(seed);
    let plan = Plan::new(&mut random);
    let mut world = World::new(plan, random);
    world.play();
    let messages = world.tally.messages;
    match plan.transport {
        TransportKind::ServerSentEvents => world.tally.over_events = messages,
        TransportKind::LongPolling => world.tally.over_polls = messages,
        _ => {}
    }
    world.tally
}

/// Prints the seed of a session that fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "the session of seed {} failed", self.0);
        }
    }
}

impl World {
    fn new(plan: Plan, mut random: Random) -> Self {
        Self {
            plan,
            client: ClientSide::new(&plan, &mut random),
            server: ServerSide::new(&plan, &mut random),
            random,
            schedule: Schedule::default(),
            links: Vec::new(),
            links_of_client: HashMap::new(),
            links_of_server: HashMap::new(),
            joined: None,
            acts: 0,
            troubles: 0,
            tally: Tally::default(),
            started: false,
            closed: false,
            steps: 0,
        }
    }

    fn play(&mut self) {
        self.client
            .machine
            .start(self.schedule.now)
            .expect("a new client can start");
        self.poll_client();
        self.plan_troubles();
        self.schedule.after(Duration::ZERO, Happening::ClientActs);
        self.schedule.after(Duration::ZERO, Happening::ServerActs);
        let plan = self.plan;
        self.run_until(|world| world.acts >= plan.acts && world.troubles == 0, None);
        self.settle();
        self.check_settled();
        self.finish();
    }

    fn plan_troubles(&mut self) {
        let mut at = 0;
        self.troubles = self.plan.cuts;
        for _ in 0..self.plan.cuts {
            at += match self.plan.weather {
                Weather::Gentle => CALM + self.random.below(5_000),
                Weather::Rough => self.random.below(8_000),
            };
            self.schedule
                .after(Duration::from_millis(at), Happening::Cut);
        }
        if self.random.percent(20) {
            let at = self.random.up_to(10_000);
            self.schedule.after(at, Happening::ClientPauses(true));
        }
    }

    /// Runs until `done`, or for so long.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool, most: Option<Duration>) {
        let end = most.map(|most| self.schedule.now.after(most));
        while !done(self) {
            let Some(at) = self.next_at() else { return };
            if end.is_some_and(|end| at > end) {
                return;
            }
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "the session does not end");
            self.schedule.now = self.schedule.now.max(at);
            self.step();
        }
    }

    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let servers = self.server.connections.iter();
        servers
            .filter_map(|connection| connection.deadline)
            .chain(self.client.deadline)
            .chain(self.server.endpoint.poll_timeout())
    }

    fn next_at(&self) -> Option<Instant> {
        self.deadlines().chain(self.schedule.next_at()).min()
    }

    fn step(&mut self) {
        let now = self.schedule.now;
        if self.schedule.next_at().is_some_and(|at| at <= now) {
            if let Some(Reverse(entry)) = self.schedule.queue.pop() {
                return self.happen(entry.happening);
            }
        }
        if self.client.deadline.is_some_and(|at| at <= now) {
            self.client.input(now, Input::Timeout);
            self.poll_client();
            let waits = self.client.deadline.is_none_or(|at| at > now);
            assert!(waits, "the client's deadline stands still");
            return;
        }
        let endpoint = &mut self.server.endpoint;
        if endpoint.poll_timeout().is_some_and(|at| at <= now) {
            endpoint.handle_timeout(now);
            let waits = endpoint.poll_timeout().is_none_or(|at| at > now);
            assert!(waits, "the endpoint's deadline stands still");
            return;
        }
        let due = |connection: &Connection| connection.deadline.is_some_and(|at| at <= now);
        if let Some(index) = self.server.connections.iter().position(due) {
            self.server_input(index, ServerInput::Timeout);
            let waits = self.connection(index).deadline.is_none_or(|at| at > now);
            assert!(waits, "a server's deadline stands still");
        }
    }

    fn connection(&mut self, index: usize) -> &mut Connection {
        let connection = self.server.connections.get_mut(index);
        connection.expect("the connection is there")
    }

    fn link(&mut self, index: usize) -> &mut Link {
        self.links.get_mut(index).expect("the link is there")
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.schedule.now;
        match happening {
            Happening::Arrival(link, way, arrival) => self.arrive(link, way, arrival),
            Happening::Taken(link, way) => self.taken(link, way),
            Happening::Dies(link, way) => self.link(link).kill(way),
            Happening::Cut => self.cut(),
            Happening::Breaks => self.breaks(),
            Happening::ClientActs => self.client_acts(),
            Happening::ServerActs => self.server_acts(),
            Happening::ClientPauses(pause) => self.client_pauses(pause),
            Happening::ServerPauses(index, pause) => self.server_pauses(index, pause),
            Happening::Greet(index) => {
                self.connection(index).greet(now);
                self.poll_server(index);
            }
        }
    }
}

mod play;
mod wire;
