//! First starts that are repeated.

use super::*;

fn retrying(config: &mut ClientConfig) {
    config.retry_start = ReconnectPolicy::Delays([seconds(1), seconds(5)].into());
}

#[test]
fn a_first_start_is_repeated_on_request_and_is_connecting_all_the_while() {
    let mut script = started(retrying);
    for (code, delay, attempt) in [(500, seconds(1), 2), (502, seconds(5), 3)] {
        script.answer(Wish::Negotiate, code, "");
        assert_eq!(
            script.take_events(),
            [Event::StartRetry {
                reason: status(code),
                delay,
                attempt
            }]
        );
        assert_eq!(script.client.state(), ConnectionState::Connecting);
        assert_eq!(
            script.client.send(script.now, "A", &()).err(),
            Some(SendError::NotConnected)
        );
        script.advance(delay - MILLISECOND);
        assert_eq!(script.wishes(), []);
        script.advance(MILLISECOND);
        assert_eq!(script.client.state(), ConnectionState::Connecting);
        assert_eq!(
            script.wish(Wish::Negotiate).uri(),
            "http://host/hub/negotiate?negotiateVersion=1"
        );
    }
    script.offer(&[LongPolling]);
    script.open_http();
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: LongPolling
        }]
    );
    // What follows is none of that policy's business.
    script.head(Wish::Poll, 204);
    assert_eq!(script.closed(), &CloseReason::TransportEnded);
}

#[test]
fn a_first_start_whose_repetitions_are_used_up_fails_with_the_last_reason() {
    let mut script = started(retrying);
    script.answer(Wish::Negotiate, 500, "");
    script.advance(seconds(1));
    script.answer(Wish::Negotiate, 501, "");
    script.advance(seconds(5));
    script.clear();
    script.answer(Wish::Negotiate, 502, "");
    assert_eq!(
        script.start_failed(),
        &CloseReason::RetriesExhausted {
            attempts: 3,
            elapsed: seconds(6),
            last: Box::new(status(502))
        }
    );
    script.assert_over();
    script.clear();
    script.start();
    script.answer(Wish::Negotiate, 500, "");
    assert!(matches!(script.events[..], [Event::StartRetry { .. }]));
}

#[test]
fn the_policy_of_first_starts_is_told_what_it_decides_about() {
    let mut script = started(|config| {
        config.retry_start = ReconnectPolicy::Ask;
        config.reconnect = ReconnectPolicy::Ask;
    });
    let asked = |script: &Script| match script.actions.last() {
        Some(Action::NextRetryDelay { op, context }) => (*op, context.clone()),
        other => panic!("{other:?}"),
    };
    script.answer(Wish::Negotiate, 500, "");
    for (count, elapsed, code) in [(0, 0, 500), (1, 4, 501)] {
        let (op, context) = asked(&script);
        assert_matches(&context, count, seconds(elapsed), &status(code), true);
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Connecting, None)
        );
        let delay = Some(seconds(4));
        script.input(Input::RetryDelay { op, delay });
        script.advance(seconds(4));
        if count == 0 {
            script.answer(Wish::Negotiate, 501, "");
        }
    }
    script.connect_http(LongPolling);
    script.head(Wish::Poll, 204);
    let (_, context) = asked(&script);
    assert_matches(&context, 0, seconds(0), &CloseReason::TransportEnded, false);
    assert_eq!(script.client.state(), ConnectionState::Reconnecting);
}

fn assert_matches(
    context: &RetryContext,
    count: u32,
    elapsed: Duration,
    reason: &CloseReason,
    first: bool,
) {
    assert_eq!(
        (
            context.previous_retry_count,
            context.elapsed,
            context.is_first_start
        ),
        (count, elapsed, first)
    );
    assert_eq!(&context.reason, reason);
}

#[test]
fn a_policy_that_wants_no_repetition_leaves_the_reason_as_it_is() {
    let mut script = started(|config| config.retry_start = ReconnectPolicy::Ask);
    script.answer(Wish::Negotiate, 500, "");
    let Some(Action::NextRetryDelay { op, .. }) = script.actions.last() else {
        panic!("{:?}", script.actions)
    };
    let op = *op;
    script.input(Input::RetryDelay { op, delay: None });
    assert_eq!(script.start_failed(), &status(500));
    script.assert_over();
}

#[test]
fn stopping_while_a_first_start_is_repeated_is_a_failed_start() {
    let phases: [fn(&mut Script); 3] = [
        |_| {},
        |script| script.advance(seconds(1)),
        |script| {
            script.advance(seconds(1));
            script.offer(&[LongPolling]);
        },
    ];
    for phase in phases {
        let mut script = started(retrying);
        script.answer(Wish::Negotiate, 500, "");
        phase(&mut script);
        script.clear();
        script.stop();
        assert_eq!(script.start_failed(), &CloseReason::Stopped);
        script.assert_over();
    }
    let mut asking = started(|config| config.retry_start = ReconnectPolicy::Ask);
    asking.answer(Wish::Negotiate, 500, "");
    asking.stop();
    assert_eq!(asking.start_failed(), &CloseReason::Stopped);
    assert!(matches!(asking.actions.last(), Some(Action::Abort { .. })));
}

#[test]
fn without_that_policy_a_failed_start_is_never_repeated() {
    let mut script = started(|config| config.reconnect = ReconnectPolicy::unlimited());
    script.answer(Wish::Negotiate, 500, "");
    assert_eq!(script.start_failed(), &status(500));
    script.assert_over();
}

#[test]
fn a_driver_may_end_the_wait_for_the_next_attempt() {
    let mut first = started(|config| config.retry_start = ReconnectPolicy::unlimited());
    first.answer(Wish::Negotiate, 500, "");
    let mut again = Script::connected_over(LongPolling, |config| {
        config.reconnect = ReconnectPolicy::Delays([seconds(60)].into());
    });
    again.head(Wish::Poll, 204);
    for mut script in [first, again] {
        assert_eq!(script.wishes(), []);
        script.client.retry_now(script.now);
        script.poll();
        assert_eq!(script.wishes(), [Wish::Negotiate]);
        // The delay that was cut short does not come due.
        script.client.retry_now(script.now);
        script.advance(seconds(29));
        assert_eq!(script.wishes(), [Wish::Negotiate]);
        assert_eq!(script.events.len(), 1);
        script.connect_http(LongPolling);
        assert_eq!(script.client.state(), ConnectionState::Connected);
    }
}

#[test]
fn there_is_nothing_to_hurry_in_any_other_state() {
    let mut idle = Script::with(never);
    idle.client.retry_now(idle.now);
    idle.poll();
    let mut connected = Script::connected(never);
    connected.client.retry_now(connected.now);
    connected.poll();
    let mut stopping = Script::connected(never);
    stopping.stop();
    stopping.clear();
    stopping.client.retry_now(stopping.now);
    stopping.poll();
    for script in [idle, connected, stopping] {
        assert_eq!((script.actions.len(), script.events.len()), (0, 0));
    }
    let mut negotiating = started(never);
    negotiating.client.retry_now(negotiating.now);
    negotiating.poll();
    assert_eq!(negotiations(&negotiating), 1);
}
