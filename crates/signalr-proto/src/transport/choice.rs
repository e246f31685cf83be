//! Which of the transports that a server offers is used ([requirements](crate::spec::transports#choice-and-fallback)).

use super::negotiate::{TransportKind, TransportOffer};
use crate::codec::TransferFormat;
use crate::error::{CloseReason, TransportFailure, TransportFailureReason};

/// Offers that are looked at. Three transports exist; a longer list is a server's joke.
const MAX_OFFERS: usize = 16;

impl TransportFailure {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(&self.reason, TransportFailureReason::Failed(reason) if reason.is_transient())
    }

    pub(crate) fn failed(kind: TransportKind, reason: CloseReason) -> Self {
        Self {
            transport: kind.name().into(),
            reason: TransportFailureReason::Failed(Box::new(reason)),
        }
    }

    /// The negotiation that was to come before the next transport failed.
    pub(crate) fn unreachable(reason: CloseReason) -> Self {
        Self {
            transport: "negotiation".into(),
            reason: TransportFailureReason::Failed(Box::new(reason)),
        }
    }

    fn skipped(offer: &TransportOffer, reason: TransportFailureReason) -> Self {
        let printable = offer.transport.chars().filter(|c| !c.is_control());
        Self {
            transport: printable.take(64).collect::<String>().into(),
            reason,
        }
    }
}

/// The next transport to try: the first usable one in the server's order ([TR-27](crate::spec::transports#tr-27)), or in the user's
/// when the user gave one. Those in `failed` were tried already. With nothing left, says of each transport why not
/// ([TR-32](crate::spec::transports#tr-32)).
pub(crate) fn choose(
    offered: &[TransportOffer],
    wanted: &[TransportKind],
    format: TransferFormat,
    failed: &[TransportFailure],
) -> Result<TransportKind, Vec<TransportFailure>> {
    let offered = offered.get(..MAX_OFFERS).unwrap_or(offered);
    let mut usable = Vec::new();
    let mut failures = failed.to_vec();
    for offer in offered {
        match check(offer, wanted, format) {
            Ok(kind)
                if failed
                    .iter()
                    .any(|failure| *failure.transport == *kind.name()) => {}
            Ok(kind) => usable.push(kind),
            Err(reason) => failures.push(TransportFailure::skipped(offer, reason)),
        }
    }
    let rank = |kind: &TransportKind| wanted.iter().position(|wanted| wanted == kind);
    usable.into_iter().min_by_key(rank).ok_or(failures)
}

fn check(
    offer: &TransportOffer,
    wanted: &[TransportKind],
    format: TransferFormat,
) -> Result<TransportKind, TransportFailureReason> {
    let kind = TransportKind::named(&offer.transport).ok_or(TransportFailureReason::Unknown)?;
    if !wanted.is_empty() && !wanted.contains(&kind) {
        return Err(TransportFailureReason::Disabled);
    }
    let offers_format = offer
        .transfer_formats
        .iter()
        .any(|name| name == format.name());
    if offers_format && kind.formats().contains(&format) {
        Ok(kind)
    } else {
        Err(TransportFailureReason::Format { format })
    }
}

#[cfg(test)]
mod tests {
    use super::TransportKind::{LongPolling, ServerSentEvents, WebSockets};
    use super::*;

    fn offers(kinds: &[TransportKind]) -> Vec<TransportOffer> {
        kinds.iter().copied().map(TransportOffer::of).collect()
    }

    fn text(
        offered: &[TransportKind],
        wanted: &[TransportKind],
        failed: &[TransportFailure],
    ) -> Result<TransportKind, Vec<TransportFailure>> {
        choose(&offers(offered), wanted, TransferFormat::Text, failed)
    }

    fn words(failures: Vec<TransportFailure>) -> Vec<String> {
        failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_servers_order_decides_unless_the_user_gave_one() {
        assert_eq!(text(&[LongPolling, WebSockets], &[], &[]), Ok(LongPolling));
        assert_eq!(
            text(&[LongPolling, WebSockets], &[WebSockets, LongPolling], &[]),
            Ok(WebSockets)
        );
    }

    #[test]
    fn what_was_tried_is_not_tried_again_and_every_reason_is_told() {
        let failed =
            TransportFailure::failed(WebSockets, CloseReason::UpgradeRefused { status: 403 });
        let failed = [failed];
        assert_eq!(
            text(&TransportKind::ALL, &[], &failed),
            Ok(ServerSentEvents)
        );
        let mut offered = offers(&TransportKind::ALL);
        offered.push(TransportOffer {
            transport: "Pig\neons".into(),
            transfer_formats: vec!["Binary".into()],
        });
        let wanted = [WebSockets, ServerSentEvents];
        let none = choose(&offered, &wanted, TransferFormat::Binary, &failed).unwrap_err();
        assert_eq!(
            words(none),
            [
                "WebSockets failed: the server refused the WebSocket with status 403: the server forbids this",
                "'ServerSentEvents' does not support Binary",
                "'LongPolling' is disabled by the client",
                "'Pigeons' is not supported by this client"
            ]
        );
    }

    #[test]
    fn an_event_stream_carries_text_alone_whatever_the_server_claims() {
        let lie = TransportOffer {
            transport: "ServerSentEvents".into(),
            transfer_formats: vec!["Text".into(), "Binary".into()],
        };
        let none = choose(&[lie], &[], TransferFormat::Binary, &[]).unwrap_err();
        assert_eq!(words(none), ["'ServerSentEvents' does not support Binary"]);
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let many = vec![
            TransportOffer {
                transport: "x".into(),
                transfer_formats: vec![]
            };
            5000
        ];
        let none = choose(&many, &[], TransferFormat::Text, &[]).unwrap_err();
        assert_eq!(none.len(), MAX_OFFERS);
    }
}
