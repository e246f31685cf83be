//! Calls whose results are a stream.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use signalr_proto::Payload;
use signalr_proto::client::InvocationId;

use super::name::Name;
use super::request::{Caller, Request, State};
use super::write::CallKind;
use crate::arguments::CallArguments;
use crate::error::{CallError, CallErrorKind};
use crate::shared::{Handle, Slot, remember, wake};

/// A stream being opened: what [`HubConnection::stream`](crate::HubConnection::stream) returns. Ready as soon as the call is
/// written; whether the server knows the method shows in the stream itself.
#[must_use = "dropping it cancels the stream"]
pub struct OpenStream<T> {
    request: Request,
    max_waiting: usize,
    item: PhantomData<fn() -> T>,
}

impl<T> OpenStream<T> {
    pub(crate) fn new<A: CallArguments>(caller: Caller, target: &str, arguments: A) -> Self {
        Self {
            request: Request::new(caller, CallKind::Stream, target, arguments),
            max_waiting: usize::MAX,
            item: PhantomData,
        }
    }

    /// Bounds the items that wait to be taken: with one more the stream is cancelled and ends, behind those that wait, with
    /// [`CallErrorKind::StreamOverflow`](crate::CallErrorKind::StreamOverflow). What was taken from the connection in one go counts no more. Default: no bound.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// let prices = connection.stream::<f64>("Prices", ("ACME",)).max_waiting(1000).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn max_waiting(mut self, items: usize) -> Self {
        self.max_waiting = items;
        self
    }
}

impl<T> Future for OpenStream<T> {
    type Output = Result<ItemStream<T>, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = ready!(self.request.poll_written(cx));
        let request = &mut self.request;
        match written {
            Err(kind) => Poll::Ready(Err(request.error(kind))),
            Ok(call) => {
                // The stream cancels the call from now on.
                request.state = State::Over(None);
                let (handle, method) = (request.handle.clone(), request.method.clone());
                handle.shared.lock().bound(call.id(), self.max_waiting);
                Poll::Ready(Ok(ItemStream {
                    handle,
                    method,
                    id: call.id(),
                    items: VecDeque::new(),
                    end: None,
                    over: false,
                    item: PhantomData,
                }))
            }
        }
    }
}

impl<T> Drop for OpenStream<T> {
    fn drop(&mut self) {
        if let State::Written(call) = self.request.state {
            let waker = self.request.handle.shared.lock().forget(call.id());
            wake(waker);
        }
    }
}

impl<T> core::fmt::Debug for OpenStream<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OpenStream").finish_non_exhaustive()
    }
}

/// Items from the server. Ends after the last item, or with an error.
///
/// Items that nobody takes are kept, since the protocol has no way to slow the server down;
/// [`max_waiting`](OpenStream::max_waiting) bounds them. Dropping the stream cancels it.
pub struct ItemStream<T> {
    handle: Handle,
    method: Name,
    id: InvocationId,
    /// Taken from the connection at once, given out one by one.
    items: VecDeque<Payload>,
    end: Option<Result<(), CallErrorKind>>,
    over: bool,
    item: PhantomData<fn() -> T>,
}

impl<T> ItemStream<T> {
    /// Fetches what has arrived; pending if that is nothing.
    fn poll_fetch(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.handle.shared.lock();
        match inner.slots.get_mut(&self.id.number()) {
            Some(Slot::Stream {
                waker, items, end, ..
            }) => {
                core::mem::swap(items, &mut self.items);
                self.end = end.clone();
                if self.items.is_empty() && self.end.is_none() {
                    remember(waker, cx);
                    return Poll::Pending;
                }
            }
            Some(Slot::Call { .. }) | None => self.end = Some(Err(CallErrorKind::DriverGone)),
        }
        Poll::Ready(())
    }

    pub(crate) fn error(&self, kind: CallErrorKind) -> CallError {
        CallError::new(&self.handle.shared.address, self.method.as_str(), kind)
    }

    fn stop(&mut self) {
        if !core::mem::replace(&mut self.over, true) {
            let waker = self.handle.shared.lock().forget(self.id);
            wake(waker);
        }
    }
}

impl<T: DeserializeOwned> ItemStream<T> {
    /// The next item; `None` behind the last one. Dropping the future loses nothing.
    ///
    /// As that of `StreamExt`, without its import.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        StreamExt::next(self).await
    }
}

impl<T: DeserializeOwned> Stream for ItemStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(item) = self.items.pop_front() {
                let item = item.decode().map_err(CallErrorKind::Decode);
                if item.is_err() {
                    self.stop();
                }
                return Poll::Ready(Some(item.map_err(|kind| self.error(kind))));
            }
            if let Some(end) = self.end.take() {
                self.stop();
                return Poll::Ready(end.err().map(|kind| Err(self.error(kind))));
            }
            ready!(self.poll_fetch(cx));
        }
    }
}

impl<T> Drop for ItemStream<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<T> core::fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ItemStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
