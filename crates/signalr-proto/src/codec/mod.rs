//! Hub messages and their two encodings.
//!
//! Decoding is in two phases. The envelope is read at once, by hand, over the received bytes; arguments, results and items
//! leave as [`Payload`]s, slices of those bytes that the application decodes into its own types when it wants to. So a
//! value of the wrong type can never disturb the connection ([HP-61](crate::spec::hub_protocol#hp-61)).

mod arguments;
mod error;
mod forward;
pub mod frame;
pub mod handshake;
mod json;
pub(crate) mod msgpack;
mod payload;
mod returned;

pub use arguments::{
    ArgumentReader, ArgumentWriter, Encode, FromArguments, HubArguments, WithUploads,
};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, PayloadError};
pub use json::JsonText;
pub use payload::{Arguments, Payload};
pub use returned::{Returned, ReturnedError};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

/// The two encodings of hub messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// JSON objects, each followed by the byte 0x1E. Text.
    Json,
    /// MessagePack arrays, each after its length. Binary.
    MessagePack,
}

/// What a transport must be able to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum TransferFormat {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl TransferFormat {
    /// The name in negotiate responses: `Text` or `Binary`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Binary => "Binary",
        }
    }
}

impl Protocol {
    /// All protocols, in the order in which a server lists them.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The highest version of the message encodings; all lower ones are accepted too.
    pub const VERSION: i32 = 2;

    /// The name in the handshake: `json` or `messagepack`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MessagePack => "messagepack",
        }
    }

    /// The protocol of that name, in any case of letters, as the official server matches it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// What a transport must carry for this protocol.
    #[must_use]
    pub const fn transfer_format(self) -> TransferFormat {
        match self {
            Self::Json => TransferFormat::Text,
            Self::MessagePack => TransferFormat::Binary,
        }
    }

    /// Reads one message from a whole frame, without its separator or prefix. `None` for a message of unknown type.
    ///
    /// # Errors
    /// When the envelope is not as the protocol demands; the position counts from the start of the frame.
    pub fn decode(self, role: Role, frame: &Bytes) -> Result<Option<HubMessage>, DecodeError> {
        match self {
            Self::Json => json::decode(role, frame),
            Self::MessagePack => msgpack::decode(role, frame),
        }
    }
}

/// Which side of a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Role {
    /// Reads what servers write: an invocation without `arguments` has none.
    Client,
    /// Reads what clients write: an invocation without `arguments` is an error in JSON.
    ///
    /// What the official server holds against one call or upload and not against the connection is read here too, and fails
    /// when it is looked at: in JSON an empty target or stream id, one comma too many in `arguments` that follow their target,
    /// and an array or object of any sort as the `item` that follows its id; in MessagePack arguments or an item that are not
    /// there.
    Server,
}

/// Headers of a message: names and values without meaning to the protocol. Empty for nearly every message.
pub type Headers = Vec<(ByteString, ByteString)>;

/// A message of the [hub protocol](crate::spec::hub_protocol). Strings and payloads are slices of the received bytes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HubMessage {
    /// Type 1: a call.
    Invocation(Invocation),
    /// Type 4: a call whose results are a stream. Its `invocation_id` is always present.
    StreamInvocation(Invocation),
    /// Type 2: an item of a stream, in either direction.
    StreamItem {
        /// Headers.
        headers: Headers,
        /// The stream: the id of a stream invocation, or of an upload stream.
        invocation_id: ByteString,
        /// The item.
        item: Payload,
    },
    /// Type 3: the end of a call or stream.
    Completion {
        /// Headers.
        headers: Headers,
        /// The call or stream that ended.
        invocation_id: ByteString,
        /// How it ended.
        outcome: Outcome,
    },
    /// Type 5: the caller no longer wants the answer.
    CancelInvocation {
        /// Headers.
        headers: Headers,
        /// The call or stream.
        invocation_id: ByteString,
    },
    /// Type 6: a sign of life.
    Ping,
    /// Type 7: the last message on a connection.
    Close {
        /// The sender's words; an empty text is an error too.
        error: Option<ByteString>,
        /// Whether a client that reconnects by itself should do so.
        allow_reconnect: bool,
    },
    /// Type 8: all messages up to this one were received. Stateful reconnect only.
    Ack {
        /// The number of the last message received.
        sequence_id: u64,
    },
    /// Type 9: the number of the message that follows. Stateful reconnect only.
    Sequence {
        /// The number.
        sequence_id: u64,
    },
}

