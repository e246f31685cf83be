//! The two encodings by name, and what their readers and transports have to know.

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
