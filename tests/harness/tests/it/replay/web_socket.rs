//! What was said over WebSockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{ConnectStream, connect_async};
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::{Error, Message};
use futures_util::StreamExt as _;
use serde_json::Value;
use signalr_proto::{Payload, Protocol};

use super::calls::Call;
use super::wire::{Exchange, Request};

/// Cases with two calls at a time, which may end in any order.
const ANY_ORDER: &[&str] = &["item after invocation ended"];

/// The case that is about pings. Elsewhere it is chance how many there are.
const PINGS: &str = "tiny keep-alive";

/// How long nothing must come where the recording ended with an open connection.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<ConnectStream>;

pub(crate) fn cases() -> Vec<Value> {
    let text = include_str!("../../../../../tests/vectors/server-transcripts.json");
    let file: Value = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// Opens a WebSocket, or tells the status of the refusal.
async fn open(url: &str) -> Result<Socket, u16> {
    match connect_async(url).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Shakes hands, closes with a code and gives the one that is answered.
pub(crate) async fn closed_with(url: &str, handshake: &str, code: u16) -> Result<u16, String> {
    let mut socket = open(url)
        .await
        .map_err(|status| format!("refused with {status}"))?;
    let sent = async {
        socket.send(Message::text(handshake)).await?;
        socket.next().await.transpose()?;
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        socket.close(Some(frame)).await
    };
    sent.await.map_err(|error| error.to_string())?;
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await {
            Ok(Some(Ok(Message::Close(frame)))) => {
                return Ok(frame.map_or(1005, |frame| frame.code.into()));
            }
            Ok(Some(Ok(_))) => {}
            other => return Err(format!("{other:?} instead of a close frame")),
        }
    }
}

/// The id of every call: one follows the other.
const ID: &str = "1";

/// Puts calls to a hub.
pub(crate) struct Caller {
    conversation: Conversation<'static>,
    protocol: Protocol,
}

impl Caller {
    pub(crate) async fn connect(server: SocketAddr, hub: &str, protocol: Protocol) -> Self {
        let url = format!("ws://{server}{hub}");
        let mut caller = Self {
            conversation: Conversation {
                name: "calls",
                socket: Some(open(&url).await.unwrap()),
                url,
                json: protocol == Protocol::Json,
                partial: Vec::new(),
                waiting: VecDeque::new(),
                question: None,
            },
            protocol,
        };
        let handshake = format!(
            "{{\"protocol\":\"{}\",\"version\":1}}\u{1e}",
            protocol.name()
        );
        caller.send(handshake.into_bytes()).await;
        caller.conversation.next().await;
        caller
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        let socket = self.conversation.socket.as_mut().unwrap();
        socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// Everything that is said until the call is answered or the connection ends. Numbers are compared as such.
    pub(crate) async fn ask(&mut self, call: &Call) -> Vec<String> {
        let mut frame = Vec::new();
        for message in call.messages(self.protocol, ID) {
            if self.protocol == Protocol::Json {
                frame.extend_from_slice(&message);
                frame.push(0x1e);
            } else {
                frame.extend(length(message.len()));
                frame.extend_from_slice(&message);
            }
        }
        self.send(frame).await;
        let mut said = Vec::new();
        loop {
            let Heard::Message(message) = self.conversation.next().await else {
                said.push("the end".to_owned());
                let (url, protocol) = (self.conversation.url.clone(), self.protocol);
                let (server, hub) = url.trim_start_matches("ws://").split_once('/').unwrap();
                *self = Box::pin(Self::connect(
                    server.parse().unwrap(),
                    &format!("/{hub}"),
                    protocol,
                ))
                .await;
                return said;
            };
            let (answered, message) = self.normal(&message);
            said.push(message);
            if answered {
                return said;
            }
        }
    }

    /// Whether this answers the call, and it with its numbers in one form.
    fn normal(&self, message: &str) -> (bool, String) {
        if self.protocol == Protocol::Json {
            let mut message: Value = serde_json::from_str(message).unwrap();
            floats(&mut message);
            let answered = message["type"] == 3.0 && message["invocationId"] == ID;
            return (answered, message.to_string());
        }
        // Behind the length and the array's: 3, no headers, the id.
        let id = Payload::from_value(self.protocol, ID).unwrap();
        let answer = format!("0380{}", hex(id.as_bytes()));
        let answered = [4, 6].iter().any(|at| {
            let rest = message.get(*at..);
            rest.is_some_and(|rest| rest.starts_with(&answer))
        });
        (answered, message.to_owned())
    }
}

/// A length as MessagePack frames have it.
fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A conversation with one hub.
struct Conversation<'a> {
    name: &'a str,
    url: String,
    /// `None` while there is none.
    socket: Option<Socket>,
    json: bool,
    /// Bytes of a message that is not whole.
    partial: Vec<u8>,
    waiting: VecDeque<String>,
    /// What stands for a client-result id of the recording.
    question: Option<(String, String)>,
}

/// Something heard.
#[derive(Debug, PartialEq)]
enum Heard {
    Message(String),
    Closed(u16),
    Nothing,
}

/// Holds a recorded conversation again.
pub(crate) async fn hold(server: SocketAddr, case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let hub = case["hub"].as_str().unwrap();
    let log = case["log"].as_array().unwrap();
    let query = match (name, log[0]["negotiated"].as_bool()) {
        ("expired token", _) => "?access_token=expired".to_owned(),
        ("token expires while connected", _) => "?access_token=short1".to_owned(),
        (_, Some(stateful)) => format!("?id={}", negotiate(server, hub, stateful).await),
        _ => String::new(),
    };
    let url = format!("ws://{server}{hub}{query}");
    let socket = match (open(&url).await, log[0]["status"].as_u64()) {
        (Err(status), Some(expected)) if u64::from(status) == expected => return Ok(()),
        (Err(status), _) => return Err(format!("refused with {status}")),
        (Ok(_), Some(_)) => return Err("not refused".to_owned()),
        (Ok(socket), None) => socket,
    };
    let conversation = Conversation {
        name,
        url,
        socket: Some(socket),
        json: case["protocol"] == "json" && !name.contains("messagepack in binary"),
        partial: Vec::new(),
        waiting: VecDeque::new(),
        question: None,
    };
    conversation.hold(log).await
}

async fn negotiate(server: SocketAddr, hub: &str, stateful: bool) -> String {
    let stateful = if stateful {
        "&useStatefulReconnect=true"
    } else {
        ""
    };
    let request = Request {
        method: "POST".to_owned(),
        path: format!("{hub}/negotiate?negotiateVersion=1{stateful}"),
        headers: Vec::new(),
        body: Some(Vec::new()),
    };
    let answer = Exchange::begin(server, &request).answer().await.unwrap();
    let offer: Value = serde_json::from_slice(&answer.body).unwrap();
    offer["connectionToken"].as_str().unwrap().to_owned()
}

impl Conversation<'_> {
    async fn hold(mut self, log: &[Value]) -> Result<(), String> {
        let mut first = None;
        for (number, entry) in log.iter().enumerate() {
            if entry["from"] == "client" {
                self.say(entry).await;
            } else if entry["from"] == "server" {
                self.expect(messages(&bytes(entry), self.json)).await?;
            } else if entry["closed"] == 1006 {
                // The client itself had dropped the socket; the next entry says what it did then.
            } else if let Some(code) = entry["closed"].as_u64() {
                let heard = self.next().await;
                if heard != Heard::Closed(u16::try_from(code).unwrap()) {
                    return Err(format!("{heard:?} instead of a close with {code}"));
                }
            } else if entry["reconnect"] == true {
                self.again().await?;
            } else if entry["second"] == true {
                first = Some(self.second(log.get(number + 2)).await?);
            } else if entry["open"] == true {
                self.quiet().await?;
            }
        }
        drop(first);
        Ok(())
    }

    /// Drops the WebSocket without a word and opens another.
    async fn again(&mut self) -> Result<(), String> {
        self.socket = None;
        tokio::time::sleep(SILENCE).await;
        let socket = open(&self.url).await;
        self.socket = Some(socket.map_err(|status| format!("refused with {status}"))?);
        Ok(())
    }

    /// Opens another WebSocket while there is one, which has to be closed for it.
    async fn second(&mut self, then: Option<&Value>) -> Result<Option<Socket>, String> {
        let url = self.url.clone();
        let expected = then.and_then(|entry| entry["status"].as_u64());
        let opening = tokio::spawn(async move { open(&url).await });
        let heard = self.next().await;
        if heard != Heard::Closed(1000) {
            return Err(format!("{heard:?} instead of the first one's end"));
        }
        // What happens to the second depends on whether the first answers its close.
        while let Some(Ok(_)) = self.read().await {}
        self.waiting.push_front(CLOSED.to_owned());
        match (opening.await.unwrap(), expected) {
            (Err(status), Some(expected)) if u64::from(status) == expected => Ok(None),
            (Err(status), _) => Err(format!("the second was refused with {status}")),
            (Ok(socket), None) => Ok(Some(socket)),
            (Ok(_), Some(expected)) => Err(format!("the second was not refused with {expected}")),
        }
    }

    async fn say(&mut self, entry: &Value) {
        let bytes = bytes(entry);
        let message = match entry["text"].as_str() {
            Some(text) => Message::text(match &self.question {
                Some((recorded, theirs)) => {
                    text.replace(&format!("\"{recorded}\""), &format!("\"{theirs}\""))
                }
                None => text.to_owned(),
            }),
            None => Message::binary(bytes),
        };
        // A server that does not listen any more is heard of below.
        if let Some(socket) = &mut self.socket {
            let _ = socket.send(message).await;
        }
    }

    async fn read(&mut self) -> Option<Result<Message, Error>> {
        self.socket.as_mut()?.next().await
    }

    async fn next(&mut self) -> Heard {
        match tokio::time::timeout(PATIENCE, self.heard()).await {
            Ok(heard) => heard,
            Err(_) => Heard::Nothing,
        }
    }

    /// The next message; pings only where they are what it is about.
    async fn heard(&mut self) -> Heard {
        loop {
            match self.waiting.pop_front() {
                Some(closed) if closed == CLOSED => return Heard::Closed(1000),
                Some(ping) if is_ping(&ping) && self.name != PINGS => {}
                Some(message) => return Heard::Message(message),
                None => match self.read().await {
                    Some(Ok(message)) => {
                        if let Some(code) = self.take(message) {
                            return Heard::Closed(code);
                        }
                    }
                    Some(Err(error)) => return Heard::Message(format!("the end: {error}")),
                    None => return Heard::Message("the end".to_owned()),
                },
            }
        }
    }

    /// Notes the messages of a frame, or gives the code of a close frame.
    fn take(&mut self, message: Message) -> Option<u16> {
        match message {
            Message::Close(frame) => {
                return Some(frame.map_or(1005, |frame| frame.code.into()));
            }
            Message::Text(text) if self.json => self.partial.extend_from_slice(text.as_bytes()),
            Message::Binary(bytes) if !self.json => self.partial.extend_from_slice(&bytes),
            Message::Text(_) => self.waiting.push_back("a text frame".to_owned()),
            Message::Binary(_) => self.waiting.push_back("a binary frame".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        let whole = messages(&std::mem::take(&mut self.partial), self.json);
        self.waiting.extend(whole);
        None
    }

    async fn expect(&mut self, mut expected: Vec<String>) -> Result<(), String> {
        expected.retain(|message| !is_ping(message) || self.name == PINGS);
        let mut actual = Vec::new();
        for _ in &expected {
            actual.push(match self.next().await {
                Heard::Message(message) => message,
                other @ (Heard::Closed(_) | Heard::Nothing) => format!("{other:?}"),
            });
        }
        if ANY_ORDER.contains(&self.name) {
            expected.sort();
            actual.sort();
        }
        for (expected, actual) in expected.iter().zip(&actual) {
            if !self.alike(expected, actual) {
                return Err(format!("expected {expected}\n     got {actual}"));
            }
        }
        Ok(())
    }

    /// Learns the id of a question that both servers asked, each with a number of its own.
    fn alike(&mut self, expected: &str, actual: &str) -> bool {
        let (Ok(mut expected), Ok(mut actual)) = (
            serde_json::from_str::<Value>(expected),
            serde_json::from_str::<Value>(actual),
        ) else {
            return expected == actual;
        };
        if expected["type"] == 1 && actual["type"] == 1 && expected["invocationId"].is_string() {
            let id = |message: &Value| {
                let id = message["invocationId"].as_str();
                id.unwrap_or_default().to_owned()
            };
            self.question = Some((id(&expected), id(&actual)));
            expected["invocationId"] = actual["invocationId"].clone();
        }
        floats(&mut expected);
        floats(&mut actual);
        expected == actual
    }

    /// Nothing more comes for a while.
    async fn quiet(&mut self) -> Result<(), String> {
        if self.name == PINGS {
            return Ok(());
        }
        match tokio::time::timeout(SILENCE, self.heard()).await {
            Err(_) => Ok(()),
            Ok(heard) => Err(format!("{heard:?} instead of silence")),
        }
    }
}

const CLOSED: &str = "closed";

fn is_ping(message: &str) -> bool {
    [r#"{"type":6}"#, "029106"].contains(&message)
}

/// `5` and `5.0` are the same number in JSON.
fn floats(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let float = number
                .as_f64()
                .filter(|float| number.is_f64() || float.abs() < 1e15);
            if let Some(float) = float {
                *value = float.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(floats),
        Value::Object(members) => members.values_mut().for_each(floats),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn bytes(entry: &Value) -> Vec<u8> {
    match entry["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(entry["hex"].as_str().unwrap_or_default()),
    }
}

/// The messages of one frame: records of JSON as text, others as hexadecimal digits.
fn messages(frame: &[u8], json: bool) -> Vec<String> {
    let mut messages = Vec::new();
    let mut rest = frame;
    while !rest.is_empty() {
        // The handshake response is JSON in both protocols.
        let end = if json || rest[0] == b'{' {
            rest.iter().position(|byte| *byte == 0x1e).unwrap() + 1
        } else {
            let more = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
            let length = rest[..=more]
                .iter()
                .rev()
                .fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
            more + 1 + length
        };
        messages.push(if json {
            String::from_utf8_lossy(&rest[..end - 1]).into_owned()
        } else {
            hex(&rest[..end])
        });
        rest = &rest[end..];
    }
    messages
}
