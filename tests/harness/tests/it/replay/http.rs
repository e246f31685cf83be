//! What was said over HTTP: negotiation, event streams, polls, sends and deletes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use signalr_proto::transport::EventStream;

use super::web_socket;
use super::wire::{Answer, Exchange, Request};

/// Recordings that cannot be held again.
pub(crate) const NOT_REPLAYED: [(&str, &str); 1] = [(
    "lp binary protocol handshake",
    "recorded without its request; 'lp messagepack handshake answer' is the same",
)];

/// What is not the same twice, or not significant: how a body is framed, and when it was sent.
const INSIGNIFICANT: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];

const JSON: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const MESSAGE_PACK: &str = "{\"protocol\":\"messagepack\",\"version\":1}\u{1e}";
const ADD: &str =
    "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\u{1e}";
const ABORT: &str = "{\"type\":1,\"target\":\"Abort\",\"arguments\":[]}\u{1e}";
/// `[1, {}, "1", "Add", [1, 2], []]`
const PACKED_ADD: &[u8] = b"\x0d\x96\x01\x80\xa11\xa3Add\x92\x01\x02\x90";

/// What is done with a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks what was recorded under this name.
    Ask(&'static str),
    /// Asks it, and does not wait for the answer.
    Begin(&'static str),
    /// Waits for that answer.
    End(&'static str),
    /// Breaks it off.
    Cut(&'static str),
    /// It still has no answer.
    Pending(&'static str),
    /// The same as `Ask`, but with the connection's id in the token's place.
    AskById(&'static str),
    /// Asks for a WebSocket. The recording has no request.
    Upgrade(&'static str),
    /// Opens a WebSocket, shakes hands and closes with this code.
    Close(&'static str, u16),
    /// Sends what was not recorded.
    Post(&'static [u8]),
    /// So much that nobody wants it, without waiting for the answer.
    Garbage(&'static str, usize),
    /// A poll that was not recorded.
    Poll,
    Pause(u64),
}
use Step::*;

/// A connection's life.
struct Script {
    hub: &'static str,
    /// Who negotiates.
    user: Option<&'static str>,
    steps: &'static [Step],
}

const fn script(hub: &'static str, steps: &'static [Step]) -> Script {
    Script {
        hub,
        user: None,
        steps,
    }
}

/// Whatever was recorded with a connection's token. Everything else is asked by itself.
const SCRIPTS: &[Script] = &[
    script("/hub", &[AskById("GET by connectionId instead of token")]),
    script("/hub", &[Ask("POST before any transport")]),
    script("/hub", &[Ask("DELETE before any transport")]),
    script("/websockets", &[Ask("long poll on a websockets-only hub")]),
    script("/websockets", &[Ask("sse on a websockets-only hub")]),
    script(
        "/longpolling",
        &[Upgrade("websocket on a long-polling hub")],
    ),
    script(
        "/longpolling",
        &[
            Ask("lp first poll"),
            Ask("lp send handshake"),
            Ask("lp poll handshake answer"),
            Ask("lp send add"),
            Ask("lp poll add"),
            Ask("lp send empty"),
            Ask("lp poll after an empty send"),
            Begin("lp two polls: the older"),
            Pause(200),
            Begin("lp two polls: the newer"),
            End("lp two polls: the older"),
            Post(ADD.as_bytes()),
            End("lp two polls: the newer"),
            Ask("lp idle poll (server poll timeout 5 s)"),
            Post(ADD.as_bytes()),
            Ask("lp poll with cache-buster"),
            Begin("lp poll pending at delete"),
            Pause(200),
            Ask("lp delete"),
            End("lp poll pending at delete"),
            Pause(200),
            Ask("lp poll after delete"),
            Ask("lp send after delete"),
            Ask("lp delete again"),
        ],
    ),
    script(
        "/longpolling",
        &[
            Poll,
            Post(JSON.as_bytes()),
            Post(ABORT.as_bytes()),
            Pause(500),
            Ask("lp poll after abort 1"),
            Ask("lp poll after abort 2"),
            Pause(200),
            Ask("lp poll after abort 3"),
        ],
    ),
    script(
        "/longpolling",
        &[
            Poll,
            Upgrade("lp websocket upgrade on same id"),
            Ask("lp sse on same id"),
        ],
    ),
    script(
        "/hub",
        &[
            Poll,
            Post(MESSAGE_PACK.as_bytes()),
            Ask("lp messagepack handshake answer"),
            Post(PACKED_ADD),
            Ask("lp messagepack add"),
        ],
    ),
    script(
        "/sse",
        &[
            Begin("sse events"),
            Pause(200),
            Ask("sse send handshake"),
            Ask("sse send add"),
            Ask("sse send line ends"),
            Ask("sse second reader"),
            Pause(300),
            Cut("sse events"),
            Pause(300),
            Ask("sse send after the stream was cut"),
        ],
    ),
    script(
        "/sse",
        &[
            Begin("sse events to delete"),
            Pause(200),
            Post(JSON.as_bytes()),
            Ask("sse delete"),
            Pause(300),
            Cut("sse events to delete"),
        ],
    ),
    script(
        "/sse",
        &[
            Begin("sse messagepack handshake"),
            Pause(200),
            Post(MESSAGE_PACK.as_bytes()),
            End("sse messagepack handshake"),
        ],
    ),
    script(
        "/sse",
        &[
            Begin("sse abort"),
            Pause(200),
            Post(JSON.as_bytes()),
            Post(ABORT.as_bytes()),
            End("sse abort"),
        ],
    ),
    Script {
        hub: "/auth",
        user: Some("alice"),
        steps: &[
            Ask("auth connect as another user"),
            Begin("auth connect as the same user"),
            Pause(200),
            // What was sent later was no handshake any more.
            End("auth connect as the same user"),
            Ask("auth send as another user"),
        ],
    },
    script(
        "/hub",
        &[
            Poll,
            Garbage("lp 200 kB garbage before the handshake", 200_000),
            Pause(3000),
            Pending("lp 200 kB garbage before the handshake"),
            Ask("lp poll after it"),
        ],
    ),
    script("/hub", &[Close("ws client close 1000", 1000)]),
    script("/hub", &[Close("ws client close 1001", 1001)]),
    script("/hub", &[Close("ws client close 3000", 3000)]),
];

/// The recordings by name.
pub(crate) type Cases = BTreeMap<String, Value>;

pub(crate) fn cases() -> Cases {
    let text = include_str!("../../../../../tests/vectors/http.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    cases
        .into_iter()
        .map(|case| (case["name"].as_str().unwrap().to_owned(), case))
        .collect()
}

/// A connection while its script is played.
struct Play<'a> {
    server: SocketAddr,
    cases: &'a Cases,
    hub: &'static str,
    /// The connection's token and its id.
    ids: (String, String),
    begun: BTreeMap<&'static str, Exchange>,
    differences: Vec<(String, String)>,
}

/// Holds every recorded conversation again and gives what was different, by name.
pub(crate) async fn replay(server: SocketAddr, cases: &Cases) -> Vec<(String, String)> {
    let scripted: Vec<&str> = SCRIPTS
        .iter()
        .flat_map(|script| script.steps)
        .filter_map(Step::name)
        .collect();
    let alone = cases.iter().filter(|(name, _)| {
        let passed_over = NOT_REPLAYED.iter().any(|(known, _)| known == name);
        !passed_over && !scripted.contains(&name.as_str())
    });
    let alone = alone.map(|(name, case)| async move {
        let outcome = Exchange::begin(server, &request(case, None)).answer().await;
        let outcome = outcome.and_then(|answer| compare(case, &answer));
        outcome.err().map(|error| (name.clone(), error))
    });
    let alone = futures_util::future::join_all(alone).await;
    let scripts = SCRIPTS.iter().map(|script| play(server, cases, script));
    let scripts = futures_util::future::join_all(scripts).await.concat();
    alone.into_iter().flatten().chain(scripts).collect()
}

impl Step {
    const fn name(&self) -> Option<&'static str> {
        match self {
            Ask(name)
            | AskById(name)
            | Begin(name)
            | Upgrade(name)
            | Close(name, _)
            | Garbage(name, _) => Some(name),
            End(_) | Cut(_) | Pending(_) | Post(_) | Poll | Pause(_) => None,
        }
    }
}

async fn play(server: SocketAddr, cases: &Cases, script: &Script) -> Vec<(String, String)> {
    let mut play = Play {
        server,
        cases,
        hub: script.hub,
        ids: negotiate(server, script).await,
        begun: BTreeMap::new(),
        differences: Vec::new(),
    };
    for step in script.steps {
        play.step(*step).await;
    }
    play.differences
}

async fn negotiate(server: SocketAddr, script: &Script) -> (String, String) {
    let authorization = |user| ("Authorization".to_owned(), format!("Bearer {user}"));
    let request = Request {
        method: "POST".to_owned(),
        path: format!("{}/negotiate?negotiateVersion=1", script.hub),
        headers: script.user.map(authorization).into_iter().collect(),
        body: Some(Vec::new()),
    };
    let answer = Exchange::begin(server, &request).answer().await.unwrap();
    let offer: Value = serde_json::from_slice(&answer.body).unwrap();
    let id = |member: &str| offer[member].as_str().unwrap().to_owned();
    (id("connectionToken"), id("connectionId"))
}

impl Play<'_> {
    async fn step(&mut self, step: Step) {
        let (name, outcome) = match step {
            Ask(name) => {
                let exchange = self.begin(&self.request(name, &self.ids.0));
                (name, self.compared(name, exchange.answer().await))
            }
            AskById(name) => {
                let exchange = self.begin(&self.request(name, &self.ids.1));
                (name, self.compared(name, exchange.answer().await))
            }
            Begin(name) => {
                let exchange = self.begin(&self.request(name, &self.ids.0));
                self.begun.insert(name, exchange);
                return;
            }
            End(name) => {
                let answer = self.take(name).answer().await;
                (name, self.compared(name, answer))
            }
            Cut(name) => {
                let answer = self.take(name).cut().await;
                (name, self.compared(name, answer))
            }
            Pending(name) => {
                let pending = self.begun[name].is_pending();
                let outcome = pending.then_some(()).ok_or_else(|| "answered".to_owned());
                (name, outcome)
            }
            Upgrade(name) => (name, self.upgrade(name).await),
            Close(name, code) => (name, self.close(name, code).await),
            Garbage(name, size) => {
                let garbage = self.begin(&self.said("POST", Some(vec![b'x'; size])));
                self.begun.insert(name, garbage);
                return;
            }
            Post(body) => {
                let post = self.begin(&self.said("POST", Some(body.to_vec())));
                ("a send between", self.accepted(post).await)
            }
            Poll => {
                let poll = self.begin(&self.said("GET", None));
                ("a poll between", self.accepted(poll).await)
            }
            Pause(milliseconds) => {
                return tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
        };
        if let Err(error) = outcome {
            self.differences.push((name.to_owned(), error));
        }
    }

    fn begin(&self, request: &Request) -> Exchange {
        Exchange::begin(self.server, request)
    }

    fn take(&mut self, name: &str) -> Exchange {
        self.begun.remove(name).unwrap()
    }

    fn request(&self, name: &str, id: &str) -> Request {
        request(&self.cases[name], Some(id))
    }

    /// A request with the connection's token that was not recorded.
    fn said(&self, method: &str, body: Option<Vec<u8>>) -> Request {
        Request {
            method: method.to_owned(),
            path: format!("{}?id={}", self.hub, self.ids.0),
            headers: Vec::new(),
            body,
        }
    }

    async fn accepted(&self, exchange: Exchange) -> Result<(), String> {
        match exchange.answer().await?.status {
            200 => Ok(()),
            status => Err(format!("answered {status}")),
        }
    }

    fn compared(&self, name: &str, answer: Result<Answer, String>) -> Result<(), String> {
        compare(&self.cases[name], &answer?)
    }

    async fn upgrade(&self, name: &str) -> Result<(), String> {
        let mut request = self.said("GET", None);
        request.headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        self.compared(name, self.begin(&request).answer().await)
    }

    async fn close(&self, name: &str, code: u16) -> Result<(), String> {
        let url = format!("ws://{}{}?id={}", self.server, self.hub, self.ids.0);
        let answered = web_socket::closed_with(&url, JSON, code).await?;
        let expected = self.cases[name]["status"].as_u64();
        if Some(u64::from(answered)) == expected {
            Ok(())
        } else {
            Err(format!("closed with {answered} instead of {expected:?}"))
        }
    }
}

/// The recorded request, with another id.
fn request(case: &Value, id: Option<&str>) -> Request {
    let recorded = &case["request"];
    let path = recorded["path"].as_str().unwrap();
    let path = match (id, path.split_once("id=")) {
        (Some(id), Some((before, after))) => {
            let rest = after.find('&').map_or("", |at| &after[at..]);
            format!("{before}id={id}{rest}")
        }
        _ => path.to_owned(),
    };
    let headers = recorded["headers"].as_object().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Request {
        method: text(&recorded["method"]),
        path,
        headers: headers
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        body: recorded["body"]
            .as_str()
            .map(|body| body.as_bytes().to_vec()),
    }
}

fn compare(case: &Value, answer: &Answer) -> Result<(), String> {
    if case["status"] != answer.status {
        return Err(format!(
            "status {} instead of {}: {}",
            answer.status,
            case["status"],
            answer.text()
        ));
    }
    if case["how"] == "end" && !answer.complete {
        return Err("the body does not end".to_owned());
    }
    if let Some(recorded) = case["headers"].as_object() {
        let significant = |(name, value): (&str, &str)| {
            (!INSIGNIFICANT.contains(&name)).then(|| (name.to_owned(), value.to_owned()))
        };
        let recorded = recorded
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let recorded: BTreeMap<_, _> = recorded.filter_map(significant).collect();
        let answered = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let answered: BTreeMap<_, _> = answered.filter_map(significant).collect();
        if recorded != answered {
            return Err(format!("headers {answered:?} instead of {recorded:?}"));
        }
    }
    let Some(body) = case["body"].as_str() else {
        return Ok(());
    };
    let (recorded, answered) = (
        comparable(case, recorded_bytes(case, body)),
        comparable(case, answer.body.clone()),
    );
    if recorded == answered {
        Ok(())
    } else {
        Err(format!("body {answered:?} instead of {recorded:?}"))
    }
}

/// The body's bytes: one for each letter, but MessagePack is hexadecimal digits.
fn recorded_bytes(case: &Value, body: &str) -> Vec<u8> {
    if case["name"] == "lp messagepack add" {
        let pairs = (0..body.len()).step_by(2);
        return pairs
            .map(|at| u8::from_str_radix(&body[at..at + 2], 16).unwrap())
            .collect();
    }
    body.chars()
        .map(|letter| u8::try_from(u32::from(letter)).unwrap())
        .collect()
}

/// A body without what differs from run to run.
fn comparable(case: &Value, body: Vec<u8>) -> String {
    let kind = case["headers"]["content-type"].as_str().unwrap_or_default();
    if kind == "text/event-stream" {
        return events(body);
    }
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for member in ["\"connectionId\":\"", "\"connectionToken\":\""] {
        let Some(start) = text.find(member).map(|at| at + member.len()) else {
            continue;
        };
        let end = start + text[start..].find('"').unwrap();
        // An id of another kind is another answer.
        let id = &text[start..end];
        let usual = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
        if id.len() == 22 && id.bytes().all(usual) {
            text.replace_range(start..end, "an id");
        }
    }
    text
}

/// How a stream begins, and what its events hold together: their borders are not significant.
fn events(body: Vec<u8>) -> String {
    let (opening, _) = body.split_at(body.len().min(3));
    let mut text = format!("{:?} ", String::from_utf8_lossy(opening));
    let mut stream = EventStream::new(usize::MAX);
    let mut rest = Bytes::from(body);
    while let Some(event) = stream.decode(&mut rest).unwrap() {
        text += &String::from_utf8_lossy(&event);
    }
    text + if stream.is_mid_event() {
        " and half an event"
    } else {
        ""
    }
}
