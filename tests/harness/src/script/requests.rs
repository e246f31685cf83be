//! What the client of a [`Script`] asks over HTTP, and the server's answers.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, header};
use signalr_proto::client::{Action, Input};
use signalr_proto::transport::event_stream;
use signalr_proto::transport::negotiate::{
    AccessToken, NegotiateResponse, Offer, TransportKind, TransportOffer,
};
use signalr_proto::{EndCause, OpId};

use super::Script;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all there are")]
pub enum Wish {
    /// `POST …/negotiate`.
    Negotiate,
    /// `POST …/refresh`.
    Refresh,
    /// `GET` for an event stream.
    Events,
    /// `GET` for the next messages.
    Poll,
    /// `POST` of messages.
    Post,
    /// `DELETE`, the end of long polling.
    Delete,
}

impl Wish {
    /// Whether this action is a request of that kind.
    #[must_use]
    pub fn is(action: &Action, wish: Self) -> bool {
        matches!(action, Action::Request { request, .. } if Self::of(request) == wish)
    }

    /// What this request is for.
    #[must_use]
    pub fn of(request: &Request<Bytes>) -> Self {
        let path = request.uri().path();
        if path.ends_with("/negotiate") {
            Self::Negotiate
        } else if path.ends_with("/refresh") {
            Self::Refresh
        } else if request.method() == Method::POST {
            Self::Post
        } else if request.method() == Method::DELETE {
            Self::Delete
        } else if request
            .headers()
            .get(header::ACCEPT)
            .is_some_and(|accept| accept == "text/event-stream")
        {
            Self::Events
        } else {
            Self::Poll
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct OpenRequest {
    /// Names it.
    pub op: OpId,
    /// What it is for.
    pub wish: Wish,
    /// The request itself.
    pub request: Request<Bytes>,
}

impl OpenRequest {
    /// The address.
    #[must_use]
    pub fn uri(&self) -> String {
        self.request.uri().to_string()
    }

    /// A header's text.
    ///
    /// # Panics
    /// When it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.request.headers().get(name)?;
        Some(value.to_str().expect("the header is text"))
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.request.body()).expect("the body is text")
    }
}

/// An answer to negotiate that offers these transports; the public id is `id`, the token `token`.
#[must_use]
pub fn offer(kinds: &[TransportKind]) -> String {
    offer_with(kinds, |_| {})
}

/// As [`offer`], changed by `change`.
///
/// # Panics
/// Never: what is written is text.
#[must_use]
pub fn offer_with(kinds: &[TransportKind], change: impl FnOnce(&mut Offer)) -> String {
    let mut offer = Offer::new("id".into(), Some("token".into()), &[]);
    offer.transports = kinds.iter().copied().map(TransportOffer::of).collect();
    change(&mut offer);
    let body = NegotiateResponse::Connect(offer).encode();
    String::from_utf8(body.into()).expect("JSON is text")
}

/// As [`offer`], with stateful reconnect granted.
#[must_use]
pub fn granted(kinds: &[TransportKind]) -> String {
    offer_with(kinds, |offer| offer.stateful_reconnect = true)
}

/// Looking at requests.
impl Script {
    /// The request of this kind that is under way.
    #[must_use]
    pub fn find(&self, wish: Wish) -> Option<&OpenRequest> {
        self.requests.iter().find(|open| open.wish == wish)
    }

    /// The request of this kind that is under way.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn wish(&self, wish: Wish) -> &OpenRequest {
        self.find(wish)
            .unwrap_or_else(|| panic!("no {wish:?} among {:?}", self.wishes()))
    }

    /// What the requests under way are for, in the order they were made.
    #[must_use]
    pub fn wishes(&self) -> Vec<Wish> {
        self.requests.iter().map(|open| open.wish).collect()
    }

    /// A new request is under way. There is never a second one of its kind.
    pub(super) fn note_request(&mut self, op: OpId, request: &Request<Bytes>) {
        let wish = Wish::of(request);
        assert!(self.find(wish).is_none(), "two of {wish:?} under way");
        let mut copy = Request::new(request.body().clone());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        self.requests.push(OpenRequest {
            op,
            wish,
            request: copy,
        });
    }

    fn close(&mut self, wish: Wish) -> OpenRequest {
        let index = self.requests.iter().position(|open| open.wish == wish);
        let index = index.unwrap_or_else(|| panic!("no {wish:?} among {:?}", self.wishes()));
        self.requests.remove(index)
    }
}

