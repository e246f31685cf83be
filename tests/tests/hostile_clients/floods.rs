//! Clients that send more than anybody needs.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::join;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::raw::{CLOSE, HANDSHAKE, LAST, PING, PONG, SEPARATOR, Socket, TEXT};
use crate::raw::{bare_frame, call, dial, frame, record, soon};
use crate::server::{MIB, Margin, Server, Watch};

/// Streams that one client may have at the same time.
const MAX_STREAMS: usize = 1_000;

/// So many records in frames of a few kilobytes each.
fn records(count: usize, text: impl Fn(usize) -> String) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut batch = String::new();
    for number in 0..count {
        let _ = write!(batch, "{}{}", text(number), char::from(SEPARATOR));
        if batch.len() > 4096 || number + 1 == count {
            frames.extend(bare_frame(LAST | TEXT, batch.as_bytes()));
            batch.clear();
        }
    }
    frames
}

/// Writes all this and calls behind it, within the time.
async fn survives(server: &Server, what: &'static str, hub: &str, bytes: Vec<u8>, memory: u64) {
    let watch = Watch::begin(server, what);
    let mut socket = Socket::connect(server, hub).await;
    socket.send(bytes).await;
    socket.works().await;
    watch.bounded(memory, Duration::from_secs(10));
    socket.send(frame(LAST | CLOSE, [])).await;
    assert_eq!(socket.end().await.code, Some(1000));
    watch.returns(Margin::default()).await;
}

