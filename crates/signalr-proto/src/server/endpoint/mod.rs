//! The requests of one hub: what each is for, and the table of tokens that tells.
//!
//! A driver hands in the head of each request. The endpoint answers it, or says that it begins a connection or belongs to one:
//!
//! ```text
//!              POST …/negotiate                    GET, POST or refresh with the token
//!   (unknown) ------------------> Waiting ----------------------------------------------> Opened
//!       ^                            |                                                      |
//!       |<---------------------------+ 15 s without a transport                             |
//!       |<------------------------------------------------------------------ closed(key) ---+
//! ```
//!
//! A token opens one connection, and names it until the driver says that it is [closed](Endpoint::closed). A WebSocket without a
//! token begins a connection of its own, whose id is its token.

mod negotiate;
mod origins;
mod refresh;
mod request;
mod table;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::StatusCode;

pub use self::origins::Origins;
pub use self::request::{ConnectionKey, FreshIds, RequestHead, Resource, Verdict};
use self::table::{Entry, Table, Token};
use super::answers::{Refused, not_cached, refuse};
use super::config::ServerConfig;
use super::identity::Identity;
use super::{Arrival, ConnectionOptions, Port, ServerConnection};
use crate::time::Instant;
use crate::transport::OpIds;
use crate::transport::negotiate::TransportKind;

/// What a hub offers over HTTP, with the defaults of the official server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// The transports offered; in negotiate answers they have the order of [`TransportKind::ALL`]. Default: all.
    pub transports: Vec<TransportKind>,
    /// Clients that negotiate with a lower version are refused. Default: 0.
    pub minimum_negotiate_version: i32,
    /// Whether clients that ask for it get stateful reconnect. Default: false.
    pub stateful_reconnect: bool,
    /// Negotiations that may wait for their transport at one time; further ones get 503. Each costs some hundred bytes.
    /// Default: 65,536.
    pub max_waiting: usize,
    /// Connections at one time; further ones get 503. Default: no limit.
    pub max_connections: usize,
    /// From which pages browsers may open WebSockets. Default: pages of the same origin.
    pub origins: Origins,
    /// Whether clients may present newer tokens ([requirements](crate::spec::transports#authentication-refresh)). Default: false.
    pub authentication_refresh: bool,
    /// Whether connections are closed when their token expires. Default: false.
    pub close_on_authentication_expiration: bool,
    /// No token counts for longer than this from its first arrival, not even one that never expires. Default: no limit.
    pub maximum_authentication_expiration: Option<Duration>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            transports: TransportKind::ALL.to_vec(),
            minimum_negotiate_version: 0,
            stateful_reconnect: false,
            max_waiting: 65_536,
            max_connections: usize::MAX,
            origins: Origins::Same {
                forwarded_host: false,
            },
            authentication_refresh: false,
            close_on_authentication_expiration: false,
            maximum_authentication_expiration: None,
        }
    }
}

/// The requests of one hub ([SB-60](crate::spec::server_behaviour#sb-60)).
///
/// Tokens belong to one endpoint: those of other hubs are unknown here. Nothing that it shows holds a token.
///
/// ```
/// use http::{HeaderMap, Method};
/// use signalr_proto::Instant;
/// use signalr_proto::server::*;
///
/// let mut endpoint = Endpoint::new(EndpointConfig::default(), ServerConfig::default());
/// let head = RequestHead {
///     method: &Method::GET,
///     resource: Resource::of("/chat"),
///     query: "",
///     headers: &HeaderMap::new(),
///     upgrade: true,
///     identity: None,
/// };
/// let ids = || FreshIds { connection_id: "random".into(), connection_token: "secret".into() };
/// match endpoint.handle(Instant::ZERO, ids, &head) {
///     Verdict::Respond(response) => println!("answer {response:?}"),
///     Verdict::Open { key, mut connection, arrival, .. } => {
///         connection.handle_input(Instant::ZERO, Input::Arrived(arrival));
///         // Poll its outputs until it is closed; then:
///         endpoint.closed(key);
///     }
///     Verdict::Join { key, arrival } => println!("{arrival:?} belongs to {key:?}"),
/// }
/// ```
pub struct Endpoint {
    config: EndpointConfig,
    connection: Arc<ServerConfig>,
    table: Table,
    ops: OpIds,
    now: Instant,
}

impl Endpoint {
    /// An endpoint without connections; all that it opens have the configuration `connection`.
    #[must_use]
    pub fn new(config: EndpointConfig, connection: impl Into<Arc<ServerConfig>>) -> Self {
        Self {
            config,
            connection: connection.into(),
            table: Table::default(),
            ops: OpIds::default(),
            now: Instant::ZERO,
        }
    }

