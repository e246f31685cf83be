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
            _ if has_body(request.headers()) => return None,
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
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| asks && keys.next().is_none())?;
    let key = Some(key.as_bytes()).filter(|key| is_of_16_bytes(key))?;
    HeaderValue::from_str(&derive_accept_key(key)).ok()
}

/// Its bytes would be read as frames behind a proxy that does not know of them.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .any(|length| length.as_bytes() != b"0")
}

/// Whether a key is base64 of the 16 bytes that RFC 6455 wants: 22 letters, of the last of which four bits count.
fn is_of_16_bytes(key: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==")
        .is_some_and(|letters| letters.len() == 22 && letters.iter().all(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(more: &[(HeaderName, &str)]) -> bool {
        let headers = [
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        let headers: HeaderMap = headers
            .iter()
            .chain(more)
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
        !has_body(&headers) && accept(&headers).is_some()
    }

    #[test]
    fn a_key_is_one_and_of_sixteen_bytes() {
        let key = |value: &'static str| (header::SEC_WEBSOCKET_KEY, value);
        let good = key("dGhlIHNhbXBsZSBub25jZQ==");
        assert!(asks(std::slice::from_ref(&good)));
        assert!(!asks(&[]));
        assert!(!asks(&[good.clone(), good.clone()]));
        for wrong in [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25jZQ====",
            "dGhlIHNhb!BsZSBub25jZQ==",
        ] {
            assert!(!asks(&[key(wrong)]), "{wrong}");
        }
    }

    #[test]
    fn an_opening_has_no_body() {
        let key = (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        let with = |name, value| asks(&[key.clone(), (name, value)]);
        assert!(with(header::CONTENT_LENGTH, "0"));
        assert!(!with(header::CONTENT_LENGTH, "3"));
        assert!(!with(header::TRANSFER_ENCODING, "chunked"));
    }
}
