//! Real answers: the requests that an ASP.NET Core server was asked are put to our endpoint, which has to answer the same.
//!
//! What it leaves to the connection has to get there; what differs is named in [`DIFFERENCES`] or [`NOT_OURS`] with the reason.

use std::collections::BTreeMap;

use bytestring::ByteString;
use http::{HeaderMap, HeaderName, Method, Response};
use serde::Deserialize;
use signalr_proto::server::{
    ConnectionKey, Endpoint, EndpointConfig, FreshIds, Identity, Port, RequestHead, Resource,
    ServerConfig, Verdict, query_parameter,
};
use signalr_proto::{Instant, TransportKind};

/// What no endpoint is asked.
const NOT_OURS: [(&str, &str); 6] = [
    (
        "negotiate no content length",
        "a request that HTTP does not allow is the HTTP server's business",
    ),
    (
        "negotiate OPTIONS cors",
        "CORS is the business of the web framework",
    ),
    (
        "negotiate auth none",
        "who may use the hub is asked before the endpoint is",
    ),
    ("negotiate missing hub", "there is no such hub"),
    (
        "negotiate redirect",
        "the answer of a service in front of a hub",
    ),
    (
        "lp 200 kB garbage before the handshake",
        "the server had not answered when the recording ended",
    ),
];

/// Where ours answers otherwise on purpose.
const DIFFERENCES: [(&str, u16, &str); 2] = [
    (
        "auth connect as another user",
        403,
        "a connection is for the user who negotiated it",
    ),
    (
        "auth send as another user",
        403,
        "a connection is for the user who negotiated it",
    ),
];

/// Headers that matter; how long the body is, and how it is sent, is the HTTP server's business.
const HEADERS: [&str; 4] = ["content-type", "cache-control", "expires", "pragma"];

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Option<Asked>,
    status: serde_json::Value,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

/// What had happened to the token of a request before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Negotiated,
    Attached(Port),
    Closed,
}

fn before(name: &str) -> Before {
    match name {
        "POST before any transport"
        | "DELETE before any transport"
        | "long poll on a websockets-only hub"
        | "sse on a websockets-only hub"
        | "websocket on a long-polling hub"
        | "lp first poll"
        | "sse events"
        | "sse events to delete"
        | "sse messagepack handshake"
        | "sse abort"
        | "auth connect as another user"
        | "auth connect as the same user" => Before::Negotiated,
        "lp poll after delete"
        | "lp send after delete"
        | "lp delete again"
        | "lp poll after abort 3"
        | "sse send after the stream was cut" => Before::Closed,
        "auth send as another user" => Before::Attached(Port::Poll),
        name if name.starts_with("lp ") => Before::Attached(Port::Poll),
        name if name.starts_with("sse ") => Before::Attached(Port::Events),
        _ => Before::Nothing,
    }
}

/// What the connection has to answer, if the endpoint does not.
fn port(name: &str, method: &str) -> Option<Port> {
    let decided_alone = [
        "lp websocket upgrade on same id",
        "lp sse on same id",
        "sse second reader",
        "sse delete",
    ];
    match before(name) {
        Before::Nothing | Before::Closed => None,
        Before::Negotiated if name.contains("-only hub") || name.contains("-polling hub") => None,
        Before::Negotiated | Before::Attached(_) if decided_alone.contains(&name) => None,
        Before::Negotiated | Before::Attached(_) => match method {
            "POST" => Some(Port::Post),
            "DELETE" if name == "lp delete" => Some(Port::Delete),
            "DELETE" => None,
            _ if name.starts_with("sse ") => Some(Port::Events),
            _ => Some(Port::Poll),
        },
    }
}

impl Case {
    fn asked(&self) -> Asked {
        let hub = match self.name.as_str() {
            "websocket on a long-polling hub" | "lp websocket upgrade on same id" => {
                "/longpolling?id=token"
            }
            _ => "/hub",
        };
        self.request.clone().unwrap_or_else(|| Asked {
            method: "GET".into(),
            path: hub.into(),
            headers: BTreeMap::from([("Upgrade".into(), "websocket".into())]),
        })
    }

    /// The ids that the real server drew, so that answers can be compared as they are.
    fn ids(&self, token: Option<&str>) -> FreshIds {
        let body: serde_json::Value =
            serde_json::from_str(self.body.as_deref().unwrap_or_default()).unwrap_or_default();
        let id = |name: &str| body[name].as_str().map(Into::into);
        FreshIds {
            connection_id: id("connectionId").unwrap_or_else(|| "connection".into()),
            connection_token: id("connectionToken")
                .or_else(|| token.map(Into::into))
                .unwrap_or_else(|| "unused".into()),
        }
    }
}

fn hub(path: &str) -> Endpoint {
    let mut config = EndpointConfig::default();
    config.transports = match path.split(['/', '?']).nth(1).unwrap() {
        "websockets" => vec![TransportKind::WebSockets],
        "sse" => vec![TransportKind::ServerSentEvents],
        "longpolling" => vec![TransportKind::LongPolling],
        _ => TransportKind::ALL.to_vec(),
    };
    config.stateful_reconnect = path.starts_with("/hub");
    Endpoint::new(config, ServerConfig::default())
}

