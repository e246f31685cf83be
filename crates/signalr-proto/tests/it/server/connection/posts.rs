//! POSTs of the client's messages.

use super::*;

impl Test {
    /// A whole POST.
    pub(super) fn post(&mut self, bytes: &[u8]) -> OpId {
        let op = self.arrive(Port::Post);
        self.body(op, bytes, true);
        op
    }

    pub(super) fn body(&mut self, op: OpId, bytes: &[u8], last: bool) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.input(Input::Body { op, bytes, last });
    }
}

/// With an event stream, where a call waits behind another one, so that nothing is read.
fn stuck(buffer: usize) -> Test {
    let mut test = Test::new(
        with(config(), |config| {
            config.application_max_buffer_size = buffer;
            config.maximum_parallel_invocations = 1;
        }),
        ConnectionOptions::default(),
    );
    test.socket = test.arrive(Port::Events);
    test.post(HANDSHAKE);
    test.machine.accept(test.now);
    test.post(&json(&[CALL, CALL]));
    test.actions();
    test.sent.clear();
    test
}

fn respond(op: OpId, status: u16) -> String {
    format!("Respond {op} {status}")
}

#[test]
fn a_post_is_answered_when_all_of_it_was_taken() {
    let mut test = stuck(1000);
    let post = test.arrive(Port::Post);
    assert_eq!(test.machine.reading(), Some(post));
    test.body(post, b"{\"type\"", false);
    assert_eq!(test.actions(), [""; 0]);
    test.body(post, b":6}\x1e", true);
    assert_eq!(test.actions(), [respond(post, 200)]);
    let (_, response) = test.responses.pop_back().unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert!(response.body().is_empty());
    assert_eq!(test.machine.reading(), None);
}

#[test]
fn a_post_is_held_while_too_much_waits_to_be_read() {
    let mut test = stuck(100);
    let fits = test.post(&[b' '; 100]);
    assert_eq!(test.actions(), [respond(fits, 200)]);
    let exceeds = test.post(&[b' '; 10]);
    let next = test.arrive(Port::Post);
    assert_eq!(test.actions(), [""; 0]);
    assert_eq!(test.machine.reading(), None);
    test.finish(test.last_call());
    // What was posted is the beginning of a message.
    assert_eq!(test.actions(), [respond(exceeds, 200)]);
    assert_eq!(test.machine.reading(), Some(next));
}

#[test]
fn held_posts_are_answered_with_404_when_the_connection_ends() {
    let mut test = stuck(10);
    let held = test.post(&[b' '; 11]);
    let next = test.arrive(Port::Post);
    test.actions();
    test.machine.close(test.now, false);
    test.poll();
    assert_eq!(
        test.actions(),
        [
            respond(held, 404),
            respond(next, 404),
            "Finish 1".to_owned()
        ]
    );
    assert!(test.reason().is_some());
}

#[test]
fn posts_are_read_one_after_the_other_in_their_order() {
    let mut test = stuck(1000);
    test.finish(test.last_call());
    test.finish(test.last_call());
    let (first, second) = (test.arrive(Port::Post), test.arrive(Port::Post));
    assert_eq!(test.machine.reading(), Some(first));
    // A driver that does not wait for its turn does not mix them.
    test.body(second, b"{\"type\":1,\"target\":\"b\",", false);
    test.body(first, b"{\"type\":1,\"target\":\"a\",", false);
    test.body(second, b"\"arguments\":[]}\x1e", true);
    assert_eq!(test.actions(), [""; 0]);
    test.body(first, b"\"arguments\":[]}\x1e", true);
    assert_eq!(test.actions(), [respond(first, 200), respond(second, 200)]);
    assert_eq!(test.targets()[2..], ["a"]);
    test.finish(test.last_call());
    assert_eq!(test.targets()[2..], ["a", "b"]);
}

