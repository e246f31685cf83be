//! Answers to requests, as the official server writes them ([SB-60](crate::spec::server_behaviour#sb-60)).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::api::{Arrival, Port};

/// A short text, or none.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    whole(status, "text/plain", Bytes::from_static(body.as_bytes()))
}

/// The answer to a request that is not welcome.
pub(super) type Refused = Box<Response<Bytes>>;

pub(super) fn refuse(status: StatusCode, words: &'static str) -> Refused {
    Box::new(text(status, words))
}

/// A code of refresh requests: `{"error":"refresh_disabled"}`.
pub(super) fn refresh_error(status: StatusCode, code: &str) -> Response<Bytes> {
    let body = format!("{{\"error\":\"{code}\"}}");
    whole(status, "application/json", body.into())
}

/// An answer to a poll, which no cache may keep ([TR-64](crate::spec::transports#tr-64)).
pub(super) fn poll(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    not_cached(whole(status, content_type, body))
}

/// To a request for another transport than the one the connection has.
pub(super) fn other_transport() -> Response<Bytes> {
    text(
        StatusCode::BAD_REQUEST,
        "Cannot change transports mid-connection",
    )
}

/// Adds the headers of every answer to a poll.
pub(super) fn not_cached<B>(mut response: Response<B>) -> Response<B> {
    add(response.headers_mut(), &NO_CACHE);
    response
}

/// The head of an event stream ([TR-50](crate::spec::transports#tr-50)).
pub(super) fn event_stream() -> Response<()> {
    let mut head = Response::new(());
    add(head.headers_mut(), &EVENT_STREAM);
    head
}

const NO_CACHE: [(header::HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-cache, no-store"),
    (header::PRAGMA, "no-cache"),
    (header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
];

const EVENT_STREAM: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-cache,no-store"),
    (header::PRAGMA, "no-cache"),
    (header::CONTENT_ENCODING, "identity"),
];

fn add(headers: &mut HeaderMap, more: &[(header::HeaderName, &'static str)]) {
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Arrival {
    /// The answer when the connection is gone meanwhile.
    #[must_use]
    pub fn gone(&self) -> Response<Bytes> {
        self.port.gone()
    }
}

impl Port {
    /// The answer to such a request when its connection is gone meanwhile.
    #[must_use]
    pub fn gone(self) -> Response<Bytes> {
        match self {
            Self::Poll => not_cached(text(StatusCode::NOT_FOUND, "")),
            Self::Refresh => refresh_error(StatusCode::NOT_FOUND, "connection_not_found"),
            Self::WebSocket | Self::Events | Self::Post | Self::Delete => {
                text(StatusCode::NOT_FOUND, "")
            }
        }
    }

    /// An answer to such a request that the driver gives by itself, such as 503 while it shuts down, with the headers that every
    /// answer to it has: no cache may keep one to a poll ([TR-64](crate::spec::transports#tr-64)).
    #[must_use]
    pub fn own_answer<B>(self, response: Response<B>) -> Response<B> {
        match self {
            Self::Poll => not_cached(response),
            Self::WebSocket | Self::Events | Self::Post | Self::Delete | Self::Refresh => response,
        }
    }
}