/// The bearer token is the user's name.
fn identity(asked: &Asked) -> Option<Identity> {
    let bearer = asked.headers.get("Authorization");
    let name = bearer.map(|value| value.trim_start_matches("Bearer ").to_owned());
    let (_, query) = asked.path.split_once('?').unwrap_or_default();
    let user = name.or_else(|| query_parameter(query, "access_token"))?;
    Some(Identity {
        user_id: Some(ByteString::from(user)),
        claims: 0,
        expires_at: None,
    })
}

fn ask(endpoint: &mut Endpoint, case: &Case, asked: &Asked) -> Verdict {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
    let token = query_parameter(query, "id");
    let identity = identity(asked);
    let head = RequestHead {
        method: &method,
        resource: Resource::of(path),
        query,
        upgrade: headers.contains_key("upgrade"),
        headers: &headers,
        identity: identity.as_ref(),
    };
    endpoint.handle(Instant::ZERO, || case.ids(token.as_deref()), &head)
}

/// An endpoint that has seen what the real server had.
fn prepared(case: &Case, asked: &Asked) -> Endpoint {
    let mut endpoint = hub(&asked.path);
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let before = before(&case.name);
    if before == Before::Nothing {
        return endpoint;
    }
    let token = query_parameter(query, "id").unwrap();
    let user = if path == "/auth" { "alice" } else { "" };
    let step = |endpoint: &mut Endpoint, method: &str, path: String, accept: &str| {
        let mut headers = BTreeMap::from([("Accept".into(), accept.into())]);
        if !user.is_empty() {
            headers.insert("Authorization".into(), format!("Bearer {user}"));
        }
        let method = method.into();
        let asked = Asked {
            method,
            path,
            headers,
        };
        ask(
            endpoint,
            &Case {
                body: None,
                ..no_case(&token)
            },
            &asked,
        )
    };
    let negotiate = format!("{path}/negotiate?negotiateVersion=1&id={token}");
    let negotiated = step(&mut endpoint, "POST", negotiate, "");
    assert!(matches!(negotiated, Verdict::Respond(answer) if answer.status() == 200));
    let accept = match before {
        Before::Nothing | Before::Negotiated => return endpoint,
        Before::Attached(Port::Events) => "text/event-stream",
        Before::Attached(_) => "",
        Before::Closed if path == "/sse" => "text/event-stream",
        Before::Closed => "",
    };
    let key = opened(step(&mut endpoint, "GET", asked.path.clone(), accept));
    if before == Before::Closed {
        endpoint.closed(key);
    }
    endpoint
}

fn opened(verdict: Verdict) -> ConnectionKey {
    match verdict {
        Verdict::Open { key, .. } => key,
        other @ (Verdict::Respond(_) | Verdict::Join { .. }) => panic!("{other:?}"),
    }
}

fn no_case(token: &str) -> Case {
    Case {
        name: token.into(),
        request: None,
        status: serde_json::Value::Null,
        headers: None,
        body: None,
    }
}

fn check_answer(case: &Case, response: &Response<bytes::Bytes>) {
    let name = &case.name;
    let status = u64::from(response.status().as_u16());
    assert_eq!(Some(status), case.status.as_u64(), "{name}");
    let Some(expected) = &case.headers else {
        return;
    };
    for header in HEADERS {
        let ours = response.headers().get(header);
        let ours = ours.map(|value| value.to_str().unwrap());
        assert_eq!(
            ours,
            expected.get(header).map(String::as_str),
            "{name}: {header}"
        );
    }
    let body = std::str::from_utf8(response.body()).unwrap();
    assert_eq!(body, case.body.as_deref().unwrap_or_default(), "{name}");
}

#[test]
fn every_recorded_request_is_answered_alike_or_reaches_its_connection() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../../tests/vectors/http.json")).unwrap();
    let (mut answered, mut passed_on) = (0, 0);
    let mut named = Vec::new();
    for case in &cases {
        let name = case.name.as_str();
        if name.starts_with("ws client close") || name == "lp binary protocol handshake" {
            // What connections say, not what endpoints do.
            continue;
        }
        if NOT_OURS.iter().any(|(not_ours, _)| *not_ours == name) {
            named.push(name);
            continue;
        }
        let asked = case.asked();
        let mut endpoint = prepared(case, &asked);
        let verdict = ask(&mut endpoint, case, &asked);
        let difference = DIFFERENCES.iter().find(|(other, ..)| *other == name);
        if let Some((name, status, _)) = difference {
            named.push(*name);
            assert!(matches!(verdict, Verdict::Respond(answer) if answer.status() == *status));
            continue;
        }
        match (port(name, &asked.method), verdict) {
            (None, Verdict::Respond(response)) => {
                check_answer(case, &response);
                answered += 1;
            }
            (Some(port), Verdict::Open { arrival, .. } | Verdict::Join { arrival, .. }) => {
                assert_eq!(arrival.port, port, "{name}");
                passed_on += 1;
            }
            (_, verdict) => panic!("{name}: {verdict:?}"),
        }
    }
    let expected = NOT_OURS.map(|(name, _)| name).into_iter();
    let expected = expected.chain(DIFFERENCES.map(|(name, ..)| name));
    named.sort_unstable();
    let mut all: Vec<_> = expected.collect();
    all.sort_unstable();
    assert_eq!(named, all);
    assert_eq!((answered, passed_on), (39, 27));
}
