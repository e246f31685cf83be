//! Each transport by itself: whether it connects, whether a call is answered, and whether an event stream flows.

use std::time::{Duration, Instant};

use signalr::CloseReason;
use signalr_proto::Protocol;
use signalr_proto::client::ClientConfig;
use signalr_proto::transport::negotiate::TransportKind;

use super::negotiation::Offered;
use super::patient::Patient;
use super::probe::{Probe, Seen};
use super::report::{Finding, milliseconds, number};
use crate::hub::explain::STICKY;

/// No hub has it, and the answer that says so takes as long as any other.
pub(super) const NO_METHOD: &str = "SignalRDoctorRoundTrip";
/// Event streams that begin later than this are held back by something.
const PROMPT: Duration = Duration::from_secs(2);

/// A transport that was tried.
pub(super) struct Tried {
    pub(super) finding: Finding,
    seen: Seen,
    /// Why it failed.
    reason: Option<CloseReason>,
}

/// Connects over one transport, has a call answered, and ends the connection.
pub(super) async fn check(
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
        patient.explain.reason(reason)
    ))
    .advice("the hub may refuse the connection in OnConnectedAsync: look at the log of the server")
}

/// A connection that is to be used further.
pub(super) async fn connect(patient: &Patient, kind: TransportKind) -> Result<Probe, Finding> {
    let mut probe = patient.probe(config(patient, kind, Protocol::Json));
    match probe.connect().await {
        Ok(()) => Ok(probe),
        Err(reason) => Err(not_connected(patient, kind, &reason, &probe.seen)),
    }
}

pub(super) fn config(patient: &Patient, kind: TransportKind, protocol: Protocol) -> ClientConfig {
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
