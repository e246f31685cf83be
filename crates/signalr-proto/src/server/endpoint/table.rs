//! The table of tokens.

use core::hash::Hash;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytestring::ByteString;
use http::StatusCode;

use super::request::ConnectionKey;
use crate::server::Port;
use crate::server::answers::{Refused, other_transport, refuse};
use crate::server::identity::Identity;
use crate::time::Instant;
use crate::transport::negotiate::TransportKind;

pub(super) type Token = Arc<str>;

/// Expiries of one token that are no further apart are the same: drivers compute them from two clocks.
const SAME_EXPIRY: Duration = Duration::from_secs(1);

/// What each token stands for. Every token is here once, and waits or is opened.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Token, Entry>,
    /// The tokens of negotiations, oldest first, and when they lapse.
    waiting: BTreeMap<u64, (Instant, Token)>,
    opened: HashMap<ConnectionKey, Token>,
    /// Names both negotiations and connections.
    last: u64,
}

/// What is known about a token.
pub(super) struct Entry {
    pub(super) version: u32,
    pub(super) connection_id: Box<str>,
    pub(super) stateful_reconnect: bool,
    /// Set by the first transport that is welcome.
    transport: Option<TransportKind>,
    pub(super) owner: TokenOwner,
    /// Boxed because most negotiations of a flood come without one.
    presented: Option<Box<Presented>>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New,
    Waiting(u64),
    Opened(ConnectionKey),
}

/// Whose requests are welcome.
pub(super) enum TokenOwner {
    /// Nobody has said who he is, and no transport has come.
    Anybody,
    /// Whoever brought the transport did not say who he is, and that remains so.
    Nobody,
    User(ByteString),
}

/// An identity as it was first presented, and the same with the expiry that counts.
#[derive(Clone)]
struct Presented {
    raw: Identity,
    identity: Identity,
}

impl Table {
    pub(super) fn get(&mut self, token: &str) -> Option<(Token, &mut Entry)> {
        // The map's own copy of the token is what other tables share.
        let token = Arc::clone(self.entries.get_key_value(token)?.0);
        let entry = self.entries.get_mut(&token)?;
        Some((token, entry))
    }

    /// Adds a token that is to be opened at once. `None` when there is such a token.
    pub(super) fn add(&mut self, token: &str, entry: Entry) -> Option<Token> {
        if self.entries.contains_key(token) {
            return None;
        }
        let token = Token::from(token);
        self.entries.insert(Arc::clone(&token), entry);
        Some(token)
    }

    /// Adds a token that waits for its transport until `lapse`. `false` when there is such a token.
    pub(super) fn wait(&mut self, token: &str, mut entry: Entry, lapse: Instant) -> bool {
        let number = self.next();
        entry.stage = Stage::Waiting(number);
        let Some(token) = self.add(token, entry) else {
            return false;
        };
        self.waiting.insert(number, (lapse, token));
        true
    }

    /// Gives the connection of a token its name.
    pub(super) fn open(&mut self, token: &Token) -> ConnectionKey {
        let key = ConnectionKey(self.next());
        if let Some(entry) = self.entries.get_mut(token) {
            if let Stage::Waiting(number) = core::mem::replace(&mut entry.stage, Stage::Opened(key))
            {
                self.waiting.remove(&number);
            }
            self.opened.insert(key, Arc::clone(token));
        }
        key
    }

    pub(super) fn key(&self, token: &str) -> Option<ConnectionKey> {
        match self.entries.get(token)?.stage {
            Stage::Opened(key) => Some(key),
            Stage::New | Stage::Waiting(_) => None,
        }
    }

    pub(super) fn close(&mut self, key: ConnectionKey) {
        if let Some(token) = self.opened.remove(&key) {
            self.entries.remove(&token);
            give_back(&mut self.opened);
            give_back(&mut self.entries);
        }
    }

    pub(super) fn next_lapse(&self) -> Option<Instant> {
        self.waiting.values().next().map(|(lapse, _)| *lapse)
    }

    pub(super) fn lapse(&mut self, now: Instant) {
        while let Some(oldest) = self.waiting.first_entry() {
            if oldest.get().0 > now {
                return;
            }
            let (_, token) = oldest.remove();
            self.entries.remove(&token);
            give_back(&mut self.entries);
        }
    }

    /// How many tokens there is room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn opened(&self) -> usize {
        self.opened.len()
    }

    const fn next(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }
}

/// Gives back the room of a flood that is over. What is removed pays for it: a map shrinks by half at most once for each time
/// that half of it was removed.
fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    const KEPT: usize = 1024;
    if map.capacity() > KEPT && map.len() < map.capacity() / 8 {
        map.shrink_to(map.capacity() / 4);
    }
}

impl Entry {
    pub(super) const fn new(
        version: u32,
        connection_id: Box<str>,
        stateful_reconnect: bool,
    ) -> Self {
        Self {
            version,
            connection_id,
            stateful_reconnect,
            transport: None,
            owner: TokenOwner::Anybody,
            presented: None,
            stage: Stage::New,
        }
    }

