//! Requests that wait and event streams in which nothing happens, with `serve`: what clients see is plain HTTP/1.1.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tower_service::Service;

const SECOND: Duration = Duration::from_secs(1);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request that the test answers when it likes.
struct Asked {
    request: Request<Incoming>,
    answer: oneshot::Sender<Response<Body>>,
}

impl Asked {
    fn path(&self) -> &str {
        self.request.uri().path()
    }

    fn answer(self, text: &'static str) {
        let body = Full::from(text).map_err(|never| match never {});
        let _ = self.answer.send(Response::new(body.boxed_unsync()));
    }

    /// Answers with an event stream.
    fn stream(self) -> mpsc::Sender<io::Result<Bytes>> {
        let (pieces, body) = mpsc::channel(0);
        self.stream_of(body);
        pieces
    }

    fn stream_of(self, pieces: impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static) {
        let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data)));
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .body(body.boxed_unsync())
            .unwrap();
        assert!(self.answer.send(response).is_ok(), "the client is there");
    }
}

#[derive(Clone)]
struct Site(mpsc::UnboundedSender<Asked>);

impl Service<Request<Incoming>> for Site {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        self.0.unbounded_send(Asked { request, answer }).unwrap();
        Box::pin(async move {
            Ok(answered.await.unwrap_or_else(|_| {
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }))
        })
    }
}

/// A client's socket, and the requests that the application gets. Time stands still while something happens.
struct Stand {
    client: TcpStream,
    asked: mpsc::UnboundedReceiver<Asked>,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<io::Result<()>>,
}

impl Stand {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (site, asked) = mpsc::unbounded();
        let (stop, stopped) = oneshot::channel();
        let serving = signalr_server::serve(listener, Site(site)).with_graceful_shutdown(async {
            // Without a word it is not stopped either.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        Self {
            serving: tokio::spawn(serving.into_future()),
            client: TcpStream::connect(address).await.unwrap(),
            asked,
            stop,
        }
    }

