//! The transport of a connection as a value: what is attached, and which request a name stands for.

use bytes::Bytes;

use crate::transport::negotiate::TransportKind;
use crate::transport::{EndCause, OpId};

/// What a connection has for a transport. Each variant holds only what that transport owns; POSTs are beside it.
pub(super) enum Link {
    /// No transport came yet.
    None,
    /// A WebSocket is open.
    WebSocket { op: OpId },
    /// An event stream is open.
    Events {
        op: OpId,
        /// Its first piece, the opening comment, is not taken yet.
        opening: bool,
    },
    /// The client polls.
    Polls(Poll),
    /// The WebSocket was lost, and another may come.
    Lost { cause: EndCause },
    /// The transport is over. What it brought may still be read.
    Over { cause: EndCause },
}

/// What a client that polls has open.
pub(super) enum Poll {
    /// Nothing: the next poll has to come.
    Away,
    /// A poll that waits for messages.
    Waiting(OpId),
    /// A poll that is being answered.
    Delivering {
        op: OpId,
        /// Its messages, in case they are not taken.
        batch: Bytes,
        /// The poll that came meanwhile.
        next: Option<OpId>,
    },
}

/// What the name of an operation stands for. Names that nothing is expected of any more are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The WebSocket.
    Socket,
    /// The event stream.
    Stream,
    /// The poll that waits.
    Poll,
    /// The poll that is being answered.
    Delivery,
    /// The poll behind that.
    NextPoll,
    /// A POST.
    Post,
    /// A request whose newer token the application has yet to judge.
    Applicant,
    Nobody,
}

impl Link {
    /// The transport, while there is one.
    pub(super) const fn transport(&self) -> Option<TransportKind> {
        match self {
            Self::None => None,
            Self::WebSocket { .. } | Self::Lost { .. } => Some(TransportKind::WebSockets),
            Self::Events { .. } => Some(TransportKind::ServerSentEvents),
            Self::Polls(_) => Some(TransportKind::LongPolling),
            Self::Over { .. } => None,
        }
    }

    /// Whether pings go over it, and the client's silence means something: polls come and go by themselves.
    pub(super) const fn is_kept_alive(&self) -> bool {
        match self {
            Self::WebSocket { .. } | Self::Events { .. } | Self::Lost { .. } => true,
            Self::None | Self::Polls(_) | Self::Over { .. } => false,
        }
    }

    /// Why the transport is over, if it is.
    pub(super) const fn over(&self) -> Option<&EndCause> {
        match self {
            Self::Over { cause } => Some(cause),
            Self::None
            | Self::WebSocket { .. }
            | Self::Events { .. }
            | Self::Polls(_)
            | Self::Lost { .. } => None,
        }
    }

    /// The WebSocket that is open.
    pub(super) const fn web_socket(&self) -> Option<OpId> {
        match self {
            Self::WebSocket { op } => Some(*op),
            Self::None
            | Self::Events { .. }
            | Self::Polls(_)
            | Self::Lost { .. }
            | Self::Over { .. } => None,
        }
    }

    pub(super) fn owner(&self, op: OpId) -> Owner {
        match self {
            Self::WebSocket { op: ours } if *ours == op => Owner::Socket,
            Self::Events { op: ours, .. } if *ours == op => Owner::Stream,
            Self::Polls(Poll::Waiting(ours)) if *ours == op => Owner::Poll,
            Self::Polls(Poll::Delivering { op: ours, .. }) if *ours == op => Owner::Delivery,
            Self::Polls(Poll::Delivering { next, .. }) if *next == Some(op) => Owner::NextPoll,
            Self::None
            | Self::WebSocket { .. }
            | Self::Events { .. }
            | Self::Polls(_)
            | Self::Lost { .. }
            | Self::Over { .. } => Owner::Nobody,
        }
    }
}
