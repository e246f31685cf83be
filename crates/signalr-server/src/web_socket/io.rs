//! The bytes under a WebSocket: a bare TCP stream where it can be had, and whatever the web server gives otherwise.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::Upgraded;

/// Read at once. One buffer serves all connections of a thread, so that an idle one holds none.
const SCRATCH: usize = 64 << 10;

/// Written with one copy and one system call rather than with a vector of pieces.
const SMALL: usize = 16 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

pub(crate) enum Io {
    #[cfg(feature = "tokio")]
    Tcp(tokio::net::TcpStream),
    Other(Upgraded),
}

impl Io {
    /// The stream below, and what was read of it already.
    #[cfg(feature = "tokio")]
    pub(crate) fn of(upgraded: Upgraded) -> (Self, bytes::Bytes) {
        use hyper_util::rt::TokioIo;
        use hyper_util::server::conn::auto::upgrade::downcast;
        use tokio::net::TcpStream;

        let upgraded = match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => return (Self::tcp(parts.io.into_inner()), copied(&parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return (Self::tcp(parts.io.into_inner()), copied(&parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<crate::serve::Line>>() {
            Ok(parts) => {
                let (stream, early) = parts.io.into_inner().into_parts();
                let early = [&*parts.read_buf, &early].concat();
                (Self::tcp(stream), early.into())
            }
            Err(upgraded) => (Self::Other(upgraded), bytes::Bytes::new()),
        }
    }

    #[cfg(not(feature = "tokio"))]
    pub(crate) fn of(upgraded: Upgraded) -> (Self, bytes::Bytes) {
        (Self::Other(upgraded), bytes::Bytes::new())
    }

    /// Answers must not wait for the acknowledgement of what was sent before (Nagle's algorithm).
    #[cfg(feature = "tokio")]
    fn tcp(stream: tokio::net::TcpStream) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        Self::Tcp(stream)
    }

    /// Hands what has come to `take`; no bytes are the end.
    pub(crate) fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]) -> T,
    ) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|buffer| match self {
            #[cfg(feature = "tokio")]
            Self::Tcp(stream) => {
                use tokio::io::AsyncRead as _;
                let mut read = tokio::io::ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut read))?;
                Poll::Ready(Ok(take(read.filled_mut())))
            }
            Self::Other(stream) => {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, read.unfilled()))?;
                let length = read.filled().len();
                Poll::Ready(Ok(take(buffer.get_mut(..length).unwrap_or_default())))
            }
        })
    }

    /// Whether there is known to be nothing to read. The task is woken when there is.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_dry(&self, cx: &mut Context<'_>) -> bool {
        match self {
            // Known without a system call when the last read did not fill its buffer.
            Self::Tcp(stream) => stream.poll_read_ready(cx).is_pending(),
            Self::Other(_) => false,
        }
    }

    #[cfg(not(feature = "tokio"))]
    pub(crate) const fn is_dry(&self, _: &mut Context<'_>) -> bool {
        match self {
            Self::Other(_) => false,
        }
    }

    /// Writes some of `head` and `body` that follows it.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        if head.is_empty() {
            return self.poll_write_one(cx, body);
        }
        let size = head.len() + body.len();
        if size > SMALL {
            return self.poll_write_two(cx, head, body);
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Some(whole) = buffer.get_mut(..size) else {
                return Poll::Ready(Ok(0));
            };
            let (front, back) = whole.split_at_mut(head.len());
            front.copy_from_slice(head);
            back.copy_from_slice(body);
            self.poll_write_one(cx, whole)
        })
    }

    fn poll_write_one(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tcp(stream) => tokio::io::AsyncWrite::poll_write(Pin::new(stream), cx, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        match self {
            #[cfg(feature = "tokio")]
            Self::Tcp(stream) => {
                tokio::io::AsyncWrite::poll_write_vectored(Pin::new(stream), cx, &slices)
            }
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(cx, &slices),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tcp(stream) => tokio::io::AsyncWrite::poll_shutdown(Pin::new(stream), cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What came with the request. The web server's buffer, which it is a slice of even when it is empty, is let go.
#[cfg(feature = "tokio")]
fn copied(early: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(early)
}
