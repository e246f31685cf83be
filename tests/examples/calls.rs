//! Measures clients against `plain_hub`, on the core it is given.
//!
//! `calls hub ws://HOST:PORT [IN_FLIGHT] [SECONDS] [json|messagepack]` keeps that many calls of 100 bytes in flight through the
//! library. `calls joined ws://HOST:PORT [IN_FLIGHT] [SECONDS]` does so in turn with a bare WebSocket that keeps as many calls in
//! flight and writes as many ready-made ones, joined, as answers came: all that a client could do. `calls compare ws://HOST:PORT [SECONDS]` has one call after another made in turn by the library, by a bare WebSocket
//! that has the same message echoed, and by a bare WebSocket that sends the same bytes to the same hub and decodes nothing:
//! short spells that alternate, so that whatever else the machine does meets all of them alike. Prints one line of JSON.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints its result, which is a rate"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use signalr::{HubConnection, Protocol};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls made one after another before the next client has its turn: some ten milliseconds.
const SPELL: u32 = 250;

/// The same where many are in flight.
const JOINED_SPELL: Duration = Duration::from_millis(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |index: usize, default: &str| {
        arguments
            .get(index)
            .map_or_else(|| default.to_owned(), Clone::clone)
    };
    let url = text(2, "ws://127.0.0.1:5000");
    // In a task, as in real programs: the future of `main` itself is woken differently.
    let verb = text(1, "hub");
    let line = if verb == "compare" {
        let seconds = Duration::from_secs_f64(text(3, "10").parse()?);
        tokio::spawn(async move { compare(&url, seconds).await }).await??
    } else {
        let in_flight: usize = text(3, "1").parse()?;
        let seconds = Duration::from_secs_f64(text(4, "2").parse()?);
        let protocol = if text(5, "json") == "json" {
            Protocol::Json
        } else {
            Protocol::MessagePack
        };
        tokio::spawn(async move {
            if verb == "joined" {
                joined(&url, in_flight, seconds).await
            } else {
                hub(&url, protocol, in_flight, seconds).await
            }
        })
        .await??
    };
    println!("{line}");
    Ok(())
}

fn payload() -> String {
    "b".repeat(100)
}

/// What the library writes for a call with that payload.
fn call_on_the_wire() -> String {
    format!(
        "{{\"type\":1,\"invocationId\":\"1000000\",\"target\":\"EchoText\",\"arguments\":[\"{}\"]}}\u{1e}",
        payload()
    )
}

async fn connect(url: &str, protocol: Protocol) -> Result<HubConnection, Failure> {
    let connection = HubConnection::builder(format!("{url}/hub"))
        .skip_negotiation(true)
        .protocol(protocol)
        .build()?;
    connection.start().await?;
    Ok(connection)
}

async fn hub(
    url: &str,
    protocol: Protocol,
    in_flight: usize,
    limit: Duration,
) -> Result<String, Failure> {
    let connection = connect(url, protocol).await?;
    calls(&connection, in_flight, limit / 3).await?;
    let rate = calls(&connection, in_flight, limit).await?;
    connection.stop().await;
    Ok(format!(
        "{{\"client\":\"rust\",\"protocol\":\"{}\",\"inflight\":{in_flight},\"invocations_per_second\":{rate:.0},\"microseconds_each\":{:.3}}}",
        protocol.name(),
        1e6 / rate
    ))
}

async fn calls(
    connection: &HubConnection,
    in_flight: usize,
    limit: Duration,
) -> Result<f64, Failure> {
    let text = payload();
    // The clock is not read for each call: neither does who joins ready-made ones.
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let one = async || -> Result<u64, Failure> {
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            let answer: String = connection.invoke("EchoText", (text.as_str(),)).await?;
            assert_eq!(answer.len(), text.len());
            count += 1;
        }
        Ok(count)
    };
    let alarm = async {
        tokio::time::sleep(limit).await;
        over.store(true, Ordering::Relaxed);
    };
    let (counts, ()) = join(join_all((0..in_flight).map(|_| one())), alarm).await;
    let total: u64 = counts.into_iter().sum::<Result<u64, Failure>>()?;
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

/// A WebSocket with nothing around it.
struct Bare {
    socket: WebSocketStream<TokioAdapter<TcpStream>>,
    message: String,
}

impl Bare {
    async fn connect(url: &str, path: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(url.trim_start_matches("ws://")).await?;
        stream.set_nodelay(true)?;
        let (socket, _) =
            async_tungstenite::tokio::client_async(format!("{url}{path}"), stream).await?;
        Ok(Self {
            socket,
            message: call_on_the_wire(),
        })
    }

