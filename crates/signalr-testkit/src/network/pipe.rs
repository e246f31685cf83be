//! Two ends of a pipe of bytes, in both directions: what stands for a TCP connection.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, BytesMut};

/// Bytes under way in one direction, at most.
const CAPACITY: usize = 256 << 10;

/// One direction.
#[derive(Default)]
struct Half {
    bytes: BytesMut,
    /// The writing end is gone.
    ended: bool,
    /// The reading end is gone.
    left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Direction = Arc<Mutex<Half>>;

fn lock(direction: &Direction) -> MutexGuard<'_, Half> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// One end of a pipe. When it is dropped, the other end reads what was written, and then the end.
pub(crate) struct PipeEnd {
    incoming: Direction,
    outgoing: Direction,
}

/// Both ends.
pub(crate) fn pipe() -> (PipeEnd, PipeEnd) {
    let (there, back) = (Direction::default(), Direction::default());
    let near = PipeEnd {
        incoming: Arc::clone(&back),
        outgoing: Arc::clone(&there),
    };
    let far = PipeEnd {
        incoming: there,
        outgoing: back,
    };
    (near, far)
}

impl PipeEnd {
    /// Hands what has come to `take`, which says how much of it it took; nothing is the end.
    fn poll_take(
        &self,
        cx: &Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.incoming);
        if half.bytes.is_empty() {
            if half.ended {
                return Poll::Ready(Ok(0));
            }
            half.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = take(&half.bytes);
        half.bytes.advance(taken);
        wake(&mut half.writer);
        Poll::Ready(Ok(taken))
    }

    fn poll_put(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.outgoing);
        if half.left || half.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(half.bytes.len()).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            half.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let fits = bytes.get(..room).unwrap_or_default();
        half.bytes.extend_from_slice(fits);
        wake(&mut half.reader);
        Poll::Ready(Ok(room))
    }

    fn end(&self) {
        let mut half = lock(&self.outgoing);
        half.ended = true;
        wake(&mut half.reader);
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.end();
        let mut half = lock(&self.incoming);
        half.left = true;
        wake(&mut half.writer);
    }
}

impl futures_io::AsyncRead for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_take(cx, |bytes| {
            let fits = bytes.len().min(into.len());
            if let (Some(into), Some(bytes)) = (into.get_mut(..fits), bytes.get(..fits)) {
                into.copy_from_slice(bytes);
            }
            fits
        })
    }
}

impl futures_io::AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Read for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_take(cx, |bytes| {
            let fits = bytes.len().min(into.remaining());
            into.put_slice(bytes.get(..fits).unwrap_or_default());
            fits
        });
        read.map_ok(drop)
    }
}

impl hyper::rt::Write for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}
