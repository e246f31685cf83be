//! A call on its way into the connection, however it is called.

use core::task::{Context, Poll, ready};

use signalr_proto::SendError;
use signalr_proto::client::{Call, CallOptions};

use super::backlog::Backlog;
use super::name::Name;
use super::write::{CallKind, open, take_uploads, write};
use crate::arguments::{CallArguments, MachineArguments};
use crate::error::{CallError, CallErrorKind};
use crate::shared::{Handle, wake};

/// The connection a call goes into, and what becomes of it when that is lost.
pub(crate) struct Caller {
    pub(crate) handle: Handle,
    pub(crate) options: CallOptions,
}

/// A call on its way into the connection.
pub(super) struct Request {
    pub(super) handle: Handle,
    pub(super) method: Name,
    kind: CallKind,
    options: CallOptions,
    pub(super) state: State,
}

pub(super) enum State {
    /// There was no room: the whole call waits, encoded.
    Backlog(Box<Backlog>),
    Written(Call),
    Over(Option<CallErrorKind>),
}

impl Request {
    /// Writes the call at once if there is room.
    pub(super) fn new<A: CallArguments>(
        caller: Caller,
        kind: CallKind,
        target: &str,
        arguments: A,
    ) -> Self {
        let Caller { handle, options } = caller;
        let mut inner = handle.shared.lock();
        let state = match write(
            &mut inner,
            kind,
            options,
            target,
            &MachineArguments(&arguments),
        ) {
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
                match Backlog::new(protocol, arguments, losses) {
                    Ok(backlog) => State::Backlog(Box::new(backlog)),
                    Err(kind) => State::Over(Some(kind)),
                }
            }
            Err(error) => {
                let refusal = inner.refusal(error);
                drop(inner);
                State::Over(Some(refusal))
            }
        };
        Self {
            handle,
            method: Name::new(target),
            kind,
            options,
            state,
        }
    }

    pub(super) fn poll_written(&mut self, cx: &Context<'_>) -> Poll<Result<Call, CallErrorKind>> {
        match &mut self.state {
            State::Written(call) => Poll::Ready(Ok(*call)),
            State::Over(kind) => {
                Poll::Ready(Err(kind.take().unwrap_or(CallErrorKind::NotConnected)))
            }
            State::Backlog(backlog) => {
                let written = ready!(backlog.poll_write(
                    &self.handle,
                    self.kind,
                    self.options,
                    self.method.as_str(),
                    cx
                ));
                self.state = written
                    .as_ref()
                    .map_or(State::Over(None), |call| State::Written(*call));
                Poll::Ready(written)
            }
        }
    }

    /// The error that the user gets to see.
    pub(super) fn error(&self, kind: CallErrorKind) -> CallError {
        CallError::new(&self.handle.shared.address, self.method.as_str(), kind)
    }
}
