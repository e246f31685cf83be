//! From a call to a message that waits to be sent.

use core::task::Waker;

use signalr_proto::client::{Call, CallOptions};
use signalr_proto::{HubArguments, SendError};

use crate::arguments::CallArguments;
use crate::shared::{Inner, NewUpload, Slot};
use crate::upload::Upload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Invoke,
    Stream,
    Send,
}

pub(super) fn write(
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
pub(super) fn open(
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

pub(super) fn take_uploads(arguments: impl CallArguments) -> Vec<Upload> {
    let mut uploads = Vec::new();
    arguments.take_uploads(&mut uploads);
    uploads
}
