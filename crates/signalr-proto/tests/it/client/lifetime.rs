//! Timers, the end of connections, and automatic reconnect, under a virtual clock.

use std::time::Duration;

use signalr_harness::script::{OFFER, Script};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy, RetryContext,
};
use signalr_proto::{CloseReason, DecodeErrorKind, EndCause, NegotiateError, TransportKind};

const PING: &str = "{\"type\":6}\u{1e}";
const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_close_frame(action: &Action) -> bool {
    matches!(action, Action::Close { code: 1000, .. })
}

fn never(_: &mut ClientConfig) {}

fn standard(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::standard();
}

fn lost() -> CloseReason {
    CloseReason::WebSocketClosed {
        code: 1006,
        reason: "".into(),
    }
}

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

#[test]
fn a_close_without_reconnect_is_the_end_even_with_a_policy() {
    for (text, error) in [
        (r#"{"type":7}"#, None),
        (r#"{"type":7,"error":"bye"}"#, Some("bye".into())),
        (r#"{"type":7,"error":""}"#, Some("".into())),
    ] {
        let mut script = Script::connected(standard);
        script.client.invoke(script.now, "A", &()).unwrap();
        script
            .receive(format!("{text}\u{1e}{{\"type\":3,\"invocationId\":\"1\"}}\u{1e}").as_bytes());
        let reason = CloseReason::ClosedByServer {
            error,
            allow_reconnect: false,
        };
        let events = script.take_events();
        assert!(
            matches!(&events[..], [Event::Completion { outcome: Err(CallError::ConnectionLost(lost)), .. }, Event::Closed { reason: closed }] if *lost == reason && *closed == reason),
            "{events:?}"
        );
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Disconnected, None)
        );
    }
}

#[test]
fn a_close_that_invites_to_reconnect_is_followed_by_a_policy_only() {
    let text = r#"{"type":7,"error":"restart","allowReconnect":true}"#;
    let mut without = Script::connected(never);
    without.receive_json(text);
    assert!(matches!(without.events.as_slice(), [Event::Closed { .. }]));
    let mut with = Script::connected(standard);
    with.receive_json(text);
    assert!(matches!(
        with.events.as_slice(),
        [Event::Reconnecting { .. }]
    ));
}

#[test]
fn a_clean_end_without_a_close_message_reconnects_too() {
    let mut script = Script::connected(standard);
    script.receive_close(1000);
    assert_eq!(
        script.events,
        [Event::Reconnecting {
            reason: CloseReason::TransportEnded
        }]
    );
}

#[test]
fn what_was_received_before_the_end_still_counts() {
    let mut script = Script::connected(standard);
    script.client.invoke(script.now, "A", &()).unwrap();
    let op = script.socket.unwrap();
    let bytes = "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\u{1e}{\"type\":7}\u{1e}";
    script.client.handle_input(
        script.now,
        Input::Received {
            op,
            bytes: bytes.into(),
        },
    );
    script.client.handle_input(
        script.now,
        Input::Ended {
            op,
            cause: EndCause::Clean,
        },
    );
    script.poll();
    let events = script.take_events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Completion {
                    outcome: Ok(Some(_)),
                    ..
                },
                Event::Closed {
                    reason: CloseReason::ClosedByServer { error: None, .. }
                }
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn half_a_message_at_a_clean_end_is_an_error() {
    let mut script = Script::connected(never);
    script.receive(b"{\"type\":6");
    script.end(EndCause::Clean);
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::Closed { reason: CloseReason::Protocol(error) }] if error.kind == DecodeErrorKind::Truncated),
        "{events:?}"
    );
}

#[test]
fn the_standard_policy_waits_0_2_10_and_30_seconds_and_then_gives_up() {
    let mut script = Script::connected(standard);
    script.client.invoke(script.now, "A", &()).unwrap();
    script.poll();
    script.cut();
    let events = script.take_events();
    assert!(
        matches!(&events[..], [Event::Completion { outcome: Err(_), .. }, Event::Reconnecting { reason }] if *reason == lost()),
        "{events:?}"
    );
    assert_eq!(
        (script.client.state(), script.client.connection_id()),
        (ConnectionState::Reconnecting, None)
    );
    for delay in [0, 2, 10, 30] {
        script.actions.clear();
        if delay > 0 {
            script.advance(seconds(delay) - MILLISECOND);
            assert_eq!(script.request(), None);
            script.advance(MILLISECOND);
        } else {
            script.advance(Duration::ZERO);
        }
        let op = script.request().expect("an attempt after the delay");
        script.respond(op, 503, "");
    }
    let [
        Event::Closed {
            reason:
                CloseReason::RetriesExhausted {
                    attempts,
                    elapsed,
                    last,
                },
        },
    ] = &script.events[..]
    else {
        panic!("{:?}", script.events)
    };
    assert_eq!((*attempts, *elapsed), (4, seconds(42)));
    assert!(last.to_string().contains("503"));
    assert_eq!(
        (script.client.state(), script.deadline),
        (ConnectionState::Disconnected, None)
    );
}

