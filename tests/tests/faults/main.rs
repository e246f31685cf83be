//! Networks that break in every way and at every place: the client ends in success or one clear error, in bounded time, resolves
//! every call, loses and repeats nothing, comes back when the fault was transient, and leaves no task behind.
//!
//! One table over transport, fault and position, run against real servers through a proxy that breaks connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod table;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, join, stream};
use signalr::{ConnectionState, HubConnection};
use signalr_testkit::fault_proxy::FaultProxy;
use signalr_tests::{own, reference};
use table::{Case, Harm, Planned, Way, bytes, table};

/// Every timeout of the client. Longer than a busy machine needs, and short enough for a table.
const SHORT: Duration = Duration::from_secs(2);
/// What a single step may take: the longest chain of timeouts that it can run into.
const PATIENCE: Duration = Duration::from_secs(12);
/// Cases under way at the same time.
const AT_ONCE: usize = 12;
/// The same for cases that mostly wait.
const WAITING_AT_ONCE: usize = 200;
/// Rounds of calls until everything must work again.
const ROUNDS: usize = 4;
/// Calls that the server makes in each round.
const TOLD: i32 = 4;
/// Every so many bytes a connection is cut in an ordinary run.
const STEP: usize = 3;

fn connection(case: &Case, proxy: &FaultProxy) -> HubConnection {
    let pauses = [0, 50, 100, 200].map(Duration::from_millis);
    HubConnection::builder(format!("{}/hub", proxy.url()))
        .protocol(case.protocol)
        .token("canary")
        .connect_timeout(SHORT)
        .handshake_timeout(SHORT)
        .server_timeout(SHORT)
        .close_timeout(Duration::from_millis(500))
        .automatic_reconnect(pauses.to_vec())
        .build()
        .unwrap()
}

/// A future that must not hang.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| format!("{what} hung"))
}

/// An error that a person can read.
fn clear(error: &(impl std::error::Error + ?Sized)) -> Result<String, String> {
    let text = error.to_string();
    let bad = text.is_empty()
        || text.len() > 400
        || text.contains('\n')
        || format!("{text}{error:?}").contains("canary")
        || ["{ ", "Some(", "Error("]
            .iter()
            .any(|debug| text.contains(debug));
    if bad {
        return Err(format!("an unclear error: {text:?}"));
    }
    Ok(text)
}

/// Calls, streams and calls of the server, all at the same time. `Ok(None)` when everything worked, else one of the errors.
async fn round(connection: &HubConnection, number: usize) -> Result<Option<String>, String> {
    let method = format!("Told{number}");
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let subscription = connection.on(&method, move |(value,): (i32,)| {
        heard.lock().unwrap().push(value);
    });
    let text = format!("text {number}");
    let calls = async {
        join!(
            connection.invoke::<String>("EchoText", (&text,)),
            connection.invoke::<i64>("Add", (number, 1)),
            connection.invoke::<()>("Burst", (&method, TOLD)),
            counted(connection),
        )
    };
    let (echo, sum, burst, count) = soon("a call", calls).await?;
    connection.off(&subscription);
    let told = told.lock().unwrap().clone();
    let in_order = told
        .iter()
        .copied()
        .eq(0..i32::try_from(told.len()).unwrap());
    if !in_order || burst.is_ok() && !told.iter().copied().eq(0..TOLD) {
        return Err(format!("the server's calls came as {told:?}"));
    }
    let mut failure = None;
    match echo {
        Ok(echo) if echo != text => return Err(format!("{echo} is not {text}")),
        Ok(_) => {}
        Err(error) => failure = Some(clear(&error)?),
    }
    match sum {
        Ok(sum) if usize::try_from(sum) != Ok(number + 1) => return Err(format!("a sum of {sum}")),
        Ok(_) => {}
        Err(error) => failure = Some(clear(&error)?),
    }
    if let Err(error) = burst {
        failure = Some(clear(&error)?);
    }
    Ok(count?.or(failure))
}

/// A stream, whose items must come in order, each once.
async fn counted(connection: &HubConnection) -> Result<Option<String>, String> {
    let mut numbers = match connection.stream::<i32>("Count", (5, 0)).await {
        Ok(numbers) => numbers,
        Err(error) => return clear(&error).map(Some),
    };
    let mut next = 0;
    while let Some(number) = numbers.next().await {
        match number {
            Ok(number) if number == next => next += 1,
            Ok(number) => return Err(format!("item {number} came in place of {next}")),
            Err(error) => return clear(&error).map(Some),
        }
    }
    if next == 5 {
        Ok(None)
    } else {
        Err(format!("a stream ended after {next} items"))
    }
}

