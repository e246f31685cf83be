//! An endpoint beside the model of its table.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use signalr_proto::server::{
    ConnectionKey, Endpoint, EndpointConfig, FreshIds, Identity, Port, RequestHead, Resource,
    ServerConfig, Verdict,
};
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_proto::{Instant, OpId, TransportKind};

use super::table::{Asked, Expected, Model, Stage, port};
use crate::bits::{Bits, pick};
use crate::trace::Trace;

pub(super) struct Run {
    endpoint: Endpoint,
    model: Model,
    now: Instant,
    /// How many pairs of ids were given.
    drawn: u32,
    /// The next draw gives the last pair again.
    repeats: bool,
    keys: Vec<ConnectionKey>,
    ops: BTreeSet<OpId>,
    trace: Trace,
}

const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::DELETE,
    Method::CONNECT,
    Method::PUT,
    Method::HEAD,
    Method::OPTIONS,
    Method::GET,
];

/// Places of those that clients use.
const USUAL: [u8; 8] = [0, 0, 0, 0, 1, 1, 2, 7];

const VERSIONS: [&str; 8] = [
    "negotiateVersion=1",
    "",
    "NegotiateVersion=7&useStatefulReconnect=TRUE",
    "negotiateVersion=0&usestatefulreconnect=true",
    "negotiateVersion=x",
    "negotiateVersion=-1",
    "negotiateVersion=1&negotiateVersion=1",
    "useStatefulReconnect=true&negotiateVersion=1",
];

fn config(bits: &mut Bits<'_>) -> EndpointConfig {
    let flags = bits.byte();
    let mut config = EndpointConfig::default();
    if flags & 1 != 0 {
        config
            .transports
            .retain(|kind| *kind != TransportKind::WebSockets);
    } else if flags & 2 != 0 {
        config.transports.truncate(1);
    }
    config.stateful_reconnect = flags & 4 == 0;
    config.authentication_refresh = flags & 8 == 0;
    config.minimum_negotiate_version = i32::from(flags & 16 != 0);
    config.max_waiting = 3;
    config.max_connections = 4;
    config.maximum_authentication_expiration = (flags & 32 != 0).then_some(Duration::from_secs(60));
    config
}

impl Run {
    pub(super) fn of(data: &[u8], trace: Trace) -> String {
        let mut bits = Bits(data);
        let config = config(&mut bits);
        let mut run = Self {
            endpoint: Endpoint::new(config.clone(), ServerConfig::default()),
            model: Model::new(config),
            now: Instant::ZERO,
            drawn: 0,
            repeats: false,
            keys: Vec::new(),
            ops: BTreeSet::new(),
            trace,
        };
        while !bits.0.is_empty() {
            run.step(&mut bits);
            run.agree();
        }
        run.finish();
        run.trace.take()
    }

    fn step(&mut self, bits: &mut Bits<'_>) {
        match bits.byte() % 16 {
            0..=3 => self.negotiate(bits),
            4..=11 => self.ask(bits),
            12 => self.close(bits),
            13 => self.repeats = true,
            14 => self.pass(Duration::from_secs(u64::from(bits.byte() % 20))),
            _ => self.lapse(),
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        if duration.as_secs() % 2 == 0 {
            self.endpoint.handle_timeout(self.now);
            self.model.pass(self.now);
        }
    }

    fn lapse(&mut self) {
        if let Some(at) = self.endpoint.poll_timeout() {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.model.pass(self.now);
            let next = self.endpoint.poll_timeout();
            assert!(
                next.is_none_or(|next| next > at),
                "the deadline stands still"
            );
        }
    }

    /// Also what is closed already.
    fn close(&mut self, bits: &mut Bits<'_>) {
        let index = bits.index(self.keys.len());
        if let Some(key) = index.and_then(|index| self.keys.get(index).copied()) {
            self.endpoint.closed(key);
            self.model.close(key);
        }
    }

    fn agree(&self) {
        assert_eq!(self.endpoint.waiting(), self.model.waiting());
        assert_eq!(self.endpoint.connections(), self.model.opened());
        assert!(self.endpoint.waiting() <= self.model.config.max_waiting);
        assert!(self.endpoint.connections() <= self.model.config.max_connections);
        assert_eq!(self.endpoint.poll_timeout(), self.model.next_lapse());
    }

    /// Time and the ends of all connections leave nothing behind.
    fn finish(&mut self) {
        let shown = format!("{:?}", self.endpoint);
        self.now = self.now.after(Duration::from_secs(15));
        self.endpoint.handle_timeout(self.now);
        self.keys.iter().for_each(|key| self.endpoint.closed(*key));
        let left = self.endpoint.waiting() + self.endpoint.connections();
        assert_eq!((left, self.endpoint.poll_timeout()), (0, None));
        for known in &self.model.known {
            assert!(!shown.contains(&known.token), "a token is shown");
        }
    }
}

/// Requests.
impl Run {
    fn handle(&mut self, asked: &Asked, query: &str, headers: &HeaderMap) -> (Verdict, bool) {
        let head = RequestHead {
            method: &asked.method,
            resource: asked.resource,
            query,
            headers,
            upgrade: asked.upgrade,
            identity: asked.identity.as_ref(),
        };
        let before = self.drawn;
        let repeats = core::mem::take(&mut self.repeats) && self.drawn > 0;
        let drawn = &mut self.drawn;
        let mut asked_for_ids = false;
        let ids = || {
            asked_for_ids = true;
            *drawn += u32::from(!repeats);
            ids(*drawn)
        };
        let verdict = self.endpoint.handle(self.now, ids, &head);
        assert!(self.drawn <= before + 1);
        self.trace.line(format_args!("{head:?} {verdict:?}"));
        (verdict, asked_for_ids)
    }

