//! Sessions of both machines over a bad network: see the simulator.
//!
//! `SIGNALR_SESSIONS` says how many (default: 1,000), `SIGNALR_SEED` which is the first (default: 0).

use signalr_harness::simulator::{self, Tally};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn each_message_arrives_once_and_in_order_or_the_connection_is_reported_as_lost() {
    let first = number("SIGNALR_SEED", 0);
    let sessions = number("SIGNALR_SESSIONS", 1_000);
    let mut total = Tally::default();
    for seed in first..first + sessions {
        total += simulator::run(seed);
    }
    println!("{sessions} sessions: {total:?}");
    if sessions >= 100 {
        let happened = [
            total.messages,
            total.cuts,
            total.resumed,
            total.taken_over,
            total.lost,
            total.over_events,
            total.over_polls,
        ];
        assert!(happened.iter().all(|count| *count > 0), "{total:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..20 {
        assert_eq!(simulator::run(seed), simulator::run(seed));
    }
}
