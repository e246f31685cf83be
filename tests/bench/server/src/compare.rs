//! All servers in turn, several times, and a table of what came of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::contest::{self, Case, Load, Rival};
use crate::idle::Idle;
use crate::options::Options;
use crate::process::Server;
use crate::report;
use crate::spell::{Limit, Outcome, Plan};
use crate::{Failure, broadcast, echo, farm, idle};

/// What a rival did in the rounds so far, or why it does not take part.
#[derive(Clone, Debug)]
pub enum Record {
    /// Calls or deliveries.
    Spells(Vec<Outcome>),
    /// Bytes for each connection.
    Bytes(Vec<f64>),
    /// It could not do it.
    Unable(String),
}

/// Who did what in which case.
pub type Records = BTreeMap<(usize, Rival), Record>;

/// How everything is run.
#[derive(Debug)]
struct Settings {
    commands: BTreeMap<Rival, Vec<String>>,
    rounds: usize,
    warm_up: Duration,
    seconds: Duration,
    nap: Duration,
    core: Option<usize>,
    connections: usize,
    settle: Duration,
    /// Around which the servers stand, if they are compared in a farm.
    redis: Option<SocketAddr>,
}

/// Runs the contest that the options describe, and gives whether every goal was reached.
///
/// # Errors
/// When the options make no sense or a server does not start.
pub fn run(mut options: Options) -> Result<bool, Failure> {
    let only = options.text("--only")?;
    let settings = settings(&mut options)?;
    options.finish()?;
    let mut cases = match settings.redis {
        None => contest::cases(),
        Some(_) => contest::farm_cases(),
    };
    if let Some(only) = only {
        let wanted: Vec<&str> = only.split(',').collect();
        cases.retain(|case| wanted.iter().any(|text| case.load.name().contains(text)));
    }
    let mut records = Records::new();
    settings.busy(&cases, &mut records)?;
    settings.idle(&cases, &mut records);
    Ok(report::print(&cases, &records))
}

fn settings(options: &mut Options) -> Result<Settings, Failure> {
    let redis: Option<SocketAddr> = options
        .text("--redis")?
        .map(|address| address.parse())
        .transpose()?;
    let mut commands = BTreeMap::new();
    for (rival, name) in [
        (Rival::Ours, "--ours"),
        (Rival::AspNet, "--reference"),
        (Rival::SocketIoxide, "--socketioxide"),
        (Rival::Floor, "--floor"),
    ] {
        if let Some(mut words) = options.words(name)? {
            if let Some(redis) = redis {
                words.extend(["--redis".to_owned(), redis.to_string()]);
                words.extend(["--prefix", rival.prefix()].map(str::to_owned));
            }
            commands.insert(rival, words);
        }
    }
    Ok(Settings {
        commands,
        rounds: options.value("--rounds", 5)?,
        warm_up: options.seconds("--warm-up", 2.0)?,
        seconds: options.seconds("--seconds", 1.0)?,
        nap: options.seconds("--nap", 0.0)?,
        core: options
            .text("--core")?
            .map(|core| core.parse())
            .transpose()?,
        connections: options.value("--connections", 8000)?,
        settle: options.seconds("--settle", 3.0)?,
        redis,
    })
}

impl Settings {
    /// The rivals of a case that there are.
    fn rivals<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = Rival> + 'a {
        let known = |rival: &Rival| self.commands.contains_key(rival);
        case.rivals.iter().copied().filter(known)
    }

    /// Calls and broadcasts: the servers stay, and spells of theirs alternate.
    fn busy(&self, cases: &[Case], records: &mut Records) -> Result<(), Failure> {
        let busy = |case: &&(usize, &Case)| !matches!(case.1.load, Load::Idle(_));
        let cases: Vec<(usize, &Case)> = cases.iter().enumerate().collect();
        let cases: Vec<_> = cases.iter().filter(busy).collect();
        let mut servers = BTreeMap::new();
        for rival in cases.iter().flat_map(|(_, case)| self.rivals(case)) {
            if let Some(command) = self.commands.get(&rival)
                && !servers.contains_key(&rival)
            {
                servers.insert(rival, Server::start(command, self.core)?);
            }
        }
        for round in 0..=self.rounds {
            for (index, case) in &cases {
                for rival in self.rivals(case) {
                    let Some(server) = servers.get(&rival) else {
                        continue;
                    };
                    let record = records
                        .entry((*index, rival))
                        .or_insert(Record::Spells(Vec::new()));
                    // The first round is there for the compilers and caches of the servers.
                    self.spell(server, case.load.for_rival(rival), round == 0, record);
                }
            }
            eprintln!("round {round} of {} done", self.rounds);
        }
        Ok(())
    }

    fn spell(&self, server: &Server, load: Load, warming: bool, record: &mut Record) {
        let Record::Spells(spells) = record else {
            return;
        };
        let limit = Limit::Time {
            warm: if warming {
                self.warm_up
            } else {
                self.seconds / 4
            },
            counted: if warming {
                Duration::ZERO
            } else {
                self.seconds
            },
        };
        let plan = Plan {
            limit,
            nap: self.nap,
            server: Some(server.pid()),
        };
        let outcome = match load {
            Load::Echo(load) => echo::run(server.address(), load, plan),
            Load::Broadcast(load) => broadcast::run(server.address(), load, plan),
            Load::Farm(load) => match self.redis {
                Some(redis) => farm::run(server.address(), redis, load, plan),
                None => return,
            },
            Load::Idle(_) => return,
        };
        match outcome {
            Ok(outcome) if !warming => spells.push(outcome),
            Ok(_) => {}
            Err(error) => *record = Record::Unable(error.to_string()),
        }
    }

    /// Idle connections: each time a server that has done nothing else.
    fn idle(&self, cases: &[Case], records: &mut Records) {
        for (index, case) in cases.iter().enumerate() {
            let Load::Idle(transport) = case.load else {
                continue;
            };
            let idle = Idle {
                connections: self.connections,
                transport,
                settle: self.settle,
            };
            for rival in self.rivals(case) {
                let Some(command) = self.commands.get(&rival) else {
                    continue;
                };
                let measured = Server::start(command, self.core)
                    .and_then(|server| idle::run(server.address(), server.pid(), idle));
                let record = match measured {
                    Ok(bytes) => Record::Bytes(vec![bytes]),
                    Err(error) => Record::Unable(error.to_string()),
                };
                records.insert((index, rival), record);
            }
            eprintln!("{} done", case.load.name());
        }
    }
}