#[test]
fn a_reconnect_negotiates_afresh_and_tells_the_new_id_and_resends_nothing() {
    let mut script = Script::connected(standard);
    script.client.invoke(script.now, "A", &()).unwrap();
    script.cut();
    script.clear();
    script.advance(Duration::ZERO);
    let op = script.request().unwrap();
    script.respond(op, 200, &OFFER.replace(r#""id""#, r#""new""#));
    script.open();
    script.receive(b"{}\x1e");
    assert_eq!(
        script.events,
        [Event::Reconnected {
            connection_id: Some("new".into()),
            transport: TransportKind::WebSockets,
        }]
    );
    assert_eq!(
        script.take_sent(),
        format!("{{\"protocol\":\"json\",\"version\":1}}\u{1e}{PING}")
    );
}

#[test]
fn every_attempt_to_reconnect_is_told_with_its_delay_and_why_the_one_before_failed() {
    let mut script = Script::connected(standard);
    let attempt = |attempt, delay, reason| Event::ReconnectAttempt {
        attempt,
        delay: seconds(delay),
        reason,
    };
    for _ in 0..2 {
        script.cut();
        assert_eq!(script.progress, [attempt(1, 0, lost())]);
        let refused = |status| CloseReason::Negotiate(NegotiateError::Status { status });
        for (delay, status, next) in [
            (0, 500, Some((2, 2))),
            (2, 502, Some((3, 10))),
            (10, 503, Some((4, 30))),
        ] {
            script.clear();
            script.advance(seconds(delay));
            script.respond(script.request().unwrap(), status, "");
            let told = next.map(|(number, delay)| attempt(number, delay, refused(status)));
            assert_eq!(script.progress, Vec::from_iter(told));
            assert_eq!(script.events, []);
        }
        // The count begins again with the next loss.
        script.clear();
        script.advance(seconds(30));
        script.connect();
        assert_eq!(script.progress, []);
    }
}

#[test]
fn the_last_attempt_is_followed_by_the_end_and_no_other_is_told() {
    let mut script = Script::connected(|config| {
        config.reconnect = ReconnectPolicy::Delays([Duration::ZERO].into());
    });
    script.cut();
    script.clear();
    script.advance(Duration::ZERO);
    script.respond(script.request().unwrap(), 503, "");
    assert_eq!(script.progress, []);
    assert!(matches!(
        script.closed(),
        CloseReason::RetriesExhausted { attempts: 1, .. }
    ));
}

#[test]
fn a_second_outage_begins_with_the_first_delay_again() {
    let mut script = Script::connected(standard);
    for _ in 0..2 {
        script.cut();
        script.advance(Duration::ZERO);
        script.respond(script.request().unwrap(), 503, "");
        script.actions.clear();
        script.advance(seconds(2));
        script.connect();
        script.clear();
    }
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn a_policy_that_gives_up_at_once_closes_without_reconnecting() {
    let mut script =
        Script::connected(|config| config.reconnect = ReconnectPolicy::Delays([].into()));
    script.cut();
    assert_eq!(script.events, [Event::Closed { reason: lost() }]);
}

fn question(script: &Script) -> (signalr_proto::OpId, RetryContext) {
    let asked = script.actions.iter().rev().find_map(|action| {
        if let Action::NextRetryDelay { op, context } = action {
            Some((*op, context.clone()))
        } else {
            None
        }
    });
    asked.expect("the policy was asked")
}

#[test]
fn a_custom_policy_is_told_count_time_and_reason() {
    let mut script = Script::connected(|config| config.reconnect = ReconnectPolicy::Ask);
    script.cut();
    let (op, context) = question(&script);
    assert_eq!(
        (
            context.previous_retry_count,
            context.elapsed,
            context.reason
        ),
        (0, Duration::ZERO, lost())
    );
    assert_eq!(script.events, []);
    script.input(Input::RetryDelay {
        op,
        delay: Some(seconds(3)),
    });
    assert_eq!(
        script.take_events(),
        [Event::Reconnecting { reason: lost() }]
    );
    script.advance(seconds(3));
    script.respond(script.request().unwrap(), 500, "");
    let (op, context) = question(&script);
    assert_eq!(
        (context.previous_retry_count, context.elapsed),
        (1, seconds(3))
    );
    script.input(Input::RetryDelay { op, delay: None });
    assert!(matches!(
        script.events.as_slice(),
        [Event::Closed {
            reason: CloseReason::RetriesExhausted { attempts: 1, .. }
        }]
    ));
}

#[test]
fn backoff_doubles_up_to_its_bound_with_jitter_and_can_go_on_for_ever() {
    let mut script = Script::connected(|config| config.reconnect = ReconnectPolicy::unlimited());
    script.cut();
    let mut bound = 1;
    for _ in 0..40 {
        script.actions.clear();
        let wait = script.deadline.unwrap().since(script.now);
        assert!(
            wait >= seconds(bound) / 2 && wait <= seconds(bound),
            "{wait:?} for {bound}"
        );
        script.advance(wait);
        script.respond(script.request().unwrap(), 503, "");
        bound = (bound * 2).min(30);
    }
    assert_eq!(script.client.state(), ConnectionState::Reconnecting);
}

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
