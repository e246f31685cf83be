//! Clients that write whatever they like.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::Server;

/// Nobody here waits for longer, unless he says so.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SEPARATOR: u8 = 0x1e;
pub const HANDSHAKE: &str = r#"{"protocol":"json","version":1}"#;

pub const CONTINUE: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
/// The last frame of its message.
pub const LAST: u8 = 0x80;
/// Any mask.
const KEY: [u8; 4] = [0x5a, 0x1e, 0x00, 0xff];

/// A future that must not hang.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} hung for {PATIENCE:?}"))
}

/// Connects, from one of many addresses of this machine: there are fewer ports than connections here.
pub async fn dial(address: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let socket = TcpSocket::new_v4()?;
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    let last = 2 + NEXT.fetch_add(1, Ordering::Relaxed) % 200;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Ends a connection without a word, and without leaving the port unusable for a minute.
pub fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// A connection for requests.
pub struct Http {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The first line and the headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What negotiation brought.
#[derive(Clone, Debug)]
pub struct Offer {
    pub id: String,
    pub token: String,
}

impl Http {
    pub async fn open(server: &Server) -> Self {
        let stream = soon("connecting", dial(server.address, None))
            .await
            .unwrap();
        Self::over(stream)
    }

    pub const fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        soon("writing", self.stream.write_all(bytes.as_ref())).await
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.more().await?;
        }
    }

    async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.more().await?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// The next answer, whenever it comes.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            head += &line;
            head.push('\n');
        }
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let mut answer = Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: Vec::new(),
        };
        answer.body = match answer.header("content-length") {
            Some(length) => self.bytes(length.parse().unwrap()).await?,
            None if answer.header("transfer-encoding").is_some() => self.chunks().await?,
            None => Vec::new(),
        };
        Ok(answer)
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
            body.extend(self.bytes(size).await?);
            self.line().await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// What comes until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_ok() {}
        std::mem::take(&mut self.unread)
    }

    pub async fn send(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        let head = head(method, target, headers, Some(body.len()));
        let _ = self.write([head.as_bytes(), body].concat()).await;
    }

    pub async fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        self.send(method, target, headers, body).await;
        soon("an answer", self.answer()).await.unwrap()
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, "", b"").await
    }

    pub async fn post(&mut self, target: &str, body: &[u8]) -> Answer {
        self.ask("POST", target, "", body).await
    }

    pub async fn negotiate(&mut self, hub: &str) -> Offer {
        self.negotiate_as(hub, "", "").await
    }

    /// With more in the query, and with more headers.
    pub async fn negotiate_as(&mut self, hub: &str, query: &str, headers: &str) -> Offer {
        let target = format!("{hub}/negotiate?negotiateVersion=1{query}");
        let answer = self.ask("POST", &target, headers, b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        offer(&answer)
    }
}

pub fn offer(answer: &Answer) -> Offer {
    let offer: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |name: &str| offer[name].as_str().unwrap_or_default().to_owned();
    Offer {
        id: text("connectionId"),
        token: text("connectionToken"),
    }
}

/// The head of a request, each of `headers` ending with its line.
pub fn head(method: &str, target: &str, headers: &str, length: Option<usize>) -> String {
    let length = length.map_or_else(String::new, |n| format!("Content-Length: {n}\r\n"));
    format!("{method} {target} HTTP/1.1\r\nHost: hub.test\r\n{headers}{length}\r\n")
}

/// A masked frame whose first byte is this one.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = frame_head(first, payload.as_ref().len(), KEY);
    let masked = payload.as_ref().iter().zip(KEY.iter().cycle());
    bytes.extend(masked.map(|(byte, key)| byte ^ key));
    bytes
}

/// The same with a mask of zeros, which costs nothing for long payloads.
pub fn bare_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&frame_head(first, payload.len(), [0; 4]), payload].concat()
}

pub fn frame_head(first: u8, length: usize, key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes
}

