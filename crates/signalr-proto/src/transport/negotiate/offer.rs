//! What a server offers: a connection, and the transports for it.

use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::access_token::AccessToken;
use super::members::members;
use crate::codec::TransferFormat;
use crate::transport::ConnectionId;

/// The transports a server may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// A WebSocket, both ways.
    WebSockets,
    /// An event stream down, POSTs up. Text only.
    ServerSentEvents,
    /// Pending GETs down, POSTs up.
    LongPolling,
}

impl TransportKind {
    /// All transports, in the order in which servers list them.
    pub const ALL: [Self; 3] = [Self::WebSockets, Self::ServerSentEvents, Self::LongPolling];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSockets => "WebSockets",
            Self::ServerSentEvents => "ServerSentEvents",
            Self::LongPolling => "LongPolling",
        }
    }

    /// The transport with this name on the wire.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the transport can carry.
    #[must_use]
    pub const fn formats(self) -> &'static [TransferFormat] {
        match self {
            Self::WebSockets | Self::LongPolling => &[TransferFormat::Text, TransferFormat::Binary],
            Self::ServerSentEvents => &[TransferFormat::Text],
        }
    }
}

/// A transport as a server offers it; names unknown here are kept, so that they can be reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TransportOffer {
    /// `WebSockets`, `ServerSentEvents`, `LongPolling`, or something from the future.
    pub transport: String,
    /// `Text`, `Binary`.
    pub transfer_formats: Vec<String>,
}

impl TransportOffer {
    /// A transport with all it can carry.
    #[must_use]
    pub fn of(kind: TransportKind) -> Self {
        Self {
            transport: kind.name().into(),
            transfer_formats: kind
                .formats()
                .iter()
                .map(|format| format.name().into())
                .collect(),
        }
    }
}

/// A server's offer of a connection.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// 0 or 1.
    pub version: u32,
    /// The public id of the connection.
    pub connection_id: Box<str>,
    /// The secret id that requests carry; only in version 1.
    pub connection_token: Option<Box<str>>,
    /// What the server can do, in its order of preference.
    pub transports: Vec<TransportOffer>,
    /// Whether stateful reconnect was granted.
    pub stateful_reconnect: bool,
    /// How long the access token lives, when the server takes refreshed ones ([TR-80](crate::spec::transports#tr-80)).
    pub token_lifetime: Option<Duration>,
    /// The token to use from now on, in place of the user's ([TR-11](crate::spec::transports#tr-11)).
    pub access_token: Option<AccessToken>,
}

impl Offer {
    /// The public id, which is a secret when there is no token beside it.
    pub(crate) fn id(&self) -> ConnectionId {
        ConnectionId::new(self.connection_id.clone(), self.connection_token.is_none())
    }

    /// An offer of all of `transports`.
    #[must_use]
    pub fn new(
        connection_id: Box<str>,
        connection_token: Option<Box<str>>,
        transports: &[TransportKind],
    ) -> Self {
        Self {
            version: u32::from(connection_token.is_some()),
            connection_id,
            connection_token,
            transports: transports.iter().copied().map(TransportOffer::of).collect(),
            stateful_reconnect: false,
            token_lifetime: None,
            access_token: None,
        }
    }

    /// The value of the parameter `id`: the token, or in version 0 the connection id ([TR-9](crate::spec::transports#tr-9)).
    #[must_use]
    pub fn token(&self) -> &str {
        self.connection_token
            .as_deref()
            .unwrap_or(&self.connection_id)
    }
}

impl core::fmt::Debug for Offer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Offer")
            .field("version", &self.version)
            .field("connection_id", &self.id())
            .field("transports", &self.transports)
            .field("stateful_reconnect", &self.stateful_reconnect)
            .field("token_lifetime", &self.token_lifetime)
            .finish_non_exhaustive()
    }
}

members! {
    struct OfferMembers {
        transport: String = "transport",
        transfer_formats: Vec<String> = "transferFormats",
    }
}

impl<'de> Deserialize<'de> for TransportOffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = OfferMembers::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        Ok(Self {
            transport: members.transport.ok_or_else(|| missing("transport"))?,
            transfer_formats: members
                .transfer_formats
                .ok_or_else(|| missing("transferFormats"))?,
        })
    }
}