/// Answering requests.
impl Script {
    /// Answers a request that wants its answer whole.
    pub fn answer(&mut self, wish: Wish, status: u16, body: &str) {
        let open = self.close(wish);
        if wish == Wish::Post && (200..300).contains(&status) {
            self.sent.extend_from_slice(open.request.body());
        }
        self.respond(open.op, status, body);
    }

    /// Answers negotiate with an offer of these transports.
    pub fn offer(&mut self, kinds: &[TransportKind]) {
        self.answer(Wish::Negotiate, 200, &offer(kinds));
    }

    /// Lets the head of a streamed answer come in: of the type of an event stream for that.
    pub fn head(&mut self, wish: Wish, status: u16) {
        let mut headers = HeaderMap::new();
        if wish == Wish::Events {
            headers.insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("text/event-stream; charset=utf-8"),
            );
        }
        self.head_with(wish, status, headers);
    }

    /// Lets the head of a streamed answer come in.
    ///
    /// # Panics
    /// When the status is none.
    pub fn head_with(&mut self, wish: Wish, status: u16, headers: HeaderMap) {
        let op = self.wish(wish).op;
        let mut response = Response::builder()
            .status(status)
            .body(Bytes::new())
            .expect("the status is valid");
        *response.headers_mut() = headers;
        self.input(Input::Response { op, response });
        // There is no body behind this status.
        if status == 204 && self.requests.iter().any(|open| open.op == op) {
            self.end_request(wish, EndCause::Clean);
        }
    }

    /// Lets the next piece of a streamed answer come in.
    pub fn chunk(&mut self, wish: Wish, bytes: &[u8]) {
        let op = self.wish(wish).op;
        self.chunk_of(op, bytes);
    }

    /// A piece for a request that need not be under way any more.
    pub fn chunk_of(&mut self, op: OpId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.input(Input::Chunk { op, bytes });
    }

    /// Ends a request, or the body of its answer.
    pub fn end_request(&mut self, wish: Wish, cause: EndCause) {
        let op = self.close(wish).op;
        self.input(Input::Ended { op, cause });
    }

    /// Ends a request as a broken network does.
    pub fn break_request(&mut self, wish: Wish) {
        let detail = "broken".into();
        self.end_request(wish, EndCause::Failed { detail });
    }

    /// Answers the poll under way with this body.
    pub fn answer_poll(&mut self, body: &[u8]) {
        self.head(Wish::Poll, 200);
        if !body.is_empty() {
            self.chunk(Wish::Poll, body);
        }
        // What the body said may have ended the connection, and the poll with it.
        if self.find(Wish::Poll).is_some() {
            self.end_request(Wish::Poll, EndCause::Clean);
        }
    }

    /// Lets a payload come in as one event of the stream.
    pub fn event(&mut self, payload: &[u8]) {
        let mut event = BytesMut::new();
        event_stream::encode(&mut event, payload);
        self.chunk(Wish::Events, &event);
    }

    /// Takes the `POST`s of messages, one after another.
    pub fn take_posts(&mut self) {
        while self.find(Wish::Post).is_some() {
            self.answer(Wish::Post, 200, "");
        }
    }

    /// The body of the `POST` of messages under way, which is then answered with 200.
    pub fn take_post(&mut self) -> String {
        let body = self.wish(Wish::Post).text().to_owned();
        self.answer(Wish::Post, 200, "");
        body
    }

    /// Plays the server of an HTTP transport up to the accepted handshake, from negotiation on.
    pub fn connect_http(&mut self, kind: TransportKind) {
        self.offer(&[kind]);
        self.open_http();
    }

    /// Plays the server of an HTTP transport up to the accepted handshake, from the first `GET` on.
    pub fn open_http(&mut self) {
        if self.find(Wish::Events).is_some() {
            self.head(Wish::Events, 200);
            self.chunk(Wish::Events, event_stream::OPENING);
        } else {
            self.answer_poll(b"");
        }
        self.answer(Wish::Post, 200, "");
        self.receive(b"{}\x1e");
        self.take_posts();
    }
}

/// Questions to the application.
impl Script {
    /// Answers the only question for an access token.
    ///
    /// # Panics
    /// When there is not exactly one.
    pub fn give_token(&mut self, token: Result<Option<&str>, &str>) {
        assert_eq!(self.questions.len(), 1, "one question for a token");
        let op = self.questions.remove(0);
        let token = token
            .map(|token| token.and_then(AccessToken::new))
            .map_err(Into::into);
        self.input(Input::AccessToken { op, token });
    }

    /// Answers the only question for an access token with this one.
    pub fn token(&mut self, token: &str) {
        self.give_token(Ok(Some(token)));
    }
}
