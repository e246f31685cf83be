//! The transport of an attempt or a session: one WebSocket, or the exchanges of an HTTP transport.

use bytes::Bytes;
use http::Request;

use crate::error::{CloseReason, HttpRequest};
use crate::time::Instant;
use crate::transport::OpId;
use crate::transport::event_stream::EventStream;
use crate::transport::http::Requests;
use crate::transport::negotiate::TransportKind;
use crate::transport::web_socket::WebSocket;

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Link {
    WebSocket(WebSocket),
    Http(Box<HttpLink>),
    /// A stateful connection between two WebSockets.
    Lost(Box<Lost>),
}

/// The attempt to have another WebSocket.
#[derive(Debug)]
pub(super) struct Lost {
    /// The request for a token, or the opening.
    pub(super) op: OpId,
    pub(super) opening: bool,
    /// Why the WebSocket before was lost.
    pub(super) reason: CloseReason,
}

/// Server-sent events or long polling: one exchange down, one up.
#[derive(Debug)]
pub(super) struct HttpLink {
    pub(super) requests: Requests,
    pub(super) down: Down,
    /// The stream or poll under way; none between polls while reading is paused, and after the last one.
    pub(super) receiving: Option<Exchange>,
    pub(super) post: Option<Post>,
    /// The request for a new token after a 401.
    pub(super) token_request: Option<OpId>,
    /// Counts the tokens: what was refused with an older one is repeated with the present one.
    pub(super) generation: u32,
    /// Whether a 401 may be answered with a new token of the user's ([TR-76](crate::spec::transports#tr-76),
    /// [TR-77](crate::spec::transports#tr-77)).
    pub(super) renewable: bool,
    /// The last request of all.
    pub(super) delete: Option<OpId>,
    /// The server has ended the connection: there is nothing left to delete.
    pub(super) ended: bool,
    /// A send was refused: the down side has a moment to say why.
    pub(super) doomed: bool,
}

/// How messages come down.
#[derive(Debug)]
pub(super) enum Down {
    Events(EventStream),
    Polls,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) op: OpId,
    generation: u32,
    retried: bool,
    pub(super) stage: Stage,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The answer is awaited.
    Asked,
    /// Its body comes in.
    Reading,
    /// The token was refused: the request is repeated when there is a new one.
    Refused,
}

/// What is being sent. The bytes are kept for the case that the token is refused.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) exchange: Exchange,
    /// When it was first asked for.
    pub(super) since: Instant,
    /// The name of the batch: the first request that carried it.
    pub(super) batch: OpId,
    pub(super) body: Bytes,
}

/// The two directions in which requests go on an HTTP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The event stream, or the polls.
    Receiving,
    /// The sends.
    Sending,
}

impl Exchange {
    pub(super) const fn new(op: OpId, generation: u32) -> Self {
        Self {
            op,
            generation,
            retried: false,
            stage: Stage::Asked,
        }
    }

    /// Its name, unless the token was refused: then it has had its answer.
    pub(super) fn under_way(self) -> Option<OpId> {
        (self.stage != Stage::Refused).then_some(self.op)
    }

    /// Sent again, with the present token. Only once.
    const fn repeated(self, op: OpId, generation: u32) -> Self {
        Self {
            op,
            generation,
            retried: true,
            stage: Stage::Asked,
        }
    }
}

/// What to do about a request that was answered with 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterUnauthorized {
    /// Ask the user for a token, then repeat.
    Ask,
    /// The request is under way.
    Wait,
    /// There is a newer token already.
    Repeat,
}

impl Link {
    pub(super) const fn kind(&self) -> TransportKind {
        match self {
            Self::WebSocket(_) | Self::Lost(_) => TransportKind::WebSockets,
            Self::Http(link) => link.kind(),
        }
    }

    pub(super) fn http_mut(&mut self) -> Option<&mut HttpLink> {
        match self {
            Self::WebSocket(_) | Self::Lost(_) => None,
            Self::Http(link) => Some(link),
        }
    }

