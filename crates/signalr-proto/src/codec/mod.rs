//! Hub messages and their two encodings.
//!
//! Decoding is in two phases. The envelope is read at once, by hand, over the received bytes; arguments, results and items
//! leave as [`Payload`]s, slices of those bytes that the application decodes into its own types when it wants to. So a
//! value of the wrong type can never disturb the connection ([HP-61](crate::spec::hub_protocol#hp-61)).

mod answer;
mod arguments;
mod encode;
mod error;
mod forward;
pub mod frame;
pub mod handshake;
mod json;
mod message;
pub(crate) mod msgpack;
mod payload;
mod protocol;
mod returned;

pub use answer::{Answer, Parameters, WholeList, WriteParametersInsteadOfOneTuple};
pub use arguments::{
    ArgumentReader, ArgumentWriter, Arguments, FromArguments, HubArguments, Spread, WithUploads,
};
pub use encode::{Encode, Returned};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, PayloadError};
pub use json::JsonText;
pub use message::{CompletionOutcome, Headers, HubMessage, Invocation, InvocationHead, Outcome};
pub use payload::Payload;
pub use protocol::{Protocol, Role, TransferFormat};
pub use returned::ReturnedError;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

impl Protocol {
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

    /// The number and the result in a Completion of the form that is read fastest. Any other message is given back, for
    /// [`decode`](Self::decode).
    pub(crate) fn read_answer(self, frame: Bytes) -> Result<(u64, Payload), Bytes> {
        match self {
            Self::Json => json::read_answer(frame),
            Self::MessagePack => Err(frame),
        }
    }

    /// A call of a stream that lacks its id and nothing else, which [`decode`](Self::decode) refuses. In MessagePack there is no such
    /// thing: what stands in the id's place is wrong.
    pub(crate) fn decode_nameless(self, frame: &Bytes) -> Option<HubMessage> {
        match self {
            Self::Json => json::decode_nameless(frame),
            Self::MessagePack => None,
        }
    }
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
