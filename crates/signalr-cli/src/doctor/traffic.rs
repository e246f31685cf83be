//! What flows over the transports that work: MessagePack, calls and their answers, large messages.

use std::time::Instant;

use signalr::CloseReason;
use signalr_proto::client::CallError;
use signalr_proto::transport::negotiate::TransportKind;
use signalr_proto::{Payload, Protocol};

use super::negotiation::Offered;
use super::patient::Patient;
use super::report::{Finding, milliseconds, number};
use super::transport::{NO_METHOD, config, connect};

const ROUND_TRIPS: usize = 5;
/// The sizes to try, in bytes.
const SMALLEST: usize = 1 << 6;
const LARGEST: usize = 4 << 20;

/// Connects with MessagePack, over a transport that can carry it and is known to work.
pub(super) async fn message_pack(
    patient: &Patient,
    offered: &Offered,
    working: &[TransportKind],
) -> Finding {
    let fits = |kind: &TransportKind| offered.carries(*kind, Protocol::MessagePack);
    let Some(kind) = working.iter().copied().find(fits) else {
        return Finding::skipped("no transport that works carries binary messages");
    };
    let mut probe = patient.probe(config(patient, kind, Protocol::MessagePack));
    let begun = Instant::now();
    let outcome = probe.connect().await;
    probe.close().await;
    match outcome {
        Ok(()) => Finding::ok(format!("handshake done over {}", kind.name())).took(begun.elapsed()),
        Err(CloseReason::HandshakeRefused { error }) => {
            Finding::warning(format!("the server does not speak it: {error}")).advice(
                "JSON works; to have MessagePack, the server needs AddMessagePackProtocol (package Microsoft.AspNetCore.SignalR.Protocols.MessagePack)",
            )
        }
        Err(reason) => Finding::failed(patient.explain.reason(&reason)),
    }
}

/// Measures how long an answer takes, over the best transport that works.
pub(super) async fn round_trip(patient: &Patient, working: &[TransportKind]) -> Finding {
    let Some(kind) = working.first().copied() else {
        return Finding::skipped("no transport works");
    };
    let mut probe = match connect(patient, kind).await {
        Ok(probe) => probe,
        Err(finding) => return finding,
    };
    let mut times = Vec::new();
    let mut lost = None;
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        match probe.call(NO_METHOD, &()).await {
            Ok(_) => times.push(begun.elapsed()),
            Err(reason) => {
                lost = Some(reason);
                break;
            }
        }
    }
    probe.close().await;
    times.sort_unstable();
    let Some((median, fastest)) = times.get(times.len() / 2).zip(times.first()) else {
        let why = lost.map_or_else(String::new, |reason| patient.explain.reason(&reason));
        return Finding::warning(format!(
            "a call of a method that does not exist got no answer: {why}"
        ))
        .advice("some servers close the connection of who calls what they do not have");
    };
    Finding::ok(format!(
        "{} over {} (fastest {})",
        milliseconds(*median),
        kind.name(),
        milliseconds(*fastest)
    ))
    .fact("transport", kind.name())
    .fact("medianMilliseconds", number(*median))
    .fact("fastestMilliseconds", number(*fastest))
}

/// Finds out how large a message may be, by calling a method that takes a text.
pub(super) async fn size(patient: &Patient, method: &str, working: &[TransportKind]) -> Finding {
    let Some(kind) = working.first().copied() else {
        return Finding::skipped("no transport works");
    };
    let mut probe = match connect(patient, kind).await {
        Ok(probe) => probe,
        Err(finding) => return finding,
    };
    let mut passed = 0;
    let mut size = SMALLEST;
    let failure = loop {
        if size > LARGEST {
            break None;
        }
        let arguments = ("x".repeat(size),);
        let call = probe.call(method, &arguments);
        match tokio::time::timeout(patient.bound, call).await {
            Ok(Ok(answer)) => {
                if let Some(objection) = objection(method, &answer) {
                    break Some(objection);
                }
                passed = size;
            }
            Ok(Err(reason)) => break Some(patient.explain.reason(&reason)),
            Err(_) => break Some("no answer in time".to_owned()),
        }
        size = size.saturating_mul(2);
    };
    probe.close().await;
    sized(passed, size, failure, kind)
}

/// Why the call says nothing about sizes.
fn objection(method: &str, answer: &Result<Option<Payload>, CallError>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(error) => Some(format!(
            "the hub refused a call of {method} with one text: {error}"
        )),
    }
}

fn sized(passed: usize, tried: usize, failure: Option<String>, kind: TransportKind) -> Finding {
    let finding = match failure {
        None => Finding::ok(format!("texts of {} pass over {}", in_words(passed), kind.name())),
        Some(why) if passed == 0 => Finding::failed(why)
            .advice("name a method of the hub that takes one text, such as an echo"),
        Some(why) => Finding::ok(format!(
            "texts of {} pass over {}, of {} do not: {why}",
            in_words(passed),
            kind.name(),
            in_words(tried)
        ))
        .advice("if larger messages are needed: MaximumReceiveMessageSize of the hub, 32 KiB by default"),
    };
    finding.fact("largestPassed", passed)
}

fn in_words(bytes: usize) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    format!("{} KiB", bytes / 1024)
}
