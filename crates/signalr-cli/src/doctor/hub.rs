//! What needs a hub: negotiation, transports, protocols, and what flows over them.

use std::time::{Duration, Instant};

use serde_json::json;
use signalr::CloseReason;
use signalr_proto::client::{CallError, ClientConfig};
use signalr_proto::transport::negotiate::{NegotiateResponse, Offer, TransportKind};
use signalr_proto::{NegotiateError, Payload, Protocol, TransferFormat};

use super::patient::Patient;
use super::probe::{Negotiation, Probe, Seen};
use super::report::{Finding, milliseconds, number};
use crate::hub::explain::STICKY;

/// Called to measure a round trip: no hub has it, and the answer that says so takes as long as any other.
const NO_METHOD: &str = "SignalRDoctorRoundTrip";
const ROUND_TRIPS: usize = 5;
/// Event streams that begin later than this are held back by something.
const PROMPT: Duration = Duration::from_secs(2);
/// The sizes to try, in bytes.
const SMALLEST: usize = 1 << 6;
const LARGEST: usize = 4 << 20;

/// What a server offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offered {
    pub(super) transports: Vec<TransportKind>,
    pub(super) formats: Vec<(TransportKind, Vec<Box<str>>)>,
}

impl Offered {
    fn of(offer: &Offer) -> Self {
        let known = |name: &str| {
            TransportKind::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
        };
        let formats: Vec<_> = offer
            .transports
            .iter()
            .filter_map(|offered| {
                Some((
                    known(&offered.transport)?,
                    offered
                        .transfer_formats
                        .iter()
                        .map(|format| format.as_str().into())
                        .collect(),
                ))
            })
            .collect();
        Self {
            transports: formats.iter().map(|(kind, _)| *kind).collect(),
            formats,
        }
    }

    /// Whether messages of this protocol fit this transport.
    pub(super) fn carries(&self, kind: TransportKind, protocol: Protocol) -> bool {
        let wanted = match protocol.transfer_format() {
            TransferFormat::Binary => "Binary",
            TransferFormat::Text => "Text",
        };
        self.formats.iter().any(|(offered, formats)| {
            *offered == kind && formats.iter().any(|format| **format == *wanted)
        })
    }
}

/// Asks for a connection, and follows where the server sends.
pub(super) async fn negotiate(patient: &Patient) -> (Finding, Option<Offered>) {
    let begun = Instant::now();
    let mut probe = patient.probe(patient.config());
    let outcome = probe.negotiate().await;
    let hops = &probe.seen.negotiations;
    let offer = hops.last().and_then(|last| match &last.answer {
        Some(NegotiateResponse::Connect(offer)) => Some(offer),
        Some(_) | None => None,
    });
    let facts: Vec<_> = hops.iter().take(5).map(hop).collect();
    let (finding, offered) = match (outcome, offer) {
        (Ok(()), Some(offer)) => (
            accepted(hops, offer).took(begun.elapsed()),
            Some(Offered::of(offer)),
        ),
        // Without negotiation there is nothing to ask; the address wanted it so.
        (Ok(()), None) => (
            Finding::failed("the server did not say what it offers"),
            None,
        ),
        (Err(reason), Some(offer)) if is_choice(&reason) => (unusable(offer), None),
        (Err(reason), _) => (refused(patient, hops, &reason).await, None),
    };
    (finding.fact("requests", facts), offered)
}

fn hop(hop: &Negotiation) -> serde_json::Value {
    let answer = match &hop.answer {
        Some(NegotiateResponse::Connect(offer)) => json!({
            "version": offer.version,
            "statefulReconnect": offer.stateful_reconnect,
            "transports": offer.transports.iter().map(|offered| json!({
                "transport": offered.transport,
                "transferFormats": offered.transfer_formats,
            })).collect::<Vec<_>>(),
        }),
        Some(NegotiateResponse::Redirect { access_token, .. }) => {
            json!({"redirect": true, "withToken": access_token.is_some()})
        }
        Some(NegotiateResponse::Refused { error }) => json!({"error": error}),
        Some(_) | None => json!(null),
    };
    json!({"to": hop.place, "status": hop.status, "milliseconds": number(hop.took), "answer": answer})
}

fn accepted(hops: &[Negotiation], offer: &Offer) -> Finding {
    let names: Vec<&str> = offer
        .transports
        .iter()
        .map(|offered| &*offered.transport)
        .collect();
    let mut detail = format!("version {}, offers {}", offer.version, names.join(", "));
    if offer.stateful_reconnect {
        detail.push_str(", stateful reconnect");
    }
    if let (Some(last), 2..) = (hops.last(), hops.len()) {
        detail = format!("redirected to {}; {detail}", last.place);
    }
    if offer.version == 0 {
        return Finding::warning(detail).advice(
            "version 0 has no secret connection tokens: the server is very old, update it",
        );
    }
    Finding::ok(detail)
}