/// What is of no use costs nothing.
pub async fn of_useless_messages_are_passed_over() {
    const COUNT: usize = 100_000;
    let server = Server::start().await;
    let pings = records(2 * COUNT, |_| r#"{"type":6}"#.into());
    survives(&server, "200,000 pings", "/hub", pings, 8 * MIB).await;
    let cancels = records(COUNT, |n| format!(r#"{{"type":5,"invocationId":"{n}"}}"#));
    survives(
        &server,
        "100,000 cancels for nobody",
        "/hub",
        cancels,
        8 * MIB,
    )
    .await;
    let items = records(COUNT, |n| {
        format!(r#"{{"type":2,"invocationId":"{n}","item":{n}}}"#)
    });
    survives(&server, "100,000 items for nobody", "/hub", items, 8 * MIB).await;
    let answers = records(COUNT, |n| {
        format!(r#"{{"type":3,"invocationId":"s{n}","result":{n}}}"#)
    });
    survives(
        &server,
        "100,000 answers to nobody",
        "/hub",
        answers,
        8 * MIB,
    )
    .await;
    let acks = records(COUNT, |n| format!(r#"{{"type":8,"sequenceId":{n}}}"#));
    survives(
        &server,
        "100,000 acks of nothing",
        "/nostateful",
        acks,
        8 * MIB,
    )
    .await;
    if server.official_differs("it stops behind a message of unknown type until more bytes come") {
        return;
    }
    let unknown = records(COUNT, |n| format!(r#"{{"type":{}}}"#, 100 + n));
    survives(
        &server,
        "100,000 messages of unknown type",
        "/hub",
        unknown,
        8 * MIB,
    )
    .await;
}

/// Calls that nobody waits for, all of them of methods that do not exist or fail.
pub async fn of_failing_calls_are_survived() {
    let server = Server::start().await;
    let calls = records(100_000, |n| match n % 3 {
        0 => call("", "Nope", ""),
        1 => call("", "FailWith", "\"no\""),
        _ => call("", "Add", "\"x\""),
    });
    survives(&server, "100,000 calls that fail", "/hub", calls, 8 * MIB).await;
}

/// Frames instead of messages.
pub async fn of_empty_frames_are_survived() {
    let server = Server::start().await;
    let empty = frame(LAST | TEXT, []).repeat(200_000);
    survives(&server, "200,000 empty messages", "/hub", empty, 8 * MIB).await;
    let pongs = frame(LAST | PONG, [7; 100]).repeat(100_000);
    survives(&server, "100,000 pongs", "/hub", pongs, 8 * MIB).await;
}

/// A client may be in a thousand groups, and leaves them with its connection.
pub async fn of_group_names_are_bounded() {
    const COUNT: usize = 50_000;
    let server = Server::start().await;
    let names = |round: usize| {
        records(COUNT, move |n| {
            call("", "JoinGroup", &format!("\"{round} {n} {:0100}\"", 0))
        })
    };
    let what = "50,000 groups, one client after the other";
    for round in 0..3 {
        survives(&server, what, "/hub", names(round), 8 * MIB).await;
    }
    if server.official_differs("a client may be in any number of groups") {
        return;
    }
    let mut socket = Socket::connect(&server, "/hub").await;
    socket.send(names(0)).await;
    let answer = socket.invoke("more", "JoinGroup", "\"more\"").await;
    assert!(answer["error"].is_string(), "{answer}");
    socket
        .send(record(call(
            "",
            "LeaveGroup",
            &format!("\"0 1 {:0100}\"", 0),
        )))
        .await;
    let answer = socket.invoke("room", "JoinGroup", "\"more\"").await;
    assert!(answer["error"].is_null(), "{answer}");
    let long = format!("\"{}\"", "g".repeat(10_000));
    let answer = socket.invoke("long", "JoinGroup", &long).await;
    assert!(answer["error"].is_string(), "{answer}");
    socket.reset();
}

/// Streams: a bound, an answer to each beyond, and nothing is left of those that are cancelled or left.
pub async fn of_streams_are_bounded() {
    const COUNT: usize = 5_000;
    let server = Server::start().await;
    if server.official_differs("any number of streams may be open") {
        return;
    }
    let watch = Watch::begin(&server, "5,000 streams at once");
    let streams = records(COUNT, |n| {
        format!(r#"{{"type":4,"invocationId":"{n}","target":"Count","arguments":[1000,60000]}}"#)
    });
    let mut socket = Socket::connect(&server, "/hub").await;
    socket.send(&streams).await;
    for refused in MAX_STREAMS..COUNT {
        let answer = socket.reader.completion(&refused.to_string()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains("Too many streams"), "{answer}");
    }
    socket.works().await;
    let cancels = records(MAX_STREAMS / 2, |n| {
        format!(r#"{{"type":5,"invocationId":"{n}"}}"#)
    });
    socket.send(&cancels).await;
    for cancelled in 0..MAX_STREAMS / 2 {
        let answer = socket.reader.completion(&cancelled.to_string()).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    // There is room again.
    let again = records(10, |n| {
        format!(r#"{{"type":4,"invocationId":"again{n}","target":"Count","arguments":[1,0]}}"#)
    });
    socket.send(&again).await;
    for number in 0..10 {
        let answer = socket.reader.completion(&format!("again{number}")).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    watch.bounded(16 * MIB, Duration::from_secs(10));
    socket.reset();
    let begin = Instant::now();
    while server.counter("cancelled-stream").await < i64::try_from(MAX_STREAMS).unwrap() {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "streams outlive their client"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.returns(Margin::default()).await;
}

/// Items wait with their client when what becomes of them is not taken.
pub async fn of_items_stop_at_the_door() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "400 MB of items whose echoes nobody reads");
    let item = format!(
        r#"{{"type":2,"invocationId":"u","item":"{}"}}"#,
        "a".repeat(20_000)
    );
    let items = records(100, |_| item.clone());
    let begin =
        r#"{"type":4,"invocationId":"1","target":"Upper","arguments":[],"streamIds":["u"]}"#;
    stops_at_the_door(&server, record(begin), items).await;
    watch.bounded(16 * MIB, Duration::from_secs(35));
    watch.returns(Margin::default()).await;
}

/// Whoever calls and does not read is not read either.
pub async fn of_calls_stop_at_the_door() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "calls for 400 MB of answers that nobody reads");
    let text = format!("\"{}\"", "a".repeat(20_000));
    let calls = records(100, |n| call(&n.to_string(), "EchoText", &text));
    stops_at_the_door(&server, Vec::new(), calls).await;
    watch.bounded(16 * MIB, Duration::from_secs(35));
    watch.returns(Margin::default()).await;
}

/// A client that writes without end and reads nothing: soon nothing more is taken from it, and after a while it is cut.
async fn stops_at_the_door(server: &Server, begin: Vec<u8>, batch: Vec<u8>) {
    const BATCHES: usize = 200;
    let stream = dial(server.address, Some(16 << 10)).await.unwrap();
    let mut socket = Socket::upgrade(stream, "/hub", "").await.unwrap();
    socket.send(record(HANDSHAKE)).await;
    socket.send(begin).await;
    let mut written = 0;
    let ended = loop {
        let write = timeout(Duration::from_secs(4), socket.writer.write_all(&batch));
        match write.await {
            Ok(Ok(())) => written += 1,
            Ok(Err(_)) => break true,
            Err(_) => break false,
        }
        assert!(written < BATCHES, "the server took everything");
    };
    eprintln!("  {written} of {BATCHES} batches of 2 MB were taken");
    // Its send has been blocked for ten seconds by then.
    if !ended {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    soon("the end", socket.reader.gone()).await;
}

/// Answers to pings that nobody reads are bounded.
pub async fn of_web_socket_pings_are_survived() {
    const COUNT: usize = 200_000;
    let server = Server::start().await;
    let watch = Watch::begin(
        &server,
        "200,000 WebSocket pings, their answers unread at first",
    );
    let stream = dial(server.address, Some(16 << 10)).await.unwrap();
    let mut socket = Socket::upgrade(stream, "/hub", "").await.unwrap();
    socket.shake().await;
    let Socket {
        mut writer,
        mut reader,
    } = socket;
    let writing = async {
        let pings = frame(LAST | PING, [7; 125]).repeat(1000);
        for _ in 0..COUNT / 1000 {
            writer.write_all(&pings).await.unwrap();
        }
        writer
            .write_all(&record(call("1", "Add", "1,2")))
            .await
            .unwrap();
    };
    let reading = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        watch.bounded(8 * MIB, Duration::from_secs(5));
        let answer = reader.completion("1").await;
        assert_eq!(answer["result"], 3);
    };
    join!(writing, reading);
    assert!(reader.pongs > 0, "no ping was answered");
    watch.bounded(8 * MIB, Duration::from_secs(15));
    let mut socket = Socket { writer, reader };
    socket.send(frame(LAST | CLOSE, [])).await;
    assert_eq!(socket.end().await.code, Some(1000));
    watch.returns(Margin::default()).await;
}
