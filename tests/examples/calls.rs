//! Measures one client against `plain_hub`, on the core it is given.
//!
//! `calls hub ws://HOST:PORT [IN_FLIGHT] [SECONDS] [json|messagepack]` keeps that many calls of 100 bytes in flight through the
//! library; `calls raw …` sends the same bytes and decodes nothing; `calls echo ws://HOST:PORT [IN_FLIGHT] [SECONDS]` sends bare WebSocket messages of the same size. Prints one line of
//! JSON.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints its result, which is a rate"
)]

use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use signalr::{HubConnection, Protocol};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |index: usize, default: &str| {
        arguments
            .get(index)
            .map_or_else(|| default.to_owned(), Clone::clone)
    };
    let url = text(2, "ws://127.0.0.1:5000");
    let in_flight: usize = text(3, "1").parse()?;
    let seconds: f64 = text(4, "2").parse()?;
    let protocol = if text(5, "json") == "json" {
        Protocol::Json
    } else {
        Protocol::MessagePack
    };
    let limit = Duration::from_secs_f64(seconds);
    // In a task, as in real programs: the future of `main` itself is woken differently.
    let (name, rate) = match text(1, "hub").as_str() {
        "raw" => (
            "raw",
            tokio::spawn(async move { raw(&url, limit).await }).await??,
        ),
        "echo" => (
            "bare",
            tokio::spawn(async move { echo(&url, limit).await }).await??,
        ),
        _ => (
            "rust",
            tokio::spawn(async move { hub(&url, protocol, in_flight, limit).await }).await??,
        ),
    };
    println!(
        "{{\"client\":\"{name}\",\"protocol\":\"{}\",\"inflight\":{in_flight},\"invocations_per_second\":{rate:.0},\"microseconds_each\":{:.3}}}",
        protocol.name(),
        1e6 / rate
    );
    Ok(())
}

async fn hub(
    url: &str,
    protocol: Protocol,
    in_flight: usize,
    limit: Duration,
) -> Result<f64, Failure> {
    let connection = HubConnection::builder(format!("{url}/hub"))
        .skip_negotiation(true)
        .protocol(protocol)
        .build()?;
    connection.start().await?;
    calls(&connection, in_flight, limit / 3).await?;
    let rate = calls(&connection, in_flight, limit).await?;
    connection.stop().await;
    Ok(rate)
}

async fn calls(
    connection: &HubConnection,
    in_flight: usize,
    limit: Duration,
) -> Result<f64, Failure> {
    let text = "b".repeat(100);
    let start = Instant::now();
    let one = async || -> Result<u64, Failure> {
        let mut count = 0;
        while start.elapsed() < limit {
            let answer: String = connection.invoke("EchoText", (text.as_str(),)).await?;
            assert_eq!(answer.len(), text.len());
            count += 1;
        }
        Ok(count)
    };
    let counts = join_all((0..in_flight).map(|_| one())).await;
    let total: u64 = counts.into_iter().sum::<Result<u64, Failure>>()?;
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

/// As many bytes as the call above has on the wire.
async fn echo(url: &str, limit: Duration) -> Result<f64, Failure> {
    let address = url.trim_start_matches("ws://");
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) =
        async_tungstenite::tokio::client_async(format!("{url}/echo"), stream).await?;
    let text = "b".repeat(
        100 + r#"{"type":1,"invocationId":"1000000","target":"EchoText","arguments":[""]}"#.len()
            + 1,
    );
    let mut rate = 0.0;
    for limit in [limit / 3, limit] {
        let start = Instant::now();
        let mut count = 0_u64;
        while start.elapsed() < limit {
            socket.send(Message::text(text.as_str())).await?;
            let answer = socket.next().await.ok_or("the socket ended")??;
            assert_eq!(answer.len(), text.len());
            count += 1;
        }
        rate = count as f64 / start.elapsed().as_secs_f64();
    }
    Ok(rate)
}

async fn raw(url: &str, limit: Duration) -> Result<f64, Failure> {
    let address = url.trim_start_matches("ws://");
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) =
        async_tungstenite::tokio::client_async(format!("{url}/hub"), stream).await?;
    socket
        .send(Message::text("{\"protocol\":\"json\",\"version\":1}\u{1e}"))
        .await?;
    socket.next().await.ok_or("the socket ended")??;
    let text = format!(
        "{{\"type\":1,\"invocationId\":\"1000000\",\"target\":\"EchoText\",\"arguments\":[\"{}\"]}}\u{1e}",
        "b".repeat(100)
    );
    let mut rate = 0.0;
    for limit in [limit / 3, limit] {
        let start = Instant::now();
        let mut count = 0_u64;
        while start.elapsed() < limit {
            socket.send(Message::text(text.as_str())).await?;
            socket.next().await.ok_or("the socket ended")??;
            count += 1;
        }
        rate = count as f64 / start.elapsed().as_secs_f64();
    }
    Ok(rate)
}
