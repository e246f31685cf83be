//! A plain model of the table of tokens: a list that is searched for everything, and the status tables written down once more.

use std::time::Duration;

use http::Method;
use signalr_proto::server::{
    ConnectionKey, EndpointConfig, Identity, Port, Resource, ServerConfig,
};
use signalr_proto::{Instant, TransportKind};

/// What is known of a token that was given out.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) token: String,
    pub(super) version: u32,
    pub(super) stateful: bool,
    pub(super) stage: Stage,
    transport: Option<TransportKind>,
    /// Whose it is: none when that is open, somebody's name, or nobody's.
    owner: Option<Option<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// Until then a transport has to come.
    Waiting(Instant),
    Opened(ConnectionKey),
    Gone,
}

/// A request, as far as it matters.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) resource: Resource,
    pub(super) token: Option<String>,
    pub(super) events: bool,
    pub(super) upgrade: bool,
    /// Whether a page of another origin opens a WebSocket.
    pub(super) foreign: bool,
    pub(super) identity: Option<Identity>,
}

/// What has to become of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// This status; nothing begins.
    Status(u16),
    /// A connection begins, perhaps under this token.
    Opens(Option<String>),
    Joins(ConnectionKey),
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) config: EndpointConfig,
    lifetime: Duration,
    pub(super) known: Vec<Known>,
}

