//! What is held of bodies that come before their turn.

use super::*;

#[test]
fn nothing_is_held_of_a_post_that_its_client_left() {
    let now = Instant::ZERO;
    let mut machine =
        ServerConnection::new(ServerConfig::default(), ConnectionOptions::default(), now);
    let [first, behind] = [1, 2].map(OpId::new);
    for op in [first, behind] {
        let (port, identity) = (Port::Post, None);
        machine.handle_input(now, Input::Arrived(Arrival { op, port, identity }));
    }
    for (op, bytes) in [(first, "{"), (behind, "early")] {
        let (bytes, last) = (Bytes::from_static(bytes.as_bytes()), false);
        machine.handle_input(now, Input::Body { op, bytes, last });
    }
    assert_eq!(machine.posts.early_bytes(), 5);
    let cause = EndCause::Clean;
    machine.handle_input(now, Input::Ended { op: behind, cause });
    assert_eq!(machine.posts.early_bytes(), 0);
}
