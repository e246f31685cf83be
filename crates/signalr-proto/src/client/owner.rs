//! Whose an operation is. That is asked once for each input, so that what comes of it stands in one table:
//! [`handle_input`](super::ClientConnection::handle_input).

use super::connecting::Step;
use super::link::{HttpLink, Link, Stage};
use super::session::Refresh;
use super::session::Session;
use super::state::State;
use crate::transport::OpId;

/// What the name of an operation stands for. Names that nothing is expected of any more are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The request for the token of an attempt to connect.
    AttemptToken,
    /// The negotiation.
    Negotiation,
    /// The WebSocket of an attempt, which is being opened.
    Opening,
    /// The WebSocket.
    Socket,
    /// The request for the token with which a WebSocket is opened in the place of a lost one.
    ResumeToken,
    /// The WebSocket in the place of a lost one, which is being opened.
    Reopening,
    /// The event stream or the poll, whose head is awaited.
    Head,
    /// The event stream or the poll, whose body comes in.
    Body,
    /// The send of an HTTP transport.
    Post,
    /// The end of long polling.
    Delete,
    /// The request for another token after a 401.
    RenewalToken,
    /// The request for the token of a refresh.
    RefreshToken,
    /// The refresh.
    Refresh,
    /// The request to the application's reconnect policy.
    Policy,
    Nobody,
}

impl State {
    pub(super) fn owner(&self, op: OpId) -> Owner {
        match self {
            Self::Connecting(attempt) => attempt.step.owner(op),
            Self::Connected(session) | Self::Stopping(session) => session.owner(op),
            Self::Deciding(decision) if decision.op == op => Owner::Policy,
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => Owner::Nobody,
        }
    }
}

impl Step {
    fn owner(&self, op: OpId) -> Owner {
        match self {
            Self::NegotiateToken(ours) | Self::SocketToken(ours, _) if *ours == op => {
                Owner::AttemptToken
            }
            Self::Negotiate(ours) if *ours == op => Owner::Negotiation,
            Self::Opening(Link::WebSocket(socket), _) if socket.op == op => Owner::Opening,
            Self::Opening(link, _) | Self::Handshaking(link, ..) => link.owner(op),
            Self::NegotiateToken(_) | Self::SocketToken(..) | Self::Negotiate(_) => Owner::Nobody,
        }
    }
}

impl Session {
    fn owner(&self, op: OpId) -> Owner {
        match self.refresh {
            Refresh::Asking(ours) if ours == op => Owner::RefreshToken,
            Refresh::Telling(ours, _) if ours == op => Owner::Refresh,
            Refresh::Idle | Refresh::Asking(_) | Refresh::Telling(..) => self.link.owner(op),
        }
    }
}

impl Link {
    fn owner(&self, op: OpId) -> Owner {
        match self {
            Self::WebSocket(socket) if socket.op == op => Owner::Socket,
            Self::Lost(lost) if lost.op == op && lost.opening => Owner::Reopening,
            Self::Lost(lost) if lost.op == op => Owner::ResumeToken,
            Self::Http(link) => link.owner(op),
            Self::WebSocket(_) | Self::Lost(_) => Owner::Nobody,
        }
    }
}

impl HttpLink {
    fn owner(&self, op: OpId) -> Owner {
        let is_it = |ours: Option<OpId>| ours == Some(op);
        let receiving = self
            .receiving
            .filter(|exchange| is_it(exchange.under_way()));
        let post = self.post.as_ref().map(|post| post.exchange);
        match receiving.map(|exchange| exchange.stage) {
            Some(Stage::Reading) => Owner::Body,
            Some(Stage::Asked | Stage::Refused) => Owner::Head,
            None if is_it(post.and_then(|exchange| exchange.under_way())) => Owner::Post,
            None if is_it(self.token_request) => Owner::RenewalToken,
            None if is_it(self.delete) => Owner::Delete,
            None => Owner::Nobody,
        }
    }
}
