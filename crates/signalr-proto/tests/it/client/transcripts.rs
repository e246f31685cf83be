//! Real answers: what an ASP.NET Core server said over HTTP is fed to the client where it would read it.
//!
//! Every recorded exchange is either checked or named in [`NOT_FOR_CLIENTS`] with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use serde::Deserialize;
use signalr_harness::script::{Script, Wish};
use signalr_proto::client::{Action, ClientConfig, ConnectionState, Event, Input};
use signalr_proto::codec::Outcome;
use signalr_proto::codec::Role;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::transport::EventStream;
use signalr_proto::transport::negotiate::TransportKind;
use signalr_proto::{CloseReason, EndCause, HubMessage, NegotiateError, OpId, Protocol};

use crate::support::hex;

/// What no client has to do with.
const NOT_FOR_CLIENTS: [(&str, &str); 3] = [
    (
        "negotiate OPTIONS cors",
        "browsers ask this of their own accord; this client is none",
    ),
    ("PUT", "clients do not send it"),
    (
        "lp 200 kB garbage before the handshake",
        "the server had not answered when the recording ended",
    ),
];

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Option<Asked>,
    status: serde_json::Value,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

impl Case {
    fn status(&self) -> u16 {
        u16::try_from(self.status.as_u64().unwrap()).unwrap()
    }

    /// The body's bytes. MessagePack was recorded as hexadecimal digits.
    fn bytes(&self) -> Bytes {
        if self.protocol() == Protocol::MessagePack && !self.body.starts_with('{') {
            return hex(&self.body);
        }
        let byte = |c: char| u8::try_from(u32::from(c)).unwrap();
        self.body.chars().map(byte).collect()
    }

    fn protocol(&self) -> Protocol {
        if self.name.starts_with("lp messagepack") {
            Protocol::MessagePack
        } else {
            Protocol::Json
        }
    }

    fn response(&self) -> Response<Bytes> {
        let mut builder = Response::builder().status(self.status());
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(Bytes::new()).unwrap()
    }

    /// What this is an answer to, as far as the client is concerned.
    fn kind(&self) -> Kind {
        let Some(asked) = &self.request else {
            return match self.name.as_str() {
                "lp binary protocol handshake" => Kind::Poll,
                name if name.starts_with("ws client close") => Kind::Goodbye,
                name if name.contains("websocket") => Kind::Upgrade,
                name => panic!("{name}: what is it?"),
            };
        };
        let events = asked
            .headers
            .get("Accept")
            .is_some_and(|accept| accept == "text/event-stream");
        let path = asked.path.split('?').next().unwrap();
        match asked.method.as_str() {
            _ if path.trim_end_matches('/').ends_with("/negotiate") => Kind::Negotiate,
            "GET" if events => Kind::Events,
            "GET" => Kind::Poll,
            "POST" => Kind::Send,
            "DELETE" => Kind::Delete,
            method => panic!("{}: who sends {method}?", self.name),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Negotiate,
    Poll,
    Send,
    Delete,
    Events,
    Upgrade,
    Goodbye,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../../tests/vectors/http.json")).unwrap()
}

#[test]
fn every_recorded_answer_is_understood_or_named_with_the_reason_why_not() {
    let cases = cases();
    let mut checked = BTreeMap::<Kind, usize>::new();
    let mut passed_over = Vec::new();
    for case in &cases {
        let named = NOT_FOR_CLIENTS.iter().find(|(name, _)| *name == case.name);
        if let Some((name, _)) = named {
            passed_over.push(*name);
            continue;
        }
        let kind = case.kind();
        match kind {
            Kind::Negotiate => check_negotiate(case),
            Kind::Poll => check_poll(case),
            Kind::Send => check_send(case),
            Kind::Delete => check_delete(case),
            Kind::Events => check_events(case),
            Kind::Upgrade => check_upgrade(case),
            Kind::Goodbye => check_goodbye(case),
        }
        *checked.entry(kind).or_default() += 1;
    }
    assert_eq!(passed_over, NOT_FOR_CLIENTS.map(|(name, _)| name));
    assert_eq!(
        checked.values().sum::<usize>() + passed_over.len(),
        cases.len()
    );
    let least = [
        (Kind::Negotiate, 19),
        (Kind::Poll, 20),
        (Kind::Send, 11),
        (Kind::Delete, 5),
        (Kind::Events, 9),
        (Kind::Upgrade, 2),
        (Kind::Goodbye, 3),
    ];
    for (kind, least) in least {
        assert!(checked[&kind] >= least, "{kind:?}: {}", checked[&kind]);
    }
}

fn request(script: &Script, method: &Method) -> Option<OpId> {
    script.actions.iter().rev().find_map(|action| match action {
        Action::Request { op, request, .. } if request.method() == method => Some(*op),
        _ => None,
    })
}

fn uri(script: &Script) -> String {
    let uri = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { request, .. } => Some(request.uri()),
        Action::OpenWebSocket { request, .. } => Some(request.uri()),
        _ => None,
    });
    uri.unwrap().to_string()
}

