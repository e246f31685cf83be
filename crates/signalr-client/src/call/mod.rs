//! Calls to the server, as futures and streams.

mod backlog;
mod invoke;
mod name;
mod send;
mod stream;

pub use invoke::Invoke;
pub use send::Sending;
pub use stream::{ItemStream, OpenStream};

use core::task::{Context, Poll, Waker, ready};

use signalr_proto::client::{Call, CallOptions};
use signalr_proto::{HubArguments, SendError};

use crate::arguments::{CallArguments, MachineArguments};
use crate::error::{CallError, CallErrorKind};
use crate::shared::{Handle, Inner, NewUpload, Slot, wake};
use crate::upload::Upload;
use backlog::Backlog;
use name::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Invoke,
    Stream,
    Send,
}

/// The connection a call goes into, and what becomes of it when that is lost.
pub(crate) struct Caller {
    pub(crate) handle: Handle,
    pub(crate) options: CallOptions,
}

/// A call on its way into the connection.
struct Request {
    handle: Handle,
    method: Name,
    kind: CallKind,
    options: CallOptions,
    state: State,
}

enum State {
    /// There was no room: the whole call waits, encoded.
    Backlog(Box<Backlog>),
    Written(Call),
    Over(Option<CallErrorKind>),
}

impl Request {
    /// Writes the call at once if there is room.
    fn new<A: CallArguments>(caller: Caller, kind: CallKind, target: &str, arguments: A) -> Self {
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

    fn poll_written(&mut self, cx: &Context<'_>) -> Poll<Result<Call, CallErrorKind>> {
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
    fn error(&self, kind: CallErrorKind) -> CallError {
        CallError::new(&self.handle.shared.address, self.method.as_str(), kind)
    }
}

fn write(
    inner: &mut Inner,
    kind: CallKind,
    options: CallOptions,
    target: &str,
    arguments: &impl HubArguments,
) -> Result<Call, SendError> {
    if inner.is_abandoned() {
        return Err(SendError::NotConnected);
    }
    let now = inner.now;
    let call = match kind {
        CallKind::Invoke => inner.machine.invoke_with(now, target, arguments, options),
        CallKind::Stream => inner.machine.stream_with(now, target, arguments, options),
        CallKind::Send => inner.machine.send_with(now, target, arguments, options),
    }?;
    tracing::trace!(target, id = call.id().number(), ?kind, "calling");
    Ok(call)
}

/// Enters a written call where its answer will be looked for. Gives the driver's waker.
fn open(
    inner: &mut Inner,
    kind: CallKind,
    call: &Call,
    uploads: impl FnOnce() -> Vec<Upload>,
) -> Option<Waker> {
    let id = call.id().number();
    let owner = match kind {
        CallKind::Invoke => {
            inner.slots.insert(id, Slot::CALL);
            id
        }
        CallKind::Stream => {
            inner.slots.insert(id, Slot::STREAM);
            id
        }
        CallKind::Send => {
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
