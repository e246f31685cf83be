//! The machine on an event stream.

use super::*;

/// With an event stream, before the handshake.
fn stream(config: ServerConfig) -> Test {
    let mut test = Test::new(config, ConnectionOptions::default());
    test.socket = test.arrive(Port::Events);
    assert_eq!(test.actions(), ["Stream 1 200"]);
    assert_eq!(test.sent(), ":\r\n");
    test
}

fn open(config: ServerConfig) -> Test {
    let mut test = stream(config);
    let post = test.post(HANDSHAKE);
    assert_eq!(test.actions(), [format!("Respond {post} 200")]);
    test.machine.accept(test.now);
    test.poll();
    assert_eq!(test.sent(), "data: {}|\r\n\r\n");
    test.events.clear();
    test
}

#[test]
fn a_stream_opens_with_its_head_and_a_comment() {
    let mut machine = ServerConnection::new(config(), ConnectionOptions::default(), Instant::ZERO);
    let (op, port, identity) = (OpId::new(1), Port::Events, None);
    let arrival = Arrival { op, port, identity };
    machine.handle_input(Instant::ZERO, Input::Arrived(arrival));
    let Output::Action(Action::Stream { head, .. }) = machine.poll_output() else {
        panic!("no head");
    };
    let headers: Vec<_> = head
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let expected = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache,no-store"),
        ("pragma", "no-cache"),
        ("content-encoding", "identity"),
    ];
    assert_eq!((head.status().as_u16(), &*headers), (200, &expected[..]));
    assert!(matches!(
        machine.poll_output(),
        Output::Action(Action::Chunk { bytes, .. }) if bytes == ":\r\n"
    ));
    assert_eq!(machine.transport(), Some(TransportKind::ServerSentEvents));
}

#[test]
fn what_waits_goes_out_as_one_event() {
    let mut test = open(config());
    test.takes = false;
    test.machine.send(test.now, "a", &()).unwrap();
    test.poll();
    test.machine.send(test.now, "b", &()).unwrap();
    test.machine.send(test.now, "c", &()).unwrap();
    test.poll();
    let message = |target| format!(r#"{{"type":1,"target":"{target}","arguments":[]}}|"#);
    assert_eq!(test.sent(), format!("data: {}\r\n\r\n", message("a")));
    test.input(Input::Sent { op: test.socket });
    assert_eq!(
        test.sent(),
        format!("data: {}{}\r\n\r\n", message("b"), message("c"))
    );
}

#[test]
fn nothing_is_written_before_the_comment_was_taken() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    test.takes = false;
    test.socket = test.arrive(Port::Events);
    test.post(HANDSHAKE);
    assert_eq!(test.sent(), ":\r\n");
    test.takes = true;
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.sent(), "data: {}|\r\n\r\n");

    let mut test = Test::new(config(), ConnectionOptions::default());
    test.takes = false;
    test.socket = test.arrive(Port::Events);
    test.actions();
    test.wait(10 * SECOND);
    assert_eq!(test.actions(), ["Abort 1"]);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::SendTimeout { .. })
    ));
}

#[test]
fn messagepack_cannot_be_spoken_on_a_stream() {
    let mut test = stream(config());
    test.post(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    assert_eq!(
        test.sent(),
        "data: {\"error\":\"Cannot use the 'messagepack' protocol on the current transport. The transport does not support 'Binary' transfer format.\"}|\r\n\r\n"
    );
    assert_eq!(test.actions().last().unwrap(), "Finish 1");
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::HandshakeFailed { .. })
    ));
}

#[test]
fn posts_are_read_and_calls_answered_on_the_stream() {
    let mut test = open(config());
    test.post(&json(&[CALL]));
    test.finish(test.last_call());
    assert_eq!(
        test.sent(),
        "data: {\"type\":3,\"invocationId\":\"1\",\"result\":null}|\r\n\r\n"
    );
}

#[test]
fn everything_is_sent_before_the_stream_ends() {
    let mut test = open(config());
    test.takes = false;
    test.machine.send(test.now, "a", &()).unwrap();
    test.poll();
    test.sent.clear();
    test.machine.close(test.now, true);
    test.poll();
    assert_eq!((test.sent().as_str(), test.actions().len()), ("", 0));
    test.input(Input::Sent { op: test.socket });
    assert_eq!(
        test.sent(),
        "data: {\"type\":7,\"allowReconnect\":true}|\r\n\r\n"
    );
    assert_eq!(test.reason(), None);
    test.input(Input::Sent { op: test.socket });
    assert_eq!(test.actions(), ["Finish 1"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
    assert_eq!(
        test.machine.transport(),
        Some(TransportKind::ServerSentEvents)
    );
}

#[test]
fn a_stream_that_takes_nothing_is_cut() {
    let mut test = open(config());
    test.takes = false;
    test.machine.send(test.now, "a", &()).unwrap();
    test.poll();
    test.wait(10 * SECOND);
    assert_eq!(test.actions(), ["Abort 1"]);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::SendTimeout { .. })
    ));

    let mut test = open(config());
    test.takes = false;
    test.machine.close(test.now, true);
    test.poll();
    test.wait(5 * SECOND);
    assert_eq!(test.actions(), ["Abort 1"]);
    assert_eq!(test.reason(), Some(&DisconnectReason::ClosedByServer));
}

#[test]
fn the_end_of_the_stream_is_the_end_of_the_connection() {
    let mut test = open(config());
    let post = test.arrive(Port::Post);
    test.end_with(EndCause::Clean);
    assert_eq!(test.reason(), Some(&DisconnectReason::TransportEnded));
    assert_eq!(test.actions(), [format!("Respond {post} 404")]);
    let late = test.arrive(Port::Post);
    assert_eq!(test.actions(), [format!("Respond {late} 404")]);
}

#[test]
fn a_stream_is_kept_alive_and_watched_like_a_web_socket() {
    let mut test = open(config());
    test.post(&json(&[PING]));
    test.wait(29 * SECOND);
    assert_eq!(test.sent(), "data: {\"type\":6}|\r\n\r\n");
    test.wait(SECOND);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::ClientTimeout { .. })
    ));
    assert_eq!(test.actions().last().unwrap(), "Finish 1");
}

#[test]
fn a_second_stream_and_other_transports_are_refused() {
    let mut test = open(config());
    let change = "Cannot change transports mid-connection";
    let delete = "Cannot terminate this connection using the DELETE endpoint.";
    for (port, status, words) in [
        (Port::Events, 409, ""),
        (Port::WebSocket, 400, change),
        (Port::Poll, 400, change),
        (Port::Delete, 400, delete),
    ] {
        let op = test.arrive(port);
        assert_eq!(test.actions(), [format!("Respond {op} {status}")]);
        let (_, response) = test.responses.pop_back().unwrap();
        assert_eq!(response.body(), words);
        assert_eq!(
            response.headers().contains_key("expires"),
            port == Port::Poll
        );
    }
    assert_eq!(test.reason(), None);
}

#[test]
fn a_handshake_that_does_not_come_ends_the_stream() {
    let mut test = stream(config());
    test.wait(15 * SECOND);
    assert_eq!(
        test.sent(),
        "data: {\"error\":\"Handshake was canceled.\"}|\r\n\r\n"
    );
    assert_eq!(test.actions(), ["Finish 1"]);
}
