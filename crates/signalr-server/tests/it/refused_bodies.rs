//! Requests that are refused before their bodies have come: the answer arrives, and the connection goes on.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use signalr_server::{Denial, Hub, HubMethods, HubRequest, HubServer, HubServerBuilder, User};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

struct Quiet;

impl Hub for Quiet {
    fn methods(_: &mut HubMethods<Self>) {}
}

const SECOND: Duration = Duration::from_secs(1);

/// What no hub here has.
const STRANGER: &str = "POST /chat?id=nobody HTTP/1.1\r\nHost: h\r\n";

async fn listen() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    (listener, socket)
}

/// A connection to a hub that `serve` serves.
async fn served() -> TcpStream {
    let (listener, socket) = listen().await;
    let hub = HubServer::new(Quiet).unwrap();
    tokio::spawn(async move { signalr_server::serve(listener, hub.router("/chat")).await });
    socket
}

/// A connection to a hub that axum serves.
async fn served_by_axum(builder: HubServerBuilder<Quiet>) -> TcpStream {
    let (listener, socket) = listen().await;
    let app: Router = builder.build().unwrap().router("/chat");
    tokio::spawn(async move { axum::serve(listener, app).await });
    socket
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(30 * SECOND, future).await.expect("it happens")
}

/// The next answer, up to the end of its body.
async fn answer(socket: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).ends_with(end) {
        let byte = soon(socket.read_u8()).await;
        said.push(byte.expect("the server has not hung up"));
    }
    String::from_utf8(said).unwrap()
}

/// Sends a part of a large body, reads the refusal, sends the rest, and asks for more.
async fn refuses_and_goes_on(mut socket: TcpStream, status: &str, end: &str) {
    let piece = vec![b'x'; 200_000];
    let head = format!("{STRANGER}Content-Length: 400000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&piece).await.unwrap();
    let refusal = answer(&mut socket, end).await;
    assert!(refusal.contains(status), "{refusal}");
    soon(socket.write_all(&piece)).await.unwrap();
    let head =
        "POST /chat/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let next = answer(&mut socket, "\r\n").await;
    assert!(!next.is_empty());
}

#[tokio::test]
async fn the_endpoints_refusal_arrives() {
    let none = "No Connection with that ID";
    refuses_and_goes_on(served().await, " 404 ", none).await;
    let socket = served_by_axum(HubServer::builder(Quiet)).await;
    refuses_and_goes_on(socket, " 404 ", none).await;
}

#[tokio::test]
async fn the_applications_refusal_arrives() {
    let hub = HubServer::builder(Quiet).authorize(async |_: HubRequest| {
        Err::<Option<User>, _>(Denial::from(StatusCode::UNAUTHORIZED))
    });
    refuses_and_goes_on(served_by_axum(hub).await, " 401 ", "\r\n\r\n").await;
}

/// A client that waits to be told to go on was told something else.
#[tokio::test]
async fn nothing_is_read_from_a_client_that_was_not_told_to_go_on() {
    let mut socket = served().await;
    let head = format!("{STRANGER}Expect: 100-continue\r\nContent-Length: 400000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    let begun = Instant::now();
    soon(socket.read_to_string(&mut said)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 404 "), "{said}");
    assert!(begun.elapsed() < 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_waited_for_five_seconds() {
    let mut socket = served().await;
    let head = format!("{STRANGER}Content-Length: 400000\r\n\r\nx");
    socket.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut said = Vec::new();
    timeout(60 * SECOND, socket.read_to_end(&mut said))
        .await
        .expect("the server hangs up")
        .unwrap();
    assert!(said.starts_with(b"HTTP/1.1 404 "));
    assert_eq!(begun.elapsed().as_secs(), 5);
}
