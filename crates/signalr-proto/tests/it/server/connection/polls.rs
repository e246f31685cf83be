//! The machine on long polling.

use super::*;

/// After the first poll, before the handshake.
fn polled(config: ServerConfig) -> Test {
    let mut test = Test::new(config, ConnectionOptions::default());
    test.arrive(Port::Poll);
    assert_eq!(test.actions(), ["Respond 1 200"]);
    test
}

/// Past the handshake, with no poll.
fn open(config: ServerConfig) -> Test {
    let mut test = polled(config);
    test.post(HANDSHAKE);
    test.machine.accept(test.now);
    let poll = test.arrive(Port::Poll);
    assert_eq!(test.sent(), "{}|");
    test.actions();
    test.events.clear();
    test.responses.clear();
    assert_eq!(poll, OpId::new(3));
    test
}

fn respond(op: OpId, status: u16) -> String {
    format!("Respond {op} {status}")
}

fn message(target: &str) -> String {
    format!(r#"{{"type":1,"target":"{target}","arguments":[]}}|"#)
}

#[test]
fn the_first_poll_is_answered_at_once_and_never_kept_by_caches() {
    let mut test = polled(config());
    let (_, response) = test.responses.pop_back().unwrap();
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-store");
    assert_eq!(headers["pragma"], "no-cache");
    assert_eq!(headers["expires"], "Thu, 01 Jan 1970 00:00:00 GMT");
    assert!(response.body().is_empty());
    assert_eq!(test.machine.transport(), Some(TransportKind::LongPolling));
}

#[test]
fn a_poll_brings_all_that_waits() {
    let mut test = open(config());
    test.say("a");
    test.say("b");
    assert_eq!(test.sent(), "");
    let poll = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    assert_eq!(test.sent(), message("a") + &message("b"));
    let poll = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [""; 0]);
    test.say("c");
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    assert_eq!(test.sent(), message("c"));
}

#[test]
fn an_idle_poll_is_answered_after_the_poll_timeout() {
    let mut test = open(config());
    let poll = test.arrive(Port::Poll);
    test.wait(Duration::from_millis(89_999));
    assert_eq!(test.actions(), [""; 0]);
    test.wait(Duration::from_millis(1));
    assert_eq!(test.actions(), [respond(poll, 200)]);
    let (_, response) = test.responses.pop_back().unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert!(response.body().is_empty());
    test.wait(14 * SECOND);
    assert_eq!(test.reason(), None);
}

#[test]
fn a_newer_poll_ends_the_older() {
    let mut test = open(config());
    let older = test.arrive(Port::Poll);
    test.wait(60 * SECOND);
    let newer = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [respond(older, 204)]);
    test.wait(60 * SECOND);
    test.say("a");
    assert_eq!(test.actions(), [format!("Deliver {newer} 200")]);
}

#[test]
fn a_newer_poll_waits_while_the_older_is_answered() {
    let mut test = open(config());
    test.takes = false;
    let older = test.arrive(Port::Poll);
    test.say("a");
    assert_eq!(test.actions(), [format!("Deliver {older} 200")]);
    test.say("b");
    let newer = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [""; 0]);
    let newest = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [respond(newer, 204)]);
    test.input(Input::Sent { op: older });
    assert_eq!(test.actions(), [format!("Deliver {newest} 200")]);
    assert_eq!(test.sent(), message("a") + &message("b"));
}

#[test]
fn messages_that_were_not_taken_come_with_the_next_poll() {
    let mut test = open(config());
    test.takes = false;
    let poll = test.arrive(Port::Poll);
    test.say("a");
    test.say("b");
    test.sent.clear();
    let cause = EndCause::Clean;
    test.input(Input::Ended { op: poll, cause });
    assert_eq!(test.sent(), "");
    test.takes = true;
    test.arrive(Port::Poll);
    assert_eq!(test.sent(), message("a") + &message("b"));
    test.say("c");
    test.arrive(Port::Poll);
    assert_eq!(test.sent(), message("c"));
}

