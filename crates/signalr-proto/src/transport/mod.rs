//! HTTP and WebSockets as values: what must be asked of the network, and what it answered.

pub(crate) mod answer;
pub(crate) mod choice;
mod connection_id;
pub mod event_stream;
pub(crate) mod http;
pub mod negotiate;
mod url;
pub(crate) mod web_socket;

pub use crate::error::{TransportFailure, TransportFailureReason};
pub use connection_id::ConnectionId;
pub use event_stream::EventStream;
pub use url::HubUrl;

use ::http as http_types;
use bytes::Bytes;

use crate::codec::TransferFormat;

/// Names an action that will be answered. Never used twice on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(crate) u32);

impl OpId {
    /// The name of an operation whose driver counts by itself, as drivers of a server do that have no
    /// [`Endpoint`](crate::server::Endpoint).
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

impl core::fmt::Display for OpId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Hands out [`OpId`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpIds(u32);

impl OpIds {
    pub(crate) const fn next(&mut self) -> OpId {
        self.0 = self.0.wrapping_add(1);
        OpId(self.0)
    }

    /// The one that was handed out last.
    pub(crate) const fn last(self) -> OpId {
        OpId(self.0)
    }
}

/// How the body of an HTTP answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyMode {
    /// As one piece, with the answer. A longer body than `limit` bytes must end the request with an error.
    Whole {
        /// Largest body to accept, in bytes.
        limit: usize,
    },
    /// Piece by piece as it comes, after the head.
    Streamed,
}

/// A message of a WebSocket, in either direction: what drivers hand to WebSockets and get from them. The machines know bytes only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "drivers match on it to write frames; complete by RFC 6455"
)]
pub enum WsMessage {
    /// A text message. The bytes are UTF-8 when this library wrote them; received ones need not be checked.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A close frame with this code; after it the driver closes the socket.
    Close(u16),
}

impl WsMessage {
    /// The message that carries these bytes in this format.
    #[must_use]
    pub const fn carrying(bytes: Bytes, format: TransferFormat) -> Self {
        match format {
            TransferFormat::Text => Self::Text(bytes),
            TransferFormat::Binary => Self::Binary(bytes),
        }
    }
}

/// How a request, a WebSocket or an event stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndCause {
    /// As it should: a streamed body came to its end, or the socket was closed on our request.
    Clean,
    /// The peer closed the WebSocket with this code; 1006 when it ended without a close frame.
    WebSocketClose {
        /// The code.
        code: u16,
        /// The peer's words.
        reason: Box<str>,
    },
    /// The peer answered the opening of a WebSocket with this HTTP status instead of 101.
    Refused {
        /// The status.
        status: u16,
    },
    /// The peer answered the opening of a WebSocket with a redirect, which is not followed.
    Redirected {
        /// The status.
        status: u16,
        /// Where to, without query.
        target: Box<str>,
    },
    /// The network, TLS or HTTP failed; `detail` in a person's words, without tokens.
    Failed {
        /// What failed.
        detail: Box<str>,
    },
}

impl EndCause {
    /// What the answer with this head is to the opening of a WebSocket, when its status is not 101.
    #[must_use]
    pub fn refusal(status: http_types::StatusCode, headers: &http_types::HeaderMap) -> Self {
        let code = status.as_u16();
        match answer::redirect_target(status, headers) {
            Some(target) => Self::Redirected {
                status: code,
                target,
            },
            None => Self::Refused { status: code },
        }
    }

    /// In a person's words.
    pub(crate) fn words(&self) -> Box<str> {
        crate::error::CloseReason::from(self.clone())
            .to_string()
            .into()
    }

    /// Whether the peer took its leave ([TR-95](crate::spec::transports#tr-95)), rather than being lost.
    pub(crate) const fn is_orderly(&self) -> bool {
        match self {
            Self::Clean => true,
            Self::WebSocketClose { code, .. } => *code != 1006,
            Self::Refused { .. } | Self::Redirected { .. } | Self::Failed { .. } => false,
        }
    }
}