/// The members of an Invocation or StreamInvocation.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "built by tools and tests")]
pub struct Invocation {
    /// Headers.
    pub headers: Headers,
    /// The id the answer must carry; `None` (also for an empty id on the wire) when no answer is wanted.
    pub invocation_id: Option<ByteString>,
    /// The method.
    pub target: ByteString,
    /// The arguments, without those that are streams.
    pub arguments: Arguments,
    /// The ids of the streams among the arguments, in their order.
    pub stream_ids: Vec<ByteString>,
}

/// How a call or stream ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Outcome {
    /// Without a value.
    Void,
    /// With a value, which may be null.
    Result(Payload),
    /// With an error. An empty text is kept here; callers treat it as success ([HP-38](crate::spec::hub_protocol#hp-38)).
    Error(ByteString),
}

/// How an encoder is told the end of a call or stream.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum CompletionOutcome<'a, T: ?Sized> {
    /// Without a value.
    Void,
    /// With a value.
    Result(&'a T),
    /// With an error.
    Error(&'a str),
}

/// Outcomes without a value, for which no type has to be named.
///
/// ```
/// use signalr_proto::codec::CompletionOutcome;
/// # fn complete<T: ?Sized>(_: CompletionOutcome<'_, T>) {}
/// complete(CompletionOutcome::void());
/// complete(CompletionOutcome::error("not today"));
/// complete(CompletionOutcome::Result(&42));
/// ```
impl<'a> CompletionOutcome<'a, ()> {
    /// [`Void`](Self::Void).
    #[must_use]
    pub const fn void() -> Self {
        Self::Void
    }

    /// [`Error`](Self::Error).
    #[must_use]
    pub const fn error(text: &'a str) -> Self {
        Self::Error(text)
    }
}

/// What an encoder needs of an invocation beside its arguments.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by both machines")]
pub struct InvocationHead<'a> {
    /// Type 4 instead of 1.
    pub streaming: bool,
    /// Headers; usually empty.
    pub headers: &'a [(ByteString, ByteString)],
    /// The id, or `None` when no answer is wanted.
    pub invocation_id: Option<&'a str>,
    /// The method.
    pub target: &'a str,
    /// The ids of the streams among the arguments.
    pub stream_ids: &'a [ByteString],
}