#[test]
fn a_message_may_be_spread_over_posts() {
    let mut test = stuck(1000);
    test.finish(test.last_call());
    test.finish(test.last_call());
    for byte in json(&[CALL]) {
        test.post(&[byte]);
    }
    assert_eq!(test.targets().len(), 3);
}

#[test]
fn a_post_that_its_client_leaves_is_forgotten_and_the_next_one_has_its_turn() {
    let mut test = stuck(1000);
    let left = test.arrive(Port::Post);
    let (behind, next) = (test.arrive(Port::Post), test.arrive(Port::Post));
    test.body(left, b"{\"type\"", false);
    test.body(behind, b"early", false);
    for op in [behind, left] {
        let cause = EndCause::Clean;
        test.input(Input::Ended { op, cause });
    }
    assert_eq!((test.reason(), test.machine.reading()), (None, Some(next)));
    test.body(next, b":6}\x1e", true);
    assert_eq!(test.actions(), [respond(next, 200)]);
}

#[test]
fn more_posts_than_may_wait_are_turned_away() {
    let mut test = stuck(1000);
    let waiting: Vec<OpId> = (0..64).map(|_| test.arrive(Port::Post)).collect();
    assert_eq!(test.actions(), [""; 0]);
    let refused = test.arrive(Port::Post);
    assert_eq!(test.actions(), [respond(refused, 429)]);
    for op in waiting {
        assert_eq!(test.machine.reading(), Some(op));
        test.body(op, b"", true);
        assert_eq!(test.actions(), [respond(op, 200)]);
    }
}

#[test]
fn a_post_before_any_transport_is_kept_for_it() {
    let mut test = Test::new(
        with(config(), |config| {
            config.application_max_buffer_size = 100;
        }),
        ConnectionOptions::default(),
    );
    let first = test.post(HANDSHAKE);
    assert_eq!(test.actions(), [respond(first, 200)]);
    let long = test.post(&json(&[PING, PING, PING, PING, PING, PING, CALL]));
    assert_eq!(test.actions(), [""; 0]);
    assert_eq!(test.events, []);
    test.socket = test.arrive(Port::Events);
    assert_eq!(test.actions(), ["Stream 3 200"]);
    test.machine.accept(test.now);
    test.poll();
    assert_eq!(test.actions(), [respond(long, 200)]);
    assert_eq!(test.targets(), ["Add"]);
}

#[test]
fn a_post_before_a_web_socket_is_read_first() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    let post = test.arrive(Port::Post);
    test.socket = test.arrive(Port::WebSocket);
    assert_eq!(test.machine.reading(), Some(post));
    test.body(post, HANDSHAKE, true);
    assert_eq!(test.machine.reading(), Some(test.socket));
    assert_eq!(test.sent(), "{}|");
    let late = test.arrive(Port::Post);
    assert!(test.actions().contains(&respond(late, 405)));
    let (_, response) = test.responses.pop_back().unwrap();
    assert_eq!(
        response.body(),
        &b"POST requests are not allowed for WebSocket connections."[..]
    );
}

#[test]
fn posts_that_no_transport_follows_end_with_404() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    test.wait(11 * SECOND);
    let post = test.arrive(Port::Post);
    test.wait(4 * SECOND);
    assert_eq!(test.actions(), [respond(post, 404)]);
    assert!(test.reason().is_some());
}

#[test]
fn a_body_that_was_complete_has_no_more_pieces() {
    let mut test = stuck(10);
    let post = test.post(&[b' '; 11]);
    test.body(post, &[b' '; 1000], true);
    assert_eq!(test.unread(), 11);
}

