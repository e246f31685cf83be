//! The connection that publishes is cut at every byte of a message.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use signalr_redis::RedisBackplane;
use signalr_server::testing::TestClient;
use signalr_server::{Hub, HubMethods, HubServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::clients::PATIENCE;

/// What the message that is cut says.
const MARK: &str = "cut me";
/// What it begins with on the wire.
const COMMAND: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n";

/// Passes everything on, but cuts a marked message once.
struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes of the next marked message after which its connection is cut.
    after: Mutex<Option<usize>>,
    /// Bytes of the last marked message.
    length: AtomicUsize,
}

impl Cutter {
    async fn start(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let known = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, redis, Arc::clone(&known)));
            }
        });
        Self { address, shared }
    }
}

async fn pass(client: TcpStream, redis: SocketAddr, shared: Arc<Shared>) -> std::io::Result<()> {
    let (mut from, back) = client.into_split();
    let (answers, mut to) = TcpStream::connect(redis).await?.into_split();
    let (cut, was_cut) = oneshot::channel();
    tokio::spawn(answer(answers, back, was_cut));
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut piece).await?;
        let bytes = &piece[..length];
        if let Some(end) = shared.cut(bytes) {
            let _ = cut.send(());
            return to.write_all(&bytes[..end]).await;
        }
        if length == 0 {
            return Ok(());
        }
        to.write_all(bytes).await?;
    }
}

/// Redis' answers, until the connection is cut. What comes afterwards is lost, but read: else Redis would be reset, and might
/// not look at what it has been sent.
async fn answer(
    mut answers: OwnedReadHalf,
    mut back: OwnedWriteHalf,
    mut was_cut: oneshot::Receiver<()>,
) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = tokio::select! {
            biased;
            cut = &mut was_cut => match cut {
                Ok(()) => break,
                // The client has left.
                Err(_) => return,
            },
            length = answers.read(&mut piece) => length.unwrap_or(0),
        };
        if length == 0 || back.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    drop(back);
    while answers
        .read(&mut piece)
        .await
        .is_ok_and(|length| length > 0)
    {}
}

impl Shared {
    /// Where a piece is to be cut, if it is.
    fn cut(&self, bytes: &[u8]) -> Option<usize> {
        let mark = memchr::memmem::find(bytes, MARK.as_bytes())?;
        let begin = memchr::memmem::rfind(&bytes[..mark], COMMAND)?;
        let end = memchr::memmem::find(&bytes[mark..], COMMAND);
        let end = end.map_or(bytes.len(), |end| mark + end);
        self.length.store(end - begin, Ordering::SeqCst);
        let after = self.after.lock().unwrap().take()?;
        Some((begin + after).min(end))
    }
}

struct Quiet;

impl Hub for Quiet {
    fn methods(_: &mut HubMethods<Self>) {}
}

async fn server(redis: SocketAddr) -> HubServer {
    let redis = RedisBackplane::open(&format!("redis://{redis}")).unwrap();
    let server = HubServer::builder(Quiet).backplane("Cut.Hub", redis);
    let server = server.build().unwrap();
    server.backplane().unwrap().ready().await;
    server
}

async fn send(server: &HubServer, text: &str) -> bool {
    let all = server.clients().all();
    all.send("Hear", (text,)).await.is_ok()
}

/// Everything that a client hears up to this text.
async fn heard(client: &mut TestClient, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != last) {
        let next = client.received::<(String,)>("Hear");
        let (text,) = tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap();
        heard.push(text);
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_cut_at_any_byte_arrives_once_or_fails_and_the_next_one_arrives() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let cutter = Cutter::start(redis.address()).await;
    let (near, far) = (server(cutter.address).await, server(redis.address()).await);
    let mut here = TestClient::connect(&near).await.unwrap();
    let mut there = TestClient::connect(&far).await.unwrap();
    assert!(send(&near, MARK).await);
    heard(&mut there, MARK).await;
    heard(&mut here, MARK).await;
    let length = cutter.shared.length.load(Ordering::SeqCst);
    assert!(length > 100, "{length}");
    let every = std::env::var("SIGNALR_FAULTS").is_ok_and(|faults| faults == "all");
    let (mut arrived, mut slowest) = (0, Duration::ZERO);
    for after in (0..=length)
        .step_by(if every { 1 } else { 9 })
        .chain([length])
    {
        *cutter.shared.after.lock().unwrap() = Some(after);
        assert!(!send(&near, MARK).await, "nobody could confirm it");
        let began = Instant::now();
        let next = format!("after {after}");
        while !send(&near, &next).await {
            assert!(
                began.elapsed() < PATIENCE,
                "the backplane does not come back"
            );
            near.backplane().unwrap().ready().await;
        }
        slowest = slowest.max(began.elapsed());
        // Messages to oneself may be lost while the link is: of the other server nothing is.
        let texts = heard(&mut there, &next).await;
        assert!(texts.len() <= 2, "{texts:?}");
        assert!(texts.len() == 1 || texts[0] == MARK, "{texts:?}");
        assert_eq!(
            texts.len() == 2,
            after == length,
            "only the whole of it arrives"
        );
        arrived += texts.len() - 1;
        heard(&mut here, &next).await;
    }
    println!("cut at {length} bytes, {arrived} arrived; back after {slowest:?} at most");
}
