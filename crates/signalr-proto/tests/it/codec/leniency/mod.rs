//! What the reader forgives and what it does not: each row of the table in section 7 of the protocol's digest, as corrected
//! by what the official server was seen to do.

mod arguments;
mod envelope;
mod members;
mod payloads;

use bytes::Bytes;
use signalr_proto::codec::{Invocation, Outcome, Role};
use signalr_proto::{DecodeErrorKind, HubMessage, Protocol};

use crate::support::{decode, hex};

fn json(text: &str) -> Result<Option<HubMessage>, DecodeErrorKind> {
    decode(Protocol::Json, Role::Server, text).map_err(|error| error.kind)
}

fn msgpack(digits: &str) -> Result<Option<HubMessage>, DecodeErrorKind> {
    decode(Protocol::MessagePack, Role::Server, hex(digits)).map_err(|error| error.kind)
}

fn invocation(decoded: Result<Option<HubMessage>, DecodeErrorKind>) -> Invocation {
    match decoded.unwrap().unwrap() {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => invocation,
        other => panic!("{other:?}"),
    }
}

fn outcome(decoded: Result<Option<HubMessage>, DecodeErrorKind>) -> Outcome {
    match decoded.unwrap().unwrap() {
        HubMessage::Completion { outcome, .. } => outcome,
        other => panic!("{other:?}"),
    }
}

fn all_refused(texts: &[&str]) {
    for text in texts {
        assert!(json(text).is_err(), "{text}");
    }
}
