//! The answer to negotiate.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::access_token::AccessToken;
use super::members::{lifetime, members};
use super::offer::{Offer, TransportOffer};
use crate::codec::{DecodeError, DecodeErrorKind};
use crate::error::NegotiateError;
use crate::transport::answer;

/// An answer to negotiate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NegotiateResponse {
    /// Here is a connection.
    Connect(Offer),
    /// Ask again over there, with this token if there is one ([TR-10](crate::spec::transports#tr-10),
    /// [TR-11](crate::spec::transports#tr-11)).
    Redirect {
        /// The address of the other hub.
        url: Box<str>,
        /// The token to use there, in place of the user's.
        access_token: Option<AccessToken>,
    },
    /// No.
    Refused {
        /// The server's words.
        error: Box<str>,
    },
}

members! {
    /// The members as they stand on the wire.
    struct Members {
        error: Box<str> = "error",
        url: Box<str> = "url",
        access_token: Box<str> = "accessToken",
        negotiate_version: i64 = "negotiateVersion",
        connection_id: Box<str> = "connectionId",
        connection_token: Box<str> = "connectionToken",
        available_transports: Vec<TransportOffer> = "availableTransports",
        use_stateful_reconnect: bool = "useStatefulReconnect",
        token_lifetime_seconds: i64 = "tokenLifetimeSeconds",
        /// Only servers that are not ASP.NET Core say this; gateways that write all names alike spell it in the other way.
        classic_version: IgnoredAny = "ProtocolVersion",
        protocol_version: IgnoredAny = "protocolVersion",
    }
}

impl NegotiateResponse {
    /// Reads an answer, its status and headers included.
    ///
    /// # Errors
    /// [`NegotiateError::Redirected`] and [`NegotiateError::Status`] for a status other than 200, [`NegotiateError::Compressed`],
    /// and those of [`decode`](Self::decode).
    pub fn read(response: &Response<Bytes>) -> Result<Self, NegotiateError> {
        let (status, headers) = (response.status(), response.headers());
        if let Some(target) = answer::redirect_target(status, headers) {
            // What is wanted is the address of the hub.
            let target = target.strip_suffix("/negotiate").unwrap_or(&target).into();
            let status = status.as_u16();
            return Err(NegotiateError::Redirected { status, target });
        }
        if status != StatusCode::OK {
            let status = status.as_u16();
            return Err(NegotiateError::Status { status });
        }
        if let Some(coding) = answer::content_coding(headers) {
            return Err(NegotiateError::Compressed { coding });
        }
        Self::decode(response.body())
    }

    /// Reads the body of an answer with status 200.
    ///
    /// # Errors
    /// [`NegotiateError::AspNet`] for a server that is not ASP.NET *Core* SignalR, [`NegotiateError::Misspelled`] for a body
    /// without the right members but with ones whose names differ in their capitals, [`NegotiateError::Invalid`] for a body that
    /// is not a JSON object, lacks `connectionId`, `availableTransports` or (from version 1) `connectionToken`, or has an empty
    /// id or token.
    pub fn decode(body: &[u8]) -> Result<Self, NegotiateError> {
        Self::decode_members(body).map_err(|error| match misspelled(body) {
            Some(detail) if matches!(error, NegotiateError::Invalid(_)) => {
                NegotiateError::Misspelled { detail }
            }
            Some(_) | None => error,
        })
    }

    fn decode_members(body: &[u8]) -> Result<Self, NegotiateError> {
        let members: Members = serde_json::from_slice(body)
            .map_err(|error| NegotiateError::Invalid(json_error(&error, body)))?;
        // Servers that write every member write an empty one when there is no error, and the official clients connect.
        if let Some(error) = members.error.filter(|error| !error.is_empty()) {
            return Ok(Self::Refused { error });
        }
        if members.classic_version.is_some() || members.protocol_version.is_some() {
            return Err(NegotiateError::AspNet);
        }
        if let Some(url) = members.url.filter(|url| !url.is_empty()) {
            return Ok(Self::Redirect {
                url,
                access_token: members.access_token.and_then(AccessToken::new),
            });
        }
        let version =
            u32::try_from(members.negotiate_version.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
        let connection_token = if version > 0 {
            Some(id("connectionToken", members.connection_token)?)
        } else {
            None
        };
        Ok(Self::Connect(Offer {
            version,
            connection_id: id("connectionId", members.connection_id)?,
            connection_token,
            transports: members
                .available_transports
                .ok_or_else(|| missing("availableTransports"))?,
            stateful_reconnect: members.use_stateful_reconnect.unwrap_or(false),
            token_lifetime: lifetime(members.token_lifetime_seconds),
            access_token: members.access_token.and_then(AccessToken::new),
        }))
    }

    /// Writes the body of an answer, members in the order of the official server.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = match self {
            Self::Connect(offer) => Body {
                use_stateful_reconnect: offer.stateful_reconnect,
                negotiate_version: Some(offer.version),
                connection_id: Some(&offer.connection_id),
                connection_token: offer.connection_token.as_deref(),
                available_transports: Some(&offer.transports),
                token_lifetime_seconds: offer.token_lifetime.map(|life| life.as_secs()),
                access_token: offer.access_token.as_ref().map(AccessToken::expose),
                ..Body::default()
            },
            Self::Redirect { url, access_token } => Body {
                url: Some(url),
                access_token: access_token.as_ref().map(AccessToken::expose),
                ..Body::default()
            },
            Self::Refused { error } => Body {
                error: Some(error),
                ..Body::default()
            },
        };
        serde_json::to_vec(&body).unwrap_or_default().into()
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    use_stateful_reconnect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    negotiate_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_transports: Option<&'a [TransportOffer]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_lifetime_seconds: Option<u64>,
}

/// A name for a connection, which cannot be empty: the server would not know which one a request is about.
fn id(member: &'static str, value: Option<Box<str>>) -> Result<Box<str>, NegotiateError> {
    let value = value.ok_or_else(|| missing(member))?;
    if value.is_empty() {
        return Err(NegotiateError::Invalid(DecodeError {
            kind: DecodeErrorKind::Invalid {
                member,
                expected: "a text that is not empty",
            },
            position: 0,
        }));
    }
    Ok(value)
}

/// The members of an answer that a client acts on.
const NAMES: [&str; 6] = [
    "url",
    "accessToken",
    "connectionId",
    "connectionToken",
    "negotiateVersion",
    "availableTransports",
];

/// The members that are there under a name with other capitals only, as of a serializer that begins names with one.
fn misspelled(body: &[u8]) -> Option<Box<str>> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    let mistake = |name: &str| {
        let found = members.keys().find(|key| key.eq_ignore_ascii_case(name))?;
        (!members.contains_key(name)).then(|| format!("'{found}' must be '{name}'"))
    };
    let mistakes: Vec<String> = NAMES.into_iter().filter_map(mistake).collect();
    (!mistakes.is_empty()).then(|| mistakes.join(", ").into())
}

pub(super) const fn missing(member: &'static str) -> NegotiateError {
    NegotiateError::Invalid(DecodeError {
        kind: DecodeErrorKind::Missing { member },
        position: 0,
    })
}

/// Where and how the body is not what it should be; serde's own words may repeat the body, so they are not kept.
fn json_error(error: &serde_json::Error, body: &[u8]) -> DecodeError {
    let before = body
        .split(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let expected = match error.classify() {
        serde_json::error::Category::Data => {
            "a JSON object with the members of a negotiate response"
        }
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => "a JSON object",
    };
    DecodeError::new(
        DecodeErrorKind::Syntax { expected },
        before + error.column().saturating_sub(1),
    )
}
