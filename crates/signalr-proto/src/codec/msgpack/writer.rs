//! Messages to MessagePack arrays, in the shapes of the .NET writer.
//!
//! The length of a frame is known only when its end is written. So a byte is left free for it, which is enough for small
//! frames; those over 127 bytes are moved by what more the length takes. The count of arguments is treated alike.

use bytes::{BufMut as _, BytesMut};
use bytestring::ByteString;

use crate::codec::frame::MAX_PREFIX;
use crate::codec::{
    ArgumentWriter, CompletionOutcome, Encode, EncodeError, HubArguments, InvocationHead, Protocol,
};

pub(crate) fn encode_invocation<A: HubArguments + ?Sized>(
    out: &mut BytesMut,
    head: InvocationHead<'_>,
    arguments: &A,
) -> Result<(), EncodeError> {
    framed(out, |out| {
        begin(out, 6, if head.streaming { 4 } else { 1 }, head.headers);
        match head.invocation_id {
            Some(id) => put_str(out, id),
            None => put_nil(out),
        }
        put_str(out, head.target);
        put_arguments(out, arguments)?;
        put_array(out, head.stream_ids.len());
        head.stream_ids.iter().for_each(|id| put_str(out, id));
        Ok(())
    })
}

pub(crate) fn encode_stream_item<T: Encode + ?Sized>(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
    item: &T,
) -> Result<(), EncodeError> {
    framed(out, |out| {
        begin(out, 4, 2, headers);
        put_str(out, id);
        item.encode(Protocol::MessagePack, out)
    })
}

pub(crate) fn encode_completion<T: Encode + ?Sized>(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
    outcome: CompletionOutcome<'_, T>,
) -> Result<(), EncodeError> {
    let (count, kind) = match outcome {
        CompletionOutcome::Error(_) => (5, 1),
        CompletionOutcome::Void => (4, 2),
        CompletionOutcome::Result(_) => (5, 3),
    };
    framed(out, |out| {
        begin(out, count, 3, headers);
        put_str(out, id);
        out.put_u8(kind);
        match outcome {
            CompletionOutcome::Void => Ok(()),
            CompletionOutcome::Result(result) => result.encode(Protocol::MessagePack, out),
            CompletionOutcome::Error(error) => {
                put_str(out, error);
                Ok(())
            }
        }
    })
}

pub(crate) fn encode_cancel_invocation(
    out: &mut BytesMut,
    headers: &[(ByteString, ByteString)],
    id: &str,
) {
    infallible(out, |out| {
        begin(out, 3, 5, headers);
        put_str(out, id);
    });
}

pub(crate) fn encode_ping(out: &mut BytesMut) {
    out.put_slice(&[0x02, 0x91, 0x06]);
}

pub(crate) fn encode_close(out: &mut BytesMut, error: Option<&str>, allow_reconnect: bool) {
    infallible(out, |out| {
        out.put_slice(&[0x93, 7]);
        match error {
            Some(error) => put_str(out, error),
            None => put_nil(out),
        }
        out.put_u8(0xc2 | u8::from(allow_reconnect));
    });
}

pub(crate) fn encode_ack(out: &mut BytesMut, sequence_id: u64) {
    put_numbered(out, 8, sequence_id);
}

pub(crate) fn encode_sequence(out: &mut BytesMut, sequence_id: u64) {
    put_numbered(out, 9, sequence_id);
}

fn put_numbered(out: &mut BytesMut, kind: u8, sequence_id: u64) {
    infallible(out, |out| {
        out.put_slice(&[0x92, kind]);
        put_unsigned(out, sequence_id);
    });
}

