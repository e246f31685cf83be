//! The handshake: JSON and a record separator under both protocols.

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;

use super::frame::{FrameDecoder, RECORD_SEPARATOR};
use super::json::{self, Member, Members};
use super::{Protocol, Role};
use crate::codec::{DecodeError, DecodeErrorKind};

/// What a client asks for first of all: `{"protocol":"json","version":1}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct HandshakeRequest {
    /// The name of a protocol, which may be one that nobody knows: see [`Protocol::from_name`].
    pub protocol: ByteString,
    /// Its version.
    pub version: i32,
}

/// The server's answer: `{}`, or `{"error":"..."}` before it closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct HandshakeResponse {
    /// Why the server refused; an empty text is a refusal too.
    pub error: Option<ByteString>,
}

/// Appends a request with its separator.
pub fn encode_request(out: &mut BytesMut, protocol: Protocol, version: i32) {
    out.put_slice(b"{\"protocol\":\"");
    out.put_slice(protocol.name().as_bytes());
    out.put_slice(b"\",\"version\":");
    if version < 0 {
        out.put_u8(b'-');
    }
    json::put_integer(out, u64::from(version.unsigned_abs()));
    out.put_slice(&[b'}', RECORD_SEPARATOR]);
}

/// Appends a response with its separator.
pub fn encode_response(out: &mut BytesMut, error: Option<&str>) {
    out.put_u8(b'{');
    if let Some(error) = error {
        out.put_slice(b"\"error\":");
        json::put_string(out, error);
    }
    out.put_slice(&[b'}', RECORD_SEPARATOR]);
}

/// Reads a request from a whole record, without its separator. Unknown members are ignored.
///
/// # Errors
/// When it is not an object with the string `protocol` and the 32-bit integer `version` ([HP-26](crate::spec::hub_protocol#hp-26)).
pub fn decode_request(frame: &Bytes) -> Result<HandshakeRequest, DecodeError> {
    let mut members = Members::new(frame);
    // Nothing is forgiven in a handshake.
    members.read(Role::Client)?;
    Ok(HandshakeRequest {
        protocol: members.required_string(Member::Protocol)?,
        version: members.int32(Member::Version)?,
    })
}

/// Reads a response from a whole record, without its separator. Unknown members are ignored.
///
/// # Errors
/// When it is not an object, `error` is neither a string nor null, or there is a member `type`, which makes it a hub
/// message: [`DecodeErrorKind::NotAHandshake`].
pub fn decode_response(frame: &Bytes) -> Result<HandshakeResponse, DecodeError> {
    let mut members = Members::new(frame);
    // Nothing is forgiven in a handshake.
    members.read(Role::Client)?;
    if let Some(position) = members.position(Member::Type) {
        return Err(DecodeError::new(DecodeErrorKind::NotAHandshake, position));
    }
    Ok(HandshakeResponse {
        error: members.optional_string(Member::Error)?,
    })
}

/// Takes the one handshake record off the front of a stream.
#[derive(Debug)]
pub struct HandshakeDecoder {
    frames: FrameDecoder,
    done: bool,
}

impl HandshakeDecoder {
    /// A decoder at the start of a stream, which refuses a handshake of more than `max_handshake_size` bytes.
    #[must_use]
    pub fn new(max_handshake_size: usize) -> Self {
        Self {
            frames: FrameDecoder::new(Protocol::Json, max_handshake_size),
            done: false,
        }
    }

    /// Takes the record, without its separator, off the front of `input`, and leaves what follows it there.
    ///
    /// `None` means that `input` is used up and more is needed, or that the record was already taken.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooLarge`].
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        if self.done {
            return Ok(None);
        }
        let record = self.frames.decode(input)?;
        self.done = record.is_some();
        Ok(record)
    }

    /// How many bytes of the stream were taken.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.frames.position()
    }

    /// Whether a part of the record was received.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.frames.is_mid_frame()
    }
}
