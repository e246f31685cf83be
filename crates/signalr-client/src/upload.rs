//! Streams from the client to the server.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_core::Stream;
use futures_util::StreamExt as _;
use signalr_proto::client::InvocationId;
use signalr_proto::codec::Returned;
use signalr_proto::{Encode, EncodeError, SendError};

use crate::arguments::Guarded;
use crate::shared::Shared;

/// Items a pump sends before it lets others run.
const ITEMS_PER_TURN: usize = 64;

/// An argument that is a stream: its items travel to the server while the call is under way.
///
/// The driver polls the stream, from when the call was written until the stream ends, the call is over or cancelled, or the
/// connection is lost. A stream that waits costs nothing; several streams advance side by side.
///
/// ```
/// use futures_util::stream;
/// use signalr_client::Upload;
///
/// let numbers = Upload::new(stream::iter([1, 2, 3]));
/// let fallible = Upload::try_new(stream::iter([Ok(1), Err("the sensor broke")]));
/// ```
pub struct Upload {
    source: Box<dyn Source + Send>,
}

impl Upload {
    /// A stream of values. A `Result` is none: its error fails the stream, as with [`try_new`](Self::try_new).
    pub fn new<S>(stream: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: Encode + Send + 'static,
    {
        Self::try_new(stream.map(Ok::<_, core::convert::Infallible>))
    }

    /// A stream that can fail. The server sees the error as `Stream errored by client: '<error>'`, and the stream is over.
    pub fn try_new<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: Encode + Send + 'static,
        E: core::fmt::Display + 'static,
    {
        Self {
            source: Box::new(Items {
                stream: Box::pin(stream),
                refused: None,
            }),
        }
    }
}

impl core::fmt::Debug for Upload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// Where the stream stands after an item.
enum Step {
    Sent,
    Refused(SendError),
    Finished,
    Failed(String),
}

/// A stream with its item type erased: items are handed to `send` by reference, so that none is boxed.
trait Source {
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        send: &mut dyn FnMut(&dyn Encode) -> Result<(), SendError>,
    ) -> Poll<Step>;
}

struct Items<S, T> {
    stream: Pin<Box<S>>,
    /// An item there was no room for.
    refused: Option<Returned<T>>,
}

impl<S, T, E> Source for Items<S, T>
where
    S: Stream<Item = Result<T, E>>,
    T: Encode,
    E: core::fmt::Display,
{
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        send: &mut dyn FnMut(&dyn Encode) -> Result<(), SendError>,
    ) -> Poll<Step> {
        let item = match self.refused.take() {
            Some(item) => item,
            None => match ready!(self.stream.as_mut().poll_next(cx)) {
                Some(Ok(item)) => match Returned::new(item) {
                    Ok(item) => item,
                    Err(error) => return Poll::Ready(Step::Failed(error.text().into())),
                },
                Some(Err(error)) => return Poll::Ready(Step::Failed(error.to_string())),
                None => return Poll::Ready(Step::Finished),
            },
        };
        Poll::Ready(match send(&item) {
            Ok(()) => Step::Sent,
            Err(error) => {
                self.refused = Some(item);
                Step::Refused(error)
            }
        })
    }
}

/// Moves one upload's items into the connection. Ends when there is nothing more to do for the stream.
pub(crate) struct Pump {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: InvocationId,
    pub(crate) upload: Upload,
    /// The stream is over, and this is still to be said, with the error if there was one.
    pub(crate) farewell: Option<Option<String>>,
}

impl Pump {
    pub(crate) const fn new(shared: Arc<Shared>, stream: InvocationId, upload: Upload) -> Self {
        Self {
            shared,
            stream,
            upload,
            farewell: None,
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let (shared, stream) = (&self.shared, self.stream);
        let source = &mut self.upload.source;
        let mut send = |item: &dyn Encode| {
            let mut inner = shared.lock();
            let now = inner.now;
            inner.dirty = true;
            inner.machine.send_item(now, stream, &Guarded(item))
        };
        catch_unwind(AssertUnwindSafe(|| source.poll_step(cx, &mut send))).unwrap_or_else(|_| {
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
