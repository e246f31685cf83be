//! Messages as JSON objects with their members in a fixed order.

use bytes::Bytes;
use signalr_proto::codec::handshake::{HandshakeRequest, HandshakeResponse};
use signalr_proto::codec::{Headers, Invocation, Outcome};
use signalr_proto::{HubMessage, Protocol};

use crate::value::compact::put_compact;
use crate::value::msgpack_text::put_json;
use crate::value::{Fault, put_string};

/// Levels of nesting that are left for a payload within a JSON message.
pub(crate) const JSON_DEPTH: usize = 63;
/// Levels of nesting of a MessagePack payload.
pub(crate) const MSGPACK_DEPTH: usize = 256;

/// Appends a handshake request.
pub(super) fn put_request(out: &mut Vec<u8>, request: &HandshakeRequest) {
    out.extend(b"{\"protocol\":");
    put_string(out, &request.protocol);
    out.extend(format!(",\"version\":{}}}", request.version).as_bytes());
}

/// Appends a handshake response.
pub(super) fn put_response(out: &mut Vec<u8>, response: &HandshakeResponse) {
    out.extend(b"{\"error\":");
    put_optional(out, response.error.as_deref());
    out.push(b'}');
}

/// Appends a message. The fault of a payload has its place in the frame.
pub(super) fn put_message(
    out: &mut Vec<u8>,
    frame: &Bytes,
    message: &HubMessage,
) -> Result<(), Fault> {
    match message {
        HubMessage::Invocation(invocation) => put_invocation(out, frame, "invocation", invocation)?,
        HubMessage::StreamInvocation(invocation) => {
            put_invocation(out, frame, "streamInvocation", invocation)?
        }
        HubMessage::StreamItem {
            headers,
            invocation_id,
            item,
        } => {
            begin(out, "streamItem", headers, Some(invocation_id));
            out.extend(b",\"item\":");
            put_payload(out, frame, item.protocol(), item.as_bytes(), 0)?;
        }
        HubMessage::Completion {
            headers,
            invocation_id,
            outcome,
        } => {
            begin(out, "completion", headers, Some(invocation_id));
            put_outcome(out, frame, outcome)?;
        }
        HubMessage::CancelInvocation {
            headers,
            invocation_id,
        } => begin(out, "cancelInvocation", headers, Some(invocation_id)),
        HubMessage::Ping => out.extend(b"{\"type\":\"ping\""),
        HubMessage::Close {
            error,
            allow_reconnect,
        } => {
            out.extend(b"{\"type\":\"close\",\"error\":");
            put_optional(out, error.as_deref());
            out.extend(format!(",\"allowReconnect\":{allow_reconnect}").as_bytes());
        }
        HubMessage::Ack { sequence_id } => {
            out.extend(format!("{{\"type\":\"ack\",\"sequenceId\":{sequence_id}").as_bytes())
        }
        HubMessage::Sequence { sequence_id } => {
            out.extend(format!("{{\"type\":\"sequence\",\"sequenceId\":{sequence_id}").as_bytes())
        }
        _ => {
            return Err(Fault::new(
                0,
                "a message of a kind that this program does not know",
            ));
        }
    }
    out.push(b'}');
    Ok(())
}

fn put_invocation(
    out: &mut Vec<u8>,
    frame: &Bytes,
    kind: &str,
    invocation: &Invocation,
) -> Result<(), Fault> {
    begin(
        out,
        kind,
        &invocation.headers,
        invocation.invocation_id.as_deref(),
    );
    out.extend(b",\"target\":");
    put_string(out, &invocation.target);
    out.extend(b",\"arguments\":");
    // The list itself is a level, too.
    put_payload(
        out,
        frame,
        invocation.arguments.protocol(),
        invocation.arguments.as_bytes(),
        1,
    )?;
    out.extend(b",\"streamIds\":[");
    for (index, id) in invocation.stream_ids.iter().enumerate() {
        separate(out, index);
        put_string(out, id);
    }
    out.push(b']');
    Ok(())
}

fn put_outcome(out: &mut Vec<u8>, frame: &Bytes, outcome: &Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Void => out.extend(b",\"outcome\":\"void\""),
        Outcome::Result(result) => {
            out.extend(b",\"outcome\":\"result\",\"result\":");
            put_payload(out, frame, result.protocol(), result.as_bytes(), 0)?;
        }
        Outcome::Error(error) => {
            out.extend(b",\"outcome\":\"error\",\"error\":");
            put_string(out, error);
        }
    }
    Ok(())
}

/// Up to and including `invocationId`.
fn begin(out: &mut Vec<u8>, kind: &str, headers: &Headers, invocation_id: Option<&str>) {
    out.extend(b"{\"type\":");
    put_string(out, kind);
    out.extend(b",\"headers\":{");
    for (index, (name, value)) in headers.iter().enumerate() {
        separate(out, index);
        put_string(out, name);
        out.push(b':');
        put_string(out, value);
    }
    out.extend(b"},\"invocationId\":");
    put_optional(out, invocation_id);
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

pub(super) fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.extend(b"null"),
    }
}

fn put_payload(
    out: &mut Vec<u8>,
    frame: &Bytes,
    protocol: Protocol,
    payload: &[u8],
    extra_levels: usize,
) -> Result<(), Fault> {
    let put = match protocol {
        Protocol::MessagePack => put_json(out, payload, MSGPACK_DEPTH.saturating_add(extra_levels)),
        Protocol::Json | _ => put_compact(out, payload, JSON_DEPTH),
    };
    put.map_err(|fault| fault.moved_by(offset_in(frame, payload)))
}

/// Where a slice of the frame begins.
fn offset_in(frame: &[u8], slice: &[u8]) -> usize {
    let offset = slice.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
    if offset <= frame.len() { offset } else { 0 }
}
