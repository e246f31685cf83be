//! Calls without an answer.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::request::{Caller, Request, State};
use super::write::CallKind;
use crate::arguments::CallArguments;
use crate::error::{CallError, CallErrorKind};
use crate::shared::remember;

/// A message on its way: what [`HubConnection::send`](crate::HubConnection::send) returns. Ready when the transport has taken
/// it. Dropping it changes nothing, unless the connection was too busy to take the message.
#[must_use = "await it to learn whether the message was sent; it is dropped unsent if the connection has no room for it"]
pub struct Sending {
    request: Request,
}

impl Sending {
    pub(crate) fn new<A: CallArguments>(caller: Caller, target: &str, arguments: A) -> Self {
        Self {
            request: Request::new(caller, CallKind::Send, target, arguments),
        }
    }

    fn poll_sent(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallErrorKind>> {
        let position = ready!(self.request.poll_written(cx))?.position();
        let mut inner = self.request.handle.shared.lock();
        let Some(slot) = inner.sends.slot(position) else {
            return Poll::Ready(Err(CallErrorKind::DriverGone));
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

impl Future for Sending {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = ready!(self.poll_sent(cx));
        Poll::Ready(sent.map_err(|kind| self.request.error(kind)))
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
