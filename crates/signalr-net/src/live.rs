//! A connection that speaks HTTP/1.1.

use core::convert::Infallible;
use core::error::Error as _;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::rt::ReadBufCursor;

use crate::error::NetError;
use crate::stream::NetStream;

/// Bytes read from the socket at a time.
const CHUNK: usize = 4096;

/// A runtime's stream in the shape hyper wants.
pub(crate) struct Io<S>(pub(crate) NetStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = buffer.remaining().min(CHUNK);
        let space = chunk.get_mut(..room).unwrap_or_default();
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, space))?;
        buffer.put_slice(chunk.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A request's body in pieces: hyper copies what it is given at once, and a connection keeps that memory while it idles.
pub(crate) struct Pieces(pub(crate) Bytes);

/// Bytes of a piece.
const PIECE: usize = 16 << 10;

impl Pieces {
    pub(crate) const fn none() -> Self {
        Self(Bytes::new())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let most = self.0.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }
}

/// A request as it stands on the wire.
pub(crate) type WireRequest = http::Request<Pieces>;

/// The largest head of an answer, and about as much is gathered before it is written.
const MAX_HEAD: usize = 64 << 10;

/// A connection, and how it is asked.
pub(crate) struct Live<S: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) sender: SendRequest<Pieces>,
    pub(crate) connection: Connection<Io<S>, Pieces>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Live<S> {
    pub(crate) async fn over(stream: NetStream<S>, who: &str) -> Result<Box<Self>, NetError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(Io(stream))
            .await
            .map_err(|error| http_error(who, &error))?;
        Ok(Box::new(Self { sender, connection }))
    }
}

/// What has become of a request, or of the beginning of a connection.
pub(crate) fn http_error(who: &str, error: &hyper::Error) -> NetError {
    // The server spoke before it was asked.
    let unasked = error.is_canceled()
        && error
            .source()
            .is_some_and(|source| source.is::<hyper::Error>());
    if error.is_parse() || unasked {
        return NetError::failed(format!("{who} does not speak HTTP/1.1"));
    }
    if error.is_incomplete_message() || error.is_canceled() {
        return NetError::failed(format!("{who} closed the connection without an answer"));
    }
    NetError::because(&format!("the request to {who} failed"), error)
}