#[test]
fn a_poll_that_its_client_leaves_waits_no_more() {
    let mut test = open(config());
    let poll = test.arrive(Port::Poll);
    let cause = EndCause::Clean;
    test.input(Input::Ended { op: poll, cause });
    test.say("a");
    assert_eq!((test.actions().len(), test.sent().as_str()), (0, ""));
    test.wait(14 * SECOND);
    test.arrive(Port::Poll);
    assert_eq!(test.sent(), message("a"));

    // The one behind a delivery as well.
    test.takes = false;
    let delivery = test.arrive(Port::Poll);
    test.say("b");
    let behind = test.arrive(Port::Poll);
    let cause = EndCause::Clean;
    test.input(Input::Ended { op: behind, cause });
    test.input(Input::Sent { op: delivery });
    test.actions();
    test.wait(14 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(test.reason().is_some());
}

#[test]
fn without_a_poll_the_connection_is_over_after_the_disconnect_timeout() {
    let mut test = open(config());
    test.wait(14 * SECOND);
    // POSTs are no polls.
    test.post(&json(&[PING]));
    test.actions();
    test.wait(Duration::from_millis(999));
    assert_eq!(test.reason(), None);
    test.wait(Duration::from_millis(1));
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::DisconnectTimeout {
            timeout: 15 * SECOND
        })
    );
    let (poll, post) = (test.arrive(Port::Poll), test.arrive(Port::Post));
    assert_eq!(test.actions(), [respond(poll, 404), respond(post, 404)]);
}

#[test]
fn the_disconnect_timeout_begins_when_a_poll_was_answered() {
    let mut test = open(config());
    test.wait(10 * SECOND);
    test.arrive(Port::Poll);
    test.wait(80 * SECOND);
    test.say("a");
    test.wait(14 * SECOND);
    assert_eq!(test.reason(), None);
    test.wait(SECOND);
    assert!(test.reason().is_some());
}

#[test]
fn there_are_no_pings_and_no_client_timeout() {
    let mut test = open(config());
    test.post(&json(&[PING]));
    for _ in 0..10 {
        test.arrive(Port::Poll);
        test.wait(90 * SECOND);
    }
    assert_eq!((test.sent().as_str(), test.reason()), ("", None));
}

#[test]
fn the_end_comes_with_the_poll_after_the_last_messages() {
    let mut test = open(config());
    test.say("a");
    test.machine.close(test.now, true);
    test.poll();
    assert_eq!(test.reason(), None);
    test.wait(14 * SECOND);
    let poll = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    assert_eq!(
        test.sent(),
        message("a") + r#"{"type":7,"allowReconnect":true}|"#
    );
    assert_eq!(test.reason(), None);
    // What it says now means nothing, but it is not told so before it has heard of the end.
    let post = test.arrive(Port::Post);
    assert_eq!(test.actions(), [respond(post, 200)]);
    test.responses.clear();
    test.wait(14 * SECOND);
    let last = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [respond(last, 204)]);
    let (_, response) = test.responses.pop_back().unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert!(response.headers().contains_key("expires"));
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
    assert_eq!(test.deadline, None);
    let late = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [respond(late, 404)]);
}

#[test]
fn a_poll_that_waits_gets_the_close_at_once() {
    let mut test = open(config());
    let poll = test.arrive(Port::Poll);
    test.machine.close(test.now, false);
    test.poll();
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    assert_eq!(test.sent(), r#"{"type":7}|"#);
}

#[test]
fn a_closing_connection_whose_client_polls_no_more_is_over_after_the_disconnect_timeout() {
    let mut test = open(config());
    test.wait(10 * SECOND);
    test.machine.close(test.now, true);
    test.poll();
    test.wait(Duration::from_millis(4_999));
    assert_eq!(test.reason(), None);
    test.wait(Duration::from_millis(1));
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
}

#[test]
fn a_refused_handshake_is_fetched_like_everything_else() {
    let mut test = polled(config());
    test.post(b"{\"protocol\":\"xml\",\"version\":1}\x1e");
    test.actions();
    test.arrive(Port::Poll);
    assert_eq!(
        test.sent(),
        r#"{"error":"The protocol 'xml' is not supported."}|"#
    );
    test.actions();
    let last = test.arrive(Port::Poll);
    assert_eq!(test.actions(), [respond(last, 204)]);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::HandshakeFailed { .. })
    ));
}

