//! Arguments, results and items as they were received: bytes, decoded when somebody knows their type.

use core::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::protocol::Protocol;
use super::{json, msgpack};
use crate::codec::{EncodeError, PayloadError};

/// A raw argument, result or item: a slice of the received bytes and the protocol they came in.
///
/// Cloning is cheap. `Debug` shows the length only, because payloads do not belong in logs. Two payloads are equal when
/// their bytes are: `1` and `1.0` are not.
#[derive(Clone, PartialEq)]
pub struct Payload {
    protocol: Protocol,
    bytes: Bytes,
}

impl Payload {
    /// A payload of these bytes: one JSON text, or one MessagePack value.
    ///
    /// Nothing is checked here: bytes that are no value fail when they are decoded or sent.
    #[must_use]
    pub const fn new(protocol: Protocol, bytes: Bytes) -> Self {
        Self { protocol, bytes }
    }

    /// Serializes a value.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`] when the value's own `Serialize` fails or the format has no form for it.
    pub fn from_value<T: Serialize + ?Sized>(
        protocol: Protocol,
        value: &T,
    ) -> Result<Self, EncodeError> {
        let mut out = BytesMut::new();
        serialize(protocol, value, &mut out)?;
        Ok(Self {
            protocol,
            bytes: out.freeze(),
        })
    }

    /// The protocol that the bytes are in.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without copying them.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether this is JSON `null` or MessagePack nil.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self.protocol {
            Protocol::Json => self.bytes.trim_ascii() == b"null",
            Protocol::MessagePack => *self.bytes == [0xc0],
        }
    }

    /// Decodes the value; strings and byte strings may be borrowed from the payload.
    ///
    /// MessagePack values may nest 256 deep, JSON values 64. MessagePack integers fit any integer type that holds them,
    /// whatever their width on the wire. In JSON a number with a fraction or an exponent fits none, and `-0` the signed ones only,
    /// where it is the whole payload. A string that is not UTF-8 is an error here, in both protocols.
    ///
    /// # Errors
    /// When the payload is malformed or does not fit `T`. The text of the error holds no part of the payload.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        decode_slice(self.protocol, &self.bytes)
    }

    /// Whether the bytes are exactly one value that may be copied into a message of this protocol.
    pub(super) fn is_sound(&self, protocol: Protocol) -> bool {
        self.protocol == protocol
            && match protocol {
                // Text transports carry UTF-8 only. The scan also refuses a raw record separator.
                Protocol::Json => {
                    core::str::from_utf8(&self.bytes).is_ok()
                        && json::check_value(&self.bytes).is_ok()
                }
                Protocol::MessagePack => msgpack::check_value(&self.bytes).is_ok(),
            }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f, "Payload", self.protocol, self.bytes.len())
    }
}

pub(super) fn redacted(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    protocol: Protocol,
    length: usize,
) -> fmt::Result {
    f.debug_struct(name)
        .field("protocol", &protocol)
        .field("length", &length)
        .finish()
}

/// Appends the value; what was written before a failure is the caller's to remove.
pub(super) fn serialize<T: Serialize + ?Sized>(
    protocol: Protocol,
    value: &T,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    match protocol {
        Protocol::Json => json::put_value(out, value).map_err(|error| serialize_error(&error)),
        Protocol::MessagePack => {
            let mut serializer = rmp_serde::Serializer::new(out.writer()).with_struct_map();
            value
                .serialize(&mut serializer)
                .map_err(|error| serialize_error(&error))
        }
    }
}

fn serialize_error(error: &dyn fmt::Display) -> EncodeError {
    EncodeError::Serialize {
        detail: error.to_string().into(),
    }
}

/// Decodes exactly one value.
pub(super) fn decode_slice<'a, T: Deserialize<'a>>(
    protocol: Protocol,
    bytes: &'a [u8],
) -> Result<T, PayloadError> {
    match protocol {
        Protocol::Json => json::take_value(bytes)
            .map_err(|error| PayloadError::new(without_values(&error.to_string()))),
        Protocol::MessagePack => {
            msgpack::check_depth(bytes).map_err(PayloadError::from_malformed)?;
            rmp_serde::from_slice(bytes).map_err(|error| msgpack_error(&error))
        }
    }
}