/// A record in a frame of its own.
pub fn record(text: impl AsRef<str>) -> Vec<u8> {
    let text = text.as_ref();
    frame(LAST | TEXT, [text.as_bytes(), &[SEPARATOR]].concat())
}

/// A call of a hub's method; without an answer when `id` is empty.
pub fn call(id: &str, target: &str, arguments: &str) -> String {
    let id = if id.is_empty() {
        String::new()
    } else {
        format!(r#""invocationId":"{id}","#)
    };
    format!(r#"{{"type":1,{id}"target":"{target}","arguments":[{arguments}]}}"#)
}

/// A WebSocket.
pub struct Socket {
    pub writer: OwnedWriteHalf,
    pub reader: Reader,
}

/// The half of it that listens.
pub struct Reader {
    stream: OwnedReadHalf,
    unread: Vec<u8>,
    /// Bytes of `unread` that were read nevertheless.
    at: usize,
    records: VecDeque<String>,
    unfinished: Vec<u8>,
    /// The code of the server's close frame, 1005 when it had none.
    pub code: Option<u16>,
    /// Answers to pings.
    pub pongs: usize,
}

/// How a WebSocket ended.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// What was said before, but for pings.
    pub said: Vec<String>,
    pub code: Option<u16>,
}

impl Socket {
    /// Opens one; gives the answer when it is refused.
    pub async fn open(server: &Server, target: &str, headers: &str) -> Result<Self, Answer> {
        let stream = soon("connecting", dial(server.address, None))
            .await
            .unwrap();
        soon("opening", Self::upgrade(stream, target, headers)).await
    }

    pub async fn upgrade(stream: TcpStream, target: &str, headers: &str) -> Result<Self, Answer> {
        let headers = format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}"
        );
        let mut http = Http::over(stream);
        http.write(head("GET", target, &headers, None))
            .await
            .unwrap();
        let answer = http.answer().await.unwrap();
        if answer.status != 101 {
            return Err(answer);
        }
        let (stream, writer) = http.stream.into_split();
        let reader = Reader {
            stream,
            unread: http.unread,
            at: 0,
            records: VecDeque::new(),
            unfinished: Vec::new(),
            code: None,
            pongs: 0,
        };
        Ok(Self { writer, reader })
    }

    /// Opens one without negotiation, and shakes hands.
    pub async fn connect(server: &Server, hub: &str) -> Self {
        let mut socket = Self::open(server, hub, "").await.unwrap();
        socket.shake().await;
        socket
    }

    pub async fn shake(&mut self) {
        self.send(record(HANDSHAKE)).await;
        assert_eq!(self.reader.record().await.as_deref(), Some("{}"));
    }

    /// Writes bytes as they are. A server that is gone takes them, too.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("writing", self.writer.write_all(bytes.as_ref())).await;
    }

    /// Calls, and passes over everything until the answer comes.
    pub async fn invoke(&mut self, id: &str, target: &str, arguments: &str) -> Value {
        self.send(record(call(id, target, arguments))).await;
        self.reader.completion(id).await
    }

    /// The server still works for this client.
    pub async fn works(&mut self) {
        let answer = self.invoke("works", "Add", "20,22").await;
        assert_eq!(answer["result"], 42, "{answer}");
    }

    /// Listens until the server has closed, answering its close frame.
    pub async fn end(&mut self) -> End {
        let mut said = Vec::new();
        while let Some(record) = self.reader.record().await {
            said.push(record);
        }
        if self.reader.code.is_some() {
            self.send(frame(LAST | CLOSE, 1000_u16.to_be_bytes())).await;
            soon("the end of the stream", self.reader.gone()).await;
        }
        let code = self.reader.code;
        End { said, code }
    }

    /// Leaves without a word.
    pub fn reset(self) {
        let Self { writer, reader } = self;
        if let Ok(stream) = writer.reunite(reader.stream) {
            reset(stream);
        }
    }
}

impl Reader {
    async fn more(&mut self) -> bool {
        self.unread.drain(..self.at);
        self.at = 0;
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
    }

