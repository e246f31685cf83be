//! Calls for which there was no room: they wait, encoded.

use core::task::{Context, Poll};

use bytes::BytesMut;
use signalr_proto::client::{Call, CallOptions};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{InvocationHead, Role};
use signalr_proto::{Arguments, EncodeError, HubMessage, Protocol, SendError};

use super::write::{CallKind, open, take_uploads, write};
use crate::arguments::{CallArguments, EncodedArguments, MachineArguments};
use crate::error::CallErrorKind;
use crate::shared::{Handle, wake};
use crate::upload::Upload;

/// A whole call that waits for room.
pub(super) struct Backlog {
    arguments: EncodedArguments,
    uploads: Vec<Upload>,
    /// The connections that had ended when it began to wait.
    losses: u64,
}

impl Backlog {
    /// Encodes a call for later.
    pub(super) fn new(
        protocol: Protocol,
        arguments: impl CallArguments,
        losses: u64,
    ) -> Result<Self, CallErrorKind> {
        let streams = arguments.stream_count();
        let values = encode(protocol, &arguments).map_err(CallErrorKind::Encode)?;
        Ok(Self {
            arguments: EncodedArguments { values, streams },
            uploads: take_uploads(arguments),
            losses,
        })
    }

    pub(super) fn poll_write(
        &mut self,
        handle: &Handle,
        kind: CallKind,
        options: CallOptions,
        target: &str,
        cx: &Context<'_>,
    ) -> Poll<Result<Call, CallErrorKind>> {
        let mut inner = handle.shared.lock();
        match write(&mut inner, kind, options, target, &self.arguments) {
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
                Poll::Ready(Err(loss.unwrap_or(CallErrorKind::NotConnected)))
            }
            Err(error) => Poll::Ready(Err(inner.refusal(error))),
        }
    }
}

/// The values as a raw list: cut from a message made for the purpose.
fn encode(protocol: Protocol, arguments: &impl CallArguments) -> Result<Arguments, EncodeError> {
    let mut message = BytesMut::new();
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: None,
        target: "-",
        stream_ids: &[],
    };
    protocol.encode_invocation(&mut message, head, &MachineArguments(arguments))?;
    let frame = FrameDecoder::new(protocol, usize::MAX)
        .decode(&mut message.freeze())
        .ok()
        .flatten();
    match frame.and_then(|frame| protocol.decode(Role::Client, &frame).ok().flatten()) {
        Some(HubMessage::Invocation(invocation)) => Ok(invocation.arguments),
        // What was just written can be read, unless a raw argument is not what it says.
        Some(_) | None => Err(EncodeError::RawPayload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
