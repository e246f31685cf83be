//! The recorded conversations of the official server, held again with ours over virtual time.
//!
//! How a server groups its messages into frames does not matter; their order does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use serde_json::Value;
use signalr_testkit::hubs::test_hubs;
use signalr_testkit::memory::MemoryClient;

const TRANSCRIPTS: &str = include_str!("../../../tests/vectors/server-transcripts.json");

/// Cases whose answers differ for a reason.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "unknown type 0 then add",
        "the official server forgets the message behind one of unknown type: a defect",
    ),
    ("negative type then add", "as above"),
    ("mp unknown type 99", "as above"),
    ("mp type 0", "as above"),
    (
        "cancellable invocation cancelled",
        "ours can be cancelled; .NET 10 does not even call it",
    ),
    (
        "stream item without item",
        "the connection ends before the stream beside it has begun",
    ),
    ("times", "types of .NET: TimeSpan is normalised there"),
    ("mp char string", "types of .NET: a char is a number there"),
    (
        "mp decimal float",
        "types of .NET: a decimal is a string there",
    ),
    ("mp text bin", "Rust's String takes bytes that are UTF-8"),
    (
        "mp object ext",
        "ours passes on what it need not understand",
    ),
    ("mp object map", "ours passes on the bytes as they came"),
    (
        "mp object uint16 small",
        "ours passes on the bytes as they came",
    ),
    (
        "token expires while connected",
        "the moment differs; its own test is below",
    ),
];

/// Cases with two calls at a time, which may end in any order.
const ANY_ORDER: &[&str] = &["item after invocation ended"];

/// A conversation with one hub.
struct Conversation {
    client: MemoryClient,
    json: bool,
    pings: bool,
    /// What stands for a client-result id of the recording.
    question: Option<(String, String)>,
}

impl Conversation {
    async fn next(&mut self) -> Option<String> {
        let message = async {
            match (self.json, self.pings) {
                (true, true) => self.client.record().await,
                (true, false) => self.client.message().await,
                (false, _) => self.client.frame().await.map(|frame| hex(&frame)),
            }
        };
        tokio::time::timeout(Duration::from_secs(10), message)
            .await
            .unwrap_or_else(|_| Some("nothing".to_owned()))
    }

    async fn say(&mut self, bytes: &[u8]) {
        match (&self.question, std::str::from_utf8(bytes)) {
            (Some((recorded, ours)), Ok(text)) => {
                let text = text.replace(&format!("\"{recorded}\""), &format!("\"{ours}\""));
                self.client.send(text.as_bytes()).await;
            }
            _ => self.client.send(bytes).await,
        }
    }

