//! Hubs over HTTP/2, by a client that is none of ours.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use signalr_server::HubServer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::requests::HELLO;
use crate::support::scenario::Stage;
use crate::support::{SECOND, call, soon};

const SUM: &str = "{\"type\":3,\"invocationId\":\"1\",\"result\":3}\u{1e}";

/// Serves a hub. Gives the address.
async fn served() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hub = HubServer::new(Stage).unwrap();
    tokio::spawn(async move { signalr_server::serve(listener, hub.service()).await });
    address
}

struct Client {
    address: String,
    requests: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: String) -> Self {
        let stream = TcpStream::connect(&address).await.unwrap();
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { address, requests }
    }

    fn request(&self, method: Method, target: &str, body: String) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.address))
            .body(Full::from(body))
            .unwrap()
    }

    async fn ask(&mut self, method: Method, target: &str, body: String) -> Response<Bytes> {
        let request = self.request(method, target, body);
        let response = soon(self.requests.send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        Response::from_parts(head, body)
    }

    /// Negotiates. Gives the target of what follows.
    async fn negotiate(&mut self) -> String {
        let target = "/chat/negotiate?negotiateVersion=1";
        let offer = self.ask(Method::POST, target, String::new()).await;
        assert_eq!(offer.status(), StatusCode::OK);
        let offer: serde_json::Value = serde_json::from_slice(offer.body()).unwrap();
        format!("/chat?id={}", offer["connectionToken"].as_str().unwrap())
    }
}

fn add() -> String {
    call(1, "Add", "1,2") + "\u{1e}"
}

#[tokio::test]
async fn a_client_negotiates_polls_and_posts_over_http_2() {
    let mut client = Client::connect(served().await).await;
    let target = client.negotiate().await;
    for (said, heard) in [
        (None, ""),
        (Some(HELLO.to_owned()), "{}\u{1e}"),
        (Some(add()), SUM),
    ] {
        if let Some(said) = said {
            let posted = client.ask(Method::POST, &target, said).await;
            assert_eq!(posted.status(), StatusCode::OK);
        }
        let poll = client.ask(Method::GET, &target, String::new()).await;
        assert_eq!(
            (poll.status(), &poll.body()[..]),
            (StatusCode::OK, heard.as_bytes())
        );
    }
    let deleted = client.ask(Method::DELETE, &target, String::new()).await;
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_event_stream_comes_over_http_2_beside_its_posts() {
    let mut client = Client::connect(served().await).await;
    let target = client.negotiate().await;
    let mut request = client.request(Method::GET, &target, String::new());
    let accept = "text/event-stream".parse().unwrap();
    request.headers_mut().insert(header::ACCEPT, accept);
    let response = soon(client.requests.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut events = response.into_body();
    let mut heard = String::new();
    for said in [HELLO.to_owned(), add()] {
        let posted = client.ask(Method::POST, &target, said).await;
        assert_eq!(posted.status(), StatusCode::OK);
    }
    while !heard.contains(SUM) {
        let frame = soon(events.frame()).await.unwrap().unwrap();
        heard += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    assert!(heard.starts_with(":\r\n"), "{heard}");
}

/// A masked text frame; the mask is zero, so that the payload stands as it is.
fn frame(payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// RFC 8441.
#[tokio::test]
async fn a_web_socket_is_an_extended_connect_over_http_2() {
    let mut client = Client::connect(served().await).await;
    let target = client.negotiate().await;
    let mut request = client.request(Method::CONNECT, &target, String::new());
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let version = "13".parse().unwrap();
    request
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_VERSION, version);
    let response = soon(client.requests.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut socket = TokioIo::new(soon(hyper::upgrade::on(response)).await.unwrap());
    for (said, heard) in [(HELLO, "{}\u{1e}"), (add().as_str(), SUM)] {
        socket.write_all(&frame(said)).await.unwrap();
        assert_eq!(soon(message(&mut socket)).await, heard);
    }
    // Other requests go on beside it.
    client.negotiate().await;
}

/// The payload of the next frame, a short one.
async fn message(socket: &mut (impl AsyncRead + Unpin)) -> String {
    assert_eq!(socket.read_u8().await.unwrap(), 0x81);
    let mut payload = vec![0; socket.read_u8().await.unwrap().into()];
    socket.read_exact(&mut payload).await.unwrap();
    String::from_utf8(payload).unwrap()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Says this behind the beginning of HTTP/2, and answers pings. Gives how many those were, and when the server hung up.
async fn answer_pings(first: &[u8]) -> (usize, Duration) {
    let mut socket = TcpStream::connect(served().await).await.unwrap();
    let begun = Instant::now();
    socket.write_all(&[PREFACE, first].concat()).await.unwrap();
    let mut pings = 0;
    let mut head = [0; 9];
    while socket.read_exact(&mut head).await.is_ok() {
        let [_, high, low, kind, flags, ..] = head;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        socket.read_exact(&mut payload).await.unwrap();
        if (kind, flags) == (6, 0) {
            pings += 1;
            let answer = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat();
            // The server may be about to hang up.
            let _ = socket.write_all(&answer).await;
        }
        if begun.elapsed() > 300 * SECOND {
            break;
        }
    }
    (pings, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_and_asks_for_nothing_is_ended_after_thirty_seconds() {
    let (pings, ended) = answer_pings(b"").await;
    assert!(pings > 0, "it would have stayed for them");
    assert!((29..=31).contains(&ended.as_secs()), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_first_head_never_ends_is_ended_within_thirty_seconds() {
    // HEADERS that END_HEADERS does not end: `:method: GET`.
    let (_, ended) = answer_pings(b"\0\0\x01\x01\0\0\0\0\x01\x82").await;
    assert!(ended.as_secs() <= 31, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_asked_and_answers_pings_stays() {
    // All of a head: GET http / without a name of a host, which is answered all the same.
    let asks = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
    let (pings, ended) = answer_pings(asks).await;
    assert!(pings > 10, "{pings}");
    assert!(ended > 300 * SECOND, "{ended:?}");
}
