//! A WebSocket whose frames the test writes and reads itself, so that it can be as slow as it likes.

use bytes::Bytes;
use http::{Request, StatusCode, header, request};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use signalr_server::HubServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// What fits between client and server.
const PIPE: usize = 16 << 10;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x01;
const CLOSE: u8 = 0x08;

pub(crate) struct RawSocket {
    stream: DuplexStream,
}

impl RawSocket {
    /// Opens a WebSocket without negotiation.
    pub(crate) async fn open(server: &HubServer, query: &str) -> Self {
        let request = upgrade(&format!("/hub?{query}"));
        Self::ask(server, request).await.unwrap()
    }

    /// Opens a WebSocket with this request, or gives the status of the refusal.
    pub(crate) async fn ask(
        server: &HubServer,
        request: request::Builder,
    ) -> Result<Self, StatusCode> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let service = TowerToHyperService::new(server.service());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(theirs), service)
                .with_upgrades(),
        );
        let mut socket = Self { stream: ours };
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut text = format!("{} {} HTTP/1.1\r\nHost: hub\r\n", head.method, head.uri);
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        socket.write(format!("{text}\r\n").as_bytes()).await;
        match socket.status().await {
            StatusCode::SWITCHING_PROTOCOLS => Ok(socket),
            refused => Err(refused),
        }
    }

    async fn status(&mut self) -> StatusCode {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let status = head.get(9..12).unwrap();
        StatusCode::from_bytes(status).unwrap()
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Shakes hands in JSON.
    pub(crate) async fn shake_hands(&mut self) {
        self.send(b"{\"protocol\":\"json\",\"version\":1}\x1e")
            .await;
        assert_eq!(self.message().await, "{}\x1e");
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, payload: &[u8]) {
        // The mask is zero, so that the payload stands as it is.
        let mut frame = vec![FIN | TEXT];
        match u16::try_from(payload.len()).unwrap() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.write(&frame).await;
    }

    async fn frame(&mut self) -> (u8, Bytes) {
        let first = self.stream.read_u8().await.unwrap();
        let length = match self.stream.read_u8().await.unwrap() {
            126 => u64::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.unwrap();
        (first, payload.into())
    }

    /// The next message, with its record separators.
    pub(crate) async fn message(&mut self) -> String {
        let (first, payload) = self.frame().await;
        assert_eq!(first, FIN | TEXT);
        String::from_utf8(payload.into()).unwrap()
    }

    /// The code of the close frame, which comes next.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, FIN | CLOSE);
        u16::from_be_bytes(payload.get(..2).unwrap().try_into().unwrap())
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(&mut self) {
        let mut rest = Vec::new();
        // A stream that is torn ends, too.
        let _ = self.stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }
}

/// A request for a WebSocket.
pub(crate) fn upgrade(uri: &str) -> request::Builder {
    Request::get(uri)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
}
