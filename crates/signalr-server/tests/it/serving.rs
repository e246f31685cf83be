//! Hubs behind web servers, over real sockets.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use signalr_client::ConnectionState;
use signalr_server::{CallContext, Hub, HubMethods, HubServer, Protocol, TransportKind};
use signalr_tokio::Tokio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::scenario::{Stage, client, play};

const SECOND: Duration = Duration::from_secs(1);

fn hub() -> HubServer {
    HubServer::new(Stage).unwrap()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The test fails rather than hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(60 * SECOND, future)
        .await
        .expect("it happens")
}

#[tokio::test]
async fn axum_serves_the_routes_of_a_hub() {
    let (listener, url) = listen().await;
    let app: Router = Router::new().merge(hub().router("/chat"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    soon(play::<Tokio>(&format!("{url}/chat"))).await;
    soon(play::<Tokio>(&format!("{url}/chat/"))).await;
}

#[tokio::test]
async fn a_hub_can_be_the_root() {
    let (listener, url) = listen().await;
    let app: Router = hub().router("/");
    tokio::spawn(async move { axum::serve(listener, app).await });
    soon(play::<Tokio>(&url)).await;
}

/// Paths that would be a part of another hub, and letters that requests have to encode.
#[tokio::test]
async fn a_hub_may_have_any_path() {
    let (listener, url) = listen().await;
    let paths = [
        "/refresh",
        "/a/Negotiate/",
        "/r\u{e4}ume/\u{1f600} 1",
        "/a%20b",
    ];
    let routers = paths.map(|path| hub().router(path));
    let app: Router = routers.into_iter().fold(Router::new(), Router::merge);
    tokio::spawn(async move { axum::serve(listener, app).await });
    for path in paths {
        soon(play::<Tokio>(&format!("{url}{path}"))).await;
    }
}

#[tokio::test]
async fn a_hub_can_be_nested_as_a_service() {
    let (listener, url) = listen().await;
    let app: Router = Router::new().nest_service("/a/chat", hub().service());
    tokio::spawn(async move { axum::serve(listener, app).await });
    soon(play::<Tokio>(&format!("{url}/a/chat"))).await;
}

#[tokio::test]
async fn a_hub_can_be_routed_to_as_a_service() {
    let (listener, url) = listen().await;
    let hub = hub();
    let app: Router = Router::new()
        .route_service("/chat", hub.service())
        .route_service("/chat/{*rest}", hub.service());
    tokio::spawn(async move { axum::serve(listener, app).await });
    soon(play::<Tokio>(&format!("{url}/chat"))).await;
}

#[tokio::test]
async fn bare_hyper_serves_a_hub() {
    let (listener, url) = listen().await;
    let service = TowerToHyperService::new(hub().service());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service.clone())
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    soon(play::<Tokio>(&format!("{url}/chat"))).await;
}

#[tokio::test]
async fn serve_serves_an_application_or_a_hub_alone() {
    let (listener, url) = listen().await;
    let app: Router = Router::new().merge(hub().router("/chat"));
    tokio::spawn(async move { signalr_server::serve(listener, app).await });
    soon(play::<Tokio>(&format!("{url}/chat"))).await;
    let (listener, url) = listen().await;
    let service = hub().service();
    tokio::spawn(async move { signalr_server::serve(listener, service).await });
    soon(play::<Tokio>(&format!("{url}/anything"))).await;
}

struct Whence;

impl Hub for Whence {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Whence", async |_: Arc<Self>, context: CallContext| {
            context.request().peer_address()
        });
    }
}

#[tokio::test]
async fn a_method_knows_where_its_caller_is() {
    let (listener, url) = listen().await;
    let service = HubServer::new(Whence).unwrap().service();
    tokio::spawn(async move { signalr_server::serve(listener, service).await });
    for transport in [
        TransportKind::WebSockets,
        TransportKind::ServerSentEvents,
        TransportKind::LongPolling,
    ] {
        let connection = client::<Tokio>(&url, transport, Protocol::Json);
        soon(connection.start()).await.unwrap();
        let peer: Option<SocketAddr> = soon(connection.invoke("Whence", ())).await.unwrap();
        assert!(peer.is_some_and(|peer| peer.ip().is_loopback()), "{peer:?}");
        connection.stop().await;
    }
}

/// A connection that polls, request by request.
struct Polling {
    address: String,
    token: String,
}

