//! The bodies of requests, and what becomes of those that nobody reads.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use signalr_proto::Instant;

use crate::error::BodyError;
use crate::runtime::Clock;

/// How long a body that nobody wants is read, with the time that somebody who did not want it to the end has read it. Kestrel's time.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of it is read. Kestrel takes no larger body at all by default.
const DRAIN_LIMIT: usize = 30_000_000;

/// The body of a request to any web server, as bytes.
pub(crate) struct RequestBody {
    /// `None` when nothing is left to read.
    body: Option<Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>>,
    /// Its client may send nothing before the first read asks it to go on.
    on_request: bool,
    /// When it was first read.
    begun: Option<Instant>,
}

impl RequestBody {
    pub(crate) fn new<B: Body + Send + 'static>(body: B, headers: &HeaderMap) -> Self {
        Self {
            on_request: headers.contains_key(header::EXPECT),
            begun: None,
            body: if body.is_end_stream() {
                None
            } else {
                Some(Box::pin(Foreign(Box::pin(body))))
            },
        }
    }

    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.begun.get_or_insert(now);
        while let Some(body) = &mut self.body {
            let data = match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.body = None;
                    break;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => frame.into_data(),
            };
            if body.is_end_stream() {
                self.body = None;
            }
            if let Ok(data) = data {
                return Poll::Ready(Some(Ok(data)));
            }
        }
        Poll::Ready(None)
    }

    pub(crate) fn is_end(&self) -> bool {
        self.body.is_none()
    }

    /// Reads on for a while after the answer, for nobody. A web server that closed its socket on a client which still
    /// sends would have the network throw the answer away, and the client could not tell why it was refused.
    pub(crate) fn drain(mut self, clock: &Clock) {
        let now = clock.now();
        let spent = self.begun.map_or(Duration::ZERO, |begun| now.since(begun));
        let timeout = DRAIN_TIMEOUT.saturating_sub(spent);
        let is_held_back = self.on_request && self.begun.is_none();
        if self.is_end() || is_held_back || timeout.is_zero() {
            return;
        }
        let task = clock.clone();
        clock.spawn(async move {
            let mut left = DRAIN_LIMIT;
            let drained = std::future::poll_fn(|cx| {
                while let Poll::Ready(data) = self.poll_data(cx, now) {
                    left = match data {
                        Some(Ok(data)) => left.saturating_sub(data.len()),
                        None | Some(Err(BodyError)) => 0,
                    };
                    if left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending
            });
            task.timeout(timeout, drained).await;
        });
    }
}

/// A body of whatever type.
struct Foreign<B>(Pin<Box<B>>);

impl<B: Body> Body for Foreign<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().poll_frame(cx).map(|frame| {
            let frame = frame?.map_err(|_| BodyError);
            Some(frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
