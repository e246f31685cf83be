//! Calls to the server, as futures and streams.

use core::any::{Any, TypeId};
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;
use std::collections::VecDeque;

use bytes::BytesMut;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde::de::value::UnitDeserializer;
use signalr_proto::client::{Call, CallOptions, InvocationId};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{InvocationHead, Role};
use signalr_proto::{
    Arguments, EncodeError, HubArguments, HubMessage, Payload, PayloadError, Protocol, SendError,
};

use crate::arguments::{CallArguments, Kept, Wire};
use crate::error::Error;
use crate::shared::{Handle, Inner, NewUpload, Slot, remember, wake};
use crate::upload::Upload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invoke,
    Stream,
    Send,
}

/// The connection a call goes into, and what becomes of it when that is lost.
pub(crate) struct Way {
    pub(crate) handle: Handle,
    pub(crate) options: CallOptions,
}

/// A call on its way into the connection.
struct Request {
    handle: Handle,
    kind: Kind,
    options: CallOptions,
    state: State,
}

enum State {
    /// There was no room: the whole call waits, encoded.
    Backlog(Box<Backlog>),
    Written(Call),
    Over(Option<Error>),
}

struct Backlog {
    target: Box<str>,
    arguments: Kept,
    uploads: Vec<Upload>,
    /// The connections that had ended when it began to wait.
    losses: u64,
}

impl Request {
    /// Writes the call at once if there is room.
    fn new<A: CallArguments>(way: Way, kind: Kind, target: &str, arguments: A) -> Self {
        let Way { handle, options } = way;
        let mut inner = handle.shared.lock();
        let state = match write(&mut inner, kind, options, target, &Wire(&arguments)) {
            Ok(call) => {
                let waker = open(&mut inner, kind, &call, || take_uploads(arguments));
                drop(inner);
                wake(waker);
                State::Written(call)
            }
            Err(SendError::Full { .. }) => {
                let protocol = inner.machine.config().protocol;
                let losses = inner.losses();
                drop(inner);
                keep(protocol, target, arguments, losses)
            }
            Err(error) => {
                drop(inner);
                State::Over(Some(error.into()))
            }
        };
        Self {
            handle,
            kind,
            options,
            state,
        }
    }

    fn poll_written(&mut self, cx: &Context<'_>) -> Poll<Result<Call, Error>> {
        match &mut self.state {
            State::Written(call) => Poll::Ready(Ok(*call)),
            State::Over(error) => Poll::Ready(Err(error.take().unwrap_or(Error::NotConnected))),
            State::Backlog(backlog) => {
                let written = ready!(backlog.poll_write(&self.handle, self.kind, self.options, cx));
                self.state = written
                    .as_ref()
                    .map_or(State::Over(None), |call| State::Written(*call));
                Poll::Ready(written)
            }
        }
    }
}

