//! Messages in words, for those who read why a test failed.

use serde_json::Value;
use signalr_proto::codec::{HubMessage, Invocation, Outcome};
use signalr_proto::{Arguments, Payload, Protocol};

/// A text in a message is no longer than this many characters.
const LONGEST: usize = 200;

/// What a message says, in one line: `Send("a",1) #1`.
pub(crate) fn message(message: &HubMessage) -> String {
    match message {
        HubMessage::Invocation(call) => invocation(call),
        HubMessage::StreamInvocation(call) => format!("stream {}", invocation(call)),
        HubMessage::StreamItem {
            invocation_id,
            item,
            ..
        } => format!("item of #{invocation_id}: {}", value(item)),
        HubMessage::Completion {
            invocation_id,
            outcome,
            ..
        } => match outcome {
            Outcome::Void => format!("completion of #{invocation_id}"),
            Outcome::Result(result) => {
                format!("completion of #{invocation_id}: {}", value(result))
            }
            Outcome::Error(error) => format!("error of #{invocation_id}: {error:?}"),
        },
        HubMessage::CancelInvocation { invocation_id, .. } => {
            format!("cancellation of #{invocation_id}")
        }
        HubMessage::Ping => "ping".to_owned(),
        HubMessage::Close {
            error,
            allow_reconnect,
        } => {
            let error = error.as_ref().map(|error| format!(" with {error:?}"));
            let invited = if *allow_reconnect {
                ", may reconnect"
            } else {
                ""
            };
            format!("close{}{invited}", error.unwrap_or_default())
        }
        HubMessage::Ack { sequence_id } => format!("ack {sequence_id}"),
        HubMessage::Sequence { sequence_id } => format!("sequence {sequence_id}"),
        _ => "a message of another type".to_owned(),
    }
}

/// `Send("a",1)`, and ` #1` if it wants an answer.
pub(crate) fn invocation(call: &Invocation) -> String {
    let id = call.invocation_id.as_ref();
    let id = id.map(|id| format!(" #{id}")).unwrap_or_default();
    let streams = match call.stream_ids.len() {
        0 => String::new(),
        1 => " with an upload".to_owned(),
        many => format!(" with {many} uploads"),
    };
    format!("{}({}){streams}{id}", call.target, list(&call.arguments))
}

/// The arguments, with commas between them.
pub(crate) fn list(arguments: &Arguments) -> String {
    match arguments.decode::<Vec<Value>>() {
        Ok(values) => {
            let values: Vec<_> = values.iter().map(Value::to_string).collect();
            shortened(&values.join(","))
        }
        Err(_) => bytes(arguments.protocol(), arguments.as_bytes()),
    }
}

fn value(payload: &Payload) -> String {
    match payload.decode::<Value>() {
        Ok(value) => shortened(&value.to_string()),
        Err(_) => bytes(payload.protocol(), payload.as_bytes()),
    }
}

/// What is no value that JSON has.
fn bytes(protocol: Protocol, bytes: &[u8]) -> String {
    if protocol == Protocol::Json {
        shortened(&String::from_utf8_lossy(bytes))
    } else {
        shortened(&hex(bytes))
    }
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that hex digits stand for; `None` for other characters and for half a byte.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut pairs = text.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs
        .by_ref()
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes.filter(|_| pairs.remainder().is_empty())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use signalr_proto::codec::Role;

    use super::*;

    fn told(text: &'static str) -> String {
        let read = Protocol::Json.decode(Role::Client, &Bytes::from_static(text.as_bytes()));
        message(&read.unwrap().unwrap())
    }

    #[test]
    fn messages_are_told_in_one_line() {
        for (text, words) in [
            (
                r#"{"type":1,"target":"Send","arguments":["a",1]}"#,
                r#"Send("a",1)"#,
            ),
            (
                r#"{"type":1,"target":"Add","arguments":[],"invocationId":"7"}"#,
                "Add() #7",
            ),
            (
                r#"{"type":4,"target":"Up","arguments":[{"b":1}],"invocationId":"7","streamIds":["8"]}"#,
                r#"stream Up({"b":1}) with an upload #7"#,
            ),
            (
                r#"{"type":2,"invocationId":"7","item":null}"#,
                "item of #7: null",
            ),
            (r#"{"type":3,"invocationId":"7"}"#, "completion of #7"),
            (
                r#"{"type":3,"invocationId":"7","result":2}"#,
                "completion of #7: 2",
            ),
            (
                r#"{"type":3,"invocationId":"7","error":"no"}"#,
                r#"error of #7: "no""#,
            ),
            (r#"{"type":5,"invocationId":"7"}"#, "cancellation of #7"),
            (r#"{"type":6}"#, "ping"),
            (r#"{"type":7}"#, "close"),
            (
                r#"{"type":7,"error":"bye","allowReconnect":true}"#,
                r#"close with "bye", may reconnect"#,
            ),
        ] {
            assert_eq!(told(text), words);
        }
    }

    #[test]
    fn long_arguments_are_shortened() {
        let text = format!(r#"["{}"]"#, "ä".repeat(300));
        let arguments = Arguments::new(Protocol::Json, text.into());
        assert_eq!(list(&arguments).chars().count(), LONGEST + 1);
    }

    #[test]
    fn hex_is_read_as_it_is_written() {
        assert_eq!(hex(&[0, 0xab, 0x1f]), "00ab1f");
        assert_eq!(from_hex("00AB1f"), Some(vec![0, 0xab, 0x1f]));
        for wrong in ["0", "0g", "é", "00 1"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
