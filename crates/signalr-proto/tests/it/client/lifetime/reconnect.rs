//! Automatic reconnect.

use super::*;

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
