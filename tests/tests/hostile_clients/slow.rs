//! Clients that take their time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::join;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::raw::{CLOSE, HANDSHAKE, Http, LAST, Socket, TEXT, frame, head};
use crate::server::{MIB, Margin, Server, Watch};

const TOO_LATE: &str = r#"{"error":"Handshake was canceled."}"#;
const SECOND: Duration = Duration::from_secs(1);
/// A server drops who does not answer its close frame within five seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(7);
/// The longest that a request may take to come: Microsoft's server waits 30 seconds for a head and 5 for a body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);
/// Clients of each kind.
const EACH: usize = 40;

/// All of them at the same time.
pub async fn are_ended_in_time() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "slow clients of every kind");
    join!(
        many(|| handshake(&server, b"")),
        many(|| handshake(&server, HANDSHAKE.as_bytes())),
        many(|| close_frame_without_an_answer(&server)),
        many(|| request_head(&server)),
        many(|| post(&server, None)),
        many(|| post(&server, Some(b'a'))),
        many(|| negotiation(&server)),
        others_are_served(&server),
    );
    watch.bounded(24 * MIB, REQUEST_TIMEOUT + CLOSE_TIMEOUT);
    watch.returns(Margin::default()).await;
}

async fn many<F: Future<Output = ()>>(client: impl Fn() -> F) {
    join_all((0..EACH).map(|_| client())).await;
}

/// A handshake that comes a byte a second, if at all, and would take half a minute.
async fn handshake(server: &Server, text: &[u8]) {
    let begin = Instant::now();
    let mut socket = Socket::open(server, "/hub", "").await.unwrap();
    let mut bytes = text.chunks(1);
    let said = loop {
        if let Some(byte) = bytes.next() {
            socket.send(frame(LAST | TEXT, byte)).await;
        }
        let said = timeout(SECOND, socket.reader.record_at_last()).await;
        if let Ok(said) = said {
            break said;
        }
        assert!(begin.elapsed() < Duration::from_secs(18), "not in time");
    };
    assert_eq!(said.as_deref(), Some(TOO_LATE));
    assert!(begin.elapsed() > Duration::from_secs(14), "too early");
    assert_eq!(socket.end().await.code, Some(1000));
}

/// It is told that it is too late, and just stays.
async fn close_frame_without_an_answer(server: &Server) {
    let mut socket = Socket::open(server, "/tiny", "").await.unwrap();
    assert_eq!(socket.reader.record().await.as_deref(), Some(TOO_LATE));
    assert_eq!(socket.reader.record().await, None);
    assert_eq!(socket.reader.code, Some(1000));
    let gone = timeout(CLOSE_TIMEOUT, socket.reader.gone()).await;
    assert!(gone.is_ok(), "a client that does not answer is not dropped");
}

/// The server ends it, though perhaps a byte comes each second. Gives the status and how long it took.
async fn ended(mut http: Http, byte: Option<u8>) -> (String, Duration) {
    let begin = Instant::now();
    let rest = loop {
        if let Some(byte) = byte {
            let _ = http.stream.write_all(&[byte]).await;
        }
        if let Ok(rest) = timeout(SECOND, http.rest()).await {
            break rest;
        }
        assert!(begin.elapsed() < REQUEST_TIMEOUT, "an endless request");
    };
    let text = String::from_utf8_lossy(&rest);
    let status = text.get(9..12).unwrap_or_default();
    (status.to_owned(), begin.elapsed())
}

async fn request_head(server: &Server) {
    let mut http = Http::open(server).await;
    let begin = "GET /hub?id=1 HTTP/1.1\r\nHost: hub.test\r\nX-Slow: ";
    http.write(begin).await.unwrap();
    let (status, _) = ended(http, Some(b'a')).await;
    assert!(matches!(&*status, "" | "408"), "{status}");
}

/// A body that is announced and does not come, or comes slowly.
async fn post(server: &Server, byte: Option<u8>) {
    let offer = Http::open(server).await.negotiate("/hub").await;
    let target = format!("/hub?id={}", offer.token);
    assert_eq!(Http::open(server).await.get(&target).await.status, 200);
    let mut http = Http::open(server).await;
    let head = head("POST", &target, "", Some(1000));
    http.write(head).await.unwrap();
    let (status, after) = ended(http, byte).await;
    assert_eq!(status, "400");
    assert!((4..10).contains(&after.as_secs()), "after {after:?}");
}

/// Its body means nothing, so that it may be answered before, and does not keep the connection for good.
async fn negotiation(server: &Server) {
    let mut http = Http::open(server).await;
    let head = head("POST", "/hub/negotiate?negotiateVersion=1", "", Some(1000));
    http.write(head).await.unwrap();
    let answer = timeout(REQUEST_TIMEOUT, http.answer()).await;
    match answer.expect("a negotiation without end") {
        Ok(answer) if answer.status == 200 => {}
        Ok(_) | Err(_) => return,
    }
    let rest = timeout(REQUEST_TIMEOUT, http.rest()).await;
    assert!(rest.is_ok(), "a body without end keeps its connection");
}

async fn others_are_served(server: &Server) {
    let mut socket = Socket::connect(server, "/hub").await;
    for _ in 0..10 {
        let begin = Instant::now();
        socket.works().await;
        assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
        tokio::time::sleep(SECOND).await;
    }
    socket.send(frame(LAST | CLOSE, [])).await;
}
