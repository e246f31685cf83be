//! Bodies of answers: whole ones, polls that carry messages, and event streams.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::BodyError;
use crate::locks::lock;

/// The body of a hub's answer.
pub struct HubBody(BodyKind);

enum BodyKind {
    Whole(Bytes),
    Fed { eater: Eater, length: Option<u64> },
}

impl HubBody {
    pub(crate) const fn whole(bytes: Bytes) -> Self {
        Self(BodyKind::Whole(bytes))
    }

    /// A body whose pieces come one at a time, and the connection's end of it.
    pub(crate) fn fed() -> (Feeder, Self) {
        Self::with_length(None, None)
    }

    /// A body that is here already, and tells the connection when it was taken.
    pub(crate) fn reported(bytes: Bytes) -> (Feeder, Self) {
        let length = bytes.len() as u64;
        Self::with_length(Some(bytes), Some(length))
    }

    fn with_length(bytes: Option<Bytes>, length: Option<u64>) -> (Feeder, Self) {
        let plate = Plate {
            last: bytes.is_some(),
            bytes,
            ..Plate::default()
        };
        let table = Arc::new(Mutex::new(plate));
        let eater = Eater(Arc::clone(&table));
        (Feeder(table), Self(BodyKind::Fed { eater, length }))
    }
}

/// Between the connection's task and the web server, which takes one piece at a time.
#[derive(Default)]
struct Plate {
    bytes: Option<Bytes>,
    /// Nothing follows.
    last: bool,
    /// The body was broken off by the connection.
    broken: bool,
    /// A piece was taken and not yet told.
    taken: bool,
    /// The web server is gone.
    left: bool,
    eater: Option<Waker>,
    feeder: Option<Waker>,
}

/// What became of the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eaten {
    Taken,
    Left,
}

/// The connection's end. Dropping it breaks the body off unless it was finished.
pub(crate) struct Feeder(Arc<Mutex<Plate>>);

impl Feeder {
    pub(crate) fn feed(&self, bytes: Bytes) {
        let mut plate = lock(&self.0);
        plate.bytes = Some(bytes);
        wake(plate.eater.take());
    }

    pub(crate) fn finish(&self) {
        let mut plate = lock(&self.0);
        plate.last = true;
        wake(plate.eater.take());
    }

    pub(crate) fn poll_eaten(&self, cx: &mut Context<'_>) -> Poll<Eaten> {
        let mut plate = lock(&self.0);
        if std::mem::take(&mut plate.taken) {
            return Poll::Ready(Eaten::Taken);
        }
        if plate.left {
            return Poll::Ready(Eaten::Left);
        }
        plate.feeder = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let mut plate = lock(&self.0);
        plate.broken = !plate.last;
        wake(plate.eater.take());
    }
}

struct Eater(Arc<Mutex<Plate>>);

impl Eater {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut plate = lock(&self.0);
        if let Some(bytes) = plate.bytes.take() {
            plate.taken = true;
            wake(plate.feeder.take());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if plate.last {
            return Poll::Ready(None);
        }
        if plate.broken {
            return Poll::Ready(Some(Err(BodyError)));
        }
        plate.eater = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Eater {
    fn drop(&mut self) {
        let mut plate = lock(&self.0);
        plate.left = true;
        wake(plate.feeder.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Body for HubBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            BodyKind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            BodyKind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            BodyKind::Fed { eater, .. } => eater.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Whole(bytes) => bytes.is_empty(),
            BodyKind::Fed { eater, .. } => {
                let plate = lock(&eater.0);
                plate.last && plate.bytes.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyKind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyKind::Fed {
                length: Some(length),
                eater,
            } if lock(&eater.0).bytes.is_some() => SizeHint::with_exact(*length),
            BodyKind::Fed { .. } => SizeHint::default(),
        }
    }
}

/// Shows no contents: they are messages.
impl fmt::Debug for HubBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn pieces_are_taken_one_at_a_time_and_reported() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (feeder, body) = HubBody::fed();
        let mut body = pin!(body);
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
        feeder.feed(Bytes::from_static(b"one"));
        assert!(feeder.poll_eaten(&mut cx).is_pending());
        let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) else {
            panic!("no piece");
        };
        assert_eq!(frame.into_data().unwrap(), "one");
        assert_eq!(feeder.poll_eaten(&mut cx), Poll::Ready(Eaten::Taken));
        assert!(feeder.poll_eaten(&mut cx).is_pending());
        feeder.finish();
        drop(feeder);
        assert!(matches!(body.poll_frame(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn a_body_that_is_not_finished_is_broken_off() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (feeder, body) = HubBody::fed();
        drop(feeder);
        assert!(matches!(
            pin!(body).poll_frame(&mut cx),
            Poll::Ready(Some(Err(BodyError)))
        ));
    }

    #[test]
    fn a_web_server_that_leaves_is_reported() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (feeder, body) = HubBody::reported(Bytes::from_static(b"messages"));
        assert_eq!(body.size_hint().exact(), Some(8));
        drop(body);
        assert_eq!(feeder.poll_eaten(&mut cx), Poll::Ready(Eaten::Left));
    }
}
