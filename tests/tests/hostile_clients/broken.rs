//! Frames that are none, and messages in odd pieces.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::raw::{
    BINARY, CLOSE, CONTINUE, End, HANDSHAKE, LAST, PING, PONG, SEPARATOR, Socket, TEXT,
};
use crate::raw::{bare_frame, call, frame, frame_head, record};
use crate::server::{Kind, MIB, Margin, Server, Watch};

/// What the official server says of any error that it does not explain.
const CLOSED: &str =
    r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(LAST | CLOSE, [&code.to_be_bytes(), reason].concat())
}

/// What, the bytes, the code of the answer.
type Row = (&'static str, Vec<u8>, u16);

fn table() -> Vec<Row> {
    let text = |first: u8| frame(first, "{\"type\":6}\u{1e}");
    let unmasked = [&[LAST | TEXT, 40], &[b'a'; 40][..]].concat();
    let endless = [&[LAST | BINARY, 0xff], &[0xff; 8][..], &[0; 4]].concat();
    let long_ping = frame(LAST | PING, [0; 126]);
    vec![
        ("reserved bit 1", text(LAST | 0x40 | TEXT), 1002),
        ("reserved bit 2", text(LAST | 0x20 | TEXT), 1002),
        ("reserved bit 3", text(LAST | 0x10 | TEXT), 1002),
        ("data of kind 3", text(LAST | 3), 1002),
        ("data of kind 7", text(LAST | 7), 1002),
        ("control of kind 11", text(LAST | 11), 1002),
        ("control of kind 15", text(LAST | 15), 1002),
        ("a frame without a mask", unmasked, 1002),
        ("a ping in fragments", text(PING), 1002),
        ("a close frame in fragments", frame(CLOSE, []), 1002),
        ("a ping of 126 bytes", long_ping, 1002),
        ("a fragment of nothing", text(LAST | CONTINUE), 1002),
        (
            "a message within a message",
            [text(TEXT), text(LAST | TEXT)].concat(),
            1002,
        ),
        ("a length with the first bit", endless, 1002),
        ("half a close code", frame(LAST | CLOSE, [3]), 1002),
        ("the close code 0", close(0, b""), 1002),
        ("the close code 999", close(999, b""), 1002),
        ("the close code 1004", close(1004, b""), 1002),
        ("the close code 1005", close(1005, b""), 1002),
        ("the close code 1006", close(1006, b""), 1002),
        ("the close code 1015", close(1015, b""), 1002),
        ("the close code 2999", close(2999, b""), 1002),
        ("the close code 5000", close(5000, b""), 1002),
        ("text", frame(LAST | TEXT, [0xff, 0x1e]), 1007),
        (
            "text cut short",
            frame(LAST | TEXT, [b'{', 0xe2, 0x82]),
            1007,
        ),
        (
            "text cut short over fragments",
            [frame(TEXT, [0xe2]), frame(LAST | CONTINUE, [0x82])].concat(),
            1007,
        ),
        ("a reason", close(1000, &[0xff]), 1007),
    ]
}

/// What is wrong with the answer.
async fn broken(server: &Server, row: &Row, shaken: bool) -> Option<String> {
    let (what, bytes, code) = row;
    let mut socket = Socket::open(server, "/hub", "").await.unwrap();
    if shaken {
        socket.shake().await;
    }
    socket.send(bytes).await;
    let end = timeout(Duration::from_secs(10), socket.end()).await;
    let official = server.kind == Kind::Official;
    match end {
        Ok(end) if end.code == Some(*code) => None,
        // Sometimes the end of its connection overtakes its close frame, and a bad reason is no text to it.
        Ok(End {
            code: None | Some(1002),
            ..
        }) if official => None,
        Ok(end) => Some(format!(
            "{what} (after the handshake: {shaken}): {end:?}, not {code}"
        )),
        Err(_) => Some(format!("{what} (after the handshake: {shaken}): no answer")),
    }
}

/// After the handshake, and instead of it.
pub async fn frames_end_with_their_code() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "broken frames");
    let table = table();
    let rows = table.iter().flat_map(|row| [(row, true), (row, false)]);
    let wrong = join_all(rows.map(|(row, shaken)| broken(&server, row, shaken))).await;
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    watch.bounded(8 * MIB, Duration::from_secs(30));
    watch.returns(Margin::default()).await;
}

/// What came before still counts, and the server lives on.
pub async fn frames_do_no_harm_to_what_came_before() {
    let server = Server::start().await;
    if server.official_differs("what came just before a broken frame is lost") {
        return;
    }
    let before = server.counter("nothing").await;
    let mut socket = Socket::connect(&server, "/hub").await;
    let calls = record(call("", "DoNothing", "")).repeat(10);
    socket.send([calls, frame(LAST | 3, "")].concat()).await;
    assert_eq!(socket.end().await.code, Some(1002));
    let mut others = Socket::connect(&server, "/hub").await;
    others.works().await;
    assert_eq!(server.counter("nothing").await, before + 10);
}