const fn is_choice(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Negotiate(NegotiateError::NoTransport { .. })
    )
}

fn unusable(offer: &Offer) -> Finding {
    let names: Vec<&str> = offer
        .transports
        .iter()
        .map(|offered| &*offered.transport)
        .collect();
    let detail = if names.is_empty() {
        "the server offers no transport".to_owned()
    } else {
        format!(
            "no transport that the server offers can be used: {}",
            names.join(", ")
        )
    };
    Finding::failed(detail)
        .advice("the server must allow WebSockets, server-sent events or long polling")
}

async fn refused(patient: &Patient, hops: &[Negotiation], reason: &CloseReason) -> Finding {
    let place = hops
        .last()
        .filter(|_| hops.len() > 1)
        .map_or_else(String::new, |last| {
            format!(
                "after {} redirects, at {}: ",
                hops.len().saturating_sub(1),
                last.place
            )
        });
    let finding = Finding::failed(format!("{place}{}", patient.explain.reason(reason)));
    if let CloseReason::TransportFailed { .. } = reason {
        if patient.wants_tls().await {
            return finding
                .advice("the server speaks TLS at this port: write the address with https://");
        }
        return finding.advice(
            "something listens at this port, but it does not answer as an HTTP server does",
        );
    }
    match advice(reason) {
        Some(advice) => finding.advice(advice),
        None => finding,
    }
}

/// What the explanation of the reason does not say yet.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "there is no more to say about the others"
)]
const fn advice(reason: &CloseReason) -> Option<&'static str> {
    match reason {
        CloseReason::Negotiate(NegotiateError::AspNet) => Some(
            "ASP.NET SignalR (not Core) speaks another protocol: it needs a client of its own, or the server an update",
        ),
        CloseReason::Negotiate(NegotiateError::Refused { .. }) => {
            Some("these are the server's words: look at its log and its rules")
        }
        CloseReason::Negotiate(NegotiateError::RedirectLimit { .. }) => Some(
            "the servers send each other's clients in a circle: look at the configuration of the service in front of the hub",
        ),
        CloseReason::Negotiate(NegotiateError::Status { status: 502 | 504 }) => Some(
            "a proxy or load balancer answers, but the server behind it does not: is that running?",
        ),
        CloseReason::Negotiate(NegotiateError::Status { status: 500..=599 }) => {
            Some("look at the log of the server")
        }
        CloseReason::Negotiate(NegotiateError::Status { status: 300..=399 }) => Some(
            "use the address that it redirects to; a login page here means that the server wants a token",
        ),
        CloseReason::ConnectTimeout { .. } => Some(
            "the server took the connection but did not answer: is it stuck, or is this a port for something else?",
        ),
        _ => None,
    }
}

/// A transport that was tried.
pub(super) struct Tried {
    pub(super) finding: Finding,
    seen: Seen,
    /// Why it failed.
    reason: Option<CloseReason>,
}

/// Connects over one transport, has a call answered, and ends the connection.
pub(super) async fn transport(
    patient: &Patient,
    offered: &Offered,
    kind: TransportKind,
) -> Option<Tried> {
    if !offered.transports.contains(&kind) {
        return None;
    }
    let mut probe = patient.probe(config(patient, kind, Protocol::Json));
    let begun = Instant::now();
    let connected = probe.connect().await;
    let took = begun.elapsed();
    let answered = match &connected {
        // Whether the hub keeps the connection shows at the first answer.
        Ok(()) => probe.call(NO_METHOD, &()).await.map(|_| ()),
        Err(_) => Ok(()),
    };
    let seen = std::mem::take(&mut probe.seen);
    probe.close().await;
    Some(match (connected, answered) {
        (Err(reason), _) => Tried {
            finding: not_connected(patient, kind, &reason, &seen),
            seen,
            reason: Some(reason),
        },
        (Ok(()), Err(reason)) => Tried {
            finding: not_kept(patient, &reason),
            seen,
            reason: None,
        },
        (Ok(()), Ok(())) => Tried {
            finding: Finding::ok("connected, handshake done, a call answered").took(took),
            seen,
            reason: None,
        },
    })
}

fn not_connected(
    patient: &Patient,
    kind: TransportKind,
    reason: &CloseReason,
    seen: &Seen,
) -> Finding {
    let detail = if let CloseReason::UpgradeRefused { status } = reason {
        format!("the WebSocket was refused with HTTP {status}")
    } else {
        patient.explain.reason(reason)
    };
    let finding = Finding::failed(detail);
    finding.advice(transport_advice(patient, kind, reason, seen))
}

