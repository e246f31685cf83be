//! The WebSocket transport as values: its opening request, and what its messages mean
//! ([requirements](crate::spec::transports#websockets)).

use http::{HeaderMap, Request};

use super::negotiate::{AccessToken, common_headers};
use super::{EndCause, HubUrl, OpId};
use crate::error::CloseReason;

/// An open WebSocket, named by the action that opened it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebSocket {
    pub(crate) op: OpId,
    /// Our close frame is on its way.
    pub(crate) closed: bool,
}

impl WebSocket {
    pub(crate) const fn new(op: OpId) -> Self {
        Self { op, closed: false }
    }
}

/// What the opening of a WebSocket needs to know.
pub(crate) struct Opening<'a> {
    pub(crate) url: &'a HubUrl,
    /// The connection's token from negotiation, unless that was skipped.
    pub(crate) id: Option<&'a str>,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) access_token: Option<&'a AccessToken>,
    pub(crate) token_in_query: bool,
}

impl Opening<'_> {
    /// The request: the token in the `Authorization` header, or in the query on request ([TR-39](crate::spec::transports#tr-39)).
    pub(crate) fn request(&self) -> Result<Request<()>, http::Error> {
        let (in_query, in_header) = if self.token_in_query {
            (self.access_token, None)
        } else {
            (None, self.access_token)
        };
        let uri = self
            .url
            .web_socket(self.id, in_query.map(AccessToken::expose))?;
        let mut request = Request::builder().uri(uri).body(())?;
        *request.headers_mut() = common_headers(self.headers, in_header);
        Ok(request)
    }
}

impl From<EndCause> for CloseReason {
    fn from(cause: EndCause) -> Self {
        match cause {
            EndCause::Clean | EndCause::WebSocketClose { code: 1000, .. } => Self::TransportEnded,
            EndCause::WebSocketClose { code, reason } => Self::WebSocketClosed { code, reason },
            EndCause::Refused { status } => Self::UpgradeRefused { status },
            EndCause::Redirected { status, target } => Self::Redirected { status, target },
            EndCause::Failed { detail } => Self::TransportFailed { detail },
        }
    }
}