    /// Where the next frame's payload begins and ends, once it has come whole.
    fn next(&self) -> Option<(u8, std::ops::Range<usize>)> {
        let unread = self.unread.get(self.at..)?;
        let (first, second) = (*unread.first()?, *unread.get(1)?);
        let (size, length) = match second {
            126 => (
                4,
                u16::from_be_bytes(unread.get(2..4)?.try_into().ok()?).into(),
            ),
            127 => (10, u64::from_be_bytes(unread.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let begin = self.at + size;
        let end = begin + usize::try_from(length).ok()?;
        (end <= self.unread.len()).then_some((first, begin..end))
    }

    /// The next frame; nothing when the server is gone.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, payload)) = self.next() {
                self.at = payload.end;
                return Some((first, self.unread[payload].to_vec()));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next record but pings; nothing when the server has closed or is gone.
    pub async fn record(&mut self) -> Option<String> {
        soon("a record", self.record_at_last()).await
    }

    pub async fn record_at_last(&mut self) -> Option<String> {
        loop {
            match self.records.pop_front() {
                Some(ping) if ping == r#"{"type":6}"# => continue,
                Some(record) => return Some(record),
                None if self.code.is_some() => return None,
                None => {}
            }
            let (first, payload) = self.frame().await?;
            match first & 0xf {
                TEXT | BINARY | CONTINUE => self.take(&payload),
                CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    self.code = Some(code.unwrap_or(1005));
                }
                PONG => self.pongs += 1,
                _ => {}
            }
        }
    }

    fn take(&mut self, payload: &[u8]) {
        self.unfinished.extend_from_slice(payload);
        let mut records = self.unfinished.split(|byte| *byte == SEPARATOR);
        let rest = records.next_back().unwrap_or_default().to_vec();
        self.records
            .extend(records.map(|record| String::from_utf8_lossy(record).into_owned()));
        self.unfinished = rest;
    }

    /// The completion of this call.
    pub async fn completion(&mut self, id: &str) -> Value {
        loop {
            let record = self.record().await.expect("the server closed");
            let value: Value = serde_json::from_str(&record).unwrap();
            assert!(value["type"] != 7, "the server closes: {value}");
            if value["type"] == 3 && value["invocationId"] == id {
                return value;
            }
        }
    }

    /// Passes over so many bytes of data, payloads alone, and tells the longest pause. Cheap enough for gigabytes.
    pub async fn pass_over(&mut self, mut payload: u64) -> Duration {
        let mut longest = Duration::ZERO;
        let mut left_of_frame = 0;
        let mut before = std::time::Instant::now();
        while payload > 0 {
            if left_of_frame > 0 {
                let here = (self.unread.len() - self.at) as u64;
                let size = here.min(left_of_frame);
                self.at += usize::try_from(size).unwrap();
                left_of_frame -= size;
                payload = payload.saturating_sub(size);
            }
            if let Some(length) = (left_of_frame == 0).then(|| self.head()).flatten() {
                left_of_frame = length;
                continue;
            }
            if payload > 0 {
                self.unread.reserve(256 << 10);
                assert!(
                    soon("the next piece", self.more()).await,
                    "the server is gone"
                );
                longest = longest.max(before.elapsed());
                before = std::time::Instant::now();
            }
        }
        longest
    }

    /// Passes over the head of a frame and tells how long its payload is.
    fn head(&mut self) -> Option<u64> {
        let unread = self.unread.get(self.at..)?;
        let (size, length) = match unread.get(1)? {
            126 => (
                4,
                u16::from_be_bytes(unread.get(2..4)?.try_into().ok()?).into(),
            ),
            127 => (10, u64::from_be_bytes(unread.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(*short)),
        };
        self.at += size;
        Some(length)
    }

    /// The server ends the stream.
    pub async fn gone(&mut self) {
        self.unread.clear();
        self.at = 0;
        while self.more().await {
            self.unread.clear();
        }
    }
}