    /// Learns the id of a question that both servers asked, each with a number of its own.
    fn compare(&mut self, expected: &str, actual: &str) -> bool {
        let (Ok(mut expected), Ok(mut actual)) = (
            serde_json::from_str::<Value>(expected),
            serde_json::from_str::<Value>(actual),
        ) else {
            return expected == actual;
        };
        if expected["type"] == 1 && actual["type"] == 1 && expected["invocationId"].is_string() {
            let id = |message: &Value| {
                message["invocationId"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            self.question = Some((id(&expected), id(&actual)));
            expected["invocationId"] = actual["invocationId"].clone();
        }
        floats(&mut expected);
        floats(&mut actual);
        expected == actual
    }
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

fn bytes(entry: &Value) -> Vec<u8> {
    let digits = entry["hex"].as_str().unwrap_or_default();
    let from_hex = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    match entry["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => (0..digits.len()).step_by(2).map(from_hex).collect(),
    }
}

/// The messages of one recorded frame, as [`Conversation::next`] gives them.
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

async fn hold(case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let json = case["protocol"] == "json" && !name.contains("messagepack in binary");
    let (_, world) = test_hubs().map_err(|error| error.to_string())?;
    let server = world.server(case["hub"].as_str().unwrap()).unwrap();
    let token = if name == "expired token" {
        "access_token=expired"
    } else {
        ""
    };
    let log = case["log"].as_array().unwrap();
    let client = match (
        MemoryClient::open(&server, token).await,
        log[0]["status"].as_u64(),
    ) {
        (Err(status), Some(expected)) if u64::from(status.as_u16()) == expected => return Ok(()),
        (Err(status), _) => return Err(format!("refused with {status}")),
        (Ok(client), _) => client,
    };
    let mut conversation = Conversation {
        client,
        json,
        pings: name.starts_with("tiny"),
        question: None,
    };
    converse(&mut conversation, name, log).await
}

async fn converse(
    conversation: &mut Conversation,
    name: &str,
    log: &[Value],
) -> Result<(), String> {
    let mut handshake = true;
    for entry in log {
        if entry["from"] == "client" {
            conversation.say(&bytes(entry)).await;
        } else if entry["from"] == "server" {
            let mut expected = messages(&bytes(entry), conversation.json);
            if std::mem::take(&mut handshake) && !conversation.json {
                // Frames of MessagePack have a prefix, the handshake has a separator.
                let record = conversation.client.record().await.unwrap_or_default();
                let response = hex(record.as_bytes()) + "1e";
                if expected.remove(0) != response {
                    return Err(format!("handshake answered with {record}"));
                }
            }
            expect(conversation, name, expected).await?;
        } else if let Some(code) = entry["closed"].as_u64() {
            let rest = conversation.next().await;
            if rest.is_some() || conversation.client.close_code().map(u64::from) != Some(code) {
                return Err(format!(
                    "{rest:?} and {:?} instead of a close",
                    conversation.client.close_code()
                ));
            }
        } else if entry["open"] == true {
            quiet(conversation).await?;
        }
    }
    Ok(())
}

async fn expect(
    conversation: &mut Conversation,
    name: &str,
    mut expected: Vec<String>,
) -> Result<(), String> {
    let mut actual = Vec::new();
    for _ in 0..expected.len() {
        actual.push(
            conversation
                .next()
                .await
                .unwrap_or_else(|| "the end".to_owned()),
        );
    }
    if ANY_ORDER.contains(&name) {
        expected.sort();
        actual.sort();
    }
    for (expected, actual) in expected.iter().zip(&actual) {
        if !conversation.compare(expected, actual) {
            return Err(format!("expected {expected}\n     got {actual}"));
        }
    }
    Ok(())
}

/// Nothing more comes for a while.
async fn quiet(conversation: &mut Conversation) -> Result<(), String> {
    if conversation.pings {
        return Ok(());
    }
    match conversation.next().await.as_deref() {
        Some("nothing") => Ok(()),
        other => Err(format!("{other:?} instead of silence")),
    }
}

#[tokio::test(start_paused = true)]
async fn our_server_answers_as_the_official_one_does() {
    let transcripts: Value = serde_json::from_str(TRANSCRIPTS).unwrap();
    let cases = transcripts["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    let mut held = 0;
    for case in cases {
        let name = case["name"].as_str().unwrap();
        if DIFFERENT.iter().any(|(different, _)| *different == name) {
            continue;
        }
        held += 1;
        if let Err(error) = hold(case).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {held} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(held > 140, "only {held} cases");
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_of_unknown_type_are_answered() {
    let (_, world) = test_hubs().unwrap();
    let mut client = MemoryClient::connect(&world.server("/hub").unwrap(), "").await;
    client
        .send_records(&[
            r#"{"type":0}"#,
            r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#,
        ])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":3}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_token_does() {
    let (_, world) = test_hubs().unwrap();
    let mut client =
        MemoryClient::connect(&world.server("/expiring").unwrap(), "access_token=short1").await;
    client
        .send_records(&[r#"{"type":1,"invocationId":"1","target":"UserName","arguments":[]}"#])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":"short1"}"#
    );
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":7,"allowReconnect":true}"#
    );
    assert_eq!(client.message().await, None);
    assert_eq!(client.close_code(), Some(1000));
}
