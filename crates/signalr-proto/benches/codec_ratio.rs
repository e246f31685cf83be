//! Compares decoding with serde_json in one run: `cargo bench -p signalr-proto --bench codec_ratio`.
//!
//! Both read the same small invocations. serde_json reads them into a struct that borrows everything and keeps the arguments
//! raw, which is the least a decoder built on it would do. The two take turns, and the fastest turn of each counts.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures time"
)]
#![expect(clippy::print_stdout, reason = "prints its result")]
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use signalr_proto::Protocol;
use signalr_proto::codec::Role;

const ROUNDS: u32 = 60;
const PER_ROUND: u32 = 20_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Borrowed<'a> {
    r#type: u8,
    target: &'a str,
    #[serde(borrow)]
    arguments: &'a RawValue,
    invocation_id: Option<&'a str>,
}

fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..PER_ROUND {
        work();
    }
    start.elapsed() / PER_ROUND
}

fn compare(name: &str, text: &'static str) {
    // Bytes of a received message are shared, which is slower than static ones.
    let frame = Bytes::from(text.to_owned());
    let _shared = frame.clone();
    let (mut theirs, mut ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        theirs = theirs.min(time(|| {
            let message: Result<Borrowed<'_>, _> = serde_json::from_slice(black_box(&frame));
            black_box(&message)
                .as_ref()
                .map(|message| {
                    (
                        message.r#type,
                        message.target,
                        message.arguments,
                        message.invocation_id,
                    )
                })
                .unwrap();
        }));
        ours = ours.min(time(|| {
            let message = Protocol::Json.decode(Role::Client, black_box(&frame));
            black_box(&message).as_ref().unwrap();
        }));
    }
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("{name}: serde_json {theirs:?}, signalr-proto {ours:?}, ratio {ratio:.2}");
}

fn main() {
    compare(
        "invocation",
        r#"{"type":1,"target":"send","arguments":["hello",42]}"#,
    );
    compare(
        "invocation with id",
        r#"{"type":1,"invocationId":"123","target":"send","arguments":["hello",42]}"#,
    );
    compare(
        "chat message",
        r#"{"type":1,"target":"ReceiveMessage","arguments":[{"user":"somebody","text":"The quick brown fox jumps over the lazy dog.","sentAt":"2020-01-02T03:04:05Z"}]}"#,
    );
}
