//! WebSockets of the test hubs, frame by frame.

use signalr_harness::hubs::test_hubs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
