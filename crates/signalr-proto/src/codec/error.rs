//! What can be wrong with messages and values.

/// Why bytes from the peer are not a message of the protocol.
///
/// `Display` names what was expected and where, and never repeats the bytes themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {position}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where: bytes from the start of the message, or of the stream for errors of framing.
    pub position: u64,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind, position: usize) -> Self {
        Self {
            kind,
            position: position as u64,
        }
    }

    /// The same error with its position moved forward, for instance from within a message to within the stream.
    #[must_use]
    pub const fn moved_by(self, offset: u64) -> Self {
        Self {
            kind: self.kind,
            position: self.position.saturating_add(offset),
        }
    }
}

/// The kinds of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A message over [`Limits::max_message_size`](crate::Limits::max_message_size).
    #[error("message of {size} bytes or more exceeds the limit of {limit}")]
    TooLarge {
        /// The size announced, or the bytes seen so far.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A MessagePack length prefix of more than 5 bytes or of more than 2 GiB - 1.
    #[error("length prefix over 5 bytes or 2 GiB - 1")]
    Prefix,
    /// A message of no bytes.
    #[error("empty message")]
    Empty,
    /// Bytes that are not JSON or not MessagePack.
    #[error("malformed message: expected {expected}")]
    Syntax {
        /// What would have been right here.
        expected: &'static str,
    },
    /// Nesting deeper than the protocol allows.
    #[error("nesting deeper than {limit}")]
    TooDeep {
        /// The deepest nesting accepted.
        limit: u32,
    },
    /// A name or an id longer than the limit for it.
    #[error("'{member}' of {size} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Its name.
        member: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// More of something than the limit allows.
    #[error("{count} {members} exceed the limit of {limit}")]
    TooMany {
        /// Their name.
        members: &'static str,
        /// Their number.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// A required member is absent.
    #[error("missing required member '{member}'")]
    Missing {
        /// Its name.
        member: &'static str,
    },
    /// A member of the wrong type or with a value out of range.
    #[error("expected '{member}' to be {expected}")]
    Invalid {
        /// Its name.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A completion with both an error and a result.
    #[error("'error' and 'result' are mutually exclusive")]
    ErrorAndResult,
    /// A hub message where the handshake response belongs ([HP-23](crate::spec::hub_protocol#hp-23)).
    #[error("expected a handshake response from the server")]
    NotAHandshake,
    /// The stream ended inside a message ([CB-66](crate::spec::client_behaviour#cb-66)).
    #[error("connection terminated while reading a message")]
    Truncated,
}

/// Why an argument, result or item does not fit the type it was asked for as.
///
/// `Display` keeps the types and drops the values: payloads do not belong in logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct PayloadError {
    detail: Box<str>,
}

impl PayloadError {
    /// An error with a text that holds no part of the payload.
    pub fn new(detail: impl Into<Box<str>>) -> Self {
        Self {
            detail: detail.into(),
        }
    }

    /// The same, of the argument at this place of its list.
    ///
    /// ```
    /// # use signalr_proto::PayloadError;
    /// let error = PayloadError::new("invalid type: string, expected i32").in_argument(1);
    /// assert_eq!(error.to_string(), "argument 2: invalid type: string, expected i32");
    /// ```
    #[must_use]
    pub fn in_argument(self, index: usize) -> Self {
        Self::new(format!("argument {}: {self}", index.saturating_add(1)))
    }

    /// An error for bytes that are no value at all.
    pub(crate) fn from_malformed(error: DecodeError) -> Self {
        Self::new(error.to_string())
    }
}

/// Why a value could not be written as a message. The connection is not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value's own `Serialize` failed, or the format has no form for it.
    #[error("a value cannot be serialized: {detail}")]
    Serialize {
        /// The serializer's words.
        detail: Box<str>,
    },
    /// A payload of the other protocol, or raw JSON that holds the record separator ([HP-4](crate::spec::hub_protocol#hp-4)).
    #[error("a raw payload does not fit the protocol of this connection")]
    RawPayload,
    /// A message over 2 GiB - 1.
    #[error("message of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The message's size.
        size: u64,
        /// The limit.
        limit: u64,
    },
}