    /// Everything that is under way on it.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpId> + use<> {
        let (one, several) = match self {
            Self::WebSocket(socket) => (Some(socket.op), None),
            Self::Lost(lost) => (Some(lost.op), None),
            Self::Http(link) => (None, Some(link.ops())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

impl HttpLink {
    pub(super) const fn new(requests: Requests, down: Down, renewable: bool) -> Self {
        Self {
            requests,
            down,
            receiving: None,
            post: None,
            token_request: None,
            generation: 0,
            renewable,
            delete: None,
            ended: false,
            doomed: false,
        }
    }

    /// Everything that is under way.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpId> + use<> {
        let post = self.post.as_ref().map(|post| post.exchange);
        let exchanges = [self.receiving, post].map(|exchange| exchange?.under_way());
        exchanges
            .into_iter()
            .chain([self.token_request, self.delete])
            .flatten()
    }

    const fn kind(&self) -> TransportKind {
        match self.down {
            Down::Events(_) => TransportKind::ServerSentEvents,
            Down::Polls => TransportKind::LongPolling,
        }
    }

    pub(super) const fn receiving_request(&self) -> HttpRequest {
        match self.down {
            Down::Events(_) => HttpRequest::EventStream,
            Down::Polls => HttpRequest::Poll,
        }
    }

    pub(super) const fn is_polling(&self) -> bool {
        matches!(self.down, Down::Polls)
    }

    /// Whether the body of an answer comes in.
    pub(super) fn is_reading(&self) -> bool {
        self.receiving
            .is_some_and(|exchange| exchange.stage == Stage::Reading)
    }

    fn exchange_mut(&mut self, side: Side) -> Option<&mut Exchange> {
        match side {
            Side::Receiving => self.receiving.as_mut(),
            Side::Sending => self.post.as_mut().map(|post| &mut post.exchange),
        }
    }

    /// The request that receives, and its exchange is begun.
    pub(super) fn receive(&mut self, op: OpId) -> Result<Request<Bytes>, http::Error> {
        self.receiving = Some(Exchange::new(op, self.generation));
        self.receiving_request_value()
    }

    fn receiving_request_value(&mut self) -> Result<Request<Bytes>, http::Error> {
        match self.down {
            Down::Events(_) => self.requests.events(),
            Down::Polls => self.requests.poll(),
        }
    }

    /// The request that sends this batch, and its exchange is begun.
    pub(super) fn post(
        &mut self,
        op: OpId,
        body: Bytes,
        now: Instant,
    ) -> Result<Request<Bytes>, http::Error> {
        self.post = Some(Post {
            exchange: Exchange::new(op, self.generation),
            since: now,
            batch: op,
            body: body.clone(),
        });
        self.requests.post(body)
    }

    /// A request was answered with 401 ([TR-76](crate::spec::transports#tr-76)). Nothing when the status stands.
    pub(super) fn refused(&mut self, side: Side) -> Option<AfterUnauthorized> {
        let (generation, renewable) = (self.generation, self.renewable);
        let asked = self.token_request.is_some();
        let exchange = self
            .exchange_mut(side)
            .filter(|exchange| renewable && !exchange.retried)?;
        exchange.stage = Stage::Refused;
        Some(match (exchange.generation == generation, asked) {
            (false, _) => AfterUnauthorized::Repeat,
            (true, true) => AfterUnauthorized::Wait,
            (true, false) => AfterUnauthorized::Ask,
        })
    }

    /// Whether this side was refused and waits to be repeated.
    pub(super) fn is_refused(&mut self, side: Side) -> bool {
        self.exchange_mut(side)
            .is_some_and(|exchange| exchange.stage == Stage::Refused)
    }

    /// The refused request again, under a new name and with the present token.
    pub(super) fn repeat(
        &mut self,
        side: Side,
        op: OpId,
    ) -> Option<Result<Request<Bytes>, http::Error>> {
        let generation = self.generation;
        let exchange = self.exchange_mut(side)?;
        *exchange = exchange.repeated(op, generation);
        Some(match &self.post {
            Some(post) if side == Side::Sending => self.requests.post(post.body.clone()),
            Some(_) | None => self.receiving_request_value(),
        })
    }
}