#[test]
fn messagepack_is_spoken_on_polls() {
    let mut test = polled(config());
    test.post(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    test.machine.accept(test.now);
    test.arrive(Port::Poll);
    assert_eq!(test.sent(), "{}|");
    test.post(b"\x0d\x96\x01\x80\xa1\x31\xa3Add\x92\x01\x02\x90");
    assert_eq!(test.targets(), ["Add"]);
}

#[test]
fn delete_ends_the_connection_and_the_poll_that_waits() {
    let mut test = open(config());
    let poll = test.arrive(Port::Poll);
    let post = test.arrive(Port::Post);
    let delete = test.arrive(Port::Delete);
    assert_eq!(
        test.actions(),
        [respond(delete, 202), respond(poll, 204), respond(post, 404)]
    );
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
    let (poll, delete) = (test.arrive(Port::Poll), test.arrive(Port::Delete));
    assert_eq!(test.actions(), [respond(poll, 404), respond(delete, 404)]);
}

#[test]
fn a_post_of_which_more_is_to_come_is_not_taken_when_the_connection_is_deleted() {
    let mut test = open(config());
    let post = test.arrive(Port::Post);
    test.body(post, b"{\"type\"", false);
    test.actions();
    let delete = test.arrive(Port::Delete);
    test.poll();
    assert_eq!(test.actions(), [respond(delete, 202), respond(post, 404)]);
}

#[test]
fn what_was_posted_before_delete_is_still_handed_out() {
    let mut test = open(ServerConfig::default());
    test.post(&json(&[CALL, CALL]));
    test.arrive(Port::Delete);
    assert_eq!((test.targets().len(), test.reason()), (1, None));
    test.finish(test.last_call());
    assert_eq!(test.targets().len(), 2);
    assert!(test.reason().is_some());
}

#[test]
fn delete_before_the_handshake_and_while_closing_is_the_end_too() {
    let mut test = polled(config());
    test.arrive(Port::Delete);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::HandshakeFailed { .. })
    ));
    let mut test = open(config());
    test.machine.close(test.now, true);
    let delete = test.arrive(Port::Delete);
    assert_eq!(test.actions(), [respond(delete, 202)]);
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
}

#[test]
fn delete_without_a_transport_is_refused() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    let delete = test.arrive(Port::Delete);
    assert_eq!(test.actions(), [respond(delete, 400)]);
    assert_eq!(test.reason(), None);
}

#[test]
fn a_delivery_that_is_not_taken_is_cut_after_the_send_timeout() {
    let mut test = open(config());
    test.takes = false;
    let poll = test.arrive(Port::Poll);
    test.say("a");
    let next = test.arrive(Port::Poll);
    test.actions();
    test.wait(10 * SECOND);
    assert_eq!(
        test.actions(),
        [format!("Abort {poll}"), respond(next, 204)]
    );
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::SendTimeout { .. })
    ));
}

#[test]
fn an_abort_answers_the_poll_that_waits() {
    let mut test = open(config());
    let poll = test.arrive(Port::Poll);
    test.machine.abort(test.now);
    test.poll();
    assert_eq!(test.actions(), [respond(poll, 204)]);
    assert!(test.reason().is_some());
}

#[test]
fn other_transports_are_refused_once_the_client_polls() {
    let mut test = open(config());
    for port in [Port::WebSocket, Port::Events] {
        let op = test.arrive(port);
        assert_eq!(test.actions(), [respond(op, 400)]);
    }
    assert_eq!(test.reason(), None);
}

#[test]
fn a_client_that_does_not_poll_is_not_read_when_much_waits_for_it() {
    let mut config = config();
    config.limits.max_outgoing_bytes = 10;
    let mut test = open(config);
    test.post(&json(&[CALL, CALL]));
    let calls: Vec<CallId> = test.calls().iter().map(|(call, _)| *call).collect();
    calls.into_iter().for_each(|call| test.finish(call));
    test.post(&json(&[CALL]));
    assert_eq!(test.targets().len(), 2);
    test.arrive(Port::Poll);
    assert_eq!(test.targets().len(), 3);
}
