//! Hub messages as values.

use bytestring::ByteString;

use super::arguments::Arguments;
use super::payload::Payload;

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
