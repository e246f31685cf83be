//! Sessions of three servers around a bad broker: see the simulator.
//!
//! `SIGNALR_SESSIONS` says how many (default: 1,000), `SIGNALR_SEED` which is the first (default: 0).

use signalr_harness::farm_simulator::{self, Tally};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn each_message_reaches_those_who_stayed_once_and_in_order_and_nothing_is_left_over() {
    let first = number("SIGNALR_SEED", 0);
    let sessions = number("SIGNALR_SESSIONS", 1_000);
    let mut total = Tally::default();
    for seed in first..first + sessions {
        let played = std::panic::catch_unwind(|| farm_simulator::run(seed));
        total += played.unwrap_or_else(|_| panic!("SIGNALR_SEED={seed} SIGNALR_SESSIONS=1"));
    }
    println!("{sessions} sessions: {total:?}");
    if sessions >= 100 {
        let happened = [
            total.messages,
            total.deliveries,
            total.owed,
            total.commands,
            total.answers,
            total.failures,
            total.cuts,
            total.restarts,
            total.deaths,
        ];
        assert!(happened.iter().all(|count| *count > 0), "{total:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..20 {
        assert_eq!(farm_simulator::run(seed), farm_simulator::run(seed));
    }
}