    /// Says what a request is for. `ids` is asked only when a connection begins.
    pub fn handle(
        &mut self,
        now: Instant,
        ids: impl FnOnce() -> FreshIds,
        head: &RequestHead<'_>,
    ) -> Verdict {
        self.handle_timeout(now);
        let verdict = match head.resource {
            Resource::Negotiate => Ok(Verdict::Respond(self.negotiate(ids, head))),
            Resource::Refresh => self.refresh(head),
            Resource::Hub => self.connect(ids, head),
        };
        verdict.unwrap_or_else(|refused| Verdict::Respond(*refused))
    }

    /// When the oldest negotiation lapses that no transport has followed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_lapse()
    }

    /// Forgets negotiations that have lapsed ([TR-26](crate::spec::transports#tr-26)). Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.table.lapse(self.now);
    }

    /// A connection is over, and later requests with its token get 404.
    pub fn closed(&mut self, key: ConnectionKey) {
        self.table.close(key);
    }

    /// How many negotiations wait for their transport.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.table.waiting()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.opened()
    }
}

/// Requests for the hub itself.
impl Endpoint {
    fn connect(
        &mut self,
        ids: impl FnOnce() -> FreshIds,
        head: &RequestHead<'_>,
    ) -> Result<Verdict, Refused> {
        let port = head
            .port()
            .ok_or_else(|| refuse(StatusCode::METHOD_NOT_ALLOWED, ""))?;
        let verdict = self.connect_to(port, ids, head);
        if port == Port::Poll {
            return verdict.map_err(|refused| Box::new(not_cached(*refused)));
        }
        verdict
    }

    fn connect_to(
        &mut self,
        port: Port,
        ids: impl FnOnce() -> FreshIds,
        head: &RequestHead<'_>,
    ) -> Result<Verdict, Refused> {
        // Other requests of foreign pages are the business of CORS, which WebSockets do not have.
        if port == Port::WebSocket && !self.config.origins.allow(head.headers) {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "Pages of this origin may not connect.",
            ));
        }
        match head.token() {
            Some(token) => self.route(port, &token, head.identity),
            None if port == Port::WebSocket => self.open_directly(ids, head.identity),
            None => Err(refuse(StatusCode::BAD_REQUEST, "Connection ID required")),
        }
    }

    fn route(
        &mut self,
        port: Port,
        token: &str,
        identity: Option<&Identity>,
    ) -> Result<Verdict, Refused> {
        let (token, entry) = self
            .table
            .get(token)
            .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "No Connection with that ID"))?;
        if !entry.owner.admits(identity) {
            return Err(refuse(StatusCode::FORBIDDEN, ""));
        }
        entry.admit(port, &self.config.transports)?;
        self.enter(&token, port, identity)
    }

    /// A WebSocket without negotiation ([TR-43](crate::spec::transports#tr-43)): its id is its token, and there is no way to
    /// refresh or to resume.
    fn open_directly(
        &mut self,
        ids: impl FnOnce() -> FreshIds,
        identity: Option<&Identity>,
    ) -> Result<Verdict, Refused> {
        let mut entry = Entry::new(0, Box::default(), false);
        entry.admit(Port::WebSocket, &self.config.transports)?;
        self.check_room()?;
        let id = ids().connection_id;
        entry.connection_id.clone_from(&id);
        let token = self.table.add(&id, entry).ok_or_else(unavailable)?;
        self.enter(&token, Port::WebSocket, identity)
    }

    /// A welcome request: opens its connection, or joins it.
    fn enter(
        &mut self,
        token: &Token,
        port: Port,
        identity: Option<&Identity>,
    ) -> Result<Verdict, Refused> {
        let opened = self.table.key(token);
        if opened.is_none() {
            self.check_room()?;
        }
        let cap = self.config.maximum_authentication_expiration;
        let (_, entry) = self.table.get(token).ok_or_else(unavailable)?;
        let options = ConnectionOptions {
            stateful_reconnect: entry.stateful_reconnect,
            refreshable: self.config.authentication_refresh && entry.version > 0,
            close_on_expiration: self.config.close_on_authentication_expiration,
            identity: entry.identity().cloned(),
        };
        let arrival = Arrival {
            op: self.ops.next(),
            port,
            identity: identity.and_then(|identity| entry.identify(self.now, port, identity, cap)),
        };
        if let Some(transport) = port.transport() {
            entry.bind(transport, arrival.identity.as_ref());
        }
        let ids = FreshIds {
            connection_id: entry.connection_id.clone(),
            connection_token: (**token).into(),
        };
        Ok(match opened {
            Some(key) => Verdict::Join { key, arrival },
            None => Verdict::Open {
                key: self.table.open(token),
                ids,
                connection: Box::new(ServerConnection::new(
                    Arc::clone(&self.connection),
                    options,
                    self.now,
                )),
                arrival,
            },
        })
    }

    fn check_room(&self) -> Result<(), Refused> {
        if self.connections() < self.config.max_connections {
            Ok(())
        } else {
            Err(unavailable())
        }
    }
}

/// There are too many clients.
fn unavailable() -> Refused {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "")
}

/// Shows sizes, and no tokens.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("config", &self.config)
            .field("waiting", &self.waiting())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
