//! Bytes that stand for the unfinished message at the end of a stream.

use std::io::{self, Read as _, Write};

use signalr_proto::Protocol;

use crate::value::hex::put_hex;

/// The largest unfinished message.
pub(super) const MAX_LENGTH: u64 = 0x7fff_ffff;

/// Writes so many bytes that no reader takes for a whole message. What they were is not known; only how many.
pub(super) fn write(
    out: &mut impl Write,
    protocol: Protocol,
    length: u64,
    hex: bool,
) -> io::Result<()> {
    let (start, byte) = match protocol {
        Protocol::MessagePack => (prefix(length), 0),
        Protocol::Json | _ => (Vec::new(), b' '),
    };
    let rest = length.saturating_sub(start.len() as u64);
    let mut filler = start.as_slice().chain(io::repeat(byte).take(rest));
    if hex {
        write_hex(&mut filler, out)
    } else {
        io::copy(&mut filler, out).map(drop)
    }
}

fn write_hex(bytes: &mut impl io::Read, out: &mut impl Write) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        let length = bytes.read(&mut chunk)?;
        if length == 0 {
            return out.write_all(b"\n");
        }
        let mut text = Vec::with_capacity(length.saturating_mul(2));
        put_hex(&mut text, chunk.get(..length).unwrap_or_default());
        out.write_all(&text)?;
    }
}

/// A prefix that announces more than will come; for a few bytes, a prefix that is not finished itself.
fn prefix(length: u64) -> Vec<u8> {
    match usize::try_from(length) {
        Ok(few @ 0..=4) => vec![0x80; few],
        Ok(_) | Err(_) => varint(length),
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(super) fn varint(length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = length;
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        if left == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
