//! What must hold for the server's machines whatever comes: see `signalr_harness::server_property`.

use proptest::prelude::*;
use signalr_harness::server_property;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn requests_in_any_order_get_the_verdicts_of_the_table(data in prop::collection::vec(any::<u8>(), 0..600)) {
        server_property::endpoint(&data);
    }

    #[test]
    fn anything_in_any_order_on_a_connection_keeps_every_rule(data in prop::collection::vec(any::<u8>(), 0..600)) {
        server_property::connection(&data);
    }
}

/// Operations that a seed decides.
fn operations(seed: &mut u64, length: usize) -> Vec<u8> {
    let mut byte = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*seed >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// A property that never gets anywhere proves nothing.
fn check_reached<const N: usize>(outcomes: [&str; N], trace: impl Fn(&[u8]) -> String) {
    let mut counts = outcomes.map(|outcome| (outcome, 0));
    let mut seed = 1;
    for _ in 0..2000 {
        let trace = trace(&operations(&mut seed, 500));
        for (outcome, count) in &mut counts {
            *count += trace.matches(*outcome).count();
        }
    }
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn requests_in_any_order_reach_every_verdict() {
    check_reached(
        [
            "Respond(200)",
            "Respond(400)",
            "Respond(401)",
            "Respond(403)",
            "Respond(404)",
            "Respond(405)",
            "Respond(409)",
            "Respond(503)",
            "Open { key: ConnectionKey(1), arrival: Arrival { op: OpId(1), port: WebSocket",
            "port: Events",
            "port: Poll",
            "port: Post",
            "port: Delete",
            "port: Refresh",
            "Join",
        ],
        server_property::endpoint_trace,
    );
}

#[test]
fn anything_in_any_order_reaches_every_kind_of_output() {
    check_reached(
        [
            "Respond",
            "Deliver",
            "Stream {",
            "Chunk",
            "Finish",
            "Accept",
            "Send {",
            "Close {",
            "Abort",
            "Handshaken",
            "Invocation { call",
            "Cancel {",
            "StreamItem {",
            "UploadEnded",
            "Completion { invocation_id",
            "UnknownCompletion",
            "Reauthenticate {",
            "Reauthenticated",
            "Writable",
            "Detached",
            "Resumed",
            "ClosedByClient",
            "ClosedByServer",
            "Rejected",
            "AuthenticationExpired",
            "AuthenticationRejected",
            "TransportEnded",
            "TransportFailed",
            "HandshakeFailed",
            "ClientTimeout",
            "SendTimeout",
            "DisconnectTimeout",
            "Protocol(",
            "Sequence(",
            "ForeignAnswer",
            "IncomingLimit",
        ],
        server_property::connection_trace,
    );
}
