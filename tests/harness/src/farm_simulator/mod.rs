//! Three servers of a farm in one thread, under a virtual clock, around a broker that delays, reorders between channels, loses
//! and restarts: [`run`] plays one session that its seed decides.
//!
//! Connections come and go, join and leave groups on their own server or through others, send, ask and die with their servers,
//! and a model keeps book: who was certainly a member, and of which link something was lost. At the end each message must have
//! reached exactly the connections that were meant and stayed, once and in the order of its channel; every operation must have
//! ended once; and the broker must know of exactly the channels that are wanted.

#![allow(
    clippy::indexing_slicing,
    reason = "there are as many servers as there were in the beginning"
)]

mod broker;
mod model;
mod world;

use signalr_proto::Instant;

use crate::simulator::Random;
pub use model::Tally;
use world::World;

/// How much a session has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Everything arrives, late.
    Calm,
    /// Links break, noticed or not, the broker goes away and comes back empty, messages are lost, servers die.
    Rough,
}

/// What kind of session it is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    weather: Weather,
    /// What the applications do.
    acts: u64,
    /// The longest rest between two acts, in milliseconds.
    rest: u64,
    /// The longest way to the broker and back, in milliseconds.
    delay: u64,
    /// Operations wait for a broker that is away.
    patient: bool,
}

/// Plays a session.
///
/// # Panics
/// When a node breaks a rule.
#[must_use]
pub fn run(seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let plan = Plan {
        weather: random.of(&[Weather::Calm, Weather::Rough, Weather::Rough]),
        acts: random.of(&[20, 60, 120]),
        rest: random.of(&[5, 100, 2_000]),
        delay: random.of(&[2, 50, 400]),
        patient: random.percent(50),
    };
    World::new(seed, plan, random, Instant::ZERO).play()
}
