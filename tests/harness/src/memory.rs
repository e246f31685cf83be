//! Clients of a hub without sockets: what they send and receive goes through memory, so that virtual time works.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{TokioAdapter, client_async};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_server::HubServer;
use tokio::io::DuplexStream;
use tower_service::Service as _;

/// The record separator of JSON.
const SEPARATOR: u8 = 0x1e;

/// What fits between client and server.
const PIPE: usize = 16 << 10;

type Socket = WebSocketStream<TokioAdapter<DuplexStream>>;

/// A client that speaks bytes over a WebSocket.
pub struct MemoryClient {
    id: String,
    socket: Socket,
    /// The client has said its last word.
    left: bool,
    received: Vec<u8>,
    close_code: Option<u16>,
}

impl std::fmt::Debug for MemoryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryClient")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Asks a hub for something, without a network.
///
/// # Panics
/// When the answer's body breaks off.
pub async fn ask(server: &HubServer, request: Request<Bytes>) -> Response<Bytes> {
    let response = server.service().call(request.map(Full::new)).await;
    let Ok(response) = response;
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("the body is whole");
    Response::from_parts(head, body.to_bytes())
}

/// Negotiates with this query in version 1. Gives the answer.
///
/// # Errors
/// The HTTP status when the hub refuses.
///
/// # Panics
/// When the answer makes no sense.
pub async fn negotiate(server: &HubServer, query: &str) -> Result<Bytes, StatusCode> {
    let uri = format!("/hub/negotiate?negotiateVersion=1&{query}");
    let request = Request::post(uri).body(Bytes::new());
    let response = ask(server, request.expect("a request")).await;
    if response.status() == StatusCode::OK {
        Ok(response.into_body())
    } else {
        Err(response.status())
    }
}

impl MemoryClient {
    /// Negotiates and opens a WebSocket, with this query. One that has an `id` already is not negotiated for.
    ///
    /// # Errors
    /// The HTTP status when the hub refuses.
    ///
    /// # Panics
    /// When an answer makes no sense.
    pub async fn open(server: &HubServer, query: &str) -> Result<Self, StatusCode> {
        if query.starts_with("id=") {
            return Self::attach(server, query, String::new()).await;
        }
        let answer = negotiate(server, query).await?;
        let Ok(NegotiateResponse::Connect(offer)) = NegotiateResponse::decode(&answer) else {
            panic!("{answer:?} is no offer");
        };
        let query = format!("id={}&{query}", offer.token());
        Self::attach(server, &query, (*offer.connection_id).to_owned()).await
    }

    /// Opens a WebSocket with exactly this query.
    ///
    /// # Errors
    /// The HTTP status when the hub refuses.
    ///
    /// # Panics
    /// When the answer is none.
    pub async fn attach(server: &HubServer, query: &str, id: String) -> Result<Self, StatusCode> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let service = TowerToHyperService::new(server.service());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(theirs), service)
                .with_upgrades(),
        );
        let uri = format!("ws://hub/hub?{query}");
        match client_async(uri, ours).await {
            Ok((socket, _)) => Ok(Self {
                id,
                socket,
                left: false,
                received: Vec::new(),
                close_code: None,
            }),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("no WebSocket: {error}"),
        }
    }

    /// Opens a WebSocket and shakes hands in JSON.
    ///
    /// # Panics
    /// When the hub refuses.
    pub async fn connect(server: &HubServer, query: &str) -> Self {
        let mut client = Self::open(server, query).await.expect("the hub accepts");
        client
            .send(b"{\"protocol\":\"json\",\"version\":1}\x1e")
            .await;
        assert_eq!(client.record().await.as_deref(), Some("{}"));
        client
    }

    /// The public id of the connection; empty if it was opened by its token.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends bytes as one message. A server that does not listen any more is no error.
    pub async fn send(&mut self, bytes: &[u8]) {
        if !self.left {
            let message = Message::Binary(Bytes::copy_from_slice(bytes));
            let _ = self.socket.send(message).await;
        }
    }

    /// Sends JSON records.
    pub async fn send_records(&mut self, records: &[&str]) {
        let bytes: Vec<u8> = records
            .iter()
            .flat_map(|record| [record.as_bytes(), &[SEPARATOR]].concat())
            .collect();
        self.send(&bytes).await;
    }

    /// Closes the WebSocket.
    pub async fn close(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            let _ = self.socket.send(Message::Close(Some(frame))).await;
        }
    }

    /// The next JSON record; `None` when the server closed the connection.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub async fn record(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == SEPARATOR) {
                let rest = self.received.split_off(end + 1);
                let mut record = std::mem::replace(&mut self.received, rest);
                record.truncate(end);
                return Some(String::from_utf8(record).expect("JSON is UTF-8"));
            }
            self.receive().await?;
        }
    }

    /// The next record that is not a ping.
    pub async fn message(&mut self) -> Option<String> {
        loop {
            let record = self.record().await?;
            if record != r#"{"type":6}"# {
                return Some(record);
            }
        }
    }

    /// The next MessagePack frame, length prefix included; `None` when the server closed the connection.
    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = frame_end(&self.received) {
                let rest = self.received.split_off(end);
                return Some(std::mem::replace(&mut self.received, rest));
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Option<()> {
        match self.socket.next().await?.ok()? {
            Message::Text(text) => self.received.extend_from_slice(text.as_bytes()),
            Message::Binary(bytes) => self.received.extend_from_slice(&bytes),
            Message::Close(frame) => {
                self.close_code = Some(frame.map_or(1005, |frame| frame.code.into()));
                self.left = true;
                // The answer goes out with the next attempt to read.
                let _ = futures_util::poll!(self.socket.next());
                return None;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Some(())
    }

    /// The code of the server's close frame, once that was received.
    #[must_use]
    pub const fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Leaves without a word, and waits until the server is done with this connection.
    pub async fn gone(mut self) {
        use tokio::io::AsyncWriteExt as _;
        let _ = self.socket.get_mut().get_mut().shutdown().await;
        while self.receive().await.is_some() {}
    }
}

/// Where the first frame ends, if it is there as a whole.
fn frame_end(bytes: &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let end = index + 1 + length;
            return (end <= bytes.len()).then_some(end);
        }
    }
    None
}