#[test]
fn early_pieces_of_a_post_that_has_its_turn_are_not_counted_again() {
    let mut small = config();
    small.limits.max_incoming_bytes = 150;
    small.application_max_buffer_size = 100;
    let mut test = Test::new(small, ConnectionOptions::default());
    test.socket = test.arrive(Port::Events);
    let (first, second) = (test.arrive(Port::Post), test.arrive(Port::Post));
    test.body(second, &json(&[CALL]), false);
    test.body(second, &json(&[CALL]), false);
    test.body(first, HANDSHAKE, true);
    test.machine.accept(test.now);
    test.poll();
    assert_eq!(test.reason(), None);
    assert_eq!(test.targets(), ["Add", "Add"]);
    // More than was asked for is too much all the same.
    let (third, fourth) = (test.arrive(Port::Post), test.arrive(Port::Post));
    test.body(second, b"", true);
    for _ in 0..4 {
        test.body(fourth, &json(&[CALL]), false);
    }
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::IncomingLimit { .. })
    ));
    assert!(test.actions().contains(&respond(third, 404)));
}

#[test]
fn a_post_that_ends_the_connection_is_answered_so_that_the_reason_can_be_heard() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    test.socket = test.arrive(Port::Events);
    test.post(HANDSHAKE);
    test.machine.accept(test.now);
    test.actions();
    let post = test.arrive(Port::Post);
    test.body(post, b"no message\x1e", false);
    let mut actions = test.actions();
    test.input(Input::Sent { op: test.socket });
    actions.extend(test.actions());
    assert!(actions.contains(&respond(post, 200)), "{actions:?}");
}

/// Lets time pass in steps of a second, with some bytes of the body after each.
fn drip(test: &mut Test, post: OpId, seconds: u64, bytes: &[u8]) {
    for _ in 0..seconds {
        test.wait(SECOND);
        test.body(post, bytes, false);
    }
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    let mut test = stuck(1000);
    let slow = test.arrive(Port::Post);
    let next = test.arrive(Port::Post);
    drip(&mut test, slow, 4, b" ");
    assert_eq!(test.actions(), [""; 0]);
    test.wait(SECOND);
    assert_eq!(test.actions(), [respond(slow, 400)]);
    let (_, response) = test.responses.pop_back().unwrap();
    assert_eq!(response.body(), "The request body came too slowly.");
    assert_eq!(test.machine.reading(), Some(next));
    assert!(test.machine.is_open());
    // The next one has all the time that there is, from its turn on.
    drip(&mut test, next, 4, b"  ");
    assert_eq!(test.actions(), [""; 0]);
    test.body(next, b"", true);
    assert_eq!(test.actions(), [respond(next, 200)]);
}

#[test]
fn a_body_of_the_least_speed_is_read_for_as_long_as_it_takes() {
    let mut test = stuck(1 << 20);
    let post = test.arrive(Port::Post);
    drip(&mut test, post, 12, &[b' '; 400]);
    assert_eq!(test.actions(), [""; 0]);
    // Twelve times 400 bytes may take 20 s.
    test.wait(Duration::from_millis(7999));
    assert_eq!(test.actions(), [""; 0]);
    test.wait(Duration::from_millis(1));
    assert_eq!(test.actions(), [respond(post, 400)]);
}

#[test]
fn the_time_in_which_a_body_is_not_read_does_not_count() {
    let mut test = stuck(100);
    let post = test.arrive(Port::Post);
    test.body(post, &[b' '; 101], false);
    assert_eq!(test.machine.reading(), None);
    test.wait(10 * SECOND);
    test.finish(test.last_call());
    test.actions();
    assert_eq!(test.machine.reading(), Some(post));
    drip(&mut test, post, 4, b"");
    assert_eq!(test.actions(), [""; 0]);
    test.wait(SECOND);
    assert_eq!(test.actions(), [respond(post, 400)]);
}

#[test]
fn without_a_least_speed_a_body_may_take_any_time() {
    let mut test = Test::new(
        with(config(), |config| {
            config.minimum_body_rate = None;
            config.disconnect_timeout = 60 * SECOND;
        }),
        ConnectionOptions::default(),
    );
    let post = test.arrive(Port::Post);
    test.wait(30 * SECOND);
    test.body(post, HANDSHAKE, true);
    assert_eq!(test.actions(), [respond(post, 200)]);
}
