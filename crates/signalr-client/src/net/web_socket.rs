//! WebSockets by tungstenite; only their handshake is ours, since tungstenite writes requests, tokens included, to the log.

use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{Sink, Stream};
use http::{HeaderMap, HeaderName, header};
use signalr_proto::{Limits, WsMessage};
use tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig, WebSocketContext};

use super::NetError;
use super::address::Address;
use super::http1;
use super::stream::NetStream;

/// Allocated for each connection for as long as it lives, and most of what an idle one holds, so kept small: a batch of usual
/// messages fits, and larger ones grow it while they last.
const READ_BUFFER: usize = 5 << 10;
/// Nothing is written but by flushing, which always follows and is told whom to wake when it has to wait.
const WRITE_BUFFER: usize = usize::MAX - 1;

/// An open WebSocket. It is read and written by one task.
pub struct NetWebSocket<S> {
    stream: NetStream<S>,
    protocol: WebSocketContext,
    /// Nothing more can be read.
    ended: bool,
}

/// The stream as tungstenite wants it, for the time of one poll: what would have to wait is told by an error of the kind
/// `WouldBlock`, after the waker of this poll was registered.
struct Polled<'a, 'w, S> {
    stream: &'a mut NetStream<S>,
    cx: &'a mut Context<'w>,
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_read(self.cx, buffer))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

/// The reverse of [`or_would_block`].
fn or_pending<T>(result: Result<T, WsError>) -> Poll<Result<T, WsError>> {
    match result {
        Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn config(limits: &Limits) -> WebSocketConfig {
    let largest = limits.max_batch_size();
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest))
}

/// An answer to the first request of a WebSocket.
pub(super) struct Opening<S> {
    key: String,
    head: http::response::Parts,
    upgraded: Option<(NetStream<S>, Bytes)>,
}

/// Asks for a WebSocket.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
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
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The WebSocket, if the answer is as it must be.
    pub(super) fn finish(
        self,
        address: &Address,
        limits: &Limits,
    ) -> Result<NetWebSocket<S>, NetError> {
        let Some((stream, read)) = self.upgraded else {
            return Err(NetError::refused(self.head.status.as_u16()));
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
        Ok(NetWebSocket {
            stream,
            protocol,
            ended: false,
        })
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

fn broken(error: &WsError) -> NetError {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => NetError::closed(1006, Box::default()),
        WsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            NetError::closed(1006, Box::default())
        }
        WsError::Io(error) => NetError::because("the connection broke", error),
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            NetError::failed(format!(
                "a WebSocket message of {size} bytes or more exceeds the limit of {max_size}: raise Limits::max_message_size or max_incoming_bytes"
            ))
        }
        WsError::Tls(_)
        | WsError::Capacity(_)
        | WsError::Protocol(_)
        | WsError::WriteBufferFull(_)
        | WsError::Utf8(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => NetError::because("the WebSocket broke", error),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> NetWebSocket<S> {
    fn with_stream<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut Polled<'_, '_, S>) -> Result<T, WsError>,
    ) -> Poll<Result<T, WsError>> {
        let Self {
            stream, protocol, ..
        } = self;
        or_pending(act(protocol, &mut Polled { stream, cx }))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.with_stream(cx, |protocol, stream| protocol.flush(stream))
            .map_err(|error| broken(&error))
    }

    /// The peer closed: answers with a close frame as far as that goes without waiting, and ends the stream.
    fn closed(&mut self, cx: &mut Context<'_>, frame: Option<&CloseFrame>) -> NetError {
        let (code, reason) = frame.map_or((1005, ""), |frame| {
            (frame.code.into(), frame.reason.as_str())
        });
        let error = NetError::closed(code, reason.into());
        let _ = self.flush(cx);
        error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for NetWebSocket<S> {
    type Item = Result<WsMessage, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let end = loop {
            match ready!(self.with_stream(cx, |protocol, stream| protocol.read(stream))) {
                Ok(Message::Text(text)) => {
                    return Poll::Ready(Some(Ok(WsMessage::Text(text.into()))));
                }
                Ok(Message::Binary(bytes)) => {
                    return Poll::Ready(Some(Ok(WsMessage::Binary(bytes))));
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(frame)) => break Some(self.closed(cx, frame.as_ref())),
                Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => break None,
                Err(error) => break Some(broken(&error)),
            }
        };
        self.ended = true;
        Poll::Ready(end.map(Err))
    }
}

/// A whole message in one frame. The core writes text in UTF-8 and nothing else, so it is not checked again.
fn data(bytes: Bytes, kind: Data) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), true))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<WsMessage> for NetWebSocket<S> {
    type Error = NetError;

    /// What was not flushed before goes first, so that no more than one message is gathered.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: WsMessage) -> Result<(), NetError> {
        let message = match message {
            WsMessage::Text(bytes) => data(bytes, Data::Text),
            WsMessage::Binary(bytes) => data(bytes, Data::Binary),
            WsMessage::Close(code) => Message::Close(Some(CloseFrame {
                code: CloseCode::from(code),
                reason: "".into(),
            })),
        };
        // Taken in any case; what cannot be written now is written by the flush that follows.
        let mut cx = Context::from_waker(Waker::noop());
        match self.with_stream(&mut cx, |protocol, stream| protocol.write(stream, message)) {
            Poll::Ready(taken) => taken.map_err(|error| broken(&error)),
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.with_stream(cx, |protocol, stream| protocol.close(stream, None))
            .map_err(|error| broken(&error))
    }
}

impl<S> core::fmt::Debug for NetWebSocket<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetWebSocket")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
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