fn not_kept(patient: &Patient, reason: &CloseReason) -> Finding {
    Finding::failed(format!(
        "connected, but closed before a call was answered: {}",
        patient.explain.lost(reason)
    ))
    .advice("the hub may refuse the connection in OnConnectedAsync: look at the log of the server")
}

/// A connection that is to be used further.
async fn connect(patient: &Patient, kind: TransportKind) -> Result<Probe, Finding> {
    let mut probe = patient.probe(config(patient, kind, Protocol::Json));
    match probe.connect().await {
        Ok(()) => Ok(probe),
        Err(reason) => Err(not_connected(patient, kind, &reason, &probe.seen)),
    }
}

fn config(patient: &Patient, kind: TransportKind, protocol: Protocol) -> ClientConfig {
    let mut config = patient.config();
    config.transports = vec![kind];
    config.protocol = protocol;
    config
}

fn transport_advice(
    patient: &Patient,
    kind: TransportKind,
    reason: &CloseReason,
    seen: &Seen,
) -> &'static str {
    match (kind, reason) {
        (
            _,
            CloseReason::UpgradeRefused { status: 404 }
            | CloseReason::RequestRefused { status: 404, .. },
        ) => STICKY,
        (_, CloseReason::Redirected { .. }) => {
            "not every request can follow: write the address that it leads to, if that is the hub"
        }
        (TransportKind::WebSockets, CloseReason::TransportFailed { .. })
            if patient.address.is_none() =>
        {
            "WebSockets need a proxy that allows CONNECT to this host and port, or none: --proxy none"
        }
        (
            TransportKind::WebSockets,
            CloseReason::UpgradeRefused {
                status: 200..=399 | 426,
            },
        ) => {
            "a proxy may not pass WebSockets on: it must forward the headers Upgrade and Connection (nginx: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade)"
        }
        (TransportKind::WebSockets, CloseReason::UpgradeRefused { .. }) => {
            "negotiation worked, so it is the WebSocket that something objects to; the other transports may still work"
        }
        (
            TransportKind::ServerSentEvents,
            CloseReason::ConnectTimeout { .. } | CloseReason::HandshakeTimeout { .. },
        ) if seen.stream_asked.is_some() => BUFFERED,
        (_, CloseReason::HandshakeTimeout { .. }) => {
            "the transport opened but the hub is silent: something in between may hold messages back"
        }
        _ => "look at the log of the server, and of what stands between here and there",
    }
}

const BUFFERED: &str = "a proxy in between buffers the event stream: turn that off (nginx: proxy_buffering off, or the header X-Accel-Buffering: no; IIS: no dynamic compression of text/event-stream), or leave this transport out";

/// Whether an event stream comes as it is written.
pub(super) fn streaming(tried: &Tried) -> Finding {
    let seen = &tried.seen;
    let out_of_time = matches!(
        tried.reason,
        Some(
            CloseReason::ConnectTimeout { .. }
                | CloseReason::RequestTimeout { .. }
                | CloseReason::HandshakeTimeout { .. }
        )
    );
    if seen.stream_asked.is_none() || (tried.reason.is_some() && !out_of_time) {
        return Finding::skipped("because server-sent-events failed");
    }
    flow(seen.stream_head, seen.stream_body, out_of_time)
        .fact("headMilliseconds", seen.stream_head.map(number))
        .fact("firstBytesMilliseconds", seen.stream_body.map(number))
}

fn flow(head: Option<Duration>, body: Option<Duration>, out_of_time: bool) -> Finding {
    let (Some(head), Some(body)) = (head, body) else {
        let what = if head.is_some() {
            "the event stream was answered, but nothing came over it"
        } else {
            "the request for the event stream was taken, but no answer came"
        };
        return Finding::failed(what).advice(BUFFERED);
    };
    if out_of_time {
        return Finding::failed(
            "the event stream began, but the answer to the handshake did not come over it",
        )
        .advice(BUFFERED);
    }
    let times = format!(
        "head after {}, first bytes after {}",
        milliseconds(head),
        milliseconds(body)
    );
    if body > PROMPT {
        return Finding::warning(format!("{times}: something holds them back")).advice(BUFFERED);
    }
    Finding::ok(format!("{times}: nothing holds them back"))
}

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
        let why = lost.map_or_else(String::new, |reason| patient.explain.lost(&reason));
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
            Ok(Err(reason)) => break Some(patient.explain.lost(&reason)),
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