/// Every code that may be sent is answered by 1000.
pub async fn close_codes_are_answered() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "close frames with every code");
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999,
    ] {
        let mut socket = Socket::connect(&server, "/hub").await;
        socket.send(close(code, b"bye")).await;
        // It is the server that ends the connection below, and at once.
        let end = socket.end().await;
        assert_eq!(end.code, Some(1000), "{code}");
    }
    watch.bounded(8 * MIB, Duration::from_secs(3));
}

/// A message of 200,000 bytes in as many fragments, with pings between.
pub async fn fragments_of_one_byte_are_read() {
    const SIZE: usize = 200_000;
    let server = Server::start().await;
    let watch = Watch::begin(&server, "a message in 200,000 fragments");
    let mut socket = Socket::connect(&server, "/large").await;
    let text = "a".repeat(SIZE);
    let message = call("1", "EchoText", &format!("\"{text}\""));
    let mut fragments = vec![TEXT, 0x80, 0, 0, 0, 0];
    for (number, byte) in message.bytes().chain([SEPARATOR]).enumerate() {
        fragments.extend([CONTINUE, 0x81, 0, 0, 0, 0, byte]);
        if number % 1000 == 0 {
            fragments.extend(frame(LAST | PING, "ping"));
        }
    }
    fragments.extend([LAST | CONTINUE, 0x80, 0, 0, 0, 0]);
    socket.send(fragments).await;
    let answer = socket.reader.completion("1").await;
    assert_eq!(answer["result"].as_str().map(str::len), Some(SIZE));
    watch.bounded(16 * MIB, Duration::from_secs(10));
    socket.works().await;
    socket.reset();
    watch.returns(Margin::default()).await;
}

/// Refused as soon as it is too long, with the words of the official server, though it has no end.
pub async fn a_message_without_end_is_refused() {
    let detailed = r#"{"type":7,"error":"Connection closed with an error. InvalidDataException: The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions.","allowReconnect":true}"#;
    let server = Server::start().await;
    let watch = Watch::begin(&server, "600 kB of a message without an end");
    let call = call("1", "EchoText", &format!("\"{}", "a".repeat(600_000)));
    let announced = frame_head(LAST | TEXT, 10_000_000, [0; 4]);
    let pieces = call.as_bytes().chunks(5000);
    let ways = [
        (
            "a frame that is not over",
            [&announced, call.as_bytes()].concat(),
        ),
        ("a frame", bare_frame(LAST | TEXT, call.as_bytes())),
        (
            "messages",
            pieces
                .flat_map(|piece| bare_frame(LAST | TEXT, piece))
                .collect(),
        ),
    ];
    let said = [("/hub", CLOSED), ("/detailed", detailed)];
    let cases = said
        .iter()
        .flat_map(|said| ways.iter().map(move |way| (said, way)));
    join_all(cases.map(|((hub, said), (way, bytes))| {
        let server = &server;
        async move {
            let mut socket = Socket::connect(server, hub).await;
            socket.send(bytes).await;
            let end = socket.end().await;
            assert_eq!(
                (end.said, end.code),
                (vec![(*said).to_owned()], Some(1000)),
                "{hub}, {way}"
            );
        }
    }))
    .await;
    watch.bounded(16 * MIB, Duration::from_secs(10));
    watch.returns(Margin::default()).await;
}

/// The limit is that of a hub message, not of a WebSocket message.
pub async fn a_long_message_of_short_records_is_answered() {
    const COUNT: usize = 60_000;
    let server = Server::start().await;
    let watch = Watch::begin(&server, "60,000 calls in one WebSocket message");
    let mut calls = String::new();
    for number in 0..COUNT {
        calls += &call(&number.to_string(), "Add", &format!("{number},1"));
        calls.push(char::from(SEPARATOR));
    }
    let mut socket = Socket::connect(&server, "/hub").await;
    let frame = bare_frame(LAST | TEXT, calls.as_bytes());
    let Socket {
        mut writer,
        mut reader,
    } = socket;
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        writer.write_all(&frame).await.unwrap();
        writer
    });
    for number in 0..COUNT {
        let said = reader.record().await.unwrap();
        let expected = format!(r#""invocationId":"{number}","result":{}"#, number + 1);
        assert!(said.contains(&expected), "{said}, not {expected}");
    }
    watch.bounded(16 * MIB, Duration::from_secs(20));
    socket = Socket {
        writer: writing.await.unwrap(),
        reader,
    };
    socket.works().await;
    socket.reset();
    watch.returns(Margin::default()).await;
}

/// A ping is answered wherever it stands.
pub async fn pings_are_answered_in_the_middle_of_a_message() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server, "/hub", "").await.unwrap();
    let (first, second) = HANDSHAKE.split_at(10);
    socket.send(frame(TEXT, first)).await;
    socket.send(frame(LAST | PING, "middle")).await;
    let pong = socket.reader.frame().await;
    assert_eq!(pong, Some((LAST | PONG, b"middle".to_vec())));
    socket.send(frame(LAST | PONG, "nobody asked")).await;
    socket
        .send(frame(LAST | CONTINUE, format!("{second}\u{1e}")))
        .await;
    assert_eq!(socket.reader.record().await.as_deref(), Some("{}"));
    socket.works().await;
}
