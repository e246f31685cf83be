//! Farms of servers, ours and Microsoft's, around one real Redis.
//!
//! The Redis is started by the tests on a free port: `SIGNALR_REDIS` names its program, else it is looked for on the path. The
//! official server is found as everywhere else. What is not there is reported as skipped, and has to be there in CI.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod acceptance;
mod broken;
mod clients;
mod cuts;
mod deployments;
mod faults;
mod groups;
mod messages;
mod questions;
mod redis;
mod servers;

use futures_util::future::join_all;
use futures_util::join;
use signalr_client::{Protocol, TransportKind};
use signalr_tests::WAYS;

use clients::{Client, all_hear, none_hears};
use redis::Redis;
use servers::{Kind, Server};

/// The farms in which everything has to work.
const FARMS: [&[Kind]; 3] = [
    &[Kind::Ours, Kind::Ours],
    &[Kind::Ours, Kind::Official],
    &[Kind::Ours, Kind::Ours, Kind::Official],
];

/// Servers around a Redis.
struct Farm {
    redis: Redis,
    servers: Vec<Server>,
}

impl Farm {
    /// `None` when something for it is not there.
    async fn start(kinds: &[Kind]) -> Option<Self> {
        let redis = Redis::start().await?;
        let mut servers = Vec::new();
        for kind in kinds {
            servers.push(Server::start(*kind, redis.address()).await?);
        }
        Some(Self { redis, servers })
    }

    /// A client on each server: the first one in the first of these ways, and so on.
    async fn clients(&self, hub: &str, ways: &[Way], token: &str) -> Vec<Client> {
        let mut clients = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let way = ways[index % ways.len()];
            clients.push(Client::connect(&server.url, hub, way, token).await);
        }
        clients
    }
}

/// Plays the same in each of the farms, side by side: most of it is waiting.
async fn in_every_farm(play: impl AsyncFn(Farm)) {
    let plays = FARMS.map(async |kinds| {
        if let Some(farm) = Farm::start(kinds).await {
            play(farm).await;
        }
    });
    join_all(plays).await;
}

type Way = (TransportKind, Protocol);

/// Ways in which every client understands every other: the official server cannot pass on what a JSON client says without naming
/// types to MessagePack clients, who get `{}` instead.
const ALIKE: [&[Way]; 2] = [
    &[
        (TransportKind::WebSockets, Protocol::Json),
        (TransportKind::ServerSentEvents, Protocol::Json),
        (TransportKind::LongPolling, Protocol::Json),
    ],
    &[
        (TransportKind::WebSockets, Protocol::MessagePack),
        (TransportKind::LongPolling, Protocol::MessagePack),
    ],
];

/// Ways for the clients of a farm such that each server has each of them. For the reason above, a client of the official server
/// speaks JSON only where all do.
fn mixtures(kinds: &[Kind]) -> Vec<Vec<Way>> {
    let count = WAYS.len();
    let all = (0..count).flat_map(|first| [0, 1, 3].map(|step| (first, step)));
    let ways = all.map(|(first, step)| -> Vec<Way> {
        let places = 0..kinds.len();
        places
            .map(|place| WAYS[(first + place * step) % count])
            .collect()
    });
    let understood = ways.filter(|ways| {
        let binary = ways.iter().any(|way| way.1 == Protocol::MessagePack);
        let mut officials = kinds
            .iter()
            .zip(ways)
            .filter(|(kind, _)| **kind == Kind::Official);
        officials.all(|(_, way)| !binary || way.1 == Protocol::MessagePack)
    });
    understood.collect()
}
