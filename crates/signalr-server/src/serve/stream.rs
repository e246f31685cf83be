//! The pieces of an event stream, written without hyper: as the chunks of HTTP/1.1, after a head that hyper wrote.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, buf::Chain};
use http_body::Body;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::line::Line;

/// How long a client may take nothing of a piece that is being written.
const STALL: Duration = Duration::from_secs(30);

/// What ends the chunks.
const LAST: &[u8] = b"0\r\n\r\n";

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With its last piece, and the client may ask for something else.
    Whole,
    /// The client is gone or takes nothing, or the application broke it off.
    Broken,
}

/// Writes what is left of an event stream. One piece is taken at a time, when the one before it has been written.
pub(super) struct Stream<'a, B> {
    line: &'a mut Line,
    body: Pin<Box<B>>,
    chunk: Option<Chunk>,
    is_last: bool,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

type Chunk = Chain<Chain<Bytes, Bytes>, Bytes>;

fn chunk(data: Bytes) -> Chunk {
    let size = Bytes::from(format!("{:x}\r\n", data.len()));
    size.chain(data).chain(Bytes::from_static(b"\r\n"))
}

fn last() -> Chunk {
    let nothing = Bytes::new();
    nothing
        .clone()
        .chain(nothing)
        .chain(Bytes::from_static(LAST))
}

impl<'a, B: Body<Data = Bytes>> Stream<'a, B> {
    pub(super) fn new(line: &'a mut Line, body: Pin<Box<B>>) -> Self {
        Self {
            line,
            body,
            chunk: None,
            is_last: false,
            stall: None,
        }
    }

    /// Writes the present piece.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(chunk) = self.chunk.as_mut().filter(|chunk| chunk.has_remaining()) {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = chunk.chunks_vectored(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *self.line).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            chunk.advance(written);
            self.stall = None;
        }
        self.chunk = None;
        Poll::Ready(Ok(()))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)))
            .as_mut()
            .poll(cx)
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match self.poll_write(cx) {
                Poll::Pending => return self.poll_stalled(cx).map(|()| Ended::Broken),
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Broken),
                Poll::Ready(Ok(())) if self.is_last => return Poll::Ready(Ended::Whole),
                Poll::Ready(Ok(())) => {}
            }
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers go only to clients that ask for them, and these do not.
                    let data = frame.into_data().unwrap_or_default();
                    self.chunk = (!data.is_empty()).then(|| chunk(data));
                }
                Some(Err(_)) => return Poll::Ready(Ended::Broken),
                None => (self.chunk, self.is_last) = (Some(last()), true),
            }
        }
    }
}

impl<B: Body<Data = Bytes>> Future for Stream<'_, B> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Poll::Ready(ended) = self.poll_pieces(cx) {
            return Poll::Ready(ended);
        }
        self.line.poll_gone(cx).map(|()| Ended::Broken)
    }
}