fn msgpack_error(error: &rmp_serde::decode::Error) -> PayloadError {
    use rmp_serde::decode::Error;
    match error {
        Error::Syntax(text) | Error::Uncategorized(text) => PayloadError::new(without_values(text)),
        // The original text shows the marker, and a marker may hold the value.
        Error::TypeMismatch(marker) => {
            PayloadError::new(format!("invalid type: {}", type_name(marker.to_u8())))
        }
        Error::OutOfRange => PayloadError::new("number out of range for its type"),
        Error::LengthMismatch(_) => {
            PayloadError::new("array or map of another length than expected")
        }
        Error::Utf8Error(_) => PayloadError::new("string that is not UTF-8"),
        Error::DepthLimitExceeded => PayloadError::new("nesting too deep"),
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => {
            PayloadError::new("unexpected end of the payload")
        }
    }
}

const fn type_name(marker: u8) -> &'static str {
    match marker {
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => "integer",
        0x80..=0x8f | 0xde | 0xdf => "map",
        0x90..=0x9f | 0xdc | 0xdd => "array",
        0xa0..=0xbf | 0xd9..=0xdb => "string",
        0xc0 | 0xc1 => "nil",
        0xc2 | 0xc3 => "boolean",
        0xc4..=0xc6 => "byte string",
        0xc7..=0xc9 | 0xd4..=0xd8 => "extension",
        0xca | 0xcb => "floating point number",
    }
}

/// The words of a deserializer without the values that it quotes.
///
/// Serde writes `invalid type: string "x", expected i32`, ``unknown variant `x`, expected `A` or `B` `` and the like. What
/// follows the last `, expected ` comes from the type; what is quoted before it comes from the payload.
fn without_values(text: &str) -> String {
    const FROM_THE_TYPE: [&str; 2] = ["missing field", "duplicate field"];
    if FROM_THE_TYPE.iter().any(|prefix| text.starts_with(prefix)) {
        return text.to_owned();
    }
    let (found, expectation) = text
        .rfind(", expected ")
        .and_then(|at| text.split_at_checked(at))
        .unwrap_or((text, ""));
    let mut kept = without_quoted(found);
    kept.push_str(expectation);
    kept
}

/// Removes all from the first quotation mark to the last.
fn without_quoted(text: &str) -> String {
    const MARKS: [char; 3] = ['"', '`', '\''];
    let (Some(first), Some(last)) = (text.find(MARKS), text.rfind(MARKS)) else {
        return text.to_owned();
    };
    let head = text.get(..first).unwrap_or_default().trim_end();
    let tail = text.get(last.saturating_add(1)..).unwrap_or_default();
    format!("{head}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Arguments;

    #[test]
    fn error_texts_keep_the_types_and_drop_the_values() {
        let cases = [
            (
                r#"invalid type: string "x", expected i32 at line 1 column 3"#,
                "invalid type: string, expected i32 at line 1 column 3",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "invalid value: integer, expected u8",
            ),
            (
                r#"invalid type: string "a, expected b", expected i32"#,
                "invalid type: string, expected i32",
            ),
            (
                "unknown variant `x`, expected `A` or `B`",
                "unknown variant, expected `A` or `B`",
            ),
            (
                "unknown field `x`, there are no fields",
                "unknown field, there are no fields",
            ),
            (
                "missing field `name` at line 1 column 2",
                "missing field `name` at line 1 column 2",
            ),
            (
                "invalid length 3, expected a tuple of size 2",
                "invalid length 3, expected a tuple of size 2",
            ),
            ("no secret 'x' today", "no secret today"),
        ];
        for (given, expected) in cases {
            assert_eq!(without_values(given), expected);
        }
    }

    #[test]
    fn debug_shows_no_bytes() {
        let payload = Payload::new(Protocol::Json, Bytes::from_static(b"\"secret\""));
        assert_eq!(
            format!("{payload:?}"),
            "Payload { protocol: Json, length: 8 }"
        );
        let arguments = Arguments::new(Protocol::Json, Bytes::from_static(b"[\"secret\"]"));
        assert_eq!(
            format!("{arguments:?}"),
            "Arguments { protocol: Json, length: 10 }"
        );
    }
}
