//! WebSockets in the server's role: the opening handshake and the socket. Frame heads are tungstenite's.

pub(crate) mod frames;
mod io;
mod socket;

pub(crate) use socket::{Left, Socket, Written};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;

use crate::body::HubBody;

/// A request that asks for a WebSocket, ready to be granted.
pub(crate) struct Upgrade {
    on_upgrade: OnUpgrade,
    /// The answer to the client's key; none in HTTP/2, which has no such thing.
    accept: Option<HeaderValue>,
}

impl Upgrade {
    /// What the request asks for, if it asks as RFC 6455 or RFC 8441 want it and the web server can grant it.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let accept = match *request.method() {
            Method::CONNECT => {
                let protocol = request.extensions().get::<hyper::ext::Protocol>()?;
                if protocol.as_str() != "websocket" {
                    return None;
                }
                None
            }
            _ => Some(accept(request.headers())?),
        };
        request.extensions().get::<OnUpgrade>()?;
        Some(Self {
            on_upgrade: hyper::upgrade::on(request),
            accept,
        })
    }

    /// The answer that grants it.
    pub(crate) fn response(&self) -> Response<HubBody> {
        let mut response = Response::new(HubBody::whole(Bytes::new()));
        let Some(accept) = &self.accept else {
            return response;
        };
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
        response
    }
}

fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let says = |name: HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let asks = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}