    async fn write(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// Asks for a path, and lets the request wait for so long that nobody expects an answer soon.
    async fn wait_for(&mut self, path: &str) -> Asked {
        self.write(&get(path)).await;
        let asked = self.asked().await;
        tokio::time::sleep(60 * SECOND).await;
        asked
    }

    async fn asked(&mut self) -> Asked {
        self.asked.next().await.unwrap()
    }

    /// The head of an answer, in small letters.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    async fn text(&mut self, length: usize) -> String {
        let mut text = vec![0; length];
        self.client.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Reads an answer with this body. Gives its head.
    async fn answer(&mut self, body: &str) -> String {
        let head = self.head().await;
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        assert!(head.contains("\r\ndate: "), "{head}");
        assert_eq!(self.text(body.len()).await, body);
        head
    }

    /// Reads the head of an event stream.
    async fn stream_head(&mut self) {
        let head = self.head().await;
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        let chunked = "\r\ntransfer-encoding: chunked\r\n";
        assert!(head.contains(chunked), "{head}");
    }

    /// Reads exactly this.
    async fn reads(&mut self, text: &str) {
        assert_eq!(self.text(text.len()).await, text);
    }

    /// The rest of what the server says.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.client.read_to_end(&mut rest).await;
        String::from_utf8(rest).unwrap()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

async fn say(pieces: &mut mpsc::Sender<io::Result<Bytes>>, piece: &'static str) {
    let piece = Ok(Bytes::from_static(piece.as_bytes()));
    std::future::poll_fn(|cx| pieces.poll_ready(cx))
        .await
        .unwrap();
    pieces.start_send(piece).unwrap();
}

/// Is done when the application's stream is dropped.
async fn dropped(pieces: &mut mpsc::Sender<io::Result<Bytes>>) {
    while std::future::poll_fn(|cx| pieces.poll_ready(cx))
        .await
        .is_ok()
    {
        // There was room for one more.
        if pieces.start_send(Ok(Bytes::from_static(b":\n"))).is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_answered_and_its_connection_goes_on() {
    let mut stand = Stand::new().await;
    for _ in 0..3 {
        let asked = stand.wait_for("/a").await;
        asked.answer("late");
        let head = stand.answer("late").await;
        assert!(!head.contains("\r\nconnection:"), "{head}");
        stand
            .write("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
            .await;
        let mut asked = stand.asked().await;
        assert_eq!(asked.path(), "/b");
        let body = asked.request.body_mut().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "body");
        asked.answer("soon");
        stand.answer("soon").await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_behind_one_that_waits_are_answered_in_turn() {
    for at_once in [true, false] {
        let mut stand = Stand::new().await;
        let padding = "x".repeat(2_000);
        let more = format!(
            "GET /b HTTP/1.1\r\nHost: h\r\nX-Padding: {padding}\r\n\r\n{}",
            get("/c")
        );
        let first = if at_once {
            stand.write(&(get("/a") + &more)).await;
            let asked = stand.asked().await;
            tokio::time::sleep(60 * SECOND).await;
            asked
        } else {
            let asked = stand.wait_for("/a").await;
            stand.write(&more).await;
            tokio::time::sleep(60 * SECOND).await;
            asked
        };
        assert!(stand.asked.try_recv().is_err(), "one after the other");
        first.answer("a");
        stand.answer("a").await;
        for path in ["/b", "/c"] {
            let asked = stand.asked().await;
            assert_eq!(asked.path(), path);
            tokio::time::sleep(60 * SECOND).await;
            asked.answer("more");
            stand.answer("more").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    for half in [true, false] {
        let mut stand = Stand::new().await;
        let mut asked = stand.wait_for("/a").await;
        if half {
            stand.client.shutdown().await.unwrap();
        } else {
            drop(stand.client);
        }
        let begun = Instant::now();
        asked.answer.cancellation().await;
        assert!(begun.elapsed() < SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_shall_end_with_its_answer_does() {
    let mut stand = Stand::new().await;
    stand
        .write("GET /a HTTP/1.1\r\nHost: h\r\nConnection: TE, Close\r\n\r\n")
        .await;
    let asked = stand.asked().await;
    tokio::time::sleep(60 * SECOND).await;
    asked.answer("bye");
    let head = stand.answer("bye").await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert_eq!(stand.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http_1_0_gets_streams_without_chunks() {
    let mut stand = Stand::new().await;
    stand.write("GET /a HTTP/1.0\r\n\r\n").await;
    let asked = stand.asked().await;
    tokio::time::sleep(60 * SECOND).await;
    let mut pieces = asked.stream();
    say(&mut pieces, "data: 1\n\n").await;
    tokio::time::sleep(60 * SECOND).await;
    say(&mut pieces, "data: 2\n\n").await;
    drop(pieces);
    let head = stand.head().await;
    assert!(head.starts_with("http/1.0 200 ok\r\n"), "{head}");
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(stand.rest().await, "data: 1\n\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_an_hour_and_its_connection_after_the_stream() {
    let mut stand = Stand::new().await;
    for wait in [Duration::ZERO, 60 * SECOND] {
        stand.write(&get("/stream")).await;
        let asked = stand.asked().await;
        tokio::time::sleep(wait).await;
        let mut pieces = asked.stream();
        stand.stream_head().await;
        say(&mut pieces, "data: 1\n\n").await;
        stand.reads("9\r\ndata: 1\n\n\r\n").await;
        tokio::time::sleep(3_600 * SECOND).await;
        say(&mut pieces, "").await;
        say(&mut pieces, "data: three and four\n\n").await;
        stand.reads("16\r\ndata: three and four\n\n\r\n").await;
        drop(pieces);
        stand.reads("0\r\n\r\n").await;
    }
    stand.wait_for("/a").await.answer("a");
    stand.answer("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_behind_a_stream_is_answered_after_it() {
    let mut stand = Stand::new().await;
    stand.write(&get("/stream")).await;
    let mut pieces = stand.asked().await.stream();
    stand.stream_head().await;
    let padding = "x".repeat(2_000);
    let next = format!("GET /next HTTP/1.1\r\nHost: h\r\nX-Padding: {padding}\r\n\r\n");
    stand.write(&next).await;
    tokio::time::sleep(60 * SECOND).await;
    say(&mut pieces, "data: 1\n\n").await;
    drop(pieces);
    stand.reads("9\r\ndata: 1\n\n\r\n0\r\n\r\n").await;
    let asked = stand.asked().await;
    assert_eq!(asked.path(), "/next");
    asked.answer("next");
    stand.answer("next").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_shall_end_the_connection_does() {
    let mut stand = Stand::new().await;
    stand
        .write("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let pieces = stand.asked().await.stream();
    stand.stream_head().await;
    tokio::time::sleep(60 * SECOND).await;
    drop(pieces);
    assert_eq!(stand.rest().await, "0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_broken_off_has_no_end() {
    let mut stand = Stand::new().await;
    stand.write(&get("/stream")).await;
    let mut pieces = stand.asked().await.stream();
    stand.stream_head().await;
    tokio::time::sleep(60 * SECOND).await;
    say(&mut pieces, "data: 1\n\n").await;
    tokio::time::sleep(SECOND).await;
    pieces.try_send(Err(io::ErrorKind::Other.into())).unwrap();
    assert_eq!(stand.rest().await, "9\r\ndata: 1\n\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_stream_is_noticed() {
    for half in [true, false] {
        let mut stand = Stand::new().await;
        stand.write(&get("/stream")).await;
        let mut pieces = stand.asked().await.stream();
        stand.stream_head().await;
        say(&mut pieces, ":\n").await;
        tokio::time::sleep(60 * SECOND).await;
        if half {
            stand.client.shutdown().await.unwrap();
        } else {
            drop(stand.client);
        }
        let begun = Instant::now();
        dropped(&mut pieces).await;
        assert!(begun.elapsed() < SECOND);
    }
}

/// A stream of pieces of 64 KiB without end, and how many were taken of it.
fn endless() -> (
    impl stream::Stream<Item = io::Result<Bytes>> + Send,
    Arc<AtomicUsize>,
) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let pieces = stream::repeat_with(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(piece.clone())
    });
    (pieces, taken)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_after_thirty_seconds_and_little_is_kept_for_it() {
    let mut stand = Stand::new().await;
    stand.write(&get("/stream")).await;
    let (waits, waited) = oneshot::channel::<()>();
    let (pieces, taken) = endless();
    let alive = Arc::downgrade(&taken);
    // It begins when the stream has been still for a while.
    let pieces = stream::once(waited)
        .filter_map(async |_| None)
        .chain(pieces);
    stand.asked().await.stream_of(pieces);
    stand.stream_head().await;
    tokio::time::sleep(60 * SECOND).await;
    let begun = Instant::now();
    waits.send(()).unwrap();
    tokio::time::sleep(SECOND).await;
    let early = taken.load(Ordering::SeqCst);
    assert!(early > 0);
    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(
        taken.load(Ordering::SeqCst),
        early,
        "nothing is taken ahead"
    );
    while alive.strong_count() > 1 {
        tokio::time::sleep(SECOND / 10).await;
    }
    let patience = begun.elapsed().as_secs();
    assert!((30..=31).contains(&patience), "{patience}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_little_now_and_then_is_not_given_up() {
    let mut stand = Stand::new().await;
    stand.write(&get("/stream")).await;
    let (pieces, taken) = endless();
    stand.asked().await.stream_of(pieces);
    stand.stream_head().await;
    let mut buffer = vec![0; 4 << 20];
    for _ in 0..10 {
        stand.client.read_exact(&mut buffer).await.unwrap();
        tokio::time::sleep(20 * SECOND).await;
    }
    assert!(taken.load(Ordering::SeqCst) > 10 * 64);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_ends_what_waits_with_its_answer() {
    let mut stand = Stand::new().await;
    let asked = stand.wait_for("/a").await;
    let address = stand.client.peer_addr().unwrap();
    let poller = std::mem::replace(
        &mut stand.client,
        TcpStream::connect(address).await.unwrap(),
    );
    stand.write(&get("/stream")).await;
    let mut pieces = stand.asked().await.stream();
    stand.stream_head().await;
    tokio::time::sleep(60 * SECOND).await;
    stand.stop.send(()).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert!(!stand.serving.is_finished(), "somebody waits");
    assert!(TcpStream::connect(address).await.is_err());
    say(&mut pieces, "data: bye\n\n").await;
    drop(pieces);
    asked.answer("bye");
    stand.serving.await.unwrap().unwrap();
    let mut rest = String::new();
    stand.client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "b\r\ndata: bye\n\n\r\n0\r\n\r\n");
    let (mut poller, mut answer) = (poller, String::new());
    poller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbye"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_become_something_else_after_a_request_that_waited() {
    let mut stand = Stand::new().await;
    let asked = stand.wait_for("/a").await;
    let upgrade = "GET /b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly";
    stand.write(upgrade).await;
    tokio::time::sleep(60 * SECOND).await;
    asked.answer("a");
    stand.answer("a").await;
    let mut asked = stand.asked().await;
    let upgraded = hyper::upgrade::on(&mut asked.request);
    // Such a request is not taken from hyper.
    tokio::time::sleep(60 * SECOND).await;
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "echo");
    let response = response.body(Body::default()).unwrap();
    assert!(asked.answer.send(response).is_ok());
    assert!(stand.head().await.starts_with("http/1.1 101 "));
    let mut socket = TokioIo::new(upgraded.await.unwrap());
    let mut early = [0; 5];
    socket.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    socket.write_all(b"done").await.unwrap();
    stand.reads("done").await;
}
