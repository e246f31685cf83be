//! Negotiate requests and responses as values ([requirements](crate::spec::transports#negotiation-client)).
//!
//! A client asks with `POST <path>/negotiate?negotiateVersion=1` and an empty body. The answer is one JSON object:
//! the ids and transports of a new connection, a redirect, or a refusal.
//!
//! ```
//! use signalr_proto::transport::negotiate::NegotiateResponse;
//!
//! let body = br#"{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[]}"#;
//! let NegotiateResponse::Connect(offer) = NegotiateResponse::decode(body).unwrap() else { panic!() };
//! assert_eq!(offer.token(), "b");
//! ```

use core::time::Duration;
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use bytes::Bytes;

use super::{ConnectionId, HubUrl, answer};
use crate::codec::{DecodeError, DecodeErrorKind, TransferFormat};
use crate::error::NegotiateError;

/// The highest version of negotiation known here; lower ones are spoken too.
pub const VERSION: u32 = 1;

/// Redirects followed before the attempt is given up ([TR-12](crate::spec::transports#tr-12)).
pub const MAX_REDIRECTS: u32 = 100;

/// A bearer token. `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Box<str>);

impl AccessToken {
    /// A token; `None` when the text is empty, which means "no token" ([TR-78](crate::spec::transports#tr-78)).
    pub fn new(token: impl Into<Box<str>>) -> Option<Self> {
        let token = token.into();
        (!token.is_empty()).then_some(Self(token))
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `Bearer <token>`, marked as sensitive; `None` when the token holds what HTTP does not allow in a header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl core::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

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

/// Makes a struct of optional members that is read from a JSON object. Unknown members are skipped at any depth
/// ([TR-7](crate::spec::transports#tr-7)), and of one that is there twice the last counts, as everywhere in this protocol; what
/// serde derives refuses that.
macro_rules! members {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$about:meta])* $member:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$meta])*
        #[derive(Default)]
        struct $name {
            $($(#[$about])* $member: Option<$kind>,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut all = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            match &*key {
                                $($key => all.$member = map.next_value()?,)*
                                _ => drop(map.next_value::<IgnoredAny>()?),
                            }
                        }
                        Ok(all)
                    }
                }

                deserializer.deserialize_map(Reader)
            }
        }
    };
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

