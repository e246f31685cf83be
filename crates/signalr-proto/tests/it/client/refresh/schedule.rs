//! Refreshes that are due.

use super::*;

#[test]
fn a_token_is_refreshed_five_minutes_before_it_expires_and_then_again() {
    for kind in TransportKind::ALL {
        let mut script = connected(kind, Some(HALF_AN_HOUR), never);
        script.advance(seconds(1500) - MILLISECOND);
        assert_eq!(asked(&script), 0);
        script.advance(MILLISECOND);
        assert_eq!(asked(&script), 1);
        script.token("two");
        script.answer(Wish::Refresh, 200, r#"{"tokenLifetimeSeconds":3600}"#);
        script.advance(seconds(3300) - MILLISECOND);
        assert_eq!(asked(&script), 1);
        script.advance(MILLISECOND);
        assert_eq!(asked(&script), 2);
        // A lifetime that is not told any more is not refreshed.
        script.token("three");
        script.answer(Wish::Refresh, 200, "{}");
        script.advance(seconds(20_000));
        assert_eq!(
            (asked(&script), script.client.state()),
            (2, ConnectionState::Connected)
        );
    }
}

#[test]
fn the_life_of_a_token_began_when_the_server_told_it() {
    let mut script = Script::with(|config| config.has_access_token = true);
    script.start();
    script.token("one");
    script.answer(Wish::Negotiate, 200, &body(WebSockets, Some(60)));
    script.advance(seconds(5));
    script.token("one");
    script.advance(seconds(10));
    script.open();
    script.advance(seconds(5));
    script.receive(b"{}\x1e");
    script.clear();
    script.advance(seconds(10) - MILLISECOND);
    assert_eq!(asked(&script), 0);
    script.advance(MILLISECOND);
    assert_eq!(asked(&script), 1);
}

#[test]
fn a_short_life_is_refreshed_at_half_of_it_but_not_within_a_second() {
    for (lifetime, delay) in [
        (301, seconds(1)),
        (300, seconds(150)),
        (60, seconds(30)),
        (3, Duration::from_millis(1500)),
        (1, seconds(1)),
    ] {
        let mut script = connected(LongPolling, Some(lifetime), never);
        script.advance(delay - MILLISECOND);
        assert_eq!(asked(&script), 0, "{lifetime}");
        script.advance(MILLISECOND);
        assert_eq!(asked(&script), 1, "{lifetime}");
    }
}

#[test]
fn nothing_is_refreshed_by_itself_without_a_lifetime_or_when_that_is_turned_off() {
    let off: fn(&mut ClientConfig) = |config| config.refresh_before_expiration = None;
    for (lifetime, change) in [
        (None, never as fn(&mut ClientConfig)),
        (Some(0), never),
        (Some(HALF_AN_HOUR), off),
    ] {
        let mut script = connected(WebSockets, lifetime, change);
        script.advance(seconds(10_000));
        assert_eq!((asked(&script), script.events.len()), (0, 0));
    }
    let mut sooner = connected(WebSockets, Some(HALF_AN_HOUR), |config| {
        config.refresh_before_expiration = Some(seconds(60));
    });
    sooner.advance(seconds(1740) - MILLISECOND);
    assert_eq!(asked(&sooner), 0);
    sooner.advance(MILLISECOND);
    assert_eq!(asked(&sooner), 1);
}

#[test]
fn a_refresh_of_the_applications_that_fails_does_not_cancel_the_scheduled_one() {
    let mut script = connected(WebSockets, Some(HALF_AN_HOUR), never);
    script.advance(seconds(10));
    refresh(&mut script).unwrap();
    script.give_token(Err("vault is sealed"));
    script.clear();
    script.advance(seconds(1490) - MILLISECOND);
    assert_eq!(asked(&script), 0);
    script.advance(MILLISECOND);
    assert_eq!(asked(&script), 1);
    // The scheduled one fails once and for all: the next word is the application's.
    script.give_token(Err("vault is sealed"));
    script.clear();
    script.advance(seconds(10_000));
    assert_eq!((asked(&script), script.events.len()), (0, 0));
}

#[test]
fn a_refresh_ends_with_its_connection() {
    let under_way: [fn(&mut Script); 3] = [
        |_| {},
        |script| refresh(script).unwrap(),
        |script| {
            refresh(script).unwrap();
            script.token("two");
        },
    ];
    for begin in under_way {
        for end in [Script::cut as fn(&mut Script), Script::stop, |script| {
            script.receive_json(r#"{"type":7}"#);
        }] {
            let mut script = connected(WebSockets, Some(HALF_AN_HOUR), never);
            begin(&mut script);
            let op = script.requests.first().map(|open| open.op);
            end(&mut script);
            script.advance(seconds(5));
            assert!(matches!(script.events[..], [Event::Closed { .. }]));
            script.assert_over();
            script.clear();
            if let Some(op) = op {
                script.respond(op, 200, "{}");
            }
            script.advance(seconds(10_000));
            assert_eq!((script.actions.len(), script.events.len()), (0, 0));
        }
    }
}

#[test]
fn a_new_connection_has_its_own_schedule() {
    let mut script = connected(LongPolling, Some(HALF_AN_HOUR), |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.advance(seconds(1400));
    script.head(Wish::Poll, 204);
    script.advance(MILLISECOND);
    script.token("two");
    script.answer(Wish::Negotiate, 200, &body(LongPolling, Some(HALF_AN_HOUR)));
    script.open_http();
    script.clear();
    script.advance(seconds(1500) - MILLISECOND);
    assert_eq!(asked(&script), 0);
    script.advance(MILLISECOND);
    assert_eq!(asked(&script), 1);
}

#[test]
fn a_question_of_a_refresh_that_the_driver_drops_is_a_failed_refresh() {
    let mut script = connected(WebSockets, None, never);
    refresh(&mut script).unwrap();
    let op = script.questions.remove(0);
    script.input(Input::Ended {
        op,
        cause: signalr_proto::EndCause::Clean,
    });
    assert!(matches!(
        script.events[..],
        [Event::AuthenticationRefreshFailed { .. }]
    ));
}
