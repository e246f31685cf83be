//! Values on their way into a message: anything that serde can serialize, and payloads as they are.

use bytes::BytesMut;
use serde::Serialize;

use super::payload::{Payload, serialize};
use super::protocol::Protocol;
use super::returned::{self, ReturnedError};
use crate::codec::EncodeError;

/// What can be written as an argument, result or item: everything that serde can serialize, and [`Payload`]s as they are.
///
/// In MessagePack structs become maps of their field names, unit variants their names and byte strings `bin`, which is what
/// the .NET peers read. In JSON, .NET peers expect camelCase member names.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "not a value that can be sent",
    note = "a value is serializable (`serde::Serialize`) or a `Payload`"
)]
pub trait Encode {
    /// Appends the value to `out`.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`], or [`EncodeError::RawPayload`] for a payload that is malformed or of the other protocol.
    /// `out` may then hold a part of the value.
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// The failure, if this is a `Result` that is `Err`; see [`Returned`](super::Returned).
    fn returned_error(&self) -> Option<ReturnedError> {
        None
    }

    /// Appends the value in the `Ok`, if this is a `Result`, else the value.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_returned(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode(protocol, out)
    }
}

impl<T: Serialize + ?Sized> Encode for T {
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        serialize(protocol, self, out)
    }

    fn returned_error(&self) -> Option<ReturnedError> {
        returned::error_in(self)
    }

    fn encode_returned(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        serialize(protocol, &returned::Unwrapped(self), out)
    }
}

impl Encode for Payload {
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        if !self.is_sound(protocol) {
            return Err(EncodeError::RawPayload);
        }
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }
}

impl Encode for &Payload {
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        (**self).encode(protocol, out)
    }
}

/// A value that a function returned, and that is no failure. A `Result` in it that is `Ok` is encoded as its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned<T>(T);

impl<T: Encode> Returned<T> {
    /// Tells values from failures.
    ///
    /// # Errors
    /// When it is a `Result` that is `Err`, also behind a box or within the `Ok` of another one.
    pub fn new(value: T) -> Result<Self, ReturnedError> {
        value.returned_error().map_or(Ok(Self(value)), Err)
    }
}

impl<T: Encode> Encode for Returned<T> {
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.0.encode_returned(protocol, out)
    }
}
