//! The HTTP side of a hub: negotiation, and which requests may open a connection (`transports`, sections 2.2 and 5.2).

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::query::{query_parameter, query_parameters};
use crate::transport::negotiate::{NegotiateResponse, Offer, TransportKind, VERSION};

/// What a hub's route offers. Pure functions from requests to answers: ids come in from the driver, which has randomness.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The transports offered, in the order of [`TransportKind::ALL`]. Default: WebSockets.
    pub transports: Vec<TransportKind>,
    /// The lowest version of negotiation accepted. Default: 0.
    pub minimum_negotiate_version: i32,
    /// Grants stateful reconnect to clients that ask for it, if WebSockets are offered. Default: false.
    pub stateful_reconnect: bool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            transports: vec![TransportKind::WebSockets],
            minimum_negotiate_version: 0,
            stateful_reconnect: false,
        }
    }
}

/// Two independent ids that nobody can guess, 128 random bits each, as the driver drew them for one negotiation.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct FreshIds {
    /// The public id; it is also the token when the client speaks version 0.
    pub connection_id: Box<str>,
    /// The secret id.
    pub connection_token: Box<str>,
}

impl core::fmt::Debug for FreshIds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FreshIds")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

/// The answer to a negotiation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Negotiated {
    /// What to answer.
    pub response: Response<Bytes>,
    /// The connection to expect, under its `connection_token`; none when the request was refused.
    pub connection: Option<FreshIds>,
    /// Whether that connection may use stateful reconnect.
    pub stateful_reconnect: bool,
}

/// What the driver knows about the id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum ConnectionSlot {
    /// The request has no id.
    Absent,
    /// The id names nothing.
    Unknown,
    /// Negotiated, and no transport has attached yet.
    Waiting,
    /// A WebSocket is or was attached.
    Attached,
    /// A WebSocket is or was attached, and [another may take its place](super::ServerConnection::can_resume).
    Resumable,
}

/// A request for the hub's own address, as far as it matters for routing.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct ConnectRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// The header `Accept`.
    pub accept: Option<&'a str>,
    /// What its `id` names.
    pub slot: ConnectionSlot,
}

/// What to do with a request for the hub's own address.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Route {
    /// Open the WebSocket of a connection that was negotiated.
    Attach,
    /// Open another WebSocket for a connection that goes on: see [`attach`](super::ServerConnection::attach).
    Resume,
    /// Open the WebSocket of a new connection, whose id is its token.
    Open,
    /// Answer this.
    Respond(Response<Bytes>),
}

impl Endpoint {
    /// Answers `<path>/negotiate`.
    #[must_use]
    pub fn negotiate(&self, method: &Method, query: &str, ids: FreshIds) -> Negotiated {
        if method != Method::POST {
            return Negotiated {
                response: text(StatusCode::METHOD_NOT_ALLOWED, ""),
                connection: None,
                stateful_reconnect: false,
            };
        }
        match self.negotiate_version(query) {
            Ok(version) => self.offer(version, ids, self.grants_stateful_reconnect(query)),
            Err(error) => Negotiated {
                response: json(&NegotiateResponse::Refused {
                    error: error.into(),
                }),
                connection: None,
                stateful_reconnect: false,
            },
        }
    }

    fn grants_stateful_reconnect(&self, query: &str) -> bool {
        self.stateful_reconnect
            && self.transports.contains(&TransportKind::WebSockets)
            && query_parameter(query, "useStatefulReconnect")
                .is_some_and(|asked| asked.trim().eq_ignore_ascii_case("true"))
    }

    fn offer(&self, version: u32, ids: FreshIds, stateful_reconnect: bool) -> Negotiated {
        let token = (version > 0).then(|| ids.connection_token.clone());
        let mut offer = Offer::new(ids.connection_id.clone(), token, &self.transports);
        offer.stateful_reconnect = stateful_reconnect;
        let connection_token = if version > 0 {
            ids.connection_token
        } else {
            ids.connection_id.clone()
        };
        let connection = FreshIds {
            connection_id: ids.connection_id,
            connection_token,
        };
        Negotiated {
            response: json(&NegotiateResponse::Connect(offer)),
            connection: Some(connection),
            stateful_reconnect,
        }
    }

    /// The version to answer with, or the words of the refusal.
    fn negotiate_version(&self, query: &str) -> Result<u32, String> {
        let asked =
            asked_version(query).ok_or("The client requested a non-integer protocol version.")?;
        if asked < self.minimum_negotiate_version {
            return Err(format!(
                "The client requested version '{asked}', but the server does not support this version."
            ));
        }
        Ok(u32::try_from(asked).unwrap_or(0).min(VERSION))
    }

