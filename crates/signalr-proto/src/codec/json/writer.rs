//! Messages to JSON objects: member order and omissions are those of the .NET writer.

use bytes::{BufMut as _, BytesMut};
use bytestring::ByteString;

use super::scanner::plain_run;
use crate::codec::frame::RECORD_SEPARATOR;
use crate::codec::{
    ArgumentWriter, CompletionOutcome, Encode, EncodeError, HubArguments, InvocationHead, Protocol,
};
use crate::decimal::Digits;

pub(crate) fn encode_invocation<A: HubArguments + ?Sized>(
    out: &mut BytesMut,
    head: InvocationHead<'_>,
    arguments: &A,
) -> Result<(), EncodeError> {
    undone_on_error(out, |out| {
        begin(out, if head.streaming { b'4' } else { b'1' }, head.headers);
        if let Some(id) = head.invocation_id {
            put_member(out, b",\"invocationId\":\"", id);
        }
        put_member(out, b",\"target\":\"", head.target);
        out.put_slice(b",\"arguments\":[");
        arguments.write(&mut ArgumentWriter::new(Protocol::Json, out))?;
        out.put_u8(b']');
        put_stream_ids(out, head.stream_ids);
        end(out);
        Ok(())
    })
}

pub(crate) fn encode_stream_item<T: Encode + ?Sized>(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
    item: &T,
) -> Result<(), EncodeError> {
    undone_on_error(out, |out| {
        begin(out, b'2', headers);
        put_member(out, b",\"invocationId\":\"", id);
        out.put_slice(b",\"item\":");
        item.encode(Protocol::Json, out)?;
        end(out);
        Ok(())
    })
}

pub(crate) fn encode_completion<T: Encode + ?Sized>(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
    outcome: CompletionOutcome<'_, T>,
) -> Result<(), EncodeError> {
    undone_on_error(out, |out| {
        begin(out, b'3', headers);
        put_member(out, b",\"invocationId\":\"", id);
        match outcome {
            CompletionOutcome::Void => {}
            CompletionOutcome::Result(result) => {
                out.put_slice(b",\"result\":");
                result.encode(Protocol::Json, out)?;
            }
            CompletionOutcome::Error(error) => put_member(out, b",\"error\":\"", error),
        }
        end(out);
        Ok(())
    })
}

pub(crate) fn encode_cancel_invocation(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
) {
    begin(out, b'5', headers);
    put_member(out, b",\"invocationId\":\"", id);
    end(out);
}

pub(crate) fn encode_ping(out: &mut BytesMut) {
    begin(out, b'6', &[]);
    end(out);
}

pub(crate) fn encode_close(out: &mut BytesMut, error: Option<&str>, allow_reconnect: bool) {
    begin(out, b'7', &[]);
    if let Some(error) = error {
        put_member(out, b",\"error\":\"", error);
    }
    if allow_reconnect {
        out.put_slice(b",\"allowReconnect\":true");
    }
    end(out);
}

pub(crate) fn encode_ack(out: &mut BytesMut, sequence_id: u64) {
    put_numbered(out, b'8', sequence_id);
}

pub(crate) fn encode_sequence(out: &mut BytesMut, sequence_id: u64) {
    put_numbered(out, b'9', sequence_id);
}

fn put_numbered(out: &mut BytesMut, kind: u8, sequence_id: u64) {
    begin(out, kind, &[]);
    out.put_slice(b",\"sequenceId\":");
    put_integer(out, sequence_id);
    end(out);
}

/// Takes back what was written when the value of a user's type fails half-way.
fn undone_on_error(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn begin(out: &mut BytesMut, kind: u8, headers: &[(ByteString, ByteString)]) {
    let [q, t, y, p, e] = *b"\"type";
    out.put_slice(&[b'{', q, t, y, p, e, q, b':', kind]);
    let mut before: &[u8] = b",\"headers\":{\"";
    for (name, value) in headers {
        put_member(out, before, name);
        put_member(out, b":\"", value);
        before = b",\"";
    }
    if !headers.is_empty() {
        out.put_u8(b'}');
    }
}

fn end(out: &mut BytesMut) {
    out.put_slice(&[b'}', RECORD_SEPARATOR]);
}

/// Appends a string behind what comes before it, its opening quotation mark included: fewer steps than one for each mark.
fn put_member(out: &mut BytesMut, before: &[u8], text: &str) {
    out.put_slice(before);
    put_inside(out, text);
}

fn put_stream_ids(out: &mut BytesMut, ids: &[ByteString]) {
    let mut before: &[u8] = b",\"streamIds\":[\"";
    for id in ids {
        put_member(out, before, id);
        before = b",\"";
    }
    if !ids.is_empty() {
        out.put_u8(b']');
    }
}

/// Appends a string with its quotation marks.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    put_inside(out, text);
}

/// Appends what stands behind the opening quotation mark, and the closing one.
fn put_inside(out: &mut BytesMut, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest
            .split_at_checked(plain_run(rest))
            .unwrap_or((rest, &[]));
        out.put_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        put_escaped(out, *byte);
        rest = after;
    }
    out.put_u8(b'"');
}

fn put_escaped(out: &mut BytesMut, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |value: u8| {
                if value < 10 {
                    b'0' + value
                } else {
                    b'a' + (value - 10)
                }
            };
            out.put_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.put_slice(&[b'\\', short]);
}

/// Appends an integer in decimal.
pub(crate) fn put_integer(out: &mut BytesMut, value: u64) {
    out.put_slice(Digits::new(value).as_bytes());
}
