//! Single requirements that the transcripts and the official clients pass by.
#![cfg(feature = "hubs")]
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signalr_harness::hubs::test_hubs;
use signalr_harness::memory::MemoryClient;
use signalr_server::{Hub, HubMethods, HubServer, UploadStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SECOND: Duration = Duration::from_secs(1);

async fn client(hub: &str) -> MemoryClient {
    let (_, world) = test_hubs().unwrap();
    MemoryClient::connect(&world.server(hub).unwrap(), "").await
}

#[tokio::test(start_paused = true)]
async fn a_plain_call_that_looks_out_for_it_can_be_cancelled() {
    let mut client = client("/parallel").await;
    let call = r#"{"type":1,"invocationId":"1","target":"WaitForCancel","arguments":[]}"#;
    client.send_records(&[call]).await;
    assert!(
        tokio::time::timeout(SECOND, client.message())
            .await
            .is_err()
    );
    client
        .send_records(&[r#"{"type":5,"invocationId":"1"}"#])
        .await;
    let answer = r#"{"type":3,"invocationId":"1","result":"cancelled"}"#;
    assert_eq!(client.message().await.as_deref(), Some(answer));
}

#[tokio::test(start_paused = true)]
async fn methods_are_found_whatever_the_case_of_their_letters() {
    let mut client = client("/hub").await;
    for name in ["add", "ADD", "aDD"] {
        let call =
            format!(r#"{{"type":1,"invocationId":"1","target":"{name}","arguments":[1,2]}}"#);
        client.send_records(&[&call]).await;
        let answer = r#"{"type":3,"invocationId":"1","result":3}"#;
        assert_eq!(client.message().await.as_deref(), Some(answer), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_cancelled_after_a_second_one_wanted_its_id() {
    let mut client = client("/hub").await;
    let stream = r#"{"type":4,"invocationId":"1","target":"Count","arguments":[1000,1000]}"#;
    client.send_records(&[stream, stream]).await;
    let refusal = r#"{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}"#;
    assert_eq!(client.message().await.as_deref(), Some(refusal));
    let item = r#"{"type":2,"invocationId":"1","item":0}"#;
    assert_eq!(client.message().await.as_deref(), Some(item));
    client
        .send_records(&[r#"{"type":5,"invocationId":"1"}"#])
        .await;
    let end = r#"{"type":3,"invocationId":"1"}"#;
    assert_eq!(client.message().await.as_deref(), Some(end));
    assert!(
        tokio::time::timeout(5 * SECOND, client.message())
            .await
            .is_err()
    );
}

/// Keeps what an upload brought.
struct Taker(Arc<Mutex<Vec<String>>>);

impl Hub for Taker {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on(
            "Take",
            async |hub: Arc<Self>, mut numbers: UploadStream<i32>| {
                while let Some(number) = numbers.next().await {
                    let text =
                        number.map_or_else(|error| error.to_string(), |number| number.to_string());
                    hub.0.lock().unwrap().push(text);
                }
            },
        );
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_fail_when_their_connection_ends() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let server = HubServer::new(Taker(Arc::clone(&taken))).unwrap();
    let mut client = MemoryClient::connect(&server, "").await;
    let call = r#"{"type":1,"target":"Take","arguments":[],"streamIds":["9"]}"#;
    client
        .send_records(&[call, r#"{"type":2,"invocationId":"9","item":7}"#])
        .await;
    client.close().await;
    client.gone().await;
    tokio::time::sleep(SECOND).await;
    let words = "The underlying connection was closed.";
    assert_eq!(*taken.lock().unwrap(), ["7", words]);
}

/// A masked frame with the mask zero, so that the payload stands as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

async fn receive(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.unwrap();
    let [first, length] = head;
    assert!(length < 126);
    let mut payload = vec![0; usize::from(length)];
    socket.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

const FIN: u8 = 0x80;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const PING: u8 = 0x09;
const PONG: u8 = 0x0a;

/// A WebSocket of the hub `/hub`, its frames written and read by the test.
async fn open() -> TcpStream {
    let (router, _) = test_hubs().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let request = concat!(
        "GET /hub HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    socket
}

#[tokio::test]
async fn frames_may_be_of_any_kind_and_in_pieces_and_pings_are_answered() {
    let mut socket = open().await;
    let hello = b"{\"protocol\":\"json\",\"version\":1}\x1e";
    socket.write_all(&frame(FIN | BINARY, hello)).await.unwrap();
    assert_eq!(receive(&mut socket).await, (FIN | TEXT, b"{}\x1e".to_vec()));
    let call = b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\x1e";
    let (start, rest) = call.split_at(20);
    let (middle, end) = rest.split_at(20);
    let pieces = [
        frame(BINARY, start),
        frame(FIN | PONG, b"unasked"),
        frame(0, middle),
        frame(FIN | PING, b"still there?"),
        frame(FIN, end),
    ];
    socket.write_all(&pieces.concat()).await.unwrap();
    let mut answers = [receive(&mut socket).await, receive(&mut socket).await];
    answers.sort();
    let result = b"{\"type\":3,\"invocationId\":\"1\",\"result\":3}\x1e";
    let expected = [
        (FIN | TEXT, result.to_vec()),
        (FIN | PONG, b"still there?".to_vec()),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn messagepack_may_come_in_text_frames_and_is_answered_in_binary_ones() {
    let mut socket = open().await;
    let hello = b"{\"protocol\":\"messagepack\",\"version\":1}\x1e";
    socket.write_all(&frame(FIN | TEXT, hello)).await.unwrap();
    assert_eq!(
        receive(&mut socket).await,
        (FIN | BINARY, b"{}\x1e".to_vec())
    );
    let call = b"\x0c\x95\x01\x80\xa11\xa3Add\x92\x01\x02";
    socket.write_all(&frame(FIN | BINARY, call)).await.unwrap();
    assert_eq!(
        receive(&mut socket).await,
        (FIN | BINARY, b"\x07\x95\x03\x80\xa11\x03\x03".to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_of_unknown_type_are_answered() {
    let (_, world) = test_hubs().unwrap();
    let mut client = MemoryClient::connect(&world.server("/hub").unwrap(), "").await;
    client
        .send_records(&[
            r#"{"type":0}"#,
            r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#,
        ])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":3}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_token_does() {
    let (_, world) = test_hubs().unwrap();
    let mut client =
        MemoryClient::connect(&world.server("/expiring").unwrap(), "access_token=short1").await;
    client
        .send_records(&[r#"{"type":1,"invocationId":"1","target":"UserName","arguments":[]}"#])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":"short1"}"#
    );
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":7,"allowReconnect":true}"#
    );
    assert_eq!(client.message().await, None);
    assert_eq!(client.close_code(), Some(1000));
}
