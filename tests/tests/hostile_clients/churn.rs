//! Clients that come and go.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;

use crate::raw::{CLOSE, HANDSHAKE, Http, LAST, Socket, call, dial, frame, head, record, reset};
use crate::server::{Kind, MIB, Margin, Server, Watch};

const ROUNDS: usize = 4;
const EACH_ROUND: usize = 5_000;
const AT_ONCE: usize = 200;

/// One client, and at which point it leaves.
async fn client(server: &Server, number: usize) {
    let Ok(mut stream) = dial(server.address, None).await else {
        panic!("connection {number} is refused");
    };
    match number % 8 {
        0 => reset(stream),
        1 => {
            let _ = stream.write_all(b"GET /hub HT").await;
            reset(stream);
        }
        2 => {
            let _ = stream
                .write_all(head("POST", "/hub/negotiate", "", Some(0)).as_bytes())
                .await;
            reset(stream);
        }
        3 => {
            let mut http = Http::over(stream);
            http.negotiate("/hub").await;
            reset(http.stream);
        }
        4 => Socket::upgrade(stream, "/hub", "").await.unwrap().reset(),
        5 => {
            let mut socket = Socket::upgrade(stream, "/hub", "").await.unwrap();
            socket.send(record(HANDSHAKE)).await;
            socket.reset();
        }
        6 => {
            let mut socket = Socket::upgrade(stream, "/hub", "").await.unwrap();
            socket.shake().await;
            socket.send(record(call("1", "Slow", "50,\"a\""))).await;
            socket.reset();
        }
        _ => {
            let mut socket = Socket::upgrade(stream, "/hub", "").await.unwrap();
            socket.shake().await;
            socket.works().await;
            socket.send(frame(LAST | CLOSE, [])).await;
            assert_eq!(socket.end().await.code, Some(1000));
        }
    }
}

pub async fn leaves_nothing_behind() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "20,000 connections opened and dropped");
    let mut after = Vec::new();
    for _ in 0..ROUNDS {
        stream::iter(0..EACH_ROUND)
            .for_each_concurrent(AT_ONCE, |number| client(&server, number))
            .await;
        after.push(server.usage().memory);
    }
    watch.bounded(48 * MIB, Duration::from_secs(60));
    eprintln!("  memory after each round: {after:?}");
    watch.returns(Margin::default()).await;
    if server.kind == Kind::Own {
        assert!(
            after[ROUNDS - 1] <= after[1] + 6 * MIB,
            "it grows: {after:?}"
        );
    }
    // Whoever was welcomed was seen off, too.
    let left =
        server.counter("disconnected").await + server.counter("disconnected-with-error").await;
    assert_eq!(server.counter("connected").await, left);
}
