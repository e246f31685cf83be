//! How far an attempt to connect has come, and what it carries from step to step.

use http::HeaderMap;

use super::link::Link;
use super::outage::Outage;
use crate::codec::handshake::HandshakeDecoder;
use crate::time::Instant;
use crate::transport::negotiate::{AccessToken, Offer, TransportOffer};
use crate::transport::{HubUrl, OpId, TransportFailure};

/// One try to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) step: Step,
    pub(super) context: AttemptContext,
}

/// What an attempt carries from step to step.
#[derive(Debug)]
pub(super) struct AttemptContext {
    /// Set when this is a repetition: of the first start, or of a connection that was lost.
    pub(super) outage: Option<Outage>,
    pub(super) location: HubLocation,
    /// What the server offered last.
    pub(super) offered: Vec<TransportOffer>,
    /// Transports that did not start.
    pub(super) failures: Vec<TransportFailure>,
}

/// Which hub the attempt is at, after redirects.
#[derive(Debug)]
pub(super) struct HubLocation {
    pub(super) url: HubUrl,
    /// The token a redirect gave: it replaces the user's for this attempt and connection ([TR-11](crate::spec::transports#tr-11)).
    pub(super) token: Option<AccessToken>,
    /// The user's token of the last negotiation, which the HTTP transports go on using.
    pub(super) cached: Option<AccessToken>,
    /// Whether the user's headers and tokens must not be sent here.
    pub(super) foreign: bool,
    /// Negotiate requests made.
    pub(super) requests: u32,
    /// When the server made its offer: the life of the access token counts from then.
    pub(super) offered: Instant,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The token for negotiation was asked for.
    NegotiateToken(OpId),
    /// The negotiate request is under way.
    Negotiate(OpId),
    /// The token for the WebSocket was asked for.
    SocketToken(OpId, Negotiated),
    /// The transport is being opened.
    Opening(Link, Negotiated),
    /// The handshake response is awaited.
    Handshaking(Link, Negotiated, HandshakeDecoder),
}

/// What negotiation gave; nothing when it was skipped.
pub(super) type Negotiated = Option<Box<Offer>>;

impl Step {
    /// The question or request before there is a transport.
    const fn op(&self) -> Option<OpId> {
        match self {
            Self::NegotiateToken(op) | Self::Negotiate(op) | Self::SocketToken(op, _) => Some(*op),
            Self::Opening(..) | Self::Handshaking(..) => None,
        }
    }

    pub(super) const fn link(&self) -> Option<&Link> {
        match self {
            Self::Opening(link, _) | Self::Handshaking(link, ..) => Some(link),
            Self::NegotiateToken(_) | Self::Negotiate(_) | Self::SocketToken(..) => None,
        }
    }

    /// What must be aborted when the attempt is given up here.
    pub(super) fn ops(&self) -> impl Iterator<Item = OpId> + use<> {
        let link = self.link().map(Link::ops);
        self.op().into_iter().chain(link.into_iter().flatten())
    }
}

impl HubLocation {
    /// Another origin must not see the user's headers.
    pub(super) fn headers<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderMap> {
        (!self.foreign).then_some(headers)
    }
}

/// A token that no header can carry is none.
pub(super) fn usable(
    token: Result<Option<AccessToken>, Box<str>>,
) -> Result<Option<AccessToken>, Box<str>> {
    token.and_then(|token| match token {
        Some(token) if token.header().is_none() => {
            Err("the token holds characters that HTTP does not allow in a header".into())
        }
        token => Ok(token),
    })
}
