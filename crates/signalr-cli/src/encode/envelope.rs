//! One line to one message.

use bytes::{BufMut as _, BytesMut};
use signalr_proto::codec::{Headers, Invocation, Outcome};
use signalr_proto::{HubMessage, Protocol};

use super::fields::Fields;
use super::filler;
use crate::value::Fault;

/// The largest `sequenceId`: that of a signed integer of 64 bits.
const MAX_SEQUENCE: u64 = u64::MAX >> 1;

/// What a line stands for.
pub(super) enum Line {
    /// A message, which is in the buffer.
    Message,
    /// So many bytes of a message without its end.
    Incomplete(u64),
}

/// Appends the message that a line describes.
pub(super) fn encode(line: &str, protocol: Protocol, out: &mut BytesMut) -> Result<Line, Fault> {
    let mut fields = Fields::read(line)?;
    let (kind, place) = fields.word("type")?;
    if kind == "incomplete" {
        let length = fields.number("bytes", filler::MAX_LENGTH)?;
        fields.finish()?;
        return Ok(Line::Incomplete(length));
    }
    let mut message = message(&kind, place, &mut fields, protocol)?;
    fields.finish()?;
    let odd = if protocol == Protocol::MessagePack {
        take_odd_headers(&mut message)
    } else {
        Headers::new()
    };
    protocol
        .encode(out, &message)
        .map_err(|error| Fault::new(0, error.to_string()))?;
    if !odd.is_empty() {
        put_headers(out, &odd);
    }
    Ok(Line::Message)
}

fn message(
    kind: &str,
    place: usize,
    fields: &mut Fields<'_>,
    protocol: Protocol,
) -> Result<HubMessage, Fault> {
    Ok(match kind {
        "invocation" => {
            let invocation_id = fields.optional_id("invocationId")?;
            HubMessage::Invocation(Invocation {
                invocation_id,
                ..invocation(fields, protocol)?
            })
        }
        "streamInvocation" => {
            let invocation_id = Some(fields.not_empty("invocationId")?);
            HubMessage::StreamInvocation(Invocation {
                invocation_id,
                ..invocation(fields, protocol)?
            })
        }
        "streamItem" => HubMessage::StreamItem {
            headers: fields.headers()?,
            invocation_id: fields.not_empty("invocationId")?,
            item: fields.payload("item", protocol)?,
        },
        "completion" => HubMessage::Completion {
            headers: fields.headers()?,
            invocation_id: fields.not_empty("invocationId")?,
            outcome: outcome(fields, protocol)?,
        },
        "cancelInvocation" => HubMessage::CancelInvocation {
            headers: fields.headers()?,
            invocation_id: fields.not_empty("invocationId")?,
        },
        "ping" => HubMessage::Ping,
        "close" => HubMessage::Close {
            error: fields.optional_string("error")?,
            allow_reconnect: fields.flag("allowReconnect")?,
        },
        "ack" => HubMessage::Ack {
            sequence_id: fields.number("sequenceId", MAX_SEQUENCE)?,
        },
        "sequence" => HubMessage::Sequence {
            sequence_id: fields.number("sequenceId", MAX_SEQUENCE)?,
        },
        _ => {
            return Err(Fault::new(
                place,
                format!("no message has the type '{kind}'"),
            ));
        }
    })
}

fn invocation(fields: &mut Fields<'_>, protocol: Protocol) -> Result<Invocation, Fault> {
    Ok(Invocation {
        headers: fields.headers()?,
        invocation_id: None,
        target: fields.not_empty("target")?,
        arguments: fields.arguments(protocol)?,
        stream_ids: fields.ids("streamIds")?,
    })
}

/// `outcome` says which member counts; without it, the member that is there does.
fn outcome(fields: &mut Fields<'_>, protocol: Protocol) -> Result<Outcome, Fault> {
    let (outcome, place) = match (
        fields.has("outcome"),
        fields.has("result"),
        fields.has("error"),
    ) {
        (true, ..) => fields.word("outcome")?,
        (false, true, _) => ("result".to_owned(), 0),
        (false, false, true) => ("error".to_owned(), 0),
        (false, false, false) => ("void".to_owned(), 0),
    };
    match outcome.as_str() {
        "result" => Ok(Outcome::Result(fields.payload("result", protocol)?)),
        "error" => Ok(Outcome::Error(fields.string("error")?)),
        "void" => Ok(Outcome::Void),
        _ => Err(Fault::new(
            place,
            "'outcome' must be \"result\", \"error\" or \"void\"",
        )),
    }
}

/// Headers with an empty name or value, which the library does not send over MessagePack because .NET closes the connection
/// over them. Who writes them down here wants to see just that, so they are added by hand.
fn take_odd_headers(message: &mut HubMessage) -> Headers {
    let (HubMessage::Invocation(Invocation { headers, .. })
    | HubMessage::StreamInvocation(Invocation { headers, .. })
    | HubMessage::StreamItem { headers, .. }
    | HubMessage::Completion { headers, .. }
    | HubMessage::CancelInvocation { headers, .. }) = message
    else {
        return Headers::new();
    };
    let odd = headers
        .iter()
        .any(|(name, value)| name.is_empty() || value.is_empty());
    if odd {
        std::mem::take(headers)
    } else {
        Headers::new()
    }
}

/// Puts headers into the one frame in `out`, which has none: after the prefix come the array's header, the type and `80`.
fn put_headers(out: &mut BytesMut, headers: &Headers) {
    let prefix = out
        .iter()
        .take_while(|byte| **byte & 0x80 != 0)
        .count()
        .saturating_add(1);
    let Some((_, body)) = out.split_at_checked(prefix) else {
        return;
    };
    let Some(([array, kind, _], rest)) = body.split_first_chunk::<3>() else {
        return;
    };
    let mut whole = vec![*array, *kind];
    // Writing to a vector succeeds, and no line has as many headers as would not fit.
    let _ =
        rmp::encode::write_map_len(&mut whole, u32::try_from(headers.len()).unwrap_or(u32::MAX));
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        let _ = rmp::encode::write_str(&mut whole, text);
    }
    whole.extend(rest);
    out.clear();
    out.put_slice(&filler::varint(whole.len() as u64));
    out.put_slice(&whole);
}
