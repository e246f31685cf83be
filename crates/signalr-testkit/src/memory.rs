//! Clients of a hub without sockets: what they send and receive goes through channels, so that virtual time works.

use bytes::{Buf as _, Bytes};
use futures_channel::mpsc;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Method, StatusCode};
use signalr_proto::WsMessage;
use signalr_server::{HubRequest, HubServer};
use tokio::task::JoinHandle;

/// The record separator of JSON.
const SEPARATOR: u8 = 0x1e;

/// A client that speaks bytes.
#[derive(Debug)]
pub struct MemoryClient {
    id: String,
    outgoing: Option<mpsc::Sender<WsMessage>>,
    incoming: mpsc::Receiver<WsMessage>,
    received: Vec<u8>,
    close_code: Option<u16>,
    server: JoinHandle<()>,
}

impl MemoryClient {
    /// Opens a WebSocket without negotiation, with this query.
    ///
    /// # Errors
    /// The HTTP status when the hub refuses.
    pub async fn open(server: &HubServer, query: &str) -> Result<Self, StatusCode> {
        let request = HubRequest::new("/hub", query, HeaderMap::new());
        let accepted = server
            .connect(&Method::GET, true, request)
            .await
            .map_err(|response| response.status())?;
        let (outgoing, to_server) = mpsc::channel(16);
        let (from_server, incoming) = mpsc::channel(0);
        let id = accepted.connection_id().to_owned();
        let server = tokio::spawn(accepted.serve(to_server.map(Ok), from_server));
        Ok(Self {
            id,
            outgoing: Some(outgoing),
            incoming,
            received: Vec::new(),
            close_code: None,
            server,
        })
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

    /// The public id of the connection.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends bytes as one message. A server that does not listen any more is no error.
    pub async fn send(&mut self, bytes: &[u8]) {
        if let Some(outgoing) = &mut self.outgoing {
            let _ = outgoing
                .send(WsMessage::Binary(Bytes::copy_from_slice(bytes)))
                .await;
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
        if let Some(mut outgoing) = self.outgoing.take() {
            let _ = outgoing.send(WsMessage::Close(1000)).await;
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
        match self.incoming.next().await {
            Some(WsMessage::Text(bytes) | WsMessage::Binary(bytes)) => {
                self.received.extend_from_slice(bytes.chunk())
            }
            Some(WsMessage::Close(code)) => {
                self.close_code = Some(code);
                self.outgoing = None;
                return None;
            }
            None => return None,
        }
        Some(())
    }

    /// The code of the server's close frame, once that was received.
    #[must_use]
    pub const fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Waits until the server is done with this connection.
    ///
    /// # Panics
    /// When the server's side panicked.
    pub async fn gone(self) {
        drop(self.outgoing);
        drop(self.incoming);
        self.server.await.expect("the server does not panic");
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
