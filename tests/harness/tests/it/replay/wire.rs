//! HTTP/1.1 as the recordings need it: requests that no library would send, answers that are cut, and answers that may take long.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any answer of the recordings takes: a handshake may take 15 s.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        // The recordings were made on that port, and a redirect repeats it.
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What has come so far; nothing while the head is not whole.
    fn read(bytes: &[u8], ended: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes).unwrap() else {
            return None;
        };
        let headers: BTreeMap<_, _> = head
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect();
        let status = head.code?;
        let rest = &bytes[length..];
        let (body, complete) = if headers
            .get("transfer-encoding")
            .is_some_and(|c| c == "chunked")
        {
            chunks(rest)
        } else if let Some(length) = headers.get("content-length") {
            let length = length.parse::<usize>().unwrap();
            let body = rest.get(..length).unwrap_or(rest);
            (body.to_vec(), body.len() == length)
        } else {
            (rest.to_vec(), ended || matches!(status, 101 | 204))
        };
        Some(Self {
            status,
            headers,
            body,
            complete,
        })
    }
}

/// What chunks hold, and whether the last of them is there.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, length))) = httparse::parse_chunk_size(rest) {
        if length == 0 {
            return (body, true);
        }
        let end = start + usize::try_from(length).unwrap();
        body.extend_from_slice(&rest[start..end.min(rest.len())]);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    (body, false)
}

/// A request under way, on a connection of its own.
pub(crate) struct Exchange {
    reading: JoinHandle<Option<Answer>>,
    cut: oneshot::Sender<()>,
}

impl Exchange {
    pub(crate) fn begin(server: SocketAddr, request: &Request) -> Self {
        let (cut, told) = oneshot::channel();
        let reading = tokio::spawn(exchange(server, request.bytes(), told));
        Self { reading, cut }
    }

    /// The whole answer.
    pub(crate) async fn answer(self) -> Result<Answer, String> {
        let Self { mut reading, cut } = self;
        let answer = tokio::time::timeout(PATIENCE, &mut reading).await;
        drop(cut);
        let answer = answer.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
        answer
            .unwrap()
            .ok_or_else(|| "the connection ended without an answer".to_owned())
    }

    /// Breaks the connection, and gives what had come.
    pub(crate) async fn cut(self) -> Result<Answer, String> {
        let _ = self.cut.send(());
        let answer = self.reading.await.unwrap();
        answer.ok_or_else(|| "nothing had come yet".to_owned())
    }

    pub(crate) fn is_pending(&self) -> bool {
        !self.reading.is_finished()
    }
}

async fn exchange(
    server: SocketAddr,
    request: Vec<u8>,
    mut cut: oneshot::Receiver<()>,
) -> Option<Answer> {
    let socket = TcpStream::connect(server).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let writing = async {
        // A server may answer without reading everything.
        let _ = writer.write_all(&request).await;
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let count = tokio::select! {
                count = reader.read_buf(&mut bytes) => count.unwrap_or_default(),
                _ = &mut cut => return Answer::read(&bytes, false),
            };
            let answer = Answer::read(&bytes, count == 0);
            if count == 0 || answer.as_ref().is_some_and(|answer| answer.complete) {
                return answer;
            }
        }
    };
    tokio::select! {
        answer = reading => answer,
        () = writing => None,
    }
}
