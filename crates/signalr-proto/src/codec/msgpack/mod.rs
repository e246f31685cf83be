//! Hub messages as MessagePack arrays ([requirements](crate::spec::hub_protocol#messagepack-envelope)).

mod cursor;
mod reader;
mod writer;

pub(super) use cursor::{check_depth, check_value};
pub(super) use reader::decode;
pub(super) use writer::{
    encode_ack, encode_cancel_invocation, encode_close, encode_completion, encode_invocation,
    encode_ping, encode_sequence, encode_stream_item,
};

pub(crate) use cursor::{Cursor, HeadKind};
pub(crate) use writer::{put_array, put_bin, put_map, put_nil, put_signed, put_str};

use crate::codec::PayloadError;

/// Hands the number and the bytes of each element of an array to `visit`.
pub(super) fn for_each_element<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(usize, &'a [u8]) -> Result<(), PayloadError>,
) -> Result<(), PayloadError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor
        .container(HeadKind::Array, "an array")
        .map_err(PayloadError::from_malformed)?;
    // Fits, because each element takes a byte at least.
    for index in 0..usize::try_from(count).unwrap_or(usize::MAX) {
        let start = cursor.position();
        cursor.skip().map_err(PayloadError::from_malformed)?;
        visit(
            index,
            bytes.get(start..cursor.position()).unwrap_or_default(),
        )?;
    }
    if cursor.left() == 0 {
        Ok(())
    } else {
        Err(PayloadError::from_malformed(cursor.syntax("the end")))
    }
}
