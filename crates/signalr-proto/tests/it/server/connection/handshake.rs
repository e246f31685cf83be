//! Handshakes.

use super::*;

#[test]
fn a_handshake_cut_anywhere_is_answered_and_messages_wait_for_acceptance() {
    let stream = [HANDSHAKE, CALL.as_bytes(), b"\x1e"].concat();
    for cut in 0..stream.len() {
        let mut test = Test::web_socket(config(), ConnectionOptions::default());
        let (one, two) = stream.split_at(cut);
        test.receive(one);
        test.receive(two);
        assert_eq!(test.sent(), "{}|");
        assert_eq!(
            test.events,
            [Event::Handshaken {
                protocol: Protocol::Json
            }]
        );
        test.machine.accept(test.now);
        test.poll();
        assert_eq!(test.targets(), ["Add"]);
    }
}

#[test]
fn handshakes_are_refused_in_the_official_words() {
    let malformed = r#"{"error":"An unexpected error occurred during connection handshake."}|"#;
    let rows = [
        (
            r#"{"protocol":"xml","version":1}"#,
            r#"{"error":"The protocol 'xml' is not supported."}|"#,
        ),
        (
            r#"{"protocol":"json","version":3}"#,
            r#"{"error":"The server does not support version 3 of the 'json' protocol."}|"#,
        ),
        (r#"{"protocol":"JSON","version":"1"}"#, malformed),
        (r#"{"protocol":"json"}"#, malformed),
        ("hello", malformed),
        ("", malformed),
    ];
    for (request, response) in rows {
        let mut test = Test::web_socket(config(), ConnectionOptions::default());
        test.receive_json(&[request, CALL]);
        assert_eq!(test.sent(), response);
        assert_eq!(test.actions(), ["Close 1 1000"]);
        assert!(
            matches!(
                test.reason(),
                Some(DisconnectReason::HandshakeFailed { .. })
            ),
            "{request}"
        );
        assert_eq!(test.events.len(), 1, "{request}");
    }
}

#[test]
fn messagepack_is_answered_in_binary_whatever_the_client_sends() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    assert_eq!((test.sent().as_str(), test.binary), ("{}|", Some(true)));
    test.machine.close(test.now, false);
    test.poll();
    assert_eq!(test.sent, [0x04, 0x93, 0x07, 0xc0, 0xc2]);
}

#[test]
fn a_protocol_that_is_not_offered_is_refused() {
    let config = with(config(), |config| {
        config.protocols = vec![Protocol::Json];
    });
    let mut test = Test::web_socket(config, ConnectionOptions::default());
    test.receive(b"{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    assert_eq!(
        test.sent(),
        r#"{"error":"The protocol 'messagepack' is not supported."}|"#
    );
}

#[test]
fn a_handshake_that_is_late_or_too_long_is_cancelled() {
    let cancelled = r#"{"error":"Handshake was canceled."}|"#;
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(b"{");
    test.wait(Duration::from_millis(14_999));
    assert_eq!(test.sent(), "");
    test.wait(Duration::from_millis(1));
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (cancelled, vec!["Close 1 1000".to_owned()])
    );

    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(&[b' '; 20_000]);
    assert_eq!(
        (test.sent().as_str(), test.actions()),
        (cancelled, vec!["Close 1 1000".to_owned()])
    );
}

#[test]
fn a_client_that_leaves_before_its_handshake_is_told_nothing() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.receive(b"{");
    test.end(1001);
    assert!(test.sent.is_empty());
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::HandshakeFailed { .. })
    ));
}

#[test]
fn versions_up_to_2_are_accepted_in_any_case_of_letters() {
    for request in [
        r#"{"protocol":"json","version":2}"#,
        r#"{"protocol":"JSON","version":1}"#,
        r#"{"protocol":"json","version":0}"#,
        r#"{"protocol":"json","version":-1}"#,
        r#"{"extra":[1],"protocol":"MessagePack","version":1}"#,
    ] {
        let mut test = Test::web_socket(config(), ConnectionOptions::default());
        test.receive_json(&[request]);
        assert_eq!(test.sent(), "{}|", "{request}");
        assert!(test.machine.is_open());
    }
}

#[test]
fn a_handshake_over_the_message_limit_is_cancelled_and_one_in_many_pieces_is_not() {
    let mut small = config();
    small.limits.max_message_size = 100;
    let mut test = Test::web_socket(small, ConnectionOptions::default());
    test.receive(&[b' '; 101]);
    assert_eq!(test.sent(), r#"{"error":"Handshake was canceled."}|"#);
    assert_eq!(test.actions(), ["Close 1 1000"]);

    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    for byte in HANDSHAKE {
        test.receive(&[*byte]);
    }
    assert_eq!(test.sent(), "{}|");
}

#[test]
fn the_handshake_timeout_begins_with_the_transport() {
    let mut test = Test::new(config(), ConnectionOptions::default());
    test.wait(14 * SECOND);
    test.socket = test.arrive(Port::WebSocket);
    test.wait(14 * SECOND);
    test.receive(HANDSHAKE);
    assert_eq!(test.sent(), "{}|");
}

#[test]
fn a_close_before_the_handshake_cancels_it() {
    let mut test = Test::web_socket(config(), ConnectionOptions::default());
    test.machine.close(test.now, true);
    test.poll();
    assert_eq!(test.sent(), r#"{"error":"Handshake was canceled."}|"#);
    assert_eq!(test.actions(), ["Close 1 1000"]);
}
