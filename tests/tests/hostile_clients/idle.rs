//! Ten thousand clients that do nothing but live, for ten minutes: `SIGNALR_LONG=1`.

use std::env;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};

use signalr_tests::reference;

use crate::raw::{Socket, record};
use crate::server::{MIB, Margin, Server, Watch};

/// Each takes a descriptor of this process and one of the server.
const CLIENTS: usize = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const MEMORY: u64 = 160 * MIB;

fn number(name: &str, default: usize) -> usize {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Pings as the official clients do, and counts those of the server.
async fn idle(mut socket: Socket, until: Instant) -> Result<usize, String> {
    let mut ticks = interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = 0;
    while Instant::now() < until {
        tokio::select! {
            _ = ticks.tick() => socket.send(record(r#"{"type":6}"#)).await,
            frame = socket.reader.frame() => match frame {
                Some((0x81, payload)) if payload == b"{\"type\":6}\x1e" => heard += 1,
                Some((first, _)) => return Err(format!("a frame of kind {first:#x} after {heard} pings")),
                None => return Err(format!("dropped after {heard} pings")),
            },
        }
    }
    socket.works().await;
    socket.reset();
    Ok(heard)
}

async fn connect(server: &Server, count: usize) -> Vec<Socket> {
    stream::iter(0..count)
        .map(|_| Socket::connect(server, "/hub"))
        .buffer_unordered(100)
        .collect()
        .await
}

pub async fn clients_cost_little_and_stay() {
    if env::var_os("SIGNALR_LONG").is_none() {
        reference::skipped("10,000 idle connections for ten minutes; set SIGNALR_LONG=1");
        return;
    }
    let clients = number("SIGNALR_LONG_CLIENTS", CLIENTS);
    let time = Duration::from_secs(number("SIGNALR_LONG_SECONDS", 600) as u64);
    let server = Server::start().await;
    // An allocator keeps pages that are nearly empty: that nothing is left shows when the same happens again.
    let empty = server.usage();
    for socket in connect(&server, clients).await {
        socket.reset();
    }
    let margin = Margin {
        memory: MEMORY,
        ..Margin::default()
    };
    server.returns_to(empty, margin).await;
    let watch = Watch::begin(&server, "idle connections");
    let sockets = connect(&server, clients).await;
    let connected = server.usage();
    eprintln!(
        "{clients} connections: {connected}, {} bytes each",
        connected.memory.saturating_sub(empty.memory) / clients as u64
    );
    let until = Instant::now() + time;
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|socket| tokio::spawn(idle(socket, until)))
        .collect();
    while Instant::now() + Duration::from_secs(30) < until {
        tokio::time::sleep(Duration::from_secs(30)).await;
        eprintln!("  {}", server.usage());
    }
    let mut pings = Vec::new();
    let mut dropped = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(heard) => pings.push(heard),
            Err(why) => dropped.push(why),
        }
    }
    dropped.sort();
    dropped.dedup();
    let (least, most) = (pings.iter().min(), pings.iter().max());
    let usage = server.usage();
    eprintln!(
        "after {time:?}: {usage}, {} bytes each at most; {least:?} to {most:?} pings each",
        usage.peak.saturating_sub(empty.memory) / clients as u64
    );
    assert!(dropped.is_empty(), "dropped: {dropped:?}");
    let expected = usize::try_from(time.as_secs() / 16).unwrap();
    assert!(
        least.is_some_and(|least| least + 1 >= expected),
        "pings are missing"
    );
    assert!(usage.peak <= MEMORY, "{usage}");
    watch.returns(Margin::default()).await;
}