fn negotiated(case: &Case, change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(change);
    script.start();
    script.clear();
    script.answer(Wish::Negotiate, case.status(), &case.body);
    script
}

fn start_error(case: &Case, script: &Script) -> CloseReason {
    match script.events.as_slice() {
        [Event::StartFailed { reason }] => reason.clone(),
        other => panic!("{}: expected StartFailed, got {other:?}", case.name),
    }
}

fn check_negotiate(case: &Case) {
    let name = &case.name;
    let stateful = name.contains("stateful");
    let script = negotiated(case, |config| {
        config.stateful_reconnect = stateful.then_some(100_000);
    });
    if case.status() != 200 {
        let status = case.status();
        let error = start_error(case, &script);
        assert_eq!(error, NegotiateError::Status { status }.into(), "{name}");
        assert!(error.to_string().contains(&status.to_string()));
        return;
    }
    let body: serde_json::Value = serde_json::from_str(&case.body).unwrap();
    if let Some(error) = body["error"].as_str() {
        let refused = NegotiateError::Refused {
            error: error.into(),
        };
        assert_eq!(start_error(case, &script), refused.into(), "{name}");
    } else if let Some(url) = body["url"].as_str() {
        let (path, query) = url.split_once('?').unwrap();
        let again = format!("{path}/negotiate?{query}&negotiateVersion=1");
        assert_eq!(uri(&script), again, "{name}");
    } else {
        let token = body["connectionToken"].as_str();
        let id = token.or_else(|| body["connectionId"].as_str()).unwrap();
        assert_eq!(uri(&script), format!("ws://host/hub?id={id}"), "{name}");
    }
    if body["useStatefulReconnect"] == true {
        let error = start_error(case, &negotiated(case, |_| {}));
        let unsolicited = NegotiateError::UnsolicitedStatefulReconnect;
        assert_eq!(error, unsolicited.into(), "{name}");
    }
}

/// A client of one transport that has negotiated it.
fn opening(kind: TransportKind, protocol: Protocol) -> Script {
    let mut script = Script::with(|config| {
        config.transports = vec![kind];
        config.protocol = protocol;
    });
    script.start();
    script.offer(&[kind]);
    script
}

fn head(script: &mut Script, op: OpId, response: Response<Bytes>) {
    script.input(Input::Response { op, response });
}

fn ok(kind: &'static str) -> Response<Bytes> {
    let builder = Response::builder().header("content-type", kind);
    builder.body(Bytes::new()).unwrap()
}

/// Feeds a body in pieces of `size` bytes.
fn feed(script: &mut Script, op: OpId, body: &Bytes, size: usize) {
    for piece in body.chunks(size) {
        let bytes = Bytes::copy_from_slice(piece);
        script.input(Input::Chunk { op, bytes });
    }
}

fn end(script: &mut Script, op: OpId) {
    let cause = EndCause::Clean;
    if script.find(Wish::Poll).is_some() {
        script.end_request(Wish::Poll, cause);
    } else {
        script.input(Input::Ended { op, cause });
    }
}

/// Long polling with the first poll answered and the handshake sent.
fn polling(protocol: Protocol) -> Script {
    let mut script = opening(TransportKind::LongPolling, protocol);
    let first = request(&script, &Method::GET).unwrap();
    head(&mut script, first, ok("application/octet-stream"));
    end(&mut script, first);
    script.take_posts();
    script
}

