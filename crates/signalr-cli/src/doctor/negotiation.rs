//! What a server offers to those who ask for a connection.

use std::time::Instant;

use serde_json::json;
use signalr::CloseReason;
use signalr_proto::transport::negotiate::{NegotiateResponse, Offer, TransportKind};
use signalr_proto::{NegotiateError, Protocol, TransferFormat};

use super::patient::Patient;
use super::probe::Negotiation;
use super::report::{Finding, number};

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
