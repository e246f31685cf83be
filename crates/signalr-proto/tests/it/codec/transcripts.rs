//! Real traffic: what an ASP.NET Core server sent is read, and what it refused is refused.

use bytes::Bytes;
use serde::Deserialize;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::{HandshakeDecoder, decode_request, decode_response};
use signalr_proto::codec::{Outcome, Role};
use signalr_proto::{DecodeError, HubMessage, Protocol};

use crate::support::hex;

const HANDSHAKE_FAILED: &str = "An unexpected error occurred during connection handshake.";

#[derive(Deserialize)]
struct Case {
    name: String,
    protocol: String,
    client: Option<String>,
    client_hex: Option<String>,
    server: Option<String>,
    server_hex: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    refused: bool,
}

impl Case {
    fn client(&self) -> Bytes {
        bytes(self.client.as_ref(), self.client_hex.as_ref())
    }

    fn server(&self) -> Bytes {
        bytes(self.server.as_ref(), self.server_hex.as_ref())
    }

    fn protocol(&self) -> Protocol {
        Protocol::from_name(&self.protocol).unwrap()
    }
}

fn bytes(text: Option<&String>, digits: Option<&String>) -> Bytes {
    match (text, digits) {
        (Some(text), _) => text.clone().into(),
        (None, Some(digits)) => hex(digits),
        (None, None) => Bytes::new(),
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../../tests/vectors/websocket.json")).unwrap();
    assert!(cases.len() > 150);
    cases
}

/// The handshake record and what follows it.
fn after_handshake(mut stream: Bytes) -> Option<(Bytes, Bytes)> {
    let record = HandshakeDecoder::new(4096).decode(&mut stream).unwrap()?;
    Some((record, stream))
}

fn messages(
    protocol: Protocol,
    role: Role,
    limit: usize,
    mut stream: Bytes,
) -> Result<Vec<HubMessage>, DecodeError> {
    let mut frames = FrameDecoder::new(protocol, limit);
    let mut messages = Vec::new();
    while let Some(frame) = frames.decode(&mut stream)? {
        messages.extend(protocol.decode(role, &frame)?);
    }
    Ok(messages)
}

fn check_payloads(name: &str, message: &HubMessage) {
    use serde::de::IgnoredAny;
    match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            for payload in invocation.arguments.payloads().unwrap() {
                payload
                    .decode::<IgnoredAny>()
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        HubMessage::StreamItem { item: payload, .. }
        | HubMessage::Completion {
            outcome: Outcome::Result(payload),
            ..
        } => {
            payload
                .decode::<IgnoredAny>()
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        HubMessage::Completion { .. }
        | HubMessage::CancelInvocation { .. }
        | HubMessage::Ping
        | HubMessage::Close { .. }
        | HubMessage::Ack { .. }
        | HubMessage::Sequence { .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_the_server_sent_is_read() {
    for case in cases() {
        let Some((record, rest)) = after_handshake(case.server()) else {
            continue;
        };
        decode_response(&record).unwrap();
        let messages = messages(case.protocol(), Role::Client, usize::MAX, rest)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for message in &messages {
            check_payloads(&case.name, message);
        }
    }
}

#[test]
fn everything_the_server_sent_is_written_alike() {
    for case in cases() {
        let Some((_, mut rest)) = after_handshake(case.server()) else {
            continue;
        };
        let mut frames = FrameDecoder::new(case.protocol(), usize::MAX);
        let whole = rest.clone();
        let mut out = bytes::BytesMut::new();
        while let Some(frame) = frames.decode(&mut rest).unwrap() {
            let message = case
                .protocol()
                .decode(Role::Client, &frame)
                .unwrap()
                .unwrap();
            case.protocol().encode(&mut out, &message).unwrap();
        }
        let same = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\\u0027", "'");
        assert_eq!(same(&out), same(&whole), "{}", case.name);
    }
}

#[test]
fn messages_are_refused_just_when_the_server_refused_them() {
    for case in cases() {
        let Some((record, rest)) = after_handshake(case.client()) else {
            continue;
        };
        if decode_request(&record).is_err() {
            continue;
        }
        let read = messages(
            case.protocol(),
            Role::Server,
            case.limit.unwrap_or(32 << 10),
            rest,
        );
        assert_eq!(read.is_err(), case.refused, "{}: {read:?}", case.name);
    }
}

#[test]
fn handshakes_are_refused_just_when_the_server_refused_them() {
    let mut refused = 0;
    for case in cases() {
        let (Some((request, _)), Some((response, _))) = (
            after_handshake(case.client()),
            after_handshake(case.server()),
        ) else {
            continue;
        };
        let answer = decode_response(&response).unwrap().error;
        assert_eq!(
            decode_request(&request).is_err(),
            answer.as_deref() == Some(HANDSHAKE_FAILED),
            "{}",
            case.name
        );
        refused += usize::from(answer.is_some());
    }
    assert!(refused > 5);
}