/// Long polling at work, with the call 1 open.
fn calling(protocol: Protocol) -> Script {
    let mut script = polling(protocol);
    let op = request(&script, &Method::GET).unwrap();
    head(&mut script, op, ok("application/octet-stream"));
    feed(&mut script, op, &Bytes::from_static(b"{}\x1e"), 100);
    end(&mut script, op);
    script.take_posts();
    call(&mut script);
    script
}

fn call(script: &mut Script) {
    assert_eq!(script.client.state(), ConnectionState::Connected);
    let now = script.now;
    script.client.invoke(now, "Add", &(1, 2)).unwrap();
    script.poll();
    script.events.clear();
}

/// Whether the answer to the handshake is what comes first.
fn is_handshake(body: &[u8]) -> bool {
    body.starts_with(b"{}\x1e") || body.starts_with(b"{\"error\"")
}

fn check_poll(case: &Case) {
    if case.name == "lp binary protocol handshake" || case.status() == 200 {
        for size in [1, 7, usize::MAX] {
            check_polled(case, size);
        }
        return;
    }
    let status = case.status();
    let mut script = calling(case.protocol());
    let op = request(&script, &Method::GET).unwrap();
    head(&mut script, op, case.response());
    let reason = closed(case, &script);
    if status == 204 {
        assert_eq!(reason, CloseReason::TransportEnded, "{}", case.name);
    } else {
        assert!(tells(&reason, status), "{}: {reason}", case.name);
    }
    let mut script = opening(TransportKind::LongPolling, Protocol::Json);
    let op = request(&script, &Method::GET).unwrap();
    head(&mut script, op, case.response());
    if status != 204 {
        let text = start_error(case, &script).to_string();
        assert!(text.contains(&status.to_string()), "{}: {text}", case.name);
    }
}

/// A poll that brought something, in pieces of some size.
fn check_polled(case: &Case, size: usize) {
    let body = case.bytes();
    let (mut script, open) = if is_handshake(&body) {
        (polling(case.protocol()), 0)
    } else {
        (calling(case.protocol()), 1)
    };
    let op = request(&script, &Method::GET).unwrap();
    script.clear();
    head(&mut script, op, ok("application/octet-stream"));
    feed(&mut script, op, &body, size);
    end(&mut script, op);
    check_told(case, &script, body, open);
    // Unless that was the end, the next poll follows.
    let over = script.client.state() == ConnectionState::Disconnected;
    assert_eq!(
        request(&script, &Method::GET).is_none(),
        over,
        "{}",
        case.name
    );
}

/// What the client told is what the bytes say, read message by message. `open` calls wait for their answer.
fn check_told(case: &Case, script: &Script, mut body: Bytes, mut open: usize) {
    let mut expected = Vec::new();
    if is_handshake(&body) {
        let end = body.iter().position(|byte| *byte == 0x1e).unwrap() + 1;
        expected.push(handshake(&body.split_to(end)[..end - 1]));
    }
    let protocol = case.protocol();
    let mut frames = FrameDecoder::new(protocol, usize::MAX);
    while let Some(frame) = frames.decode(&mut body).unwrap() {
        let message = protocol.decode(Role::Client, &frame).unwrap().unwrap();
        let event = match message {
            HubMessage::Completion { .. } if open == 0 => PASSED_OVER.into(),
            HubMessage::Completion {
                outcome: Outcome::Result(result),
                ..
            } => {
                open -= 1;
                format!("completed: {:?}", result.as_bytes())
            }
            HubMessage::Close { .. } => {
                expected.extend((0..open).map(|_| LOST.into()));
                CLOSED.into()
            }
            other => panic!("{}: {other:?}", case.name),
        };
        expected.push(event);
    }
    let told: Vec<String> = script
        .events
        .iter()
        .map(|event| told(case, event))
        .collect();
    assert_eq!(told, expected, "{}", case.name);
}

const PASSED_OVER: &str = "passed over";
const LOST: &str = "lost";
const CLOSED: &str = "closed";

/// What the answer to the handshake comes to.
fn handshake(answer: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap();
    answer["error"]
        .as_str()
        .map_or_else(|| "connected".into(), |error| format!("failed: {error}"))
}

