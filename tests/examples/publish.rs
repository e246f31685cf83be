//! What a publish costs a server, beside a bare PUBLISH of the same bytes on the core it is given.
//!
//! `publish redis://HOST:PORT [ROUNDS] [SECONDS]` has a hub send to a group of nobody, and the redis crate publish what the hub
//! publishes, one after another and 64 at a time, in turn. Prints the medians of both and of the rounds' ratios: time for each,
//! and in brackets the time for which this process ran.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints its results, which are quotients"
)]

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use signalr::server::{Hub, HubMethods, HubServer};
use signalr_redis::RedisBackplane;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A server of this name has no members in the group, so nothing comes back.
const HUB: &str = "Bench.PublishHub";
const CHANNEL: &str = "Bench.PublishHub:group:nobody";

struct Publishes;

impl Hub for Publishes {
    fn methods(_: &mut HubMethods<Self>) {}
}

/// Microseconds for each publish: that have passed, and for which this process ran.
#[derive(Clone, Copy)]
struct Cost {
    passed: f64,
    ran: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .ok_or("usage: publish redis://HOST:PORT [ROUNDS] [SECONDS]")?;
    let rounds: usize = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let seconds: f64 = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let spell = Duration::try_from_secs_f64(seconds)?;
    // In a task, as in real programs: the future of `main` itself is woken differently.
    tokio::spawn(async move { compare(&url, rounds, spell).await }).await?
}

async fn compare(url: &str, rounds: usize, spell: Duration) -> Result<(), Failure> {
    let server = HubServer::builder(Publishes)
        .backplane(HUB, RedisBackplane::open(url)?)
        .build()?;
    if let Some(backplane) = server.backplane() {
        backplane.ready().await;
    }
    let client = redis::Client::open(url)?;
    let payload = published(&client, &server).await?;
    let bare = client.get_multiplexed_async_connection().await?;
    for in_flight in [1, 64] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first round is for caches.
        for round in 0..=rounds {
            let own = measure(spell, in_flight, || send(&server)).await?;
            let other = measure(spell, in_flight, || publish(&bare, &payload)).await?;
            if round > 0 {
                ours.push(own);
                theirs.push(other);
            }
        }
        report(in_flight, payload.len(), &ours, &theirs);
    }
    Ok(())
}

/// The bytes of one publish of the hub.
async fn published(client: &redis::Client, server: &HubServer) -> Result<Vec<u8>, Failure> {
    let mut listener = client.get_async_pubsub().await?;
    listener.subscribe(CHANNEL).await?;
    send(server).await?;
    let message = listener.on_message().next().await;
    Ok(message.ok_or("Redis hung up")?.get_payload_bytes().to_vec())
}

async fn send(server: &HubServer) -> Result<(), Failure> {
    let text = "b".repeat(100);
    server
        .clients()
        .group("nobody")
        .send("Receive", (text,))
        .await?;
    Ok(())
}

async fn publish(bare: &MultiplexedConnection, payload: &[u8]) -> Result<(), Failure> {
    let receivers: u64 = bare.clone().publish(CHANNEL, payload).await?;
    if receivers != 0 {
        return Err("somebody listens".into());
    }
    Ok(())
}

/// Publishes for that long, so many at a time.
async fn measure<F: Future<Output = Result<(), Failure>>>(
    spell: Duration,
    in_flight: usize,
    once: impl Fn() -> F,
) -> Result<Cost, Failure> {
    let (began, ran) = (Instant::now(), running_time()?);
    let publishes = (0..in_flight).map(|_| async {
        let mut count = 0_u64;
        while began.elapsed() < spell {
            once().await?;
            count += 1;
        }
        Ok::<_, Failure>(count)
    });
    let count: u64 = try_join_all(publishes).await?.into_iter().sum();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Cost {
        passed: each(began.elapsed()),
        ran: each(running_time()?.saturating_sub(ran)),
    })
}

/// For how long this process has been running.
fn running_time() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = stat.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn report(in_flight: usize, bytes: usize, ours: &[Cost], theirs: &[Cost]) {
    let pairs = || ours.iter().zip(theirs);
    let passed = median(pairs().map(|(ours, theirs)| ours.passed / theirs.passed));
    let ran = median(pairs().map(|(ours, theirs)| ours.ran / theirs.ran));
    let cost = |costs: &[Cost]| {
        let passed = median(costs.iter().map(|cost| cost.passed));
        let ran = median(costs.iter().map(|cost| cost.ran));
        format!("{passed:.2} us ({ran:.2})")
    };
    println!(
        "publish {in_flight} at a time, {bytes} bytes: {}, a bare PUBLISH {}; {passed:.2} ({ran:.2}) x, ≤ 2 wanted: {}",
        cost(ours),
        cost(theirs),
        if passed <= 2.0 { "reached" } else { "MISSED" }
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
