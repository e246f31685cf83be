//! The names of members.

/// The members that have a meaning, in messages and in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Type,
    Headers,
    InvocationId,
    Target,
    Arguments,
    StreamIds,
    Item,
    Error,
    Result,
    AllowReconnect,
    SequenceId,
    Protocol,
    Version,
}

impl Member {
    pub(super) const ALL: [Self; 13] = [
        Self::Type,
        Self::Headers,
        Self::InvocationId,
        Self::Target,
        Self::Arguments,
        Self::StreamIds,
        Self::Item,
        Self::Error,
        Self::Result,
        Self::AllowReconnect,
        Self::SequenceId,
        Self::Protocol,
        Self::Version,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Headers => "headers",
            Self::InvocationId => "invocationId",
            Self::Target => "target",
            Self::Arguments => "arguments",
            Self::StreamIds => "streamIds",
            Self::Item => "item",
            Self::Error => "error",
            Self::Result => "result",
            Self::AllowReconnect => "allowReconnect",
            Self::SequenceId => "sequenceId",
            Self::Protocol => "protocol",
            Self::Version => "version",
        }
    }

    /// The member of that name, if it has a meaning.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|member| member.name().as_bytes() == name)
    }

    /// The member that begins here, and the length of its name with quotation marks and colon.
    ///
    /// Nearly every name that comes is one of these without escapes and white space. To find them by comparing a few words
    /// is what makes decoding fast; [`from_name`](Self::from_name) serves the others.
    #[inline(always)]
    pub(super) fn at_start_of(text: &[u8]) -> Option<(Self, usize)> {
        macro_rules! first_of {
            ($($name:literal => $member:ident),+) => {
                $(if text.starts_with($name) { Some((Self::$member, $name.len())) } else)+ { None }
            };
        }
        match text.get(1)? {
            b't' => first_of!(b"\"type\":" => Type, b"\"target\":" => Target),
            b'a' => first_of!(b"\"arguments\":" => Arguments),
            b'i' => first_of!(b"\"invocationId\":" => InvocationId, b"\"item\":" => Item),
            b'r' => first_of!(b"\"result\":" => Result),
            b'e' => first_of!(b"\"error\":" => Error),
            b's' => first_of!(b"\"streamIds\":" => StreamIds, b"\"sequenceId\":" => SequenceId),
            _ => None,
        }
    }
}