/// Writes a frame, or nothing at all when `body` fails.
fn framed(
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u8(0);
    let written = body(out).and_then(|()| put_prefix(out, start));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// As [`framed`], for bodies that cannot fail. A frame over 2 GiB, which nobody could read, is not written.
fn infallible(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let _too_large = framed(out, |out| {
        body(out);
        Ok(())
    });
}

/// Fills in the length of the frame whose first byte, left free, is at `start`.
fn put_prefix(out: &mut BytesMut, start: usize) -> Result<(), EncodeError> {
    let size = out.len().saturating_sub(start).saturating_sub(1) as u64;
    if size > MAX_PREFIX {
        return Err(EncodeError::TooLarge {
            size,
            limit: MAX_PREFIX,
        });
    }
    let mut prefix = [0_u8; 5];
    let mut used = 0;
    let mut left = size;
    for slot in &mut prefix {
        used += 1;
        *slot = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        if left == 0 {
            break;
        }
        *slot |= 0x80;
    }
    replace_byte(out, start, prefix.get(..used).unwrap_or_default());
    Ok(())
}

/// Puts several bytes, at least one, in the place of one.
fn replace_byte(out: &mut BytesMut, at: usize, with: &[u8]) {
    out.put_bytes(0, with.len().saturating_sub(1));
    let Some(tail) = out.get_mut(at..) else {
        return;
    };
    if with.len() > 1 {
        tail.copy_within(1..tail.len() + 1 - with.len(), with.len());
    }
    if let Some(place) = tail.get_mut(..with.len()) {
        place.copy_from_slice(with);
    }
}

fn put_arguments<A: HubArguments + ?Sized>(
    out: &mut BytesMut,
    arguments: &A,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u8(0x90);
    let mut writer = ArgumentWriter::new(Protocol::MessagePack, out);
    arguments.write(&mut writer)?;
    let count = writer.count();
    if count > 0 {
        let (header, used) = array_header(count);
        replace_byte(out, start, header.get(..used).unwrap_or_default());
    }
    Ok(())
}

fn begin(out: &mut BytesMut, count: u8, kind: u8, headers: &[(ByteString, ByteString)]) {
    out.put_slice(&[0x90 | count, kind]);
    if headers.is_empty() {
        out.put_u8(0x80);
    } else {
        put_headers(out, headers);
    }
}

/// The .NET reader closes the connection on an empty name or value, so those are left out.
fn put_headers(out: &mut BytesMut, headers: &[(ByteString, ByteString)]) {
    let sendable = || {
        headers
            .iter()
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
    };
    put_map(out, sendable().count());
    for (name, value) in sendable() {
        put_str(out, name);
        put_str(out, value);
    }
}

pub(crate) fn put_nil(out: &mut BytesMut) {
    out.put_u8(0xc0);
}

pub(crate) fn put_str(out: &mut BytesMut, text: &str) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..=31), _) => out.put_u8(0xa0 | length),
        (Ok(length), _) => out.put_slice(&[0xd9, length]),
        (Err(_), Ok(length)) => put_marked(out, 0xda, &length.to_be_bytes()),
        (Err(_), Err(_)) => put_marked(out, 0xdb, &wide(text.len()).to_be_bytes()),
    }
    out.put_slice(text.as_bytes());
}

fn put_marked(out: &mut BytesMut, marker: u8, bytes: &[u8]) {
    out.put_u8(marker);
    out.put_slice(bytes);
}

pub(crate) fn put_bin(out: &mut BytesMut, bytes: &[u8]) {
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length), _) => out.put_slice(&[0xc4, length]),
        (Err(_), Ok(length)) => put_marked(out, 0xc5, &length.to_be_bytes()),
        (Err(_), Err(_)) => put_marked(out, 0xc6, &wide(bytes.len()).to_be_bytes()),
    }
    out.put_slice(bytes);
}

/// Longer ones end up in a frame over 2 GiB, which is refused.
fn wide(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(crate) fn put_array(out: &mut BytesMut, count: usize) {
    let (header, used) = array_header(count);
    out.put_slice(header.get(..used).unwrap_or_default());
}

fn array_header(count: usize) -> ([u8; 5], usize) {
    container_header(count, 0x90, 0xdc)
}

pub(crate) fn put_map(out: &mut BytesMut, count: usize) {
    let (header, used) = container_header(count, 0x80, 0xde);
    out.put_slice(header.get(..used).unwrap_or_default());
}

/// The header and its length: in one byte, or after `marker` in two, or after the marker that follows in four.
fn container_header(count: usize, short: u8, marker: u8) -> ([u8; 5], usize) {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ ..=15), _) => ([short | count, 0, 0, 0, 0], 1),
        (_, Ok(count)) => {
            let [a, b] = count.to_be_bytes();
            ([marker, a, b, 0, 0], 3)
        }
        (_, Err(_)) => {
            let [a, b, c, d] = wide(count).to_be_bytes();
            ([marker + 1, a, b, c, d], 5)
        }
    }
}