/// Waits until the connection stands, or is over.
async fn settled(connection: &HubConnection) -> Result<ConnectionState, String> {
    soon("reconnecting", async {
        loop {
            match connection.state() {
                state @ (ConnectionState::Connected | ConnectionState::Disconnected) => {
                    return state;
                }
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

/// Starts, twice if it must be.
async fn start(case: &Case, connection: &HubConnection) -> Result<(), String> {
    let Err(error) = soon("start", connection.start()).await? else {
        return Ok(());
    };
    let text = clear(&error)?;
    if case.harm == Harm::None {
        return Err(format!("start failed: {text}"));
    }
    soon("start", connection.start())
        .await?
        .map_err(|error| format!("start failed again: {error}"))
}

async fn refused(connection: &HubConnection) -> Result<(), String> {
    match soon("start", connection.start()).await? {
        Ok(()) => Err("start succeeded".into()),
        Err(error) => clear(&error).map(drop),
    }
}

/// Everything from start to stop.
async fn live(case: &Case, proxy: &FaultProxy, connection: &HubConnection) -> Result<(), String> {
    if case.harm == Harm::Lasting {
        return refused(connection).await;
    }
    let outages = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&outages);
    connection.on_reconnecting(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    start(case, connection).await?;
    let mut last = None;
    for number in 0..ROUNDS {
        last = round(connection, number).await?;
        if case.harm == Harm::None && (last.is_some() || outages.load(Ordering::Relaxed) > 0) {
            return Err(format!("it was noticed: {last:?}"));
        }
        if last.is_none() && met(&case.plan, proxy).is_ok() {
            break;
        }
        if settled(connection).await? == ConnectionState::Disconnected {
            return Err(format!("it did not come back: {last:?}"));
        }
    }
    if let Some(error) = last {
        return Err(format!("it did not recover: {error}"));
    }
    soon("stop", connection.stop()).await?;
    if connection.state() == ConnectionState::Disconnected {
        Ok(())
    } else {
        Err("stop did not stop it".into())
    }
}

async fn run(case: Case, server: SocketAddr) -> Option<String> {
    let begin = Instant::now();
    let proxy = FaultProxy::start(Some(server), case.plan.clone())
        .await
        .unwrap();
    let connection = connection(&case, &proxy);
    let mut outcome = live(&case, &proxy, &connection).await;
    if outcome.is_ok() {
        outcome = met(&case.plan, &proxy);
    }
    let took = begin.elapsed();
    outcome
        .err()
        .map(|error| format!("{case} ({took:.1?}): {error}"))
}

/// A case whose fault never came proves nothing.
fn met(plan: &Planned, proxy: &FaultProxy) -> Result<(), String> {
    let exchanges = proxy.exchanges();
    let met = match plan {
        Planned::Once(kind, nth, _) => exchanges
            .iter()
            .any(|exchange| exchange.kind == *kind && exchange.nth == *nth),
        Planned::Always(kind, _) => exchanges.iter().any(|exchange| exchange.kind == *kind),
        Planned::Greets(number, _) => *number < proxy.accepted(),
    };
    if met && (!plan.cuts() || proxy.cuts() > 0) {
        Ok(())
    } else {
        Err(format!("the fault was never met: {exchanges:?}"))
    }
}

/// Runs all cases, then sees that nothing of them is left.
fn check(server: SocketAddr, cases: Vec<Case>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let only = std::env::var("SIGNALR_ONLY").ok();
    let count = cases.len();
    let begin = Instant::now();
    let chosen = cases.into_iter().filter(|case| {
        only.as_ref()
            .is_none_or(|only| case.to_string().contains(only))
    });
    let (waiting, working) = chosen.partition(Case::stalls);
    let failures = runtime.block_on(async {
        let (waiting, working) = join!(
            run_all(waiting, server, WAITING_AT_ONCE),
            run_all(working, server, AT_ONCE)
        );
        [waiting, working].concat()
    });
    let left = runtime.block_on(leftovers());
    assert!(
        failures.is_empty(),
        "{} failures of {count} in {:.1?}:\n{}",
        failures.len(),
        begin.elapsed(),
        failures.join("\n")
    );
    assert_eq!(left, 0, "tasks are left");
}

async fn run_all(cases: Vec<Case>, server: SocketAddr, at_once: usize) -> Vec<String> {
    stream::iter(cases)
        .map(|case| tokio::spawn(run(case, server)))
        .buffer_unordered(at_once)
        .filter_map(|outcome| async { outcome.unwrap_or_else(|panic| Some(panic.to_string())) })
        .collect()
        .await
}

/// Tasks that live on although everything was dropped.
async fn leftovers() -> usize {
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..200 {
        if metrics.num_alive_tasks() == 0 {
            return 0;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    metrics.num_alive_tasks()
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap()
}

/// Our own server, and the official one unless it is missing here.
fn servers() -> Vec<(SocketAddr, &'static [Way])> {
    let mut servers = vec![(address(&own::start().unwrap().url), Way::OF_OUR_SERVER)];
    servers.extend(reference::url().map(|url| (address(url), Way::ALL)));
    servers
}

#[test]
fn every_fault_ends_in_success_or_one_clear_error_and_what_passes_is_recovered_from() {
    for (server, ways) in servers() {
        check(server, ways.iter().copied().flat_map(table).collect());
    }
}

/// The servers share the bytes between them, a few of them each. All of them with `SIGNALR_FAULTS=all`, which takes its time.
#[test]
fn a_connection_may_break_at_any_byte() {
    let all = std::env::var("SIGNALR_FAULTS").is_ok_and(|value| value == "all");
    for (index, (server, ways)) in servers().into_iter().enumerate() {
        let (first, step) = if all { (0, 1) } else { (index, STEP) };
        check(
            server,
            ways.iter()
                .flat_map(|way| bytes(*way, first, step))
                .collect(),
        );
    }
}