impl Model {
    pub(super) fn new(config: EndpointConfig) -> Self {
        Self {
            config,
            lifetime: ServerConfig::default().disconnect_timeout,
            known: Vec::new(),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        let known = self.known.iter();
        known
            .filter(|known| matches!(known.stage, Stage::Waiting(_)))
            .count()
    }

    pub(super) fn opened(&self) -> usize {
        let known = self.known.iter();
        known
            .filter(|known| matches!(known.stage, Stage::Opened(_)))
            .count()
    }

    pub(super) fn next_lapse(&self) -> Option<Instant> {
        let lapses = self.known.iter().filter_map(|known| match known.stage {
            Stage::Waiting(lapse) => Some(lapse),
            Stage::Opened(_) | Stage::Gone => None,
        });
        lapses.min()
    }

    pub(super) fn pass(&mut self, now: Instant) {
        for known in &mut self.known {
            if matches!(known.stage, Stage::Waiting(lapse) if lapse <= now) {
                known.stage = Stage::Gone;
            }
        }
    }

    pub(super) fn close(&mut self, key: ConnectionKey) {
        for known in &mut self.known {
            if known.stage == Stage::Opened(key) {
                known.stage = Stage::Gone;
            }
        }
    }

    pub(super) fn find(&self, token: &str) -> Option<&Known> {
        let mut known = self.known.iter();
        known.find(|known| known.token == token && known.stage != Stage::Gone)
    }

    fn find_mut(&mut self, token: &str) -> Option<&mut Known> {
        let mut known = self.known.iter_mut();
        known.find(|known| known.token == token && known.stage != Stage::Gone)
    }

    fn is_full(&self) -> bool {
        self.opened() >= self.config.max_connections
    }

    /// Whether a negotiation that is not at fault gets a connection.
    pub(super) fn has_room_to_wait(&self) -> bool {
        self.waiting() < self.config.max_waiting && !self.is_full()
    }

    pub(super) fn negotiated(
        &mut self,
        now: Instant,
        token: String,
        version: u32,
        stateful: bool,
        identity: Option<&Identity>,
    ) {
        let user = identity.and_then(|identity| identity.user_id.as_ref());
        self.known.push(Known {
            token,
            version,
            stateful,
            stage: Stage::Waiting(now.after(self.lifetime)),
            transport: None,
            owner: user.map(|user| Some(user.to_string())),
        });
    }

    /// A WebSocket without a token opened a connection.
    pub(super) fn opened_directly(
        &mut self,
        token: String,
        key: ConnectionKey,
        identity: Option<&Identity>,
    ) {
        self.known.push(Known {
            token,
            version: 0,
            stateful: false,
            stage: Stage::Opened(key),
            transport: Some(TransportKind::WebSockets),
            owner: Some(name(identity)),
        });
    }

    /// The request with this token was welcome.
    pub(super) fn welcomed(&mut self, asked: &Asked, key: ConnectionKey) {
        let transport = port(asked).and_then(transport);
        let token = asked.token.as_deref().unwrap_or_default();
        let Some(known) = self.find_mut(token) else {
            return;
        };
        known.stage = Stage::Opened(key);
        if let Some(transport) = transport {
            known.transport = Some(transport);
            known
                .owner
                .get_or_insert_with(|| name(asked.identity.as_ref()));
        }
    }

    pub(super) fn expected(&self, asked: &Asked) -> Expected {
        match asked.resource {
            Resource::Refresh => self.expected_of_refresh(asked),
            Resource::Hub | Resource::Negotiate => self.expected_of_hub(asked),
        }
    }

    fn expected_of_hub(&self, asked: &Asked) -> Expected {
        let Some(port) = port(asked) else {
            return Expected::Status(405);
        };
        if port == Port::WebSocket && asked.foreign {
            return Expected::Status(403);
        }
        let offers = |kind| self.config.transports.contains(&kind);
        let Some(token) = asked.token.as_deref() else {
            return match port {
                Port::WebSocket if !offers(TransportKind::WebSockets) => Expected::Status(404),
                Port::WebSocket if self.is_full() => Expected::Status(503),
                Port::WebSocket => Expected::Opens(None),
                _ => Expected::Status(400),
            };
        };
        let Some(known) = self.find(token) else {
            return Expected::Status(404);
        };
        if !known.is_users(asked.identity.as_ref()) {
            return Expected::Status(403);
        }
        let refused = match (port, transport(port), known.transport) {
            (Port::Post, _, Some(TransportKind::WebSockets)) => Some(405),
            (Port::Delete, _, Some(TransportKind::LongPolling)) => None,
            (Port::Delete, ..) => Some(400),
            (_, None, _) => None,
            (_, Some(kind), _) if !offers(kind) => Some(404),
            (_, Some(_), None) => None,
            (_, Some(kind), Some(bound)) if kind != bound => Some(400),
            (_, Some(TransportKind::LongPolling), _) => None,
            (_, Some(TransportKind::WebSockets), _) if known.stateful => None,
            _ => Some(409),
        };
        refused.map_or_else(|| self.lets_in(known), Expected::Status)
    }

    fn expected_of_refresh(&self, asked: &Asked) -> Expected {
        if asked.method != Method::POST {
            return Expected::Status(405);
        }
        if !self.config.authentication_refresh {
            return Expected::Status(404);
        }
        let Some(token) = asked.token.as_deref() else {
            return Expected::Status(400);
        };
        let Some(known) = self.find(token) else {
            return Expected::Status(404);
        };
        let Some(identity) = &asked.identity else {
            return Expected::Status(if known.version == 0 { 400 } else { 401 });
        };
        if known.version == 0 {
            Expected::Status(400)
        } else if known
            .owner
            .as_ref()
            .is_some_and(|owner| *owner != name(Some(identity)))
        {
            Expected::Status(403)
        } else {
            self.lets_in(known)
        }
    }

    fn lets_in(&self, known: &Known) -> Expected {
        match known.stage {
            Stage::Opened(key) => Expected::Joins(key),
            Stage::Waiting(_) | Stage::Gone if self.is_full() => Expected::Status(503),
            Stage::Waiting(_) | Stage::Gone => Expected::Opens(Some(known.token.clone())),
        }
    }
}

impl Known {
    /// Whether requests of this sender are welcome: of the owner only, unless it is nobody's.
    fn is_users(&self, identity: Option<&Identity>) -> bool {
        match &self.owner {
            Some(Some(owner)) => name(identity).as_ref() == Some(owner),
            Some(None) | None => true,
        }
    }

    /// Whether the connection may hear of this sender.
    pub(super) fn hears_of(&self, identity: &Identity) -> bool {
        self.owner != Some(None) || identity.user_id.is_none()
    }
}

fn name(identity: Option<&Identity>) -> Option<String> {
    identity
        .and_then(|identity| identity.user_id.as_ref())
        .map(ToString::to_string)
}

/// What a request wants of the hub, if anything.
pub(super) fn port(asked: &Asked) -> Option<Port> {
    if asked.resource == Resource::Refresh {
        return Some(Port::Refresh);
    }
    match asked.method.as_str() {
        "GET" | "CONNECT" if asked.events => Some(Port::Events),
        "GET" | "CONNECT" if asked.upgrade => Some(Port::WebSocket),
        "GET" | "CONNECT" => Some(Port::Poll),
        "POST" => Some(Port::Post),
        "DELETE" => Some(Port::Delete),
        _ => None,
    }
}

const fn transport(port: Port) -> Option<TransportKind> {
    match port {
        Port::WebSocket => Some(TransportKind::WebSockets),
        Port::Events => Some(TransportKind::ServerSentEvents),
        Port::Poll => Some(TransportKind::LongPolling),
        Port::Post | Port::Delete | Port::Refresh => None,
    }
}
