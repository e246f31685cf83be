//! Messages as they are written, before anybody is found to send them to.

use bytes::{Bytes, BytesMut};
use signalr_proto::codec::InvocationHead;
use signalr_proto::{EncodeError, HubArguments, Protocol};

/// One message in each protocol that somebody turned out to speak.
#[derive(Default)]
pub(crate) struct Frames {
    encoded: [Option<Bytes>; Protocol::ALL.len()],
}

impl Frames {
    pub(crate) fn get<A: HubArguments>(
        &mut self,
        protocol: Protocol,
        target: &str,
        arguments: &A,
    ) -> Result<Bytes, EncodeError> {
        let place = Protocol::ALL.iter().position(|known| *known == protocol);
        let known = place.and_then(|place| self.encoded.get_mut(place));
        let Some(known) = known else {
            return invocation(protocol, None, target, arguments);
        };
        if let Some(frame) = known {
            return Ok(frame.clone());
        }
        let frame = invocation(protocol, None, target, arguments)?;
        *known = Some(frame.clone());
        Ok(frame)
    }
}

pub(crate) fn invocation<A: HubArguments>(
    protocol: Protocol,
    id: Option<&str>,
    target: &str,
    arguments: &A,
) -> Result<Bytes, EncodeError> {
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: id,
        target,
        stream_ids: &[],
    };
    let mut frame = BytesMut::new();
    protocol.encode_invocation(&mut frame, head, arguments)?;
    Ok(frame.freeze())
}
