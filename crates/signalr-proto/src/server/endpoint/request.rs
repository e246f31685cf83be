//! Requests as an endpoint sees them, and what it says about them.

use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};

use crate::server::identity::Identity;
use crate::server::query::query_parameter;
use crate::server::{Arrival, Port, ServerConnection};
use crate::transport::negotiate::TransportKind;

/// The head of a request.
///
/// `Debug` shows neither the query nor the headers, which hold tokens.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// Which part of the hub it is for.
    pub resource: Resource,
    /// The query, without the question mark.
    pub query: &'a str,
    /// The headers. Over HTTP/2 a `Host` of the request's authority has to be among them.
    pub headers: &'a HeaderMap,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// What the authentication says about its sender, if it says anything.
    pub identity: Option<&'a Identity>,
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("resource", &self.resource)
            .field("upgrade", &self.upgrade)
            .finish_non_exhaustive()
    }
}

/// The parts of a hub, each with its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Resource {
    /// The hub itself.
    Hub,
    /// `<hub>/negotiate`.
    Negotiate,
    /// `<hub>/refresh`.
    Refresh,
}

impl Resource {
    /// Tells the parts of a hub apart by the last segment of the path, in any case of letters. A slash at the end is ignored.
    ///
    /// ```
    /// # use signalr_proto::server::Resource;
    /// assert_eq!(Resource::of("/chat/Negotiate/"), Resource::Negotiate);
    /// assert_eq!(Resource::of("/chat"), Resource::Hub);
    /// ```
    #[must_use]
    pub fn of(path: &str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        let last = path.rsplit('/').next().unwrap_or_default();
        if last.eq_ignore_ascii_case("negotiate") {
            Self::Negotiate
        } else if last.eq_ignore_ascii_case("refresh") {
            Self::Refresh
        } else {
            Self::Hub
        }
    }
}

impl RequestHead<'_> {
    /// What it wants of the hub itself, if its method is one of those that hubs know.
    pub(super) fn port(&self) -> Option<Port> {
        match *self.method {
            Method::GET | Method::CONNECT if self.accepts_events() => Some(Port::Events),
            Method::GET | Method::CONNECT if self.upgrade => Some(Port::WebSocket),
            Method::GET | Method::CONNECT => Some(Port::Poll),
            Method::POST => Some(Port::Post),
            Method::DELETE => Some(Port::Delete),
            _ => None,
        }
    }

    /// Whether `text/event-stream` is among the accepted types ([TR-54](crate::spec::transports#tr-54)), parameters or not.
    fn accepts_events(&self) -> bool {
        let accepted = self.headers.get_all(header::ACCEPT).iter();
        accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|media| media.split(';').next())
            .any(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
    }

    /// The token; an empty one counts as absent.
    pub(super) fn token(&self) -> Option<String> {
        query_parameter(self.query, "id").filter(|id| !id.is_empty())
    }
}

impl RequestHead<'_> {
    /// An answer that the driver gives by itself, before or instead of the endpoint, such as 401, with the headers that every answer
    /// to such a request has ([TR-64](crate::spec::transports#tr-64)).
    #[must_use]
    pub fn own_answer<B>(&self, response: Response<B>) -> Response<B> {
        match (self.resource, self.port()) {
            (Resource::Hub, Some(port)) => port.own_answer(response),
            (Resource::Hub | Resource::Negotiate | Resource::Refresh, _) => response,
        }
    }
}

impl Port {
    /// The transport that such a request is, if it is one.
    pub(super) const fn transport(self) -> Option<TransportKind> {
        match self {
            Self::WebSocket => Some(TransportKind::WebSockets),
            Self::Events => Some(TransportKind::ServerSentEvents),
            Self::Poll => Some(TransportKind::LongPolling),
            Self::Post | Self::Delete | Self::Refresh => None,
        }
    }
}

/// Names an open connection of one endpoint. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub(super) u64);

/// What a request is for.
///
/// `Debug` shows no answers: those to negotiate hold tokens.
#[must_use = "every request must be answered"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must handle each, so a new one has to break it"
)]
pub enum Verdict {
    /// Answer it.
    Respond(Response<Bytes>),
    /// It begins a connection: drive `connection`, hand it the `arrival`, and call [`closed`](super::Endpoint::closed) when it
    /// is over.
    Open {
        /// The connection's name from now on.
        key: ConnectionKey,
        /// Its ids. The token is a secret.
        ids: FreshIds,
        /// The connection.
        connection: Box<ServerConnection>,
        /// The request, as the connection sees it.
        arrival: Arrival,
    },
    /// It belongs to this connection. If that is gone meanwhile, answer [`Arrival::gone`].
    Join {
        /// The connection.
        key: ConnectionKey,
        /// The request, as the connection sees it.
        arrival: Arrival,
    },
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond(response) => f.debug_tuple("Respond").field(&response.status()).finish(),
            Self::Open { key, arrival, .. } => f
                .debug_struct("Open")
                .field("key", key)
                .field("arrival", arrival)
                .finish_non_exhaustive(),
            Self::Join { key, arrival } => f
                .debug_struct("Join")
                .field("key", key)
                .field("arrival", arrival)
                .finish(),
        }
    }
}

/// The ids of a new connection: 22 base64url characters of 128 random bits each. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct FreshIds {
    /// The public id.
    pub connection_id: Box<str>,
    /// The secret that requests carry.
    pub connection_token: Box<str>,
}

impl fmt::Debug for FreshIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FreshIds");
        // Without negotiation, or in its version 0, the id is the secret too.
        if self.connection_id != self.connection_token {
            shown.field("connection_id", &self.connection_id);
        }
        shown.finish_non_exhaustive()
    }
}
