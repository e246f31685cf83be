//! The opening handshake. It is ours, since tungstenite writes requests, tokens included, to the log.

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::{HeaderMap, HeaderName, header};
use signalr_proto::Limits;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketContext};

use super::{NetWebSocket, config};
use crate::address::Address;
use crate::error::NetError;
use crate::http1;
use crate::stream::NetStream;

/// An answer to the first request of a WebSocket.
pub(crate) struct Opening<S> {
    key: String,
    head: http::response::Parts,
    upgraded: Option<(NetStream<S>, Bytes)>,
}

/// Asks for a WebSocket.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    address: &Address,
    request: http::Request<()>,
) -> Result<Opening<S>, NetError> {
    let key = generate_key();
    let request = upgrade_request(request, &key)?;
    let request = http1::in_origin_form(address, request.map(|()| Bytes::new()))?;
    let (head, upgraded) = http1::upgrade(stream, &address.authority(), request).await?;
    Ok(Opening {
        key,
        head,
        upgraded,
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opening<S> {
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The WebSocket, if the answer is as it must be.
    pub(crate) fn finish(
        self,
        address: &Address,
        limits: &Limits,
    ) -> Result<NetWebSocket<S>, NetError> {
        let Some((stream, read)) = self.upgraded else {
            let head = &self.head;
            return Err(NetError::refused(head.status, &head.headers));
        };
        if !is_accepted(&self.head.headers, &self.key) {
            return Err(NetError::failed(format!(
                "{} did not open a WebSocket as RFC 6455 wants it",
                address.authority()
            )));
        }
        let config = Some(config(limits));
        // Bytes right behind the answer are rare. A socket that begins with some never gets its full read buffer, which
        // costs it a second read for most messages, so it is made only when there are any.
        let protocol = if read.is_empty() {
            WebSocketContext::new(Role::Client, config)
        } else {
            WebSocketContext::from_partially_read(read.into(), Role::Client, config)
        };
        Ok(NetWebSocket::new(stream, protocol))
    }
}

/// Whether the server answers to this key, and insists on nothing that was not offered.
fn is_accepted(headers: &HeaderMap, key: &str) -> bool {
    let says = |name: HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && accept.is_some_and(|accept| accept == derive_accept_key(key.as_bytes()).as_str())
        && !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
        && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
}

/// Adds what RFC 6455 wants of the first request.
fn upgrade_request(request: http::Request<()>, key: &str) -> Result<http::Request<()>, NetError> {
    let (mut head, body) = request.into_parts();
    let headers = &mut head.headers;
    headers.insert(
        header::CONNECTION,
        http::HeaderValue::from_static("Upgrade"),
    );
    headers.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        http::HeaderValue::from_static("13"),
    );
    let key = http::HeaderValue::from_str(key)
        .map_err(|_| NetError::failed("no key for the WebSocket"))?;
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    Ok(http::Request::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_key_without_anything_unasked_opens_a_web_socket() {
        // The example of RFC 6455, section 1.3.
        let accepted = |changes: &[(&'static str, Option<&'static str>)]| {
            let mut headers = HeaderMap::new();
            let good = [
                ("upgrade", Some("WebSocket")),
                ("connection", Some("keep-alive, Upgrade")),
                ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            ];
            for (name, value) in good.iter().chain(changes) {
                headers.remove(*name);
                if let Some(value) = value {
                    headers.insert(*name, http::HeaderValue::from_static(value));
                }
            }
            is_accepted(&headers, "dGhlIHNhbXBsZSBub25jZQ==")
        };
        assert!(accepted(&[]));
        for change in [
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("connection", None),
            ("connection", Some("close")),
            ("sec-websocket-accept", None),
            ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOx=")),
            ("sec-websocket-protocol", Some("chat")),
            ("sec-websocket-extensions", Some("permessage-deflate")),
        ] {
            assert!(!accepted(&[change]), "{change:?}");
        }
    }
}
