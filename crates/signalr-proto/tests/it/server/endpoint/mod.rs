//! A hub that is asked over HTTP, without a network.

mod lapse;
mod negotiate;
mod owners;
mod refresh;
mod routes;

use bytestring::ByteString;
use http::{HeaderMap, Method};

use signalr_proto::server::{
    ConnectionKey, Endpoint, EndpointConfig, FreshIds, Identity, Port, RequestHead, Resource,
    ServerConfig, Verdict,
};
use signalr_proto::{Instant, TransportKind};
use std::time::Duration;

const EVENTS: (&str, &str) = ("accept", "text/event-stream");
const UPGRADE: (&str, &str) = ("upgrade", "websocket");
const BEARER: &str = "x-user";

struct Site {
    endpoint: Endpoint,
    now: Instant,
    /// Ids that were asked for.
    drawn: usize,
}

/// What a request got.
#[derive(Debug, PartialEq)]
enum Got {
    Answer(u16, String),
    Open(ConnectionKey, Port),
    Join(ConnectionKey, Port),
}

fn text(status: u16, body: &str) -> Got {
    Got::Answer(status, body.to_owned())
}

fn site(change: impl FnOnce(&mut EndpointConfig)) -> Site {
    let mut config = EndpointConfig::default();
    change(&mut config);
    Site {
        endpoint: Endpoint::new(config, ServerConfig::default()),
        now: Instant::ZERO,
        drawn: 0,
    }
}

fn user(name: &str) -> Identity {
    Identity {
        user_id: Some(ByteString::from(name)),
        claims: 1,
        expires_at: None,
    }
}

impl Site {
    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn verdict(
        &mut self,
        method: &Method,
        target: &str,
        headers: &[(&'static str, &str)],
        identity: Option<&Identity>,
    ) -> Verdict {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let named = map.get(BEARER).map(|name| user(name.to_str().unwrap()));
        let head = RequestHead {
            method,
            resource: Resource::of(path),
            query,
            upgrade: map.contains_key("upgrade"),
            headers: &map,
            identity: identity.or(named.as_ref()),
        };
        let drawn = &mut self.drawn;
        let ids = || {
            *drawn += 1;
            FreshIds {
                connection_id: format!("id{drawn}").into(),
                connection_token: format!("token{drawn}").into(),
            }
        };
        self.endpoint.handle(self.now, ids, &head)
    }

    fn ask(&mut self, method: &Method, target: &str, headers: &[(&'static str, &str)]) -> Got {
        match self.verdict(method, target, headers, None) {
            Verdict::Respond(response) => {
                let body = String::from_utf8(response.body().to_vec()).unwrap();
                Got::Answer(response.status().as_u16(), body)
            }
            Verdict::Open { key, arrival, .. } => Got::Open(key, arrival.port),
            Verdict::Join { key, arrival } => Got::Join(key, arrival.port),
        }
    }

    fn get(&mut self, target: &str, headers: &[(&'static str, &str)]) -> Got {
        self.ask(&Method::GET, target, headers)
    }

    /// Negotiates, and gives the token.
    #[track_caller]
    fn negotiate(&mut self, query: &str, headers: &[(&'static str, &str)]) -> String {
        let target = format!("/hub/negotiate?{query}");
        let Got::Answer(200, body) = self.ask(&Method::POST, &target, headers) else {
            panic!("refused");
        };
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let token = body["connectionToken"].as_str();
        token
            .or_else(|| body["connectionId"].as_str())
            .unwrap()
            .to_owned()
    }

    #[track_caller]
    fn v1(&mut self) -> String {
        self.negotiate("negotiateVersion=1", &[])
    }

    /// A connection with this transport; gives its address and key.
    #[track_caller]
    fn opened(&mut self, headers: &[(&'static str, &str)]) -> (String, ConnectionKey) {
        let target = format!("/hub?id={}", self.v1());
        match self.get(&target, headers) {
            Got::Open(key, _) => (target, key),
            other @ (Got::Answer(..) | Got::Join(..)) => panic!("{other:?}"),
        }
    }
}

fn expiring(claims: u64, seconds: u64) -> Identity {
    Identity {
        expires_at: Some(Instant(Duration::from_secs(seconds))),
        claims,
        ..user("alice")
    }
}
