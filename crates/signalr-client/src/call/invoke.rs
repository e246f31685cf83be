//! Calls that wait for a result.

use core::any::{Any, TypeId};
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::hash_map::Entry;

use serde::de::DeserializeOwned;
use serde::de::value::UnitDeserializer;
use signalr_proto::client::InvocationId;
use signalr_proto::{Payload, PayloadError};

use super::request::{Caller, Request, State};
use super::write::CallKind;
use crate::arguments::CallArguments;
use crate::error::{CallError, CallErrorKind};
use crate::shared::{Handle, Inner, Slot, remember, wake};

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

    fn poll(&self, cx: &Context<'_>) -> Poll<CallErrorKind> {
        let rang = self.handle.shared.lock().alarms.poll(self.id, cx);
        if rang {
            Poll::Ready(CallErrorKind::Timeout { after: self.after })
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
    pub(crate) fn new<A: CallArguments>(caller: Caller, target: &str, arguments: A) -> Self {
        Self {
            request: Request::new(caller, CallKind::Invoke, target, arguments),
            alarm: None,
            result: PhantomData,
        }
    }

    /// Gives the call this long from now. When the time is over, it is cancelled and fails with [`CallErrorKind::Timeout`].
    pub fn timeout(mut self, after: Duration) -> Self {
        self.alarm = Some(Alarm::new(&self.request.handle, after));
        self
    }

    fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Payload>, CallErrorKind>> {
        // Nearly always it was written at once.
        let call = match &self.request.state {
            State::Written(call) => *call,
            State::Backlog(_) | State::Over(_) => match self.request.poll_written(cx) {
                Poll::Ready(written) => written?,
                Poll::Pending => return self.poll_alarm(cx).map(Err),
            },
        };
        let outcome = {
            let mut inner = self.request.handle.shared.lock();
            poll_outcome(&mut inner, call.id(), cx)
        };
        match outcome {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => self.poll_alarm(cx).map(Err),
        }
    }

    fn poll_alarm(&self, cx: &Context<'_>) -> Poll<CallErrorKind> {
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

/// Takes the outcome, or has the caller woken when it is there.
fn poll_outcome(
    inner: &mut Inner,
    id: InvocationId,
    cx: &Context<'_>,
) -> Poll<Result<Option<Payload>, CallErrorKind>> {
    let Entry::Occupied(mut entry) = inner.slots.entry(id.number()) else {
        return Poll::Ready(Err(CallErrorKind::DriverGone));
    };
    match entry.get_mut() {
        Slot::Call { waker, outcome } => match outcome.take() {
            Some(outcome) => {
                entry.remove();
                Poll::Ready(outcome)
            }
            None => {
                remember(waker, cx);
                Poll::Pending
            }
        },
        Slot::Stream { .. } => Poll::Ready(Err(CallErrorKind::DriverGone)),
    }
}

impl<T: DeserializeOwned + 'static> Future for Invoke<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.poll_answer(cx));
        match answer {
            Ok(payload) => {
                self.request.state = State::Over(None);
                let decoded = decode_result(payload.as_ref());
                Poll::Ready(decoded.map_err(|kind| self.request.error(kind)))
            }
            Err(kind) => {
                self.finish();
                Poll::Ready(Err(self.request.error(kind)))
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
fn decode_result<T: DeserializeOwned + 'static>(
    payload: Option<&Payload>,
) -> Result<T, CallErrorKind> {
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
        Some(payload) => payload.decode().map_err(CallErrorKind::Decode),
        None => T::deserialize(UnitDeserializer::<serde::de::value::Error>::new()).map_err(|_| {
            CallErrorKind::Decode(PayloadError::new(
                "the method returned no value; ask for (), or for an Option",
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use signalr_proto::Protocol;

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
        assert!(matches!(
            decode_result::<i32>(None),
            Err(CallErrorKind::Decode(_))
        ));
        assert!(matches!(
            decode_result::<i32>(Some(&json("null"))),
            Err(CallErrorKind::Decode(_))
        ));
    }
}
