//! Clients over long polling and event streams, request by request.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc::{self, UnboundedSender};
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use signalr_harness::memory::ask;
use signalr_server::{HubBody, HubServer};
use tokio::task::JoinHandle;
use tower_service::Service as _;

use super::negotiate;

pub(crate) const HELLO: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

/// A client without a transport of its own.
#[derive(Clone)]
pub(crate) struct HttpClient {
    server: HubServer,
    pub(crate) id: String,
    pub(crate) token: String,
    bearer: Option<String>,
}

impl HttpClient {
    /// Negotiates.
    pub(crate) async fn new(server: &HubServer) -> Self {
        let (id, token) = negotiate(server, "").await;
        Self {
            server: server.clone(),
            id,
            token,
            bearer: None,
        }
    }

    /// Negotiates as somebody.
    pub(crate) async fn new_as(server: &HubServer, bearer: &str) -> Self {
        Self::new_with(server, bearer, "").await
    }

    /// Negotiates as somebody, with more in the query.
    pub(crate) async fn new_with(server: &HubServer, bearer: &str, query: &str) -> Self {
        let query = format!("access_token={bearer}&{query}");
        let (id, token) = negotiate(server, &query).await;
        Self {
            server: server.clone(),
            id,
            token,
            bearer: Some(bearer.to_owned()),
        }
    }

    /// The same client with another token.
    pub(crate) fn with(&self, bearer: &str) -> Self {
        Self {
            bearer: Some(bearer.to_owned()),
            ..self.clone()
        }
    }

    fn request(&self, method: Method, path: &str, body: &[u8]) -> Request<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/hub{path}?id={}", self.token));
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        request.body(Bytes::copy_from_slice(body)).unwrap()
    }

    /// Polls once.
    pub(crate) async fn poll(&self) -> Response<Bytes> {
        ask(&self.server, self.request(Method::GET, "", b"")).await
    }

    /// The messages of the next poll.
    pub(crate) async fn messages(&self) -> String {
        let response = self.poll().await;
        assert_eq!(response.status(), StatusCode::OK);
        String::from_utf8(response.into_body().into()).unwrap()
    }

    pub(crate) async fn post(&self, text: &str) -> Response<Bytes> {
        let request = self.request(Method::POST, "", text.as_bytes());
        ask(&self.server, request).await
    }

    pub(crate) async fn say(&self, text: &str) {
        assert_eq!(self.post(text).await.status(), StatusCode::OK);
    }

    /// Posts, and breaks off: with an error of the body, or by dropping the whole request.
    pub(crate) async fn post_and_break_off(&self, text: &str, is_error: bool) {
        let head = self.request(Method::POST, "", b"");
        let start = Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())));
        let pieces = stream::iter([start]);
        let answer = if is_error {
            let broken = stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
            let body = StreamBody::new(pieces.chain(broken));
            self.server.service().call(head.map(|_| body))
        } else {
            let body = StreamBody::new(pieces.chain(stream::pending()));
            self.server.service().call(head.map(|_| body))
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
        assert!(answer.is_err() || is_error);
    }

    /// Posts what is sent through the channel, until it is dropped.
    pub(crate) fn post_in_pieces(&self) -> (JoinHandle<StatusCode>, UnboundedSender<Bytes>) {
        let (sender, pieces) = mpsc::unbounded();
        let body = StreamBody::new(pieces.map(|piece| Ok::<_, io::Error>(Frame::data(piece))));
        let request = self.request(Method::POST, "", b"").map(|_| body);
        let answer = self.server.service().call(request);
        let posting = async move {
            let Ok(response) = answer.await;
            response.status()
        };
        (tokio::spawn(posting), sender)
    }

    pub(crate) async fn delete(&self) -> Response<Bytes> {
        ask(&self.server, self.request(Method::DELETE, "", b"")).await
    }

    pub(crate) async fn refresh(&self) -> Response<Bytes> {
        let request = self.request(Method::POST, "/refresh", b"");
        ask(&self.server, request).await
    }

    /// Makes long polling the transport, and shakes hands.
    pub(crate) async fn start_polling(&self) {
        assert_eq!(self.messages().await, "");
        self.say(HELLO).await;
        assert_eq!(self.messages().await, "{}\u{1e}");
    }

    /// A poll whose answer's body is not read.
    pub(crate) async fn open_poll(&self) -> Response<HubBody> {
        let request = self.request(Method::GET, "", b"").map(Full::new);
        let Ok(response) = self.server.service().call(request).await;
        response
    }

    /// Opens an event stream.
    pub(crate) async fn events(&self) -> Response<Events> {
        let mut request = self.request(Method::GET, "", b"");
        let accept = "text/event-stream".parse().unwrap();
        request.headers_mut().insert(header::ACCEPT, accept);
        let Ok(response) = self.server.service().call(request.map(Full::new)).await;
        response.map(Events)
    }

    /// Makes an event stream the transport, and shakes hands.
    pub(crate) async fn start_events(&self) -> Events {
        let mut events = self.events().await.into_body();
        assert_eq!(events.piece().await.as_deref(), Some(":\r\n"));
        self.say(HELLO).await;
        assert_eq!(events.message().await.as_deref(), Some("{}\u{1e}"));
        events
    }
}

/// An event stream.
pub(crate) struct Events(HubBody);

impl Events {
    /// What comes next; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Option<String> {
        let frame = self.0.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().into()).unwrap())
    }

    /// The payload of the next event that is not a ping; `None` at the end.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            let event = self.piece().await?;
            let payload = event.strip_prefix("data: ").unwrap();
            let payload = payload.strip_suffix("\r\n\r\n").unwrap();
            if payload != "{\"type\":6}\u{1e}" {
                return Some(payload.to_owned());
            }
        }
    }

    /// Whether it is broken off now.
    pub(crate) async fn is_broken(&mut self) -> bool {
        matches!(self.0.frame().await, Some(Err(_)))
    }
}
