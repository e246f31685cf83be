//! Streams from clients.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use signalr_proto::Payload;
use signalr_proto::server::CallId;

use crate::connection::{Connection, Order};
use crate::error::UploadError;
use crate::locks::lock;

/// Items taken after which the client's credit is topped up, unless the method waits before.
const TOP_UP: usize = 4;

#[derive(Default)]
struct Queue {
    items: VecDeque<Payload>,
    /// How it ended: with the client's error, or not.
    end: Option<Result<(), UploadError>>,
    waker: Option<Waker>,
    taken: usize,
    /// The method wants no more.
    dropped: bool,
}

/// The connection's end of an upload. It holds as many items as the machine gives credit for.
#[derive(Clone, Default)]
pub(crate) struct UploadSender(Arc<Mutex<Queue>>);

impl UploadSender {
    /// Hands an item to the method. `false` when it wants no more.
    pub(crate) fn item(&self, item: Payload) -> bool {
        let mut queue = lock(&self.0);
        if queue.dropped {
            return false;
        }
        queue.items.push_back(item);
        wake(&mut queue);
        true
    }

    pub(crate) fn end(&self, end: Result<(), UploadError>) {
        let mut queue = lock(&self.0);
        if queue.end.is_none() {
            queue.end = Some(end);
        }
        wake(&mut queue);
    }

    /// The method's end, of the `index`-th upload of a call.
    pub(crate) fn receiver(
        &self,
        connection: Arc<Connection>,
        call: CallId,
        index: usize,
    ) -> Upload {
        Upload {
            queue: Arc::clone(&self.0),
            connection,
            call,
            index,
        }
    }
}

fn wake(queue: &mut Queue) {
    if let Some(waker) = queue.waker.take() {
        waker.wake();
    }
}

/// The method's end of an upload stream, before its type is known.
pub(crate) struct Upload {
    queue: Arc<Mutex<Queue>>,
    connection: Arc<Connection>,
    call: CallId,
    index: usize,
}

impl Upload {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Payload, UploadError>>> {
        let mut queue = lock(&self.queue);
        if let Some(item) = queue.items.pop_front() {
            queue.taken += 1;
            if queue.taken >= TOP_UP {
                self.took(&mut queue, false);
            }
            return Poll::Ready(Some(Ok(item)));
        }
        if let Some(end) = &queue.end {
            return Poll::Ready(end.clone().err().map(Err));
        }
        let waits = queue.waker.replace(cx.waker().clone()).is_some();
        if !waits || queue.taken > 0 {
            self.took(&mut queue, true);
        }
        Poll::Pending
    }

    fn took(&self, queue: &mut Queue, hungry: bool) {
        self.connection.mailbox.order(Order::Took {
            call: self.call,
            upload: self.index,
            items: std::mem::take(&mut queue.taken),
            hungry,
        });
    }
}

/// What comes from now on is not wanted, and must not hold up the connection.
impl Drop for Upload {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.dropped = true;
        queue.taken += queue.items.len();
        queue.items.clear();
        if queue.end.is_none() {
            self.took(&mut queue, false);
        }
    }
}

/// A stream that a client uploads: a parameter of a hub method.
///
/// Ends with `None` when the client completes it. An error is the last item. Dropping it ignores the rest.
pub struct UploadStream<T> {
    upload: Option<Upload>,
    items: PhantomData<fn() -> T>,
}

impl<T> UploadStream<T> {
    pub(crate) const fn new(upload: Option<Upload>) -> Self {
        Self {
            upload,
            items: PhantomData,
        }
    }

    fn end(&mut self, error: Option<UploadError>) -> Poll<Option<Result<T, UploadError>>> {
        self.upload = None;
        Poll::Ready(error.map(Err))
    }
}

impl<T: DeserializeOwned> UploadStream<T> {
    /// The next item; what `StreamExt::next` of the futures crates gives, without an import.
    pub async fn next(&mut self) -> Option<Result<T, UploadError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: DeserializeOwned> Stream for UploadStream<T> {
    type Item = Result<T, UploadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(upload) = &self.upload else {
            return Poll::Ready(None);
        };
        match upload.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(item))) => match item.decode() {
                Ok(item) => Poll::Ready(Some(Ok(item))),
                Err(error) => self.end(Some(UploadError::Item(error))),
            },
            Poll::Ready(Some(Err(error))) => self.end(Some(error)),
            Poll::Ready(None) => self.end(None),
        }
    }
}

impl<T> fmt::Debug for UploadStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadStream")
            .field("ended", &self.upload.is_none())
            .finish_non_exhaustive()
    }
}