impl Polling {
    async fn start(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap().to_owned();
        let token = String::new();
        let mut polling = Self { address, token };
        let offer = polling
            .request("POST /chat/negotiate?negotiateVersion=1", "")
            .await;
        let token = offer.split(r#""connectionToken":""#).nth(1).unwrap();
        polling.token = token.split('"').next().unwrap().to_owned();
        let target = format!("/chat?id={}", polling.token);
        polling.request(&format!("GET {target}"), "").await;
        let hello = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
        polling.request(&format!("POST {target}"), hello).await;
        let answer = polling.poll().await;
        assert!(answer.ends_with("{}\u{1e}"), "{answer}");
        polling
    }

    async fn request(&self, line: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn poll(&self) -> String {
        self.request(&format!("GET /chat?id={}", self.token), "")
            .await
    }

    /// Polls to the end. Gives the last answer that was not empty.
    async fn read_to_end(self) -> String {
        let mut last = String::new();
        loop {
            let answer = self.poll().await;
            if answer.starts_with("HTTP/1.1 204") {
                return last;
            }
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            last = answer;
        }
    }
}

/// Has clients on all transports, shuts the hub down, and waits for the web server to end.
async fn shut_down<S>(serve: impl FnOnce(TcpListener, Router, Signal) -> S)
where
    S: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let (listener, url) = listen().await;
    let hub = hub();
    let app: Router = Router::new().merge(hub.router("/chat"));
    let (signal, signalled) = tokio::sync::oneshot::channel::<()>();
    let shutdown = Box::pin({
        let hub = hub.clone();
        async move {
            signalled.await.unwrap();
            hub.shutdown().await;
        }
    });
    let serving = tokio::spawn(serve(listener, app, shutdown));
    let mut connections = Vec::new();
    for transport in [TransportKind::WebSockets, TransportKind::ServerSentEvents] {
        let connection = client::<Tokio>(&format!("{url}/chat"), transport, Protocol::Json);
        connection.start().await.unwrap();
        connections.push(connection);
    }
    let polling = tokio::spawn(Polling::start(&url).await.read_to_end());
    while hub.clients().count().await != Ok(3) {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    signal.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(begun.elapsed() < 4 * SECOND, "{:?}", begun.elapsed());
    for connection in connections {
        let disconnected = ConnectionState::Disconnected;
        connection.wait_until(disconnected).await.unwrap();
    }
    let last = polling.await.unwrap();
    assert!(
        last.ends_with("{\"type\":7,\"allowReconnect\":true}\u{1e}"),
        "{last}"
    );
    assert_eq!(hub.clients().count().await, Ok(0));
}

type Signal = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn axum_shuts_down_gracefully_with_a_hub() {
    soon(shut_down(|listener, app, signal| async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(signal)
            .await
    }))
    .await;
}

#[tokio::test]
async fn serve_shuts_down_gracefully_with_a_hub() {
    soon(shut_down(|listener, app, signal| async move {
        signalr_server::serve(listener, app)
            .with_graceful_shutdown(signal)
            .await
    }))
    .await;
}

/// Serves a hub, on a runtime whose time stands still while something happens.
async fn served() -> String {
    let (listener, url) = listen().await;
    let service = hub().service();
    tokio::spawn(async move { signalr_server::serve(listener, service).await });
    url.strip_prefix("http://").unwrap().to_owned()
}

/// How long a client is listened to that sends so many bytes of this, one every five seconds.
async fn patience(with: &str, bytes: usize) -> Duration {
    let mut socket = TcpStream::connect(served().await).await.unwrap();
    let begun = Instant::now();
    let (mut reader, mut writer) = socket.split();
    let drip = async {
        for byte in with.as_bytes().iter().take(bytes) {
            // The server may have hung up.
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(5 * SECOND).await;
        }
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = drip => {}
        // A reset is an end, too.
        _ = tokio::time::timeout(600 * SECOND, reader.read_to_end(&mut rest)) => {}
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_head_drips_is_ended_after_thirty_seconds() {
    let head = format!("GET /chat HTTP/1.1\r\nX: {}", "x".repeat(100));
    let patience = patience(&head, usize::MAX).await;
    assert!((29..=31).contains(&patience.as_secs()), "{patience:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_ended_after_thirty_seconds() {
    let patience = patience("", 0).await;
    assert!((29..=31).contains(&patience.as_secs()), "{patience:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_might_want_http_2_is_ended_after_thirty_seconds() {
    let patience = patience("PRI * HTTP/2.0\r\n", 10).await;
    assert!((29..=31).contains(&patience.as_secs()), "{patience:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_begins_as_http_2_does_and_falls_silent_is_ended() {
    let mut socket = TcpStream::connect(served().await).await.unwrap();
    let begun = Instant::now();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    socket.write_all(preface).await.unwrap();
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    // A frame of settings: three bytes of length, and type 4.
    assert_eq!(said.get(3), Some(&4), "it is spoken to in HTTP/2");
    assert!((29..=31).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_begin_with_the_letter_of_http_2() {
    let mut socket = TcpStream::connect(served().await).await.unwrap();
    socket.write_all(b"P").await.unwrap();
    tokio::time::sleep(SECOND).await;
    let rest =
        b"OST /chat/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    socket.write_all(rest).await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

/// A WebSocket without a client library in between, so that nothing but the server can be slow.
async fn web_socket(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let request = concat!(
        "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    socket
}

/// A masked text frame; the mask is zero, so that the payload stands as it is.
fn frame(payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// How long a round of 64 calls takes that are answered one after the other, in the middle of 21.
async fn usual_round(address: &str) -> Duration {
    let mut socket = web_socket(address).await;
    let hello = frame("{\"protocol\":\"json\",\"version\":1}\u{1e}");
    socket.write_all(&hello).await.unwrap();
    let calls = frame(
        "{\"type\":1,\"invocationId\":\"1\",\"target\":\"AddLater\",\"arguments\":[1,2]}\u{1e}",
    )
    .repeat(64);
    let result = r#""result":3}"#;
    let mut rounds = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        // The client says nothing until it has all answers, so that no acknowledgement travels with what it says.
        socket.write_all(&calls).await.unwrap();
        let mut received = Vec::new();
        while String::from_utf8_lossy(&received).matches(result).count() < 64 {
            socket.read_buf(&mut received).await.unwrap();
        }
        rounds.push(begun.elapsed());
    }
    rounds.sort();
    *rounds.get(10).unwrap()
}

#[tokio::test]
async fn calls_in_flight_do_not_wait_for_acknowledgements() {
    let usual = soon(usual_round(&served().await)).await;
    assert!(usual < SECOND / 25, "{usual:?}");
}

#[tokio::test]
async fn calls_in_flight_do_not_wait_for_acknowledgements_under_axum_either() {
    let (listener, url) = listen().await;
    let app: Router = hub().router("/chat");
    tokio::spawn(async move { axum::serve(listener, app).await });
    let address = url.strip_prefix("http://").unwrap();
    let usual = soon(usual_round(address)).await;
    assert!(usual < SECOND / 25, "{usual:?}");
}