    fn negotiate(&mut self, bits: &mut Bits<'_>) {
        let how = bits.byte();
        let query = pick(&VERSIONS, how);
        let usual = how & 0x38 != 0x38;
        let asked = Asked {
            method: if usual {
                Method::POST
            } else {
                pick(&METHODS, how)
            },
            resource: Resource::Negotiate,
            token: None,
            events: false,
            upgrade: false,
            foreign: false,
            identity: identity(how >> 6, self.now),
        };
        self.model.pass(self.now);
        let room = self.model.has_room_to_wait();
        let (verdict, asked_for_ids) = self.handle(&asked, query, &HeaderMap::new());
        let Verdict::Respond(response) = verdict else {
            panic!("negotiation opens nothing");
        };
        let status = response.status().as_u16();
        if asked.method != Method::POST {
            return assert_eq!((status, asked_for_ids), (405, false));
        }
        if status == 503 {
            let taken = asked_for_ids && self.model.find(&self.token_of(query)).is_some();
            return assert!(!room || taken, "there is room");
        }
        assert_eq!(status, 200);
        let answer = NegotiateResponse::decode(response.body()).expect("the answer is one");
        let NegotiateResponse::Connect(offer) = answer else {
            return assert!(!asked_for_ids, "ids for nothing");
        };
        assert!(asked_for_ids && room, "nobody made room");
        let granted = self.model.config.stateful_reconnect
            && query
                .to_ascii_lowercase()
                .contains("usestatefulreconnect=true")
            && self
                .model
                .config
                .transports
                .contains(&TransportKind::WebSockets);
        assert_eq!(offer.stateful_reconnect, granted);
        assert_eq!(offer.token(), self.token_of(query));
        assert!(
            self.model.find(offer.token()).is_none(),
            "a token was given twice"
        );
        self.model.negotiated(
            self.now,
            offer.token().to_owned(),
            offer.version,
            offer.stateful_reconnect,
            asked.identity.as_ref(),
        );
    }

    /// The token that this negotiation gives, when it gives one.
    fn token_of(&self, query: &str) -> String {
        let ids = ids(self.drawn);
        let newer = query.contains("Version=1") || query.contains("Version=7");
        String::from(if newer {
            ids.connection_token
        } else {
            ids.connection_id
        })
    }

    fn ask(&mut self, bits: &mut Bits<'_>) {
        let (how, who) = (bits.byte(), bits.byte());
        let token = self.token(bits);
        let usual = how & 0x40 == 0;
        let method = if usual { pick(&USUAL, how) } else { how & 7 };
        let refresh = how & 0xa0 == 0xa0;
        let asked = Asked {
            method: pick(&METHODS, if refresh && how & 7 < 6 { 1 } else { method }),
            resource: if refresh {
                Resource::Refresh
            } else {
                Resource::Hub
            },
            token,
            events: how & 0x18 == 0x18,
            upgrade: how & 0x10 != 0,
            foreign: who & 0x1c == 0x1c,
            identity: identity(who, self.now),
        };
        let query = query(asked.token.as_deref(), who >> 5);
        self.model.pass(self.now);
        let expected = self.model.expected(&asked);
        let known = asked
            .token
            .as_deref()
            .and_then(|token| self.model.find(token));
        let heard = known.is_none_or(|known| {
            asked
                .identity
                .as_ref()
                .is_none_or(|identity| known.hears_of(identity))
        });
        let (verdict, asked_for_ids) = self.handle(&asked, &query, &headers(&asked));
        if expected != Expected::Opens(None) {
            assert!(!asked_for_ids, "ids for nothing");
        }
        match verdict {
            Verdict::Respond(response) => self.check_answer(&asked, &response, &expected),
            Verdict::Join { key, arrival } => {
                assert_eq!(expected, Expected::Joins(key));
                self.check_arrival(
                    &asked,
                    arrival.op,
                    arrival.port,
                    heard,
                    arrival.identity.as_ref(),
                );
                self.model.welcomed(&asked, key);
            }
            Verdict::Open {
                key, ids, arrival, ..
            } => {
                self.check_arrival(
                    &asked,
                    arrival.op,
                    arrival.port,
                    heard,
                    arrival.identity.as_ref(),
                );
                assert!(!self.keys.contains(&key), "a key was used twice");
                self.keys.push(key);
                let token = String::from(ids.connection_token);
                if asked.token.is_some() {
                    assert_eq!(expected, Expected::Opens(Some(token)));
                    self.model.welcomed(&asked, key);
                } else {
                    assert_eq!(expected, Expected::Opens(None));
                    assert_eq!(*token, *ids.connection_id);
                    assert!(self.model.find(&token).is_none(), "a token was given twice");
                    self.model
                        .opened_directly(token, key, asked.identity.as_ref());
                }
            }
        }
    }

