//! What must hold for a node of a farm whatever comes: see `signalr_harness::backplane_property`.

use proptest::prelude::*;
use signalr_harness::backplane_property;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn anything_in_any_order_keeps_every_rule(data in prop::collection::vec(any::<u8>(), 0..600)) {
        backplane_property::check(&data);
    }

    #[test]
    fn what_is_read_is_written_and_read_again(count in 0_u8..6, data in prop::collection::vec(any::<u8>(), 0..60)) {
        // Arrays of few elements get further than other bytes.
        let array = [&[0x90 | count], &*data].concat();
        backplane_property::payloads(&array);
    }
}

/// A property that never gets anywhere proves nothing.
#[test]
fn operations_in_any_order_reach_every_event() {
    let events = [
        "Connect",
        "Disconnect",
        "Publish",
        "Subscribe",
        "Unsubscribe",
        "Ask",
        "Joined",
        "Left",
        "Ok(())",
        "Err(Away)",
        "Err(Lost)",
        "Err(TimedOut",
        "Err(NotAcknowledged",
        "Err(Full",
        "Err(NoReceiver",
        "Err(NotAnswered",
        "Err(Stopped",
        "Answered",
        "Up",
        "Away",
        "Namesake",
        "Malformed",
        "Refused",
    ];
    let mut counts = events.map(|event| (event, 0));
    let mut seed = 1_u64;
    for _ in 0..2_000 {
        let data: Vec<u8> = (0..500)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        let trace = backplane_property::node(&data);
        for (event, count) in &mut counts {
            *count += trace.matches(*event).count();
        }
    }
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}
