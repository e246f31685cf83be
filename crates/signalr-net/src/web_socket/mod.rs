//! WebSockets by tungstenite; only their handshake is ours.

mod opening;

pub(crate) use opening::ask;

use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{Sink, Stream};
use signalr_proto::Limits;
use signalr_proto::transport::WsMessage;
use tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Message, WebSocketConfig, WebSocketContext};

use crate::error::NetError;
use crate::stream::NetStream;

/// Allocated for each connection for as long as it lives, and most of what an idle one holds, so kept small: a batch of usual
/// messages fits, and larger ones grow it while they last.
const READ_BUFFER: usize = 5 << 10;
/// Nothing is written but by flushing, which always follows and is told whom to wake when it has to wait.
const WRITE_BUFFER: usize = usize::MAX - 1;

/// Reads in one poll before others get their turn: a message, or a flood of empty pieces of one, may be much longer.
const READS_PER_POLL: usize = 16;
/// Pings answered in one poll before others get their turn, since nothing else ends a flood of them.
const PINGS_PER_POLL: usize = 64;
/// Answers to pings that may wait for a server that takes nothing.
const MAX_PONGS: usize = 1024;

/// An open WebSocket. It is read and written by one task.
pub struct NetWebSocket<S> {
    stream: NetStream<S>,
    protocol: WebSocketContext,
    /// Answers to pings that wait to be written.
    pongs: usize,
    /// Nothing more can be read.
    ended: bool,
}

/// The stream as tungstenite wants it, for the time of one poll: what would have to wait is told by an error of the kind
/// `WouldBlock`, after the waker of this poll was registered.
struct Polled<'a, 'w, S> {
    stream: &'a mut NetStream<S>,
    cx: &'a mut Context<'w>,
    reads: usize,
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads > READS_PER_POLL {
            self.cx.waker().wake_by_ref();
            return Err(io::ErrorKind::WouldBlock.into());
        }
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
        WsError::Io(error) => NetError::failed(error.to_string()),
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
        | WsError::HttpFormat(_) => NetError::failed(error.to_string()),
    }
}

/// What the server is told that broke the rules of WebSockets; nothing when it is the connection that broke.
fn objection(error: &WsError) -> Option<CloseCode> {
    match error {
        WsError::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::Size),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Io(_)
        | WsError::Capacity(_)
        | WsError::Tls(_)
        | WsError::WriteBufferFull(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => None,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> NetWebSocket<S> {
    const fn new(stream: NetStream<S>, protocol: WebSocketContext) -> Self {
        Self {
            stream,
            protocol,
            pongs: 0,
            ended: false,
        }
    }

    fn with_stream<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut Polled<'_, '_, S>) -> Result<T, WsError>,
    ) -> Poll<Result<T, WsError>> {
        let Self {
            stream, protocol, ..
        } = self;
        let mut polled = Polled {
            stream,
            cx,
            reads: 0,
        };
        or_pending(act(protocol, &mut polled))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        ready!(self.with_stream(cx, |protocol, stream| protocol.flush(stream)))
            .map_err(|error| broken(&error))?;
        self.pongs = 0;
        Poll::Ready(Ok(()))
    }

    /// A ping came. Tells why the WebSocket ends if it does: its answers pile up, or cannot be written any more.
    fn pinged(&mut self, cx: &mut Context<'_>) -> Option<NetError> {
        self.pongs += 1;
        match self.flush(cx) {
            Poll::Ready(written) => written.err(),
            Poll::Pending => (self.pongs > MAX_PONGS).then(|| {
                NetError::failed(format!(
                    "the server sent {} pings and took the answer to none",
                    self.pongs
                ))
            }),
        }
    }

    /// Reading failed. A server that broke the rules is told so by a close frame as far as that goes without waiting, since nobody
    /// comes back to a stream that has ended.
    fn failed(&mut self, cx: &mut Context<'_>, error: &WsError) -> NetError {
        if let Some(code) = objection(error) {
            let frame = CloseFrame {
                code,
                reason: "".into(),
            };
            let _ = self.with_stream(cx, |protocol, stream| protocol.close(stream, Some(frame)));
        }
        broken(error)
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
        for _ in 0..PINGS_PER_POLL {
            let end = match ready!(self.with_stream(cx, |protocol, stream| protocol.read(stream))) {
                Ok(Message::Text(text)) => {
                    return Poll::Ready(Some(Ok(WsMessage::Text(text.into()))));
                }
                Ok(Message::Binary(bytes)) => {
                    return Poll::Ready(Some(Ok(WsMessage::Binary(bytes))));
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Ping(_)) => match self.pinged(cx) {
                    Some(error) => Some(error),
                    None => continue,
                },
                Ok(Message::Close(frame)) => Some(self.closed(cx, frame.as_ref())),
                Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => None,
                Err(error) => Some(self.failed(cx, &error)),
            };
            self.ended = true;
            return Poll::Ready(end.map(Err));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    use tungstenite::protocol::Role;

    use super::*;

    /// Sends one frame of two bytes, then another without end, and takes what it is sent or does not.
    struct Flood {
        first: Option<[u8; 2]>,
        then: [u8; 2],
        deaf: bool,
    }

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let then = self.then;
            let frames = buffer.chunks_exact_mut(2).map(|frame| {
                frame.copy_from_slice(&self.first.take().unwrap_or(then));
            });
            Poll::Ready(Ok(2 * frames.count()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.deaf {
                Poll::Pending
            } else {
                Poll::Ready(Ok(bytes.len()))
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What comes of twenty polls, and how many of them asked for another.
    fn flooded(flood: Flood) -> (Option<String>, usize) {
        let protocol = WebSocketContext::new(Role::Client, Some(config(&Limits::CLIENT)));
        let mut socket = NetWebSocket::new(NetStream::Plain(flood), protocol);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let end = (0..20).find_map(|_| match Pin::new(&mut socket).poll_next(&mut cx) {
            Poll::Pending => None,
            Poll::Ready(end) => Some(end.unwrap().unwrap_err().to_string()),
        });
        (end, woken.0.load(Ordering::Relaxed))
    }

    #[test]
    fn floods_leave_others_their_turn() {
        let (ping, beginning, empty) = ([0x89, 0], [0x01, 0], [0x00, 0]);
        for (first, then) in [(ping, ping), (beginning, empty)] {
            let flood = Flood {
                first: Some(first),
                then,
                deaf: false,
            };
            assert_eq!(flooded(flood), (None, 20), "{then:?}");
        }
    }

    #[test]
    fn pings_end_a_socket_that_takes_none_of_the_answers() {
        let flood = Flood {
            first: None,
            then: [0x89, 0],
            deaf: true,
        };
        let text = "the server sent 1025 pings and took the answer to none";
        assert_eq!(flooded(flood), (Some(text.to_owned()), 16));
    }
}