    /// Decides about a request for `<path>` itself.
    #[must_use]
    pub fn route(&self, request: &ConnectRequest<'_>) -> Route {
        match *request.method {
            Method::GET | Method::CONNECT => self.route_get(request),
            Method::POST => with_id(request.slot, || {
                text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "POST requests are not allowed for WebSocket connections.",
                )
            }),
            Method::DELETE => with_id(request.slot, || {
                text(
                    StatusCode::BAD_REQUEST,
                    "Cannot terminate this connection using the DELETE endpoint.",
                )
            }),
            _ => Route::Respond(text(StatusCode::METHOD_NOT_ALLOWED, "")),
        }
    }

    fn route_get(&self, request: &ConnectRequest<'_>) -> Route {
        if request
            .accept
            .is_some_and(|accept| accept.contains("text/event-stream"))
        {
            return with_id(request.slot, || {
                not_offered(TransportKind::ServerSentEvents)
            });
        }
        if !request.upgrade {
            return with_id(request.slot, || not_offered(TransportKind::LongPolling));
        }
        if !self.transports.contains(&TransportKind::WebSockets) {
            return Route::Respond(not_offered(TransportKind::WebSockets));
        }
        match request.slot {
            ConnectionSlot::Absent => Route::Open,
            ConnectionSlot::Waiting => Route::Attach,
            ConnectionSlot::Resumable => Route::Resume,
            ConnectionSlot::Unknown => Route::Respond(unknown_id()),
            ConnectionSlot::Attached => Route::Respond(text(StatusCode::CONFLICT, "")),
        }
    }
}

/// `None` for a version that is no integer, or more than one version.
fn asked_version(query: &str) -> Option<i32> {
    let mut versions = query_parameters(query, "negotiateVersion");
    let Some(version) = versions.next() else {
        return Some(0);
    };
    if versions.next().is_some() {
        return None;
    }
    version.trim().parse().ok()
}

fn with_id(slot: ConnectionSlot, answer: impl FnOnce() -> Response<Bytes>) -> Route {
    Route::Respond(match slot {
        ConnectionSlot::Absent => text(StatusCode::BAD_REQUEST, "Connection ID required"),
        ConnectionSlot::Unknown => unknown_id(),
        ConnectionSlot::Waiting | ConnectionSlot::Attached | ConnectionSlot::Resumable => answer(),
    })
}

fn unknown_id() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "No Connection with that ID")
}

fn not_offered(transport: TransportKind) -> Response<Bytes> {
    let words = match transport {
        TransportKind::WebSockets => "WebSockets transport not supported by this end point type",
        TransportKind::ServerSentEvents => {
            "ServerSentEvents transport not supported by this end point type"
        }
        TransportKind::LongPolling => "LongPolling transport not supported by this end point type",
    };
    text(StatusCode::NOT_FOUND, words)
}

fn json(body: &NegotiateResponse) -> Response<Bytes> {
    answer(StatusCode::OK, "application/json", body.encode())
}

fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    answer(status, "text/plain", Bytes::from_static(body.as_bytes()))
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl ConnectRequest<'_> {
    /// The id in the query of a request; an empty one counts as absent.
    #[must_use]
    pub fn id(query: &str) -> Option<String> {
        query_parameter(query, "id").filter(|id| !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(method: &Method, query: &str) -> (u16, String, String) {
        let ids = FreshIds {
            connection_id: "id".into(),
            connection_token: "token".into(),
        };
        let response = Endpoint::default().negotiate(method, query, ids).response;
        let content_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (
            response.status().as_u16(),
            content_type,
            String::from_utf8(response.body().to_vec()).unwrap(),
        )
    }

    const V0: &str = r#"{"negotiateVersion":0,"connectionId":"id","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;
    const V1: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

    #[test]
    fn negotiate_answers_as_the_official_server() {
        let json = |body: &str| (200, "application/json".to_owned(), body.to_owned());
        assert_eq!(negotiate(&Method::POST, ""), json(V0));
        assert_eq!(negotiate(&Method::POST, "negotiateVersion=0"), json(V0));
        assert_eq!(negotiate(&Method::POST, "x=1&NEGOTIATEVERSION=1"), json(V1));
        assert_eq!(negotiate(&Method::POST, "negotiateVersion=9"), json(V1));
        let integer = json(r#"{"error":"The client requested a non-integer protocol version."}"#);
        assert_eq!(negotiate(&Method::POST, "negotiateVersion=x"), integer);
        assert_eq!(
            negotiate(&Method::POST, "negotiateVersion=1&negotiateVersion=0"),
            integer
        );
        let version = json(
            r#"{"error":"The client requested version '-1', but the server does not support this version."}"#,
        );
        assert_eq!(negotiate(&Method::POST, "negotiateVersion=-1"), version);
        assert_eq!(
            negotiate(&Method::GET, "negotiateVersion=1"),
            (405, "text/plain".to_owned(), String::new())
        );
    }

    #[test]
    fn stateful_reconnect_is_granted_when_it_is_allowed_and_asked_for() {
        let granted = |allowed: bool, query: &str| {
            let endpoint = Endpoint {
                stateful_reconnect: allowed,
                ..Endpoint::default()
            };
            let ids = FreshIds {
                connection_id: "id".into(),
                connection_token: "token".into(),
            };
            let negotiated = endpoint.negotiate(&Method::POST, query, ids);
            let body = String::from_utf8(negotiated.response.body().to_vec()).unwrap();
            assert_eq!(
                body.contains(r#""useStatefulReconnect":true"#),
                negotiated.stateful_reconnect
            );
            negotiated.stateful_reconnect
        };
        let asked = "negotiateVersion=1&useStatefulReconnect=true";
        assert!(granted(true, asked));
        assert!(granted(true, "useStatefulReconnect=True"));
        assert!(!granted(false, asked));
        assert!(!granted(true, "negotiateVersion=1"));
        assert!(!granted(true, "negotiateVersion=1&useStatefulReconnect=1"));
        assert!(!granted(
            true,
            "negotiateVersion=x&useStatefulReconnect=true"
        ));
    }

    #[test]
    fn the_minimum_version_refuses_clients_that_name_none() {
        let endpoint = Endpoint {
            minimum_negotiate_version: 1,
            ..Endpoint::default()
        };
        let ids = FreshIds {
            connection_id: "id".into(),
            connection_token: "token".into(),
        };
        let negotiated = endpoint.negotiate(&Method::POST, "", ids);
        assert!(negotiated.connection.is_none());
        let body = br#"{"error":"The client requested version '0', but the server does not support this version."}"#;
        assert_eq!(negotiated.response.body().as_ref(), body);
    }

    #[test]
    fn in_version_0_the_id_is_the_token() {
        let ids = FreshIds {
            connection_id: "id".into(),
            connection_token: "token".into(),
        };
        let endpoint = Endpoint::default();
        let connection = endpoint
            .negotiate(&Method::POST, "", ids.clone())
            .connection
            .unwrap();
        assert_eq!(
            (&*connection.connection_id, &*connection.connection_token),
            ("id", "id")
        );
        let connection = endpoint
            .negotiate(&Method::POST, "negotiateVersion=1", ids)
            .connection
            .unwrap();
        assert_eq!(
            (&*connection.connection_id, &*connection.connection_token),
            ("id", "token")
        );
        assert!(!format!("{connection:?}").contains("token\""));
    }

    #[test]
    fn every_row_of_the_status_table_for_a_hub_of_web_sockets() {
        use ConnectionSlot::{Absent, Attached, Resumable, Unknown, Waiting};
        let row =
            |method: Method, upgrade: bool, accept: Option<&str>, slot| match Endpoint::default()
                .route(&ConnectRequest {
                    method: &method,
                    upgrade,
                    accept,
                    slot,
                }) {
                Route::Attach => (101, "attach".to_owned()),
                Route::Resume => (101, "resume".to_owned()),
                Route::Open => (101, "open".to_owned()),
                Route::Respond(response) => (
                    response.status().as_u16(),
                    String::from_utf8(response.body().to_vec()).unwrap(),
                ),
            };
        let text = |status: u16, text: &str| (status, text.to_owned());
        assert_eq!(row(Method::GET, true, None, Absent), text(101, "open"));
        assert_eq!(
            row(Method::CONNECT, true, None, Waiting),
            text(101, "attach")
        );
        assert_eq!(
            row(Method::GET, true, None, Unknown),
            text(404, "No Connection with that ID")
        );
        assert_eq!(row(Method::GET, true, None, Attached), text(409, ""));
        assert_eq!(row(Method::GET, true, None, Resumable), text(101, "resume"));
        assert_eq!(
            row(Method::GET, false, None, Absent),
            text(400, "Connection ID required")
        );
        assert_eq!(
            row(Method::GET, false, None, Waiting),
            text(
                404,
                "LongPolling transport not supported by this end point type"
            )
        );
        let sse = Some("text/event-stream");
        assert_eq!(
            row(Method::GET, false, sse, Waiting),
            text(
                404,
                "ServerSentEvents transport not supported by this end point type"
            )
        );
        assert_eq!(
            row(Method::POST, false, None, Absent),
            text(400, "Connection ID required")
        );
        assert_eq!(
            row(Method::POST, false, None, Attached),
            text(
                405,
                "POST requests are not allowed for WebSocket connections."
            )
        );
        assert_eq!(
            row(Method::DELETE, false, None, Attached),
            text(
                400,
                "Cannot terminate this connection using the DELETE endpoint."
            )
        );
        assert_eq!(row(Method::PUT, false, None, Attached), text(405, ""));
    }
}
