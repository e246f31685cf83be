//! Small answers are sent at once.

use std::time::{Duration, Instant};

use crate::raw::{Socket, call, record};
use crate::server::Server;

const CALLS: usize = 64;
const ROUNDS: usize = 40;
/// A kernel that waits for an acknowledgment before it sends a small packet waits 40 ms for it.
const DELAY: Duration = Duration::from_millis(38);

/// Calls whose answers come one after the other, so that each is a packet of its own.
pub async fn are_not_held_back() {
    let server = Server::start().await;
    let mut socket = Socket::connect(&server, "/parallel").await;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let calls = (0..CALLS).flat_map(|number| {
            let wait = number % 4;
            record(call(
                &format!("{round}-{number}"),
                "Slow",
                &format!("{wait},\"\""),
            ))
        });
        let begin = Instant::now();
        socket.send(calls.collect::<Vec<_>>()).await;
        let mut last = begin;
        let mut pause = Duration::ZERO;
        for _ in 0..CALLS {
            socket.reader.record().await.unwrap();
            pause = pause.max(last.elapsed());
            last = Instant::now();
        }
        took.push(pause);
    }
    took.sort_unstable();
    let (median, longest) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    eprintln!(
        "64 calls in flight: the longest pause of a round is {median:.1?} in the middle, {longest:.1?} at most"
    );
    let held = took.iter().filter(|pause| **pause >= DELAY).count();
    // A busy machine has pauses of its own.
    assert!(
        held <= ROUNDS / 4,
        "{held} of {ROUNDS} rounds waited for an acknowledgment: {took:?}"
    );
}
