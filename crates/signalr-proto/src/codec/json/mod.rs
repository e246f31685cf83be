//! Hub messages as JSON objects ([requirements](crate::spec::hub_protocol#json-envelope)).

mod members;
mod reader;
mod scanner;
mod text;
mod value;
mod writer;

pub(super) use members::{Member, Members};
pub(super) use reader::{decode, decode_nameless, read_answer};
pub use text::JsonText;
pub(super) use value::{put_value, take_value};
pub(super) use writer::{
    encode_ack, encode_cancel_invocation, encode_close, encode_completion, encode_invocation,
    encode_ping, encode_sequence, encode_stream_item, put_integer, put_string,
};

use scanner::{Scanner, Span};

use crate::codec::{DecodeError, PayloadError};

/// Checks that the bytes are one JSON text, nested no deeper than an argument may be.
pub(super) fn check_value(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(bytes);
    scanner.value(1)?;
    scanner.end()
}

/// Hands the number and the bytes of each element of an array to `visit`.
pub(super) fn for_each_element<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(usize, &'a [u8]) -> Result<(), PayloadError>,
) -> Result<(), PayloadError> {
    let mut index = 0_usize;
    let mut stopped = Ok(());
    let scanned = for_each_element_span(bytes, |scanner, span| {
        if stopped.is_ok() {
            stopped = visit(index, scanner.slice(span));
        }
        index = index.saturating_add(1);
        Ok(())
    });
    scanned.map_err(PayloadError::from_malformed)?;
    stopped
}

/// Scans an array that may nest as deep as the `arguments` of a message.
fn for_each_element_span<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(&Scanner<'a>, Span) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(bytes);
    scanner.expect(b'[', "an array")?;
    if scanner.take(b']') {
        return scanner.end();
    }
    loop {
        let span = scanner.value(2)?;
        visit(&scanner, span)?;
        if !scanner.take(b',') {
            scanner.expect(b']', "',' or ']'")?;
            return scanner.end();
        }
    }
}
