//! Input of any format: its pieces, what is wrong in it, and what its end cut off.

use std::io::{self, Read, Write};

use bytes::Bytes;
use signalr_proto::DecodeError;

use crate::failure::Failure;
use crate::input;

/// The largest message accepted: as large as MessagePack allows, in JSON too.
pub(super) const MAX_MESSAGE: usize = 0x7fff_ffff;
pub(super) const CHUNK: usize = 64 * 1024;

/// What is wrong in the input, and where in all of it.
pub(super) fn protocol_error(what: &dyn std::fmt::Display, offset: u64) -> Failure {
    Failure::failed(format!("protocol error at byte {offset}: {what}"))
}

pub(super) fn from_decode_error(error: DecodeError, frame_start: u64) -> Failure {
    let error = error.moved_by(frame_start);
    protocol_error(&error.kind, error.position)
}

/// Reads to the end of the input.
pub(super) fn each_chunk(
    input: &mut impl Read,
    mut feed: impl FnMut(Bytes) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => feed(Bytes::copy_from_slice(
                chunk.get(..length).unwrap_or_default(),
            ))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(input::unreadable(&error)),
        }
    }
}

/// The line for what the end of the input cut off.
pub(super) fn put_unfinished(out: &mut impl Write, bytes: u64) -> Result<(), Failure> {
    if bytes > 0 {
        writeln!(out, "{{\"type\":\"incomplete\",\"bytes\":{bytes}}}")?;
    }
    Ok(())
}
