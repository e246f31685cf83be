//! Streams from the client to the server.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::StreamExt as _;
use signalr_proto::codec::Returned;
use signalr_proto::{Encode, SendError};

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

impl Upload {
    /// Hands the next item to `send`; the one that was refused before, if there is one.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        send: &mut dyn FnMut(&dyn Encode) -> Result<(), SendError>,
    ) -> Poll<Step> {
        self.source.poll_step(cx, send)
    }
}

impl core::fmt::Debug for Upload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// Where the stream stands after an item.
pub(crate) enum Step {
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