impl Backlog {
    fn poll_write(
        &mut self,
        handle: &Handle,
        kind: Kind,
        options: CallOptions,
        cx: &Context<'_>,
    ) -> Poll<Result<Call, Error>> {
        let mut inner = handle.shared.lock();
        match write(&mut inner, kind, options, &self.target, &self.arguments) {
            Ok(call) => {
                let waker = open(&mut inner, kind, &call, || {
                    core::mem::take(&mut self.uploads)
                });
                drop(inner);
                wake(waker);
                Poll::Ready(Ok(call))
            }
            Err(SendError::Full { .. }) => {
                inner.wait_for_room(cx);
                Poll::Pending
            }
            Err(SendError::NotConnected) => {
                let loss = inner.loss_since(self.losses);
                Poll::Ready(Err(loss.unwrap_or(Error::NotConnected)))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

fn write(
    inner: &mut Inner,
    kind: Kind,
    options: CallOptions,
    target: &str,
    arguments: &impl HubArguments,
) -> Result<Call, SendError> {
    inner.check_driver()?;
    let now = inner.now;
    let call = match kind {
        Kind::Invoke => inner.machine.invoke_with(now, target, arguments, options),
        Kind::Stream => inner.machine.stream_with(now, target, arguments, options),
        Kind::Send => inner.machine.send_with(now, target, arguments, options),
    }?;
    tracing::trace!(target, id = call.id().number(), ?kind, "calling");
    Ok(call)
}

/// Enters a written call where its answer will be looked for. Gives the driver's waker.
fn open(
    inner: &mut Inner,
    kind: Kind,
    call: &Call,
    uploads: impl FnOnce() -> Vec<Upload>,
) -> Option<Waker> {
    let id = call.id().number();
    let owner = match kind {
        Kind::Invoke => {
            inner.slots.insert(id, Slot::CALL);
            id
        }
        Kind::Stream => {
            inner.slots.insert(id, Slot::STREAM);
            id
        }
        Kind::Send => {
            inner.sends.add(call.position());
            0
        }
    };
    if call.streams().len() > 0 {
        let uploads = call.streams().zip(uploads());
        inner
            .new_uploads
            .extend(uploads.map(|(stream, upload)| NewUpload {
                owner,
                stream,
                upload,
            }));
    }
    inner.touch()
}

fn take_uploads(arguments: impl CallArguments) -> Vec<Upload> {
    let mut uploads = Vec::new();
    arguments.take_uploads(&mut uploads);
    uploads
}

/// Encodes a call for later.
fn keep(protocol: Protocol, target: &str, arguments: impl CallArguments, losses: u64) -> State {
    let streams = arguments.stream_count();
    match encode(protocol, &arguments) {
        Ok(values) => State::Backlog(Box::new(Backlog {
            target: target.into(),
            arguments: Kept { values, streams },
            uploads: take_uploads(arguments),
            losses,
        })),
        Err(error) => State::Over(Some(error)),
    }
}

/// The values as a raw list: cut from a message made for the purpose.
fn encode(protocol: Protocol, arguments: &impl CallArguments) -> Result<Arguments, Error> {
    let mut message = BytesMut::new();
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: None,
        target: "-",
        stream_ids: &[],
    };
    protocol
        .encode_invocation(&mut message, head, &Wire(arguments))
        .map_err(Error::Encode)?;
    let frame = FrameDecoder::new(protocol, usize::MAX)
        .decode(&mut message.freeze())
        .ok()
        .flatten();
    match frame.and_then(|frame| protocol.decode(Role::Client, &frame).ok().flatten()) {
        Some(HubMessage::Invocation(invocation)) => Ok(invocation.arguments),
        // What was just written can be read, unless a raw argument is not what it says.
        Some(_) | None => Err(Error::Encode(EncodeError::RawPayload)),
    }
}

/// A deadline of one call; removed when dropped.
struct Alarm {
    handle: Handle,
    id: u64,
    after: Duration,
}

impl Alarm {
    fn new(handle: &Handle, after: Duration) -> Self {
        let (id, waker) = {
            let mut inner = handle.shared.lock();
            (inner.alarms.set(after), inner.touch())
        };
        wake(waker);
        Self {
            handle: handle.clone(),
            id,
            after,
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Error> {
        let rang = self.handle.shared.lock().alarms.poll(self.id, cx);
        if rang {
            Poll::Ready(Error::Timeout { after: self.after })
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.handle.shared.lock().alarms.remove(self.id);
    }
}

/// A call that waits for its result: what [`HubConnection::invoke`](crate::HubConnection::invoke) returns.
///
/// The call is on its way already; awaiting this only waits for the answer. Dropping it before cancels the call, which tells
/// the server that nobody wants the answer any more, and nothing else.
#[must_use = "dropping the call cancels it: await it, or use `send` for calls without an answer"]
pub struct Invoke<T> {
    request: Request,
    alarm: Option<Alarm>,
    result: PhantomData<fn() -> T>,
}

impl<T> Invoke<T> {
    pub(crate) fn new<A: CallArguments>(way: Way, target: &str, arguments: A) -> Self {
        Self {
            request: Request::new(way, Kind::Invoke, target, arguments),
            alarm: None,
            result: PhantomData,
        }
    }

    /// Gives the call this long from now. When the time is over, it is cancelled and fails with [`Error::Timeout`].
    pub fn timeout(mut self, after: Duration) -> Self {
        self.alarm = Some(Alarm::new(&self.request.handle, after));
        self
    }

    fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Payload>, Error>> {
        let id = match self.request.poll_written(cx) {
            Poll::Ready(written) => written?.id(),
            Poll::Pending => return self.poll_alarm(cx).map(Err),
        };
        {
            let mut inner = self.request.handle.shared.lock();
            match inner.slots.get_mut(&id.number()) {
                Some(Slot::Call {
                    outcome: Some(_), ..
                })
                | None => {
                    return Poll::Ready(take_outcome(&mut inner, id));
                }
                Some(Slot::Call { waker, .. } | Slot::Stream { waker, .. }) => remember(waker, cx),
            }
        }
        self.poll_alarm(cx).map(Err)
    }

    fn poll_alarm(&self, cx: &Context<'_>) -> Poll<Error> {
        self.alarm
            .as_ref()
            .map_or(Poll::Pending, |alarm| alarm.poll(cx))
    }

    /// Cancels the call if it is still open, and makes sure that it is not done twice.
    fn finish(&mut self) {
        let state = core::mem::replace(&mut self.request.state, State::Over(None));
        if let State::Written(call) = state {
            let waker = self.request.handle.shared.lock().forget(call.id());
            wake(waker);
        }
    }
}

fn take_outcome(inner: &mut Inner, id: InvocationId) -> Result<Option<Payload>, Error> {
    match inner.slots.remove(&id.number()) {
        Some(Slot::Call {
            outcome: Some(outcome),
            ..
        }) => outcome,
        Some(Slot::Call { .. } | Slot::Stream { .. }) | None => Err(Error::DriverGone),
    }
}

impl<T: DeserializeOwned + 'static> Future for Invoke<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.poll_answer(cx));
        match answer {
            Ok(payload) => {
                self.request.state = State::Over(None);
                Poll::Ready(decode_result(payload.as_ref()))
            }
            Err(error) => {
                self.finish();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T> Drop for Invoke<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<T> core::fmt::Debug for Invoke<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Invoke").finish_non_exhaustive()
    }
}

/// The result as the type asked for. `()` takes anything; a missing result is like null.
fn decode_result<T: DeserializeOwned + 'static>(payload: Option<&Payload>) -> Result<T, Error> {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        let mut unit: Option<T> = None;
        if let Some(unit) = (&mut unit as &mut dyn Any).downcast_mut::<Option<()>>() {
            *unit = Some(());
        }
        if let Some(unit) = unit {
            return Ok(unit);
        }
    }
    match payload {
        Some(payload) => payload.decode().map_err(Error::Decode),
        None => T::deserialize(UnitDeserializer::<serde::de::value::Error>::new()).map_err(|_| {
            Error::Decode(PayloadError::new(
                "the method returned no value; ask for (), or for an Option",
            ))
        }),
    }
}

/// A message on its way: what [`HubConnection::send`](crate::HubConnection::send) returns. Ready when the transport has taken
/// it. Dropping it changes nothing, unless the connection was too busy to take the message.
#[must_use = "await it to learn whether the message was sent; it is dropped unsent if the connection has no room for it"]
pub struct Sending {
    request: Request,
}

impl Sending {
    pub(crate) fn new<A: CallArguments>(way: Way, target: &str, arguments: A) -> Self {
        Self {
            request: Request::new(way, Kind::Send, target, arguments),
        }
    }
}

impl Future for Sending {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let position = ready!(self.request.poll_written(cx))?.position();
        let mut inner = self.request.handle.shared.lock();
        let Some(slot) = inner.sends.slot(position) else {
            return Poll::Ready(Err(Error::DriverGone));
        };
        match slot.outcome.take() {
            None => {
                remember(&mut slot.waker, cx);
                Poll::Pending
            }
            Some(outcome) => {
                inner.sends.remove(position);
                drop(inner);
                self.request.state = State::Over(None);
                Poll::Ready(outcome)
            }
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let State::Written(call) = self.request.state {
            self.request
                .handle
                .shared
                .lock()
                .sends
                .remove(call.position());
        }
    }
}

impl core::fmt::Debug for Sending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

/// A stream being opened: what [`HubConnection::stream`](crate::HubConnection::stream) returns. Ready as soon as the call is
/// written; whether the server knows the method shows in the stream itself.
#[must_use = "dropping it cancels the stream"]
pub struct OpenStream<T> {
    request: Option<Request>,
    max_waiting: usize,
    item: PhantomData<fn() -> T>,
}

impl<T> OpenStream<T> {
    pub(crate) fn new<A: CallArguments>(way: Way, target: &str, arguments: A) -> Self {
        Self {
            request: Some(Request::new(way, Kind::Stream, target, arguments)),
            max_waiting: usize::MAX,
            item: PhantomData,
        }
    }

    /// Bounds the items that wait to be taken: with one more the stream is cancelled and ends, behind those that wait, with
    /// [`Error::StreamOverflow`]. What was taken from the connection in one go counts no more. Default: no bound.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::Error> {
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
    type Output = Result<ItemStream<T>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(request) = &mut self.request else {
            return Poll::Ready(Err(Error::NotConnected));
        };
        let written = ready!(request.poll_written(cx));
        let max_waiting = self.max_waiting;
        let Some(request) = self.request.take() else {
            return Poll::Ready(Err(Error::NotConnected));
        };
        if let Ok(call) = &written {
            request.handle.shared.lock().bound(call.id(), max_waiting);
        }
        Poll::Ready(written.map(|call| ItemStream {
            handle: request.handle,
            id: call.id(),
            items: VecDeque::new(),
            end: None,
            over: false,
            item: PhantomData,
        }))
    }
}

impl<T> Drop for OpenStream<T> {
    fn drop(&mut self) {
        if let Some(Request {
            handle,
            state: State::Written(call),
            ..
        }) = &self.request
        {
            let waker = handle.shared.lock().forget(call.id());
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
    id: InvocationId,
    /// Taken from the connection at once, given out one by one.
    items: VecDeque<Payload>,
    end: Option<Result<(), Error>>,
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
            Some(Slot::Call { .. }) | None => self.end = Some(Err(Error::DriverGone)),
        }
        Poll::Ready(())
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
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        StreamExt::next(self).await
    }
}

impl<T: DeserializeOwned> Stream for ItemStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(item) = self.items.pop_front() {
                let item = item.decode().map_err(Error::Decode);
                if item.is_err() {
                    self.stop();
                }
                return Poll::Ready(Some(item));
            }
            if let Some(end) = self.end.take() {
                self.stop();
                return Poll::Ready(end.err().map(Err));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &'static str) -> Payload {
        Payload::new(Protocol::Json, text.into())
    }

    #[test]
    fn unit_takes_any_result_and_a_missing_result_is_like_null() {
        assert_eq!(decode_result::<()>(None), Ok(()));
        assert_eq!(decode_result::<()>(Some(&json("{\"a\":1}"))), Ok(()));
        assert_eq!(decode_result::<Option<i32>>(None), Ok(None));
        assert_eq!(decode_result::<Option<i32>>(Some(&json("null"))), Ok(None));
        assert_eq!(decode_result::<i32>(Some(&json("7"))), Ok(7));
        assert!(matches!(decode_result::<i32>(None), Err(Error::Decode(_))));
        assert!(matches!(
            decode_result::<i32>(Some(&json("null"))),
            Err(Error::Decode(_))
        ));
    }

    #[test]
    fn arguments_are_kept_as_they_would_have_been_written() {
        for protocol in Protocol::ALL {
            let kept = encode(protocol, &("a", 5, vec![1.5, 2.5])).unwrap();
            assert_eq!(
                kept.decode::<(String, i32, Vec<f64>)>(),
                Ok(("a".into(), 5, vec![1.5, 2.5]))
            );
            assert_eq!(encode(protocol, &()).unwrap().len(), Ok(0));
        }
    }
}
