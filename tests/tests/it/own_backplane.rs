//! `docs/backplane.md` and its example: a broker of one's own.

#[path = "../../examples/tcp_backplane.rs"]
mod tcp_backplane;

use std::sync::mpsc;
use std::time::Duration;

#[test]
fn servers_find_each_other_over_a_broker_of_ones_own() {
    let (sender, outcome) = mpsc::channel();
    std::thread::spawn(move || sender.send(tcp_backplane::main()));
    let outcome = outcome.recv_timeout(Duration::from_secs(20));
    outcome.expect("it hung or panicked").expect("it failed");
}