/// A lifetime as the server writes it: whole seconds; none when there are none.
fn lifetime(seconds: Option<i64>) -> Option<Duration> {
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

/// The answer to a refresh of the access token: `{"tokenLifetimeSeconds":1800}`, `{}`, or `{"error":"invalid_token"}`.
pub(crate) struct RefreshResponse {
    pub(crate) lifetime: Option<Duration>,
    /// A token to use instead of the one that was sent, as one hosted service gives it.
    pub(crate) access_token: Option<AccessToken>,
    pub(crate) error: Option<Box<str>>,
}

members! {
    struct RefreshMembers {
        token_lifetime_seconds: i64 = "tokenLifetimeSeconds",
        access_token: Box<str> = "accessToken",
        error: Box<str> = "error",
    }
}

impl RefreshResponse {
    /// Reads a body; none when it is not a JSON object of this kind.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let members: RefreshMembers = serde_json::from_slice(body).ok()?;
        Some(Self {
            lifetime: lifetime(members.token_lifetime_seconds),
            access_token: members.access_token.and_then(AccessToken::new),
            error: members.error.filter(|error| !error.is_empty()),
        })
    }
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

const fn missing(member: &'static str) -> NegotiateError {
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

/// The negotiate request for this address.
pub(crate) fn request(
    url: &HubUrl,
    headers: Option<&HeaderMap>,
    token: Option<&AccessToken>,
    stateful: bool,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.negotiate(stateful)?)
        .body(Bytes::new())?;
    *request.headers_mut() = common_headers(headers, token);
    request
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(request)
}

/// The headers of every request: the user's, the token unless it has a place in the query, and what official clients send
/// ([TR-74](crate::spec::transports#tr-74)).
pub(crate) fn common_headers(
    headers: Option<&HeaderMap>,
    token: Option<&AccessToken>,
) -> HeaderMap {
    let mut all = headers.cloned().unwrap_or_default();
    // Which of them are secrets only the user knows, so none is shown.
    all.values_mut().for_each(|value| value.set_sensitive(true));
    all.entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "Microsoft SignalR/0.1 (",
            env!("CARGO_PKG_VERSION"),
            "; Unknown OS; Rust; Unknown Runtime Version)"
        )));
    // Nothing here can decompress, and without this a server may compress as it likes (RFC 9110, section 12.5.3).
    all.entry(header::ACCEPT_ENCODING)
        .or_insert(HeaderValue::from_static("identity"));
    all.insert(
        "x-requested-with",
        HeaderValue::from_static("XMLHttpRequest"),
    );
    if let Some(value) = token.and_then(AccessToken::header) {
        all.insert(header::AUTHORIZATION, value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &str) -> Result<NegotiateResponse, NegotiateError> {
        NegotiateResponse::decode(body.as_bytes())
    }

    fn offer(body: &str) -> Offer {
        match decode(body) {
            Ok(NegotiateResponse::Connect(offer)) => offer,
            other => panic!("no offer: {other:?}"),
        }
    }

    #[test]
    fn version_one_needs_a_connection_token_and_version_zero_uses_the_id() {
        let one = offer(
            r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#,
        );
        assert_eq!((one.version, one.token()), (1, "t"));
        for zero in [r#""negotiateVersion":0,"#, ""] {
            let zero = offer(&format!(
                r#"{{{zero}"connectionId":"i","connectionToken":"t","availableTransports":[]}}"#
            ));
            assert_eq!((zero.version, zero.token()), (0, "i"));
        }
        for member in ["connectionId", "connectionToken", "availableTransports"] {
            let body = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#;
            assert_eq!(decode(&body.replace(member, "x")), Err(missing(member)));
        }
    }

    #[test]
    fn an_empty_error_is_none_and_an_empty_name_is_invalid() {
        let body = r#"{"error":"","negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#;
        assert_eq!(offer(body).token(), "t");
        for (member, value) in [("connectionId", "\"i\""), ("connectionToken", "\"t\"")] {
            let error = decode(&body.replace(value, "\"\"")).unwrap_err();
            let text = format!(
                "invalid negotiation response received: expected '{member}' to be a text that is not empty at byte 0"
            );
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn of_members_that_are_there_twice_the_last_counts() {
        let twice = offer(concat!(
            r#"{"connectionId":"a","negotiateVersion":0,"error":"no","url":"http://x","connectionId":"i","negotiateVersion":1,"#,
            r#""error":null,"url":"","connectionToken":"t","useStatefulReconnect":true,"useStatefulReconnect":false,"#,
            r#""availableTransports":[],"availableTransports":[{"transport":"x","transferFormats":[],"transport":"WebSockets","transferFormats":["Text"]}]}"#
        ));
        assert_eq!((&*twice.connection_id, twice.token()), ("i", "t"));
        assert!(!twice.stateful_reconnect);
        let names: Vec<_> = twice.transports.iter().map(|one| &*one.transport).collect();
        assert_eq!(names, ["WebSockets"]);
        let refresh =
            RefreshResponse::decode(br#"{"tokenLifetimeSeconds":1,"tokenLifetimeSeconds":7}"#);
        assert_eq!(refresh.unwrap().lifetime, Some(Duration::from_secs(7)));
    }

    #[test]
    fn unknown_members_are_skipped_at_any_depth() {
        let one = offer(
            r#"{"x":{"y":[1,{"z":null}]},"negotiateVersion":1,"connectionId":"i","connectionToken":"t",
               "availableTransports":[{"transport":"Pigeons","transferFormats":["Text"],"speed":[]}]}"#,
        );
        assert_eq!(
            one.transports,
            [TransportOffer {
                transport: "Pigeons".into(),
                transfer_formats: vec!["Text".into()]
            }]
        );
    }

    #[test]
    fn a_redirect_wins_over_everything_but_an_error() {
        let redirect = decode(r#"{"url":"https://other/client?hub=chat","accessToken":"canary","negotiateVersion":0,"availableTransports":[]}"#).unwrap();
        let NegotiateResponse::Redirect { url, access_token } = &redirect else {
            panic!("{redirect:?}")
        };
        assert_eq!(
            (&**url, access_token.as_ref().unwrap().expose()),
            ("https://other/client?hub=chat", "canary")
        );
        assert!(!format!("{redirect:?}").contains("canary"));
        assert_eq!(
            decode(r#"{"url":"https://x","error":"no"}"#),
            Ok(NegotiateResponse::Refused { error: "no".into() })
        );
    }

    #[test]
    fn an_asp_net_server_that_is_not_core_is_explained() {
        assert_eq!(
            decode(r#"{"ProtocolVersion":"1.5","Url":"/signalr"}"#),
            Err(NegotiateError::AspNet)
        );
        assert_eq!(
            decode(r#"{"protocolVersion":"1.5","url":"/signalr"}"#),
            Err(NegotiateError::AspNet)
        );
    }

    #[test]
    fn members_with_wrong_capitals_are_named_and_their_values_are_not() {
        for (body, detail) in [
            (
                r#"{"Url":"https://canary/","AccessToken":"canary"}"#,
                "'Url' must be 'url', 'AccessToken' must be 'accessToken'",
            ),
            (
                r#"{"negotiateVersion":1,"ConnectionId":"canary","AVAILABLETRANSPORTS":[]}"#,
                "'ConnectionId' must be 'connectionId', 'AVAILABLETRANSPORTS' must be 'availableTransports'",
            ),
        ] {
            let detail = detail.into();
            assert_eq!(decode(body), Err(NegotiateError::Misspelled { detail }));
        }
        // What can be read is read, whatever else is there.
        assert!(matches!(
            decode(r#"{"url":"https://x/","Url":"https://y/"}"#),
            Ok(NegotiateResponse::Redirect { .. })
        ));
    }

    #[test]
    fn an_answer_that_is_redirected_or_compressed_says_so() {
        let read = |status: u16, name: &str, value: &str| {
            let response = Response::builder().status(status).header(name, value);
            NegotiateResponse::read(&response.body(Bytes::from_static(b"canary")).unwrap())
                .unwrap_err()
                .to_string()
        };
        let redirected = read(302, "location", "https://h/hub/negotiate?k=canary");
        assert!(
            redirected.starts_with("the server redirects negotiate to https://h/hub (status 302)"),
            "{redirected}"
        );
        let compressed = read(200, "content-encoding", "gzip");
        assert!(compressed.contains("compressed (gzip)"), "{compressed}");
        assert!(!format!("{redirected}{compressed}").contains("canary"));
        assert!(read(404, "location", "/hub").contains("status 404"));
    }

    #[test]
    fn every_request_asks_for_bodies_that_are_not_compressed_unless_the_user_knows_better() {
        let url = HubUrl::parse("http://h/hub").unwrap();
        let asked = |headers: Option<&HeaderMap>| {
            let request = request(&url, headers, None, false).unwrap();
            request.headers()["accept-encoding"].clone()
        };
        assert_eq!(asked(None), "identity");
        let mut own = HeaderMap::new();
        own.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(asked(Some(&own)), "br");
    }

    #[test]
    fn a_body_that_is_not_a_json_object_is_an_error_with_its_place_and_without_its_text() {
        for body in [
            "",
            "not json canary",
            "[]",
            "null",
            "{\"connectionId\":5}",
            "{\n\n  canary",
            "{\"connectionId\":\"canary\",}",
        ] {
            let error = decode(body).unwrap_err();
            assert!(
                matches!(error, NegotiateError::Invalid(_)),
                "{body}: {error:?}"
            );
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn responses_are_written_as_the_official_server_writes_them() {
        let mut offer = Offer::new("i".into(), Some("t".into()), &TransportKind::ALL);
        offer.stateful_reconnect = true;
        let response = NegotiateResponse::Connect(offer);
        let text = concat!(
            r#"{"useStatefulReconnect":true,"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":["#,
            r#"{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},"#,
            r#"{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}"#
        );
        assert_eq!(response.encode(), text);
        assert_eq!(NegotiateResponse::decode(text.as_bytes()), Ok(response));
        let refused = NegotiateResponse::Refused { error: "no".into() };
        assert_eq!(NegotiateResponse::decode(&refused.encode()), Ok(refused));
    }

    #[test]
    fn the_request_has_the_headers_of_the_official_clients_and_hides_the_token() {
        let url = HubUrl::parse("http://h/hub").unwrap();
        let request = request(&url, None, AccessToken::new("canary").as_ref(), false).unwrap();
        assert_eq!(request.headers()["x-requested-with"], "XMLHttpRequest");
        assert_eq!(request.headers()["authorization"], "Bearer canary");
        assert!(
            request.headers()["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("Microsoft SignalR/")
        );
        assert!(!format!("{request:?}").contains("canary"));
    }
}
