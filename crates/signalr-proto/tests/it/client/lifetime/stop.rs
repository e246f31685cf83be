//! Stopping, and what follows the end.

use super::*;

#[test]
fn stop_in_every_phase_of_a_reconnect_closes_once_and_at_once() {
    let phases: [fn(&mut Script); 4] = [
        |_| {},
        |script| script.advance(Duration::ZERO),
        |script| {
            script.advance(Duration::ZERO);
            script.respond(script.request().unwrap(), 200, OFFER);
            script.open();
        },
        |script| {
            script.advance(Duration::ZERO);
            script.respond(script.request().unwrap(), 503, "");
        },
    ];
    for phase in phases {
        let mut script = Script::connected(standard);
        script.cut();
        phase(&mut script);
        script.clear();
        script.client.stop(script.now);
        script.client.stop(script.now);
        script.poll();
        assert_eq!(
            script.events,
            [Event::Closed {
                reason: CloseReason::Stopped
            }]
        );
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Disconnected, None)
        );
    }
}

#[test]
fn stop_sends_what_waits_then_close_and_waits_for_the_server() {
    let mut script = Script::connected(standard);
    script.takes_sends = false;
    script.client.send(script.now, "A", &()).unwrap();
    let call = script.client.invoke(script.now, "B", &()).unwrap();
    script.poll();
    script.client.stop(script.now);
    script.poll();
    assert!(
        matches!(&script.take_events()[..], [Event::Completion { invocation_id, outcome: Err(CallError::ConnectionLost(CloseReason::Stopped)) }] if *invocation_id == call.id())
    );
    assert_eq!(script.client.state(), ConnectionState::Disconnecting);
    script.take_sends();
    assert!(script.take_sent().ends_with("{\"type\":7}\u{1e}"));
    // The close frame follows at once, whether or not the server acts on the message.
    assert!(script.actions.last().is_some_and(is_close_frame));
    assert_eq!(script.events, []);
    script.clear();
    script.receive_json(r#"{"type":7}"#);
    assert_eq!(script.closed(), &CloseReason::Stopped);
    // There is one close frame only, and the socket is left to the driver.
    assert_eq!(script.actions.len(), 0);
}

#[test]
fn a_stop_is_over_when_the_server_closes_its_side_of_the_web_socket() {
    let ends: [fn(&mut Script); 3] = [
        |script| script.receive_close(1000),
        Script::cut,
        |script| script.end(EndCause::Clean),
    ];
    for end in ends {
        let mut script = Script::connected(standard);
        script.stop();
        assert_eq!(script.events, []);
        script.clear();
        end(&mut script);
        assert_eq!(script.closed(), &CloseReason::Stopped);
        assert_eq!(script.actions.len(), 0);
    }
}

#[test]
fn every_end_of_ours_closes_the_web_socket_with_a_frame() {
    let ends: [fn(&mut Script); 6] = [
        |script| script.advance(seconds(30)),
        |script| script.receive(b"nonsense\x1e"),
        |script| script.receive_json(r#"{"type":7}"#),
        |script| script.receive_json(r#"{"type":7,"allowReconnect":true}"#),
        Script::stop,
        |script| script.receive(&[b'{'; 20_000_000]),
    ];
    for takes_sends in [true, false] {
        for (case, end) in ends.into_iter().enumerate() {
            let mut script = Script::connected(never);
            script.takes_sends = takes_sends;
            script.send("A");
            script.clear();
            end(&mut script);
            script.advance(seconds(5));
            let frames = script.count(is_close_frame);
            assert_eq!(frames, 1, "{case}, sends are taken: {takes_sends}");
            assert_eq!(script.client.state(), ConnectionState::Disconnected);
        }
    }
}

#[test]
fn stop_gives_a_silent_server_five_seconds() {
    let mut script = Script::connected(never);
    script.client.stop(script.now);
    script.poll();
    script.advance(seconds(5) - MILLISECOND);
    assert_eq!(script.events, []);
    script.advance(MILLISECOND);
    assert_eq!(
        script.events,
        [Event::Closed {
            reason: CloseReason::Stopped
        }]
    );
    assert!(matches!(script.actions.last(), Some(Action::Abort { .. })));
}

#[test]
fn nothing_but_waiting_follows_closed() {
    let mut script = Script::connected(never);
    script.receive_json(r#"{"type":7}"#);
    let op = script.socket.unwrap();
    script.clear();
    script.receive_json(r#"{"type":1,"target":"late","arguments":[]}"#);
    script.input(Input::Ended {
        op,
        cause: EndCause::Clean,
    });
    script.input(Input::Sent { op });
    script.advance(seconds(1000));
    assert_eq!(
        (script.actions.len(), script.events.len(), script.deadline),
        (0, 0, None)
    );
}