    async fn hub(url: &str) -> Result<Self, Failure> {
        let mut bare = Self::connect(url, "/hub").await?;
        bare.exchange("{\"protocol\":\"json\",\"version\":1}\u{1e}".to_owned())
            .await?;
        Ok(bare)
    }

    async fn exchange(&mut self, message: String) -> Result<usize, Failure> {
        self.socket.send(Message::text(message)).await?;
        let answer = self.socket.next().await.ok_or("the socket ended")??;
        Ok(answer.len())
    }

    async fn spell(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        for _ in 0..SPELL {
            let length = self.exchange(self.message.clone()).await?;
            assert!(length > 100);
        }
        Ok(start.elapsed())
    }
}

/// Calls that were written beforehand, as many in one message as answers came in one.
struct Joined {
    bare: Bare,
    calls: String,
}

impl Joined {
    async fn hub(url: &str, in_flight: usize) -> Result<Self, Failure> {
        let bare = Bare::hub(url).await?;
        let calls = bare.message.repeat(in_flight);
        Ok(Self { bare, calls })
    }

    /// Calls in a second.
    async fn spell(&mut self, in_flight: usize) -> Result<f64, Failure> {
        let length = self.bare.message.len();
        let start = Instant::now();
        let (mut count, mut begin, mut open) = (0, in_flight, 0);
        loop {
            if begin > 0 {
                let calls = self.calls.get(..begin * length).unwrap_or_default();
                self.bare.socket.send(Message::text(calls)).await?;
                open += begin;
            }
            let answers = self.bare.socket.next().await.ok_or("the socket ended")??;
            let answers = memchr::memchr_iter(0x1e, &answers.into_data()).count();
            count += answers;
            open -= answers;
            let over = start.elapsed() >= JOINED_SPELL;
            begin = if over { 0 } else { answers };
            if over && open == 0 {
                return Ok(count as f64 / start.elapsed().as_secs_f64());
            }
        }
    }
}

async fn joined(url: &str, in_flight: usize, limit: Duration) -> Result<String, Failure> {
    let connection = connect(url, Protocol::Json).await?;
    let mut bare = Joined::hub(url, in_flight).await?;
    let start = Instant::now();
    let mut spells = Vec::new();
    while start.elapsed() < limit {
        let bare = bare.spell(in_flight).await?;
        spells.push((bare, calls(&connection, in_flight, JOINED_SPELL).await?));
    }
    connection.stop().await;
    let bare = median(spells.iter().map(|(bare, _)| *bare));
    let ours = median(spells.iter().map(|(_, ours)| *ours));
    let over = median(spells.iter().map(|(bare, ours)| ours / bare));
    Ok(format!(
        "{{\"spells\":{},\"inflight\":{in_flight},\"joined_per_second\":{bare:.0},\"invocations_per_second\":{ours:.0},\"over_joined\":{over:.3}}}",
        spells.len()
    ))
}

async fn spell(connection: &HubConnection) -> Result<Duration, Failure> {
    let text = payload();
    let start = Instant::now();
    for _ in 0..SPELL {
        let answer: String = connection.invoke("EchoText", (text.as_str(),)).await?;
        assert_eq!(answer.len(), text.len());
    }
    Ok(start.elapsed())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn compare(url: &str, limit: Duration) -> Result<String, Failure> {
    let connection = connect(url, Protocol::Json).await?;
    let mut echo = Bare::connect(url, "/echo").await?;
    let mut raw = Bare::hub(url).await?;
    let start = Instant::now();
    let mut spells = Vec::new();
    while start.elapsed() < limit {
        let one = [
            echo.spell().await?,
            raw.spell().await?,
            spell(&connection).await?,
        ];
        spells.push(one.map(|spell| spell.as_secs_f64() * 1e6 / f64::from(SPELL)));
    }
    connection.stop().await;
    let [echo, raw, call] = [0, 1, 2].map(|index| {
        median(
            spells
                .iter()
                .map(|one| one.get(index).copied().unwrap_or_default()),
        )
    });
    let over_echo = median(spells.iter().map(|[echo, _, call]| call / echo));
    let over_raw = median(spells.iter().map(|[_, raw, call]| call / raw));
    Ok(format!(
        "{{\"spells\":{},\"echo_us\":{echo:.2},\"raw_us\":{raw:.2},\"call_us\":{call:.2},\"over_echo\":{over_echo:.3},\"over_raw\":{over_raw:.3}}}",
        spells.len()
    ))
}
