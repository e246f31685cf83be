//! Ends that replace nothing.

use super::*;

#[test]
fn stopping_never_replaces_a_socket() {
    let mut script = connected(standard);
    script.stop();
    script.clear();
    script.cut();
    assert_eq!(script.closed(), &CloseReason::Stopped);
    assert_eq!(openings(&script), 0);
    script.assert_over();
}

#[test]
fn stopping_while_a_socket_is_replaced_ends_everything_at_once() {
    for has_access_token in [false, true] {
        let mut script = Script::with(|config| {
            config.stateful_reconnect = Some(1000);
            config.has_access_token = has_access_token;
        });
        script.start();
        if has_access_token {
            script.token("one");
            script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
            script.token("two");
            script.open();
            script.receive(b"{}\x1e");
            script.client.refresh_authentication(script.now).unwrap();
            script.poll();
            script.token("three");
            assert_eq!(script.wishes(), [Wish::Refresh]);
        } else {
            connect(&mut script);
        }
        script.clear();
        script.invoke("A");
        script.cut();
        script.clear();
        script.stop();
        assert!(matches!(
            script.events[..],
            [
                Event::Completion {
                    outcome: Err(CallError::ConnectionLost(CloseReason::Stopped)),
                    ..
                },
                Event::Closed {
                    reason: CloseReason::Stopped
                }
            ]
        ));
        assert_eq!(script.socket, None);
        script.assert_over();
    }
}

#[test]
fn an_end_that_was_announced_or_decided_never_replaces_a_socket() {
    let ends: [fn(&mut Script); 4] = [
        |script| script.receive(b"{\"type\":7}\x1e"),
        |script| script.receive(b"{\"type\":7,\"error\":\"no\",\"allowReconnect\":true}\x1e"),
        |script| script.advance(seconds(10_000)),
        |script| script.receive(b"{\"type\":}\x1e"),
    ];
    for end in ends {
        for change in [never as fn(&mut ClientConfig), standard] {
            let mut script = connected(change);
            let old = script.socket.unwrap();
            end(&mut script);
            assert!(
                !script
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::Resuming { .. }))
            );
            // Nor when the socket ends thereupon.
            script.input(Input::Ended {
                op: old,
                cause: EndCause::Clean,
            });
            assert_eq!(openings(&script), 0);
        }
    }
}

#[test]
fn a_close_message_that_came_before_the_cut_counts() {
    let mut script = connected(standard);
    let op = script.socket.unwrap();
    let bytes = Bytes::from_static(b"{\"type\":7,\"error\":\"no\"}\x1e");
    script
        .client
        .handle_input(script.now, Input::Received { op, bytes });
    script.cut();
    assert!(matches!(
        script.closed(),
        CloseReason::ClosedByServer { .. }
    ));
    assert_eq!(openings(&script), 0);
}

#[test]
fn the_server_timeout_runs_on_while_a_socket_is_replaced() {
    let mut script = connected(|config| config.server_timeout = seconds(20));
    script.invoke("A");
    script.advance(seconds(5));
    script.cut();
    script.clear();
    script.advance(seconds(15) - MILLISECOND);
    assert_eq!(script.events, []);
    script.advance(MILLISECOND);
    let timeout = CloseReason::ServerTimeout {
        timeout: seconds(20),
    };
    assert!(matches!(
        &script.events[..],
        [Event::Completion { .. }, Event::Closed { reason }] if *reason == timeout
    ));
    assert_eq!((script.socket, openings(&script)), (None, 0));
    script.assert_over();
    // Nor does a socket that opens and says nothing restart it.
    let mut script = connected(|config| config.server_timeout = seconds(20));
    script.advance(seconds(10));
    resume(&mut script);
    script.clear();
    script.advance(seconds(10));
    assert_eq!(script.closed(), &timeout);
}
