//! Uploads at work: one future for each stream that a call has.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use signalr_proto::client::InvocationId;
use signalr_proto::{Encode, EncodeError, SendError};

use crate::arguments::Guarded;
use crate::shared::Shared;
use crate::upload::{Step, Upload};

/// Items a pump sends before it lets others run.
const ITEMS_PER_TURN: usize = 64;

/// Moves one upload's items into the connection. Ends when there is nothing more to do for the stream.
pub(super) struct Pump {
    shared: Arc<Shared>,
    stream: InvocationId,
    upload: Upload,
    /// The stream is over, and this is still to be said, with the error if there was one.
    farewell: Option<Option<String>>,
}

impl Pump {
    pub(super) const fn new(shared: Arc<Shared>, stream: InvocationId, upload: Upload) -> Self {
        Self {
            shared,
            stream,
            upload,
            farewell: None,
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let (shared, stream) = (&self.shared, self.stream);
        let upload = &mut self.upload;
        let mut send = |item: &dyn Encode| {
            let mut inner = shared.lock();
            let now = inner.now;
            inner.dirty = true;
            inner.machine.send_item(now, stream, &Guarded(item))
        };
        catch_unwind(AssertUnwindSafe(|| upload.poll_step(cx, &mut send))).unwrap_or_else(|_| {
            tracing::error!(%stream, "an upload stream panicked");
            Poll::Ready(Step::Failed("the stream panicked".into()))
        })
    }

    /// Says that the stream is over. Ready when that is done, or cannot be done any more.
    fn poll_farewell(&self, cx: &Context<'_>, error: Option<&str>) -> Poll<()> {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.dirty = true;
        match inner.machine.end_stream(now, self.stream, error) {
            Err(SendError::Full { .. }) => {
                inner.wait_for_room(cx);
                Poll::Pending
            }
            Ok(()) | Err(_) => Poll::Ready(()),
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ITEMS_PER_TURN {
            if let Some(error) = &this.farewell {
                return this.poll_farewell(cx, error.as_deref());
            }
            match ready!(this.poll_step(cx)) {
                Step::Sent => {}
                Step::Finished => this.farewell = Some(None),
                Step::Failed(error) => {
                    this.farewell = Some(Some(format!("Stream errored by client: '{error}'")))
                }
                Step::Refused(SendError::Full { .. }) => {
                    this.shared.lock().wait_for_room(cx);
                    return Poll::Pending;
                }
                Step::Refused(SendError::Encode(error)) => {
                    this.farewell = Some(Some(encode_failure(&error)))
                }
                // The call is over or the connection gone: nobody wants the rest.
                Step::Refused(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn encode_failure(error: &EncodeError) -> String {
    format!("Stream errored by client: '{error}'")
}