    /// Whether such a request is welcome now ([SB-60](crate::spec::server_behaviour#sb-60)); if not, what it gets.
    pub(super) fn admit(&self, port: Port, offered: &[TransportKind]) -> Result<(), Refused> {
        match port {
            Port::Post if self.transport == Some(TransportKind::WebSockets) => Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "POST requests are not allowed for WebSocket connections.",
            )),
            Port::Delete if self.transport != Some(TransportKind::LongPolling) => Err(refuse(
                StatusCode::BAD_REQUEST,
                "Cannot terminate this connection using the DELETE endpoint.",
            )),
            Port::Post | Port::Delete | Port::Refresh => Ok(()),
            Port::WebSocket => self.admit_transport(TransportKind::WebSockets, offered),
            Port::Events => self.admit_transport(TransportKind::ServerSentEvents, offered),
            Port::Poll => self.admit_transport(TransportKind::LongPolling, offered),
        }
    }

    fn admit_transport(
        &self,
        kind: TransportKind,
        offered: &[TransportKind],
    ) -> Result<(), Refused> {
        if !offered.contains(&kind) {
            return Err(not_offered(kind));
        }
        match self.transport {
            None => Ok(()),
            Some(bound) if bound != kind => Err(Box::new(other_transport())),
            Some(TransportKind::LongPolling) => Ok(()),
            // Another WebSocket may take over, and the connection knows whether it does.
            Some(TransportKind::WebSockets) if self.stateful_reconnect => Ok(()),
            Some(TransportKind::WebSockets | TransportKind::ServerSentEvents) => {
                Err(refuse(StatusCode::CONFLICT, ""))
            }
        }
    }

    /// Whoever negotiates a connection owns it, if it is known who that is.
    pub(super) fn claim(&mut self, now: Instant, identity: &Identity, cap: Option<Duration>) {
        self.presented = Some(Box::new(self.counted(now, identity, cap)));
        self.own(identity);
    }

    /// Whoever brings the transport owns what was nobody's.
    pub(super) fn bind(&mut self, transport: TransportKind, identity: Option<&Identity>) {
        self.transport = Some(transport);
        if matches!(self.owner, TokenOwner::Anybody) {
            self.owner = TokenOwner::Nobody;
            if let Some(identity) = identity {
                self.own(identity);
            }
        }
    }

    fn own(&mut self, identity: &Identity) {
        if let Some(user) = &identity.user_id {
            self.owner = TokenOwner::User(user.clone());
        }
    }

    /// The identity that was presented last.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.presented.as_ref().map(|presented| &presented.identity)
    }

    /// What the connection is told about the sender of a request.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        port: Port,
        identity: &Identity,
        cap: Option<Duration>,
    ) -> Option<Identity> {
        if !self.owner.heeds(identity) {
            return None;
        }
        let presented = self.counted(now, identity, cap);
        let identity = presented.identity.clone();
        // Messages and farewells come with any token, old ones too.
        if !matches!(port, Port::Post | Port::Delete) {
            self.presented = Some(Box::new(presented));
        }
        Some(identity)
    }

    /// What counts of an identity. The same token again is the same identity, so that nobody lives longer by showing it often.
    fn counted(&self, now: Instant, identity: &Identity, cap: Option<Duration>) -> Presented {
        let known = self.presented.as_deref();
        if let Some(known) = known.filter(|known| same_token(&known.raw, identity)) {
            return known.clone();
        }
        let raw = identity.clone();
        let mut identity = raw.clone();
        if let Some(latest) = cap.map(|cap| now.after(cap)) {
            identity.expires_at = Some(raw.expires_at.map_or(latest, |at| at.min(latest)));
        }
        Presented { raw, identity }
    }
}

impl TokenOwner {
    /// Whether this is the owner, or there is none.
    pub(super) fn admits(&self, identity: Option<&Identity>) -> bool {
        match self {
            Self::Anybody | Self::Nobody => true,
            Self::User(user) => {
                identity.and_then(|identity| identity.user_id.as_ref()) == Some(user)
            }
        }
    }

    /// Whether an identity can be the connection's: one that began as nobody's stays nobody's.
    pub(super) const fn heeds(&self, identity: &Identity) -> bool {
        match self {
            Self::Anybody | Self::User(_) => true,
            Self::Nobody => identity.user_id.is_none(),
        }
    }
}

fn same_token(one: &Identity, other: &Identity) -> bool {
    let same_expiry = match (one.expires_at, other.expires_at) {
        (Some(one), Some(other)) => one.since(other).max(other.since(one)) < SAME_EXPIRY,
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
    };
    one.user_id == other.user_id && one.claims == other.claims && same_expiry
}

fn not_offered(transport: TransportKind) -> Refused {
    let words = match transport {
        TransportKind::WebSockets => "WebSockets transport not supported by this end point type",
        TransportKind::ServerSentEvents => {
            "ServerSentEvents transport not supported by this end point type"
        }
        TransportKind::LongPolling => "LongPolling transport not supported by this end point type",
    };
    refuse(StatusCode::NOT_FOUND, words)
}