    /// One that was given out, mostly, or the id of its connection, or something else, or none.
    fn token(&self, bits: &mut Bits<'_>) -> Option<String> {
        let how = bits.byte();
        let index = bits.index(self.model.known.len());
        let known = index.and_then(|index| self.model.known.get(index));
        match (how % 16, known) {
            (0, _) | (_, None) => None,
            (1, Some(known)) => Some(known.token.replace("token", "id")),
            (2, Some(known)) => Some(format!("{}x", known.token)),
            (3, Some(known)) => Some(known.token.to_uppercase()),
            (4..=7, Some(_)) => {
                let mut open = self.model.known.iter().rev();
                let open = open.find(|known| known.stage != Stage::Gone);
                open.map(|known| known.token.clone())
            }
            (_, Some(known)) => Some(known.token.clone()),
        }
    }

    fn check_answer(&self, asked: &Asked, response: &Response<Bytes>, expected: &Expected) {
        let status = response.status().as_u16();
        if *expected == Expected::Opens(None) {
            // The ids that were drawn belong to another connection.
            let id = String::from(ids(self.drawn).connection_id);
            assert!(status == 503 && self.model.find(&id).is_some());
        } else {
            assert_eq!(*expected, Expected::Status(status), "{asked:?}");
        }
        let uncached = response.headers().contains_key(header::CACHE_CONTROL);
        let is_poll = port(asked) == Some(Port::Poll);
        assert_eq!(uncached, is_poll, "{asked:?}");
    }

    fn check_arrival(
        &mut self,
        asked: &Asked,
        op: OpId,
        port: Port,
        heard: bool,
        identity: Option<&Identity>,
    ) {
        assert!(self.ops.insert(op), "{op} was used twice");
        assert_eq!(Some(port), super::table::port(asked));
        let Some(sent) = asked.identity.as_ref().filter(|_| heard) else {
            return assert_eq!(identity, None);
        };
        let identity = identity.expect("the sender is known");
        assert_eq!(
            (&identity.user_id, identity.claims),
            (&sent.user_id, sent.claims)
        );
        if let Some(most) = self.model.config.maximum_authentication_expiration {
            let expiry = identity.expires_at.expect("everything expires");
            assert!(expiry <= self.now.after(most));
        }
    }
}

fn ids(number: u32) -> FreshIds {
    FreshIds {
        connection_id: format!("id-{number}").into(),
        connection_token: format!("token-{number}").into(),
    }
}

fn identity(who: u8, now: Instant) -> Option<Identity> {
    let user = match who & 3 {
        0 => return None,
        1 => None,
        2 => Some("alice".into()),
        _ => Some("bob".into()),
    };
    Some(Identity {
        user_id: user,
        claims: u64::from(who >> 5),
        expires_at: (who & 0x20 != 0).then(|| now.after(Duration::from_secs(30))),
    })
}

fn query(token: Option<&str>, how: u8) -> String {
    match (token, how & 3) {
        (None, 0) => "id=".to_owned(),
        (None, _) => "x=1".to_owned(),
        (Some(token), 0) => format!("x=1&ID={token}"),
        (Some(token), 1) => format!("id={}&_=3", token.replace('-', "%2d")),
        (Some(token), 2) => format!("id={token}&id=other"),
        (Some(token), _) => format!("id={token}"),
    }
}

fn headers(asked: &Asked) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: header::HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    if asked.events {
        add(header::ACCEPT, "text/html, Text/Event-Stream;q=0.5");
    }
    add(header::HOST, "here.example");
    add(
        header::ORIGIN,
        if asked.foreign {
            "http://here.example.evil.example"
        } else {
            "https://here.example"
        },
    );
    headers
}