fn told(case: &Case, event: &Event) -> String {
    match event {
        Event::Connected { .. } => "connected".into(),
        Event::StartFailed { reason } => {
            let text = reason.to_string();
            let (_, words) = text.rsplit_once("due to an error: ").unwrap_or(("", &text));
            format!("failed: {words}")
        }
        Event::Completion {
            outcome: Ok(Some(result)),
            ..
        } => format!("completed: {:?}", result.as_bytes()),
        Event::Completion {
            outcome: Err(_), ..
        } => LOST.into(),
        Event::Ignored(_) => PASSED_OVER.into(),
        Event::Closed { .. } => CLOSED.into(),
        other => panic!("{}: {other:?}", case.name),
    }
}

fn closed(case: &Case, script: &Script) -> CloseReason {
    match script.events.last() {
        Some(Event::Closed { reason }) => reason.clone(),
        other => panic!("{}: expected Closed, got {other:?}", case.name),
    }
}

fn check_send(case: &Case) {
    let mut script = calling(Protocol::Json);
    let now = script.now;
    script.client.send(now, "DoNothing", &()).unwrap();
    script.poll();
    script.clear();
    script.answer(Wish::Post, case.status(), &case.body);
    if case.status() == 200 {
        assert!(request(&script, &Method::POST).is_some(), "{}", case.name);
        return;
    }
    script.advance(Duration::from_secs(2));
    let status = case.status();
    let reason = closed(case, &script);
    assert!(tells(&reason, status), "{}: {reason}", case.name);
}

/// Whether it is the end of an established connection whose request was answered with this status.
fn tells(reason: &CloseReason, status: u16) -> bool {
    match reason {
        CloseReason::Forgotten { .. } => status == 404,
        CloseReason::RequestRefused { status: told, .. } => status != 404 && *told == status,
        _ => false,
    }
}

/// Whatever the server says to a farewell, the client is gone.
fn check_delete(case: &Case) {
    let mut script = calling(Protocol::Json);
    script.take_posts();
    let now = script.now;
    script.client.stop(now);
    script.poll();
    script.take_posts();
    let poll = request(&script, &Method::GET).unwrap();
    head(&mut script, poll, ok("application/octet-stream"));
    feed(
        &mut script,
        poll,
        &Bytes::from_static(b"{\"type\":7}\x1e"),
        100,
    );
    script.answer(Wish::Delete, case.status(), &case.body);
    script.advance(Duration::from_secs(10));
    assert_eq!(closed(case, &script), CloseReason::Stopped, "{}", case.name);
}

fn check_events(case: &Case) {
    if case.status() != 200 {
        let mut script = opening(TransportKind::ServerSentEvents, Protocol::Json);
        let op = request(&script, &Method::GET).unwrap();
        script.clear();
        head(&mut script, op, case.response());
        let text = start_error(case, &script).to_string();
        assert!(text.contains(&case.status().to_string()), "{}", case.name);
        return;
    }
    for size in [1, 7, usize::MAX] {
        check_streamed(case, size);
    }
}

/// An event stream, in pieces of some size.
fn check_streamed(case: &Case, size: usize) {
    let mut script = opening(TransportKind::ServerSentEvents, Protocol::Json);
    let op = request(&script, &Method::GET).unwrap();
    head(&mut script, op, case.response());
    script.take_posts();
    script.clear();
    feed(&mut script, op, &case.bytes(), size);
    let mut events = EventStream::new(usize::MAX);
    let mut body = case.bytes();
    let mut data = Vec::new();
    while let Some(event) = events.decode(&mut body).unwrap() {
        data.extend_from_slice(&event);
    }
    assert!(!events.is_mid_event());
    check_told(case, &script, data.into(), 0);
}

fn check_upgrade(case: &Case) {
    let mut script = opening(TransportKind::WebSockets, Protocol::Json);
    let status = case.status();
    script.end(EndCause::Refused { status });
    let text = start_error(case, &script).to_string();
    assert!(text.contains(&status.to_string()), "{}: {text}", case.name);
}

/// The close frame with which the server answers that of the client.
fn check_goodbye(case: &Case) {
    let mut script = Script::connected(|_| {});
    let now = script.now;
    script.client.stop(now);
    script.poll();
    let op = script.socket.unwrap();
    let code = case.status();
    let reason = Box::default();
    let cause = EndCause::WebSocketClose { code, reason };
    script.input(Input::Ended { op, cause });
    assert_eq!(closed(case, &script), CloseReason::Stopped, "{}", case.name);
}