/// Encoders append one whole frame, separator or prefix included, to `out`, and leave `out` as it was when they fail.
impl Protocol {
    /// Appends an Invocation or StreamInvocation.
    ///
    /// # Errors
    /// When an argument cannot be serialized.
    pub fn encode_invocation<A: HubArguments + ?Sized>(
        self,
        out: &mut BytesMut,
        head: InvocationHead<'_>,
        arguments: &A,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Json => json::encode_invocation(out, head, arguments),
            Self::MessagePack => msgpack::encode_invocation(out, head, arguments),
        }
    }

    /// Appends a StreamItem.
    ///
    /// # Errors
    /// When the item cannot be serialized.
    pub fn encode_stream_item<T: Encode + ?Sized>(
        self,
        out: &mut BytesMut,
        headers: &[(ByteString, ByteString)],
        id: &str,
        item: &T,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Json => json::encode_stream_item(out, headers, id, item),
            Self::MessagePack => msgpack::encode_stream_item(out, headers, id, item),
        }
    }

    /// Appends a Completion.
    ///
    /// # Errors
    /// When the result cannot be serialized.
    pub fn encode_completion<T: Encode + ?Sized>(
        self,
        out: &mut BytesMut,
        headers: &[(ByteString, ByteString)],
        id: &str,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Json => json::encode_completion(out, headers, id, outcome),
            Self::MessagePack => msgpack::encode_completion(out, headers, id, outcome),
        }
    }

    /// Appends a CancelInvocation.
    pub fn encode_cancel_invocation(
        self,
        out: &mut BytesMut,
        headers: &[(ByteString, ByteString)],
        id: &str,
    ) {
        match self {
            Self::Json => json::encode_cancel_invocation(out, headers, id),
            Self::MessagePack => msgpack::encode_cancel_invocation(out, headers, id),
        }
    }

    /// Appends a Ping: `{"type":6}` or `02 91 06`.
    pub fn encode_ping(self, out: &mut BytesMut) {
        match self {
            Self::Json => json::encode_ping(out),
            Self::MessagePack => msgpack::encode_ping(out),
        }
    }

    /// Appends a Close.
    pub fn encode_close(self, out: &mut BytesMut, error: Option<&str>, allow_reconnect: bool) {
        match self {
            Self::Json => json::encode_close(out, error, allow_reconnect),
            Self::MessagePack => msgpack::encode_close(out, error, allow_reconnect),
        }
    }

    /// Appends an Ack.
    pub fn encode_ack(self, out: &mut BytesMut, sequence_id: u64) {
        match self {
            Self::Json => json::encode_ack(out, sequence_id),
            Self::MessagePack => msgpack::encode_ack(out, sequence_id),
        }
    }

    /// Appends a Sequence.
    pub fn encode_sequence(self, out: &mut BytesMut, sequence_id: u64) {
        match self {
            Self::Json => json::encode_sequence(out, sequence_id),
            Self::MessagePack => msgpack::encode_sequence(out, sequence_id),
        }
    }

    /// Appends a message that was decoded from (or built for) this same protocol.
    ///
    /// # Errors
    /// [`EncodeError::RawPayload`] when a payload in it belongs to the other protocol.
    pub fn encode(self, out: &mut BytesMut, message: &HubMessage) -> Result<(), EncodeError> {
        match message {
            HubMessage::Invocation(invocation) => {
                self.encode_whole_invocation(out, invocation, false)
            }
            HubMessage::StreamInvocation(invocation) => {
                self.encode_whole_invocation(out, invocation, true)
            }
            HubMessage::StreamItem {
                headers,
                invocation_id,
                item,
            } => self.encode_stream_item(out, headers, invocation_id, item),
            HubMessage::Completion {
                headers,
                invocation_id,
                outcome,
            } => {
                let outcome = match outcome {
                    Outcome::Void => CompletionOutcome::Void,
                    Outcome::Result(result) => CompletionOutcome::Result(result),
                    Outcome::Error(error) => CompletionOutcome::Error(error),
                };
                self.encode_completion(out, headers, invocation_id, outcome)
            }
            HubMessage::CancelInvocation {
                headers,
                invocation_id,
            } => {
                self.encode_cancel_invocation(out, headers, invocation_id);
                Ok(())
            }
            HubMessage::Ping => {
                self.encode_ping(out);
                Ok(())
            }
            HubMessage::Close {
                error,
                allow_reconnect,
            } => {
                self.encode_close(out, error.as_deref(), *allow_reconnect);
                Ok(())
            }
            HubMessage::Ack { sequence_id } => {
                self.encode_ack(out, *sequence_id);
                Ok(())
            }
            HubMessage::Sequence { sequence_id } => {
                self.encode_sequence(out, *sequence_id);
                Ok(())
            }
        }
    }

    fn encode_whole_invocation(
        self,
        out: &mut BytesMut,
        invocation: &Invocation,
        streaming: bool,
    ) -> Result<(), EncodeError> {
        let head = InvocationHead {
            streaming,
            headers: &invocation.headers,
            invocation_id: invocation.invocation_id.as_deref(),
            target: &invocation.target,
            stream_ids: &invocation.stream_ids,
        };
        self.encode_invocation(out, head, &invocation.arguments)
    }
}
