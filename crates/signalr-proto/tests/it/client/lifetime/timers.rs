//! Pings, timeouts and the clock.

use super::*;

#[test]
fn the_server_timeout_fires_thirty_seconds_after_the_last_bytes() {
    let mut script = Script::connected(|config| config.keep_alive_interval = seconds(1000));
    script.advance(seconds(29));
    script.receive(b"{\"type\"");
    script.advance(seconds(29));
    script.receive(b":6}\x1e");
    script.advance(seconds(30) - MILLISECOND);
    assert_eq!(script.events, []);
    script.advance(MILLISECOND);
    assert_eq!(
        script.events,
        [Event::Closed {
            reason: CloseReason::ServerTimeout {
                timeout: seconds(30)
            }
        }]
    );
    assert!(matches!(&script.actions[..], [action] if is_close_frame(action)));
}

#[test]
fn the_server_timeout_stands_still_while_the_application_is_the_slow_side() {
    let mut script = Script::connected(never);
    script.input(Input::ReadPaused);
    script.advance(seconds(100));
    assert_eq!(script.events, []);
    script.input(Input::ReadResumed);
    script.advance(seconds(30));
    assert!(matches!(script.events.as_slice(), [Event::Closed { .. }]));
}

#[test]
fn a_ping_is_sent_fifteen_seconds_after_the_last_message_whatever_comes_in() {
    let mut script = Script::connected(|config| config.server_timeout = seconds(1000));
    script.advance(seconds(15) - MILLISECOND);
    script.receive_json(r#"{"type":6}"#);
    assert_eq!(script.take_sent(), "");
    script.advance(MILLISECOND);
    assert_eq!(script.take_sent(), PING);
    script.advance(seconds(10));
    script.client.send(script.now, "A", &()).unwrap();
    script.poll();
    script.clear();
    script.advance(seconds(15) - MILLISECOND);
    assert_eq!(script.take_sent(), "");
    script.advance(MILLISECOND + seconds(30));
    assert_eq!(script.take_sent(), PING.repeat(3));
}

#[test]
fn pings_do_not_pile_up_behind_a_transport_that_takes_nothing() {
    let mut script = Script::connected(|config| config.server_timeout = seconds(100_000));
    script.takes_sends = false;
    script.client.send(script.now, "A", &()).unwrap();
    script.advance(seconds(10_000));
    script.clear();
    script.take_sends();
    assert_eq!(script.take_sent(), PING);
}

#[test]
fn no_ping_is_sent_while_there_is_no_connection() {
    let mut waiting = Script::connected(once);
    waiting.cut();
    waiting.advance(Duration::from_secs(59));
    let mut shaking = Script::with(|config| {
        config.skip_negotiation = true;
        config.handshake_timeout = LONG;
    });
    shaking.start();
    shaking.open();
    let mut stopping = Script::connected(|config| config.close_timeout = LONG);
    stopping.client.stop(stopping.now);
    stopping.poll();
    for script in [&mut shaking, &mut stopping] {
        assert!(!script.take_sent().contains(PING));
        script.advance(LONG / 2);
    }
    for (mut script, state) in [
        (waiting, ConnectionState::Reconnecting),
        (shaking, ConnectionState::Connecting),
        (stopping, ConnectionState::Disconnecting),
    ] {
        assert_eq!(
            (script.client.state(), script.take_sent().as_str()),
            (state, "")
        );
    }
}

#[test]
fn an_early_or_repeated_timeout_does_nothing() {
    let mut script = Script::connected(never);
    let deadline = script.deadline;
    for _ in 0..3 {
        script.input(Input::Timeout);
    }
    assert_eq!(
        (script.actions.len(), script.events.len(), script.deadline),
        (0, 0, deadline)
    );
}

#[test]
fn time_that_goes_backwards_is_taken_as_standing_still() {
    let mut script = Script::connected(never);
    script.advance(seconds(20));
    let real = script.now;
    script.now = signalr_proto::Instant::ZERO;
    script.receive_json(r#"{"type":6}"#);
    script.now = real;
    // The machine last saw the time when it pinged, five seconds ago: that is when it takes the bytes to have come.
    script.advance(seconds(25) - MILLISECOND);
    assert_eq!(script.events, []);
    script.advance(MILLISECOND);
    assert!(matches!(script.events.as_slice(), [Event::Closed { .. }]));
}
