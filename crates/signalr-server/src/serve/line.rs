//! A client's socket, as hyper gets it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Read at once of what a client says before its turn.
const EARLY: usize = 256;

/// A socket, what was read of it before, and whether hyper has anything left to write to it.
pub(crate) struct Line {
    stream: TcpStream,
    /// Comes before what the socket brings.
    early: Bytes,
    written: Written,
}

/// Tells whether everything is written that hyper was given. One task asks and answers.
#[derive(Clone, Default)]
pub(super) struct Written(Arc<AtomicBool>);

impl Written {
    /// hyper was given something to write.
    pub(super) fn owe(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_all(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            early: Bytes::new(),
            written: Written::default(),
        }
    }

    pub(super) fn written(&self) -> Written {
        self.written.clone()
    }

    /// The socket, and what was read of it and not yet asked for.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.early)
    }

    /// Gives back what was read too early.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.early = [bytes, &self.early].concat().into();
        }
    }

    /// Is ready when the client is gone. A client that has said something before its turn is not listened to any further until
    /// then, as hyper does it.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.early.is_empty() {
            return Poll::Pending;
        }
        let mut buffer = [0; EARLY];
        let mut read = ReadBuf::new(&mut buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
            Ok(()) if !read.filled().is_empty() => {
                self.early = Bytes::copy_from_slice(read.filled());
                Poll::Pending
            }
            Ok(()) | Err(_) => Poll::Ready(()),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        if !self.early.has_remaining() {
            self.early = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffers are empty, and then only.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.written.0.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