fn put_unsigned(out: &mut BytesMut, value: u64) {
    match (
        u8::try_from(value),
        u16::try_from(value),
        u32::try_from(value),
    ) {
        (Ok(value @ ..=0x7f), ..) => out.put_u8(value),
        (Ok(value), ..) => out.put_slice(&[0xcc, value]),
        (_, Ok(value), _) => put_marked(out, 0xcd, &value.to_be_bytes()),
        (_, _, Ok(value)) => put_marked(out, 0xce, &value.to_be_bytes()),
        (_, _, Err(_)) => put_marked(out, 0xcf, &value.to_be_bytes()),
    }
}

pub(crate) fn put_signed(out: &mut BytesMut, value: i64) {
    match (
        u64::try_from(value),
        i8::try_from(value),
        i16::try_from(value),
        i32::try_from(value),
    ) {
        (Ok(value), ..) => put_unsigned(out, value),
        (_, Ok(value @ -32..), ..) => out.put_i8(value),
        (_, Ok(value), ..) => put_marked(out, 0xd0, &value.to_be_bytes()),
        (_, _, Ok(value), _) => put_marked(out, 0xd1, &value.to_be_bytes()),
        (_, _, _, Ok(value)) => put_marked(out, 0xd2, &value.to_be_bytes()),
        _ => put_marked(out, 0xd3, &value.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix_of(size: usize) -> Vec<u8> {
        let mut out = BytesMut::from(&b"before"[..]);
        framed(&mut out, |out| {
            out.put_bytes(7, size);
            Ok(())
        })
        .unwrap();
        let prefix = out.len() - 6 - size;
        assert!(out[6 + prefix..].iter().all(|byte| *byte == 7));
        out[6..6 + prefix].to_vec()
    }

    #[test]
    fn prefixes_are_minimal() {
        assert_eq!(prefix_of(1), [1]);
        assert_eq!(prefix_of(127), [0x7f]);
        assert_eq!(prefix_of(128), [0x80, 0x01]);
        assert_eq!(prefix_of(5248), [0x80, 0x29]);
        assert_eq!(prefix_of(16_383), [0xff, 0x7f]);
        assert_eq!(prefix_of(16_384), [0x80, 0x80, 0x01]);
        assert_eq!(prefix_of(2_097_152), [0x80, 0x80, 0x80, 0x01]);
    }

    #[test]
    fn a_failing_body_leaves_no_trace() {
        let mut out = BytesMut::from(&b"before"[..]);
        let result = framed(&mut out, |out| {
            out.put_bytes(7, 300);
            Err(EncodeError::RawPayload)
        });
        assert_eq!(result, Err(EncodeError::RawPayload));
        assert_eq!(out, "before");
    }

    #[test]
    fn negative_integers_take_the_shortest_form() {
        let cases: [(i64, &[u8]); 8] = [
            (-1, &[0xff]),
            (-32, &[0xe0]),
            (-33, &[0xd0, 0xdf]),
            (-128, &[0xd0, 0x80]),
            (-129, &[0xd1, 0xff, 0x7f]),
            (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
            (200, &[0xcc, 200]),
            (i64::MIN, &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (value, expected) in cases {
            let mut out = BytesMut::new();
            put_signed(&mut out, value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn integers_take_the_shortest_form() {
        let cases: [(u64, &[u8]); 9] = [
            (0, &[0]),
            (127, &[127]),
            (128, &[0xcc, 128]),
            (255, &[0xcc, 255]),
            (256, &[0xcd, 1, 0]),
            (65_535, &[0xcd, 255, 255]),
            (65_536, &[0xce, 0, 1, 0, 0]),
            (u64::from(u32::MAX), &[0xce, 255, 255, 255, 255]),
            (1 << 32, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (value, expected) in cases {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
