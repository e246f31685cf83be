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
use signalr_harness::fault_proxy::{FaultProxy, RequestKind};
use signalr_tests::{own, reference};
use table::{Case, Harm, Planned, Way, bytes, table};

/// Every timeout of the client. Longer than a busy machine needs, and short enough for a table.
const SHORT: Duration = Duration::from_secs(2);
/// What a single step may take: the longest chain of timeouts that it can run into.
const PATIENCE: Duration = Duration::from_secs(12);
/// Cases under way at the same time.
const AT_ONCE: usize = 12;
/// The same for cases that mostly wait.
const WAITING_AT_ONCE: usize = 64;
/// Rounds of calls until everything must work again. A stalled connection may cost one round by the call whose answer it
/// swallowed, and others by each request that goes over it before it is given up.
const ROUNDS: usize = 8;
/// Calls that the server makes in each round, and items of its stream.
const TOLD: i32 = 4;
const ITEMS: i32 = 5;
/// How often a case is tried whose fault did not come, because a busy machine was slower than the client's patience.
const TRIES: usize = 3;
/// Starts until one must succeed.
const STARTS: usize = 3;
/// Every so many bytes a connection is cut in an ordinary run.
const STEP: usize = 5;

fn connection(case: &Case, proxy: &FaultProxy) -> HubConnection {
    // What does no harm must not be mistaken for harm on a busy machine.
    let short = if case.harm == Harm::None {
        PATIENCE
    } else {
        SHORT
    };
    let pauses = [0, 50, 100, 200].map(Duration::from_millis);
    HubConnection::builder(format!("{}/hub", proxy.url()))
        .protocol(case.protocol)
        .transports(case.way.transports().iter().copied())
        .stateful_reconnect(case.way == Way::Stateful)
        .token("canary")
        .connect_timeout(short)
        .handshake_timeout(short)
        .server_timeout(short)
        .request_timeout(short)
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
fn clear(error: &(dyn std::error::Error + 'static)) -> Result<String, String> {
    let text = signalr_tests::with_causes(error);
    let bad = text.is_empty()
        || text.len() > 500
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

/// What a round came to: nothing wrong, or one of the errors.
type Round = Result<Option<String>, String>;

/// Calls, a stream and calls of the server, all at the same time.
async fn round(harm: Harm, connection: &HubConnection, number: usize) -> Round {
    let calls = calls(harm, connection, number);
    if harm != Harm::Lost {
        return soon("a call", calls).await?;
    }
    // Whoever waits for what was lost gives up at some time.
    tokio::time::timeout(SHORT, calls)
        .await
        .unwrap_or_else(|_| Ok(Some("no answer".into())))
}

async fn calls(harm: Harm, connection: &HubConnection, number: usize) -> Round {
    let method = format!("Told{number}");
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let subscription = connection.on(&method, move |value: i32| {
        heard.lock().unwrap().push(value);
    });
    let text = format!("text {number}");
    let (echo, sum, burst, count) = join!(
        connection.invoke::<String>("EchoText", (&text,)),
        connection.invoke::<i64>("Add", (number, 1)),
        connection.invoke::<()>("Burst", (&method, TOLD)),
        counted(harm, connection),
    );
    connection.off(&subscription);
    in_order(harm, &told.lock().unwrap(), burst.is_ok().then_some(TOLD))?;
    let wrong = [
        outcome(echo, |echo| *echo == text)?,
        outcome(sum, |sum| usize::try_from(*sum) == Ok(number + 1))?,
        outcome(burst, |()| true)?,
        count?,
    ];
    Ok(wrong.into_iter().flatten().next())
}

/// A result must be right, and an error clear.
fn outcome<T: std::fmt::Debug>(
    result: Result<T, signalr::CallError>,
    is_right: impl FnOnce(&T) -> bool,
) -> Round {
    match result {
        Ok(value) if is_right(&value) => Ok(None),
        Ok(value) => Err(format!("a wrong result: {value:?}")),
        Err(error) => clear(&error).map(Some),
    }
}

/// Numbers come in order from 0, each once and none left out; `all` of them when that is known.
fn in_order(harm: Harm, numbers: &[i32], all: Option<i32>) -> Result<(), String> {
    let ordered = if harm == Harm::Lost {
        numbers.is_sorted_by(|a, b| a < b)
    } else {
        let count = all.or_else(|| i32::try_from(numbers.len()).ok());
        numbers.iter().copied().eq(0..count.unwrap_or_default())
    };
    if ordered {
        Ok(())
    } else {
        Err(format!("lost or repeated: {numbers:?}"))
    }
}

/// A stream.
async fn counted(harm: Harm, connection: &HubConnection) -> Round {
    let numbers = match connection.stream::<i32>("Count", (ITEMS, 0)).await {
        Ok(numbers) => numbers,
        Err(error) => return clear(&error).map(Some),
    };
    let numbers: Vec<_> = numbers.collect().await;
    let (items, errors): (Vec<_>, Vec<_>) = numbers.into_iter().partition(Result::is_ok);
    let items: Vec<i32> = items.into_iter().flatten().collect();
    match errors.into_iter().find_map(Result::err) {
        None => in_order(harm, &items, Some(ITEMS)).map(|()| None),
        Some(error) => {
            in_order(harm, &items, None)?;
            clear(&error).map(Some)
        }
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

/// Starts, more than once if it must be: an answer that nobody asked for can make the next one come late, too.
async fn start(case: &Case, connection: &HubConnection) -> Result<(), String> {
    let mut failure = String::new();
    for _ in 0..STARTS {
        let Err(error) = soon("start", connection.start()).await? else {
            return Ok(());
        };
        failure = clear(&error)?;
        if case.harm == Harm::None {
            break;
        }
    }
    Err(format!("start failed: {failure}"))
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
        last = round(case.harm, connection, number).await?;
        if case.harm == Harm::None && (last.is_some() || outages.load(Ordering::Relaxed) > 0) {
            return Err(format!("it was noticed: {last:?}"));
        }
        if last.is_none() && (case.plan.is_late() || met(&case.plan, proxy).is_ok()) {
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
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let proxy = FaultProxy::start(Some(server), case.plan.clone())
            .await
            .unwrap();
        let connection = connection(&case, &proxy);
        outcome = live(&case, &proxy, &connection).await;
        let met = met(&case.plan, &proxy);
        if met.is_ok() || outcome.is_err() {
            break;
        }
        outcome = met;
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
        // Where WebSockets work, nobody asks for anything else.
        Planned::Blocks(kinds, _) if !kinds.contains(&RequestKind::WebSocket) => return Ok(()),
        Planned::Blocks(kinds, _) => kinds
            .iter()
            .all(|kind| exchanges.iter().any(|exchange| exchange.kind == *kind)),
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
