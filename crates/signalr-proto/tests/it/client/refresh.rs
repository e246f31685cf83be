//! Access tokens that are refused, renewed and refreshed.

use std::time::Duration;

use signalr_harness::script::{Script, Wish, offer_with};
use signalr_proto::client::{Action, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy};
use signalr_proto::transport::negotiate::AccessToken;
use signalr_proto::transport::negotiate::TransportKind::{
    self, LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::{CloseReason, HttpRequest, NegotiateError, RefreshError, UsageError};

const MILLISECOND: Duration = Duration::from_millis(1);
const BOTH: [TransportKind; 2] = [ServerSentEvents, LongPolling];
const HALF_AN_HOUR: u64 = 1800;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn never(_: &mut ClientConfig) {}

fn body(kind: TransportKind, lifetime: Option<u64>) -> String {
    offer_with(&[kind], |offer| {
        offer.token_lifetime = lifetime.map(seconds);
        offer.stateful_reconnect = false;
    })
}

/// A connection of a client with a provider; its token is `one`.
fn connected(
    kind: TransportKind,
    lifetime: Option<u64>,
    change: impl FnOnce(&mut ClientConfig),
) -> Script {
    let mut script = Script::with(|config| {
        config.has_access_token = true;
        config.keep_alive_interval = seconds(100_000);
        config.server_timeout = seconds(100_000);
        change(config);
    });
    script.start();
    script.token("one");
    script.answer(Wish::Negotiate, 200, &body(kind, lifetime));
    if kind == WebSockets {
        script.token("one");
        script.open();
        script.receive(b"{}\x1e");
    } else {
        script.open_http();
    }
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    script.clear();
    script
}

/// How many questions for a token were put since the last look.
fn asked(script: &Script) -> usize {
    script.count(|action| matches!(action, Action::GetAccessToken { .. }))
}

fn bearer(script: &Script, wish: Wish) -> Option<&str> {
    script.wish(wish).header("authorization")
}

fn refused(request: HttpRequest, status: u16) -> CloseReason {
    CloseReason::RequestRefused { request, status }
}

#[test]
fn http_transports_go_on_with_the_token_of_negotiation() {
    for kind in BOTH {
        let mut script = Script::with(|config| config.has_access_token = true);
        script.start();
        script.token("one");
        script.offer(&[kind]);
        script.open_http();
        script.send("A");
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer one"));
        script.take_posts();
        script.stop();
        script.take_posts();
        for action in &script.actions {
            if let Action::Request { request, .. } = action {
                assert_eq!(request.headers()["authorization"], "Bearer one");
            }
        }
        assert_eq!(script.find(Wish::Delete).is_some(), kind == LongPolling);
        assert_eq!(asked(&script), 1);
    }
}

#[test]
fn a_refused_poll_is_repeated_once_with_a_new_token_which_then_counts_for_all() {
    let mut script = connected(LongPolling, None, never);
    let poll = script.wish(Wish::Poll).op;
    script.head(Wish::Poll, 401);
    assert_eq!((script.wishes(), asked(&script)), (vec![], 1));
    // What the refusal says beyond its status is not for us, even when it comes late.
    script.chunk_of(poll, b"{\"error\":\"invalid_token\"}");
    assert_eq!(script.events, []);
    script.token("two");
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer two"));
    script.receive_json(r#"{"type":1,"target":"a","arguments":[]}"#);
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.send("A");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
    script.take_posts();
    script.stop();
    script.take_posts();
    assert_eq!(bearer(&script, Wish::Delete), Some("Bearer two"));
}

#[test]
fn the_question_after_a_refused_poll_has_its_time_whether_anybody_reads_or_not() {
    for pauses in 0..3 {
        let mut script = connected(LongPolling, None, never);
        // The time that the poll took is not the question's.
        script.advance(seconds(90));
        script.head(Wish::Poll, 401);
        script.advance(seconds(60));
        if pauses > 0 {
            script.input(Input::ReadPaused);
        }
        if pauses > 1 {
            script.input(Input::ReadResumed);
        }
        script.advance(seconds(40) - MILLISECOND);
        assert_eq!(script.events, [], "{pauses}");
        script.advance(MILLISECOND);
        let reason = CloseReason::RequestTimeout {
            request: HttpRequest::Poll,
            timeout: seconds(100),
        };
        assert_eq!(script.closed(), &reason, "{pauses}");
    }
}

#[test]
fn a_poll_repeated_with_a_new_token_has_all_its_time() {
    let mut script = connected(LongPolling, None, never);
    script.head(Wish::Poll, 401);
    script.advance(seconds(60));
    script.token("two");
    let poll = script.wish(Wish::Poll).op;
    script.advance(seconds(100) - MILLISECOND);
    assert_eq!(script.wish(Wish::Poll).op, poll);
    script.advance(MILLISECOND);
    assert_ne!(script.wish(Wish::Poll).op, poll);
    assert_eq!(script.events, []);
}

#[test]
fn a_second_refusal_of_the_same_request_ends_the_connection() {
    let mut script = connected(LongPolling, None, never);
    script.head(Wish::Poll, 401);
    script.token("two");
    script.head(Wish::Poll, 401);
    assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
    assert_eq!((asked(&script), script.deadline), (1, None));
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        script.answer(Wish::Post, 401, "");
        script.token("two");
        script.answer(Wish::Post, 401, "");
        assert_eq!(script.closed(), &refused(HttpRequest::Send, 401));
        assert_eq!(asked(&script), 1);
    }
}

#[test]
fn each_request_has_a_second_chance_of_its_own() {
    let mut script = connected(LongPolling, None, never);
    for _ in 0..3 {
        script.head(Wish::Poll, 401);
        script.token("two");
        script.answer_poll(b"");
    }
    assert_eq!((script.events.len(), asked(&script)), (0, 3));
}

#[test]
fn a_refused_send_is_repeated_byte_for_byte_and_arrives_once() {
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        let first = script.wish(Wish::Post).text().to_owned();
        let op = script.wish(Wish::Post).op;
        let before = script.client.sent_position();
        script.answer(Wish::Post, 401, "");
        // It has had its answer: a second one is nobody's.
        script.respond(op, 200, "");
        assert_eq!(script.client.sent_position(), before);
        // What is written meanwhile waits for its turn.
        script.send("B");
        assert_eq!(script.find(Wish::Post).map(|open| open.op), None);
        script.token("two");
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
        assert_eq!(script.take_post(), first);
        script.take_posts();
        let sent = script.take_sent();
        assert_eq!(
            (sent.matches("\"A\"").count(), sent.matches("\"B\"").count()),
            (1, 1)
        );
        assert_eq!(script.events, []);
    }
}

#[test]
fn an_event_stream_that_is_refused_is_opened_again_with_a_new_token() {
    let mut script = Script::with(|config| config.has_access_token = true);
    script.start();
    script.token("one");
    script.offer(&[ServerSentEvents]);
    script.head(Wish::Events, 401);
    assert_eq!(script.wishes(), []);
    script.token("two");
    assert_eq!(bearer(&script, Wish::Events), Some("Bearer two"));
    script.clear();
    script.open_http();
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    let mut twice = Script::with(|config| config.has_access_token = true);
    twice.start();
    twice.token("one");
    twice.offer(&[ServerSentEvents]);
    twice.head(Wish::Events, 401);
    twice.token("two");
    twice.head(Wish::Events, 401);
    assert!(twice.start_failed().to_string().contains("status 401"));
}

#[test]
fn requests_that_are_refused_together_need_one_question() {
    for poll_first in [true, false] {
        let mut script = connected(LongPolling, None, never);
        script.send("A");
        if poll_first {
            script.head(Wish::Poll, 401);
            script.answer(Wish::Post, 401, "");
        } else {
            script.answer(Wish::Post, 401, "");
            script.head(Wish::Poll, 401);
        }
        assert_eq!((asked(&script), script.wishes()), (1, vec![]));
        script.token("two");
        assert_eq!(bearer(&script, Wish::Poll), Some("Bearer two"));
        assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
        script.answer_poll(b"");
        script.take_posts();
        assert_eq!((asked(&script), script.events.len()), (1, 0));
    }
}

#[test]
fn a_request_refused_with_an_older_token_is_repeated_with_the_present_one_without_a_question() {
    let mut script = connected(LongPolling, None, never);
    script.send("A");
    script.answer(Wish::Post, 401, "");
    script.token("two");
    // The poll under way still carries the first token.
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer one"));
    script.head(Wish::Poll, 401);
    assert_eq!(
        (asked(&script), bearer(&script, Wish::Poll)),
        (1, Some("Bearer two"))
    );
    script.head(Wish::Poll, 401);
    assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
}

#[test]
fn a_refused_request_is_repeated_without_a_token_when_there_is_none_any_more() {
    for none in [None, Some("")] {
        let mut script = connected(LongPolling, None, never);
        script.head(Wish::Poll, 401);
        script.give_token(Ok(none));
        assert_eq!(bearer(&script, Wish::Poll), None);
    }
}

#[test]
fn a_provider_that_fails_ends_the_connection_with_its_words() {
    let mut script = connected(LongPolling, None, |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.head(Wish::Poll, 401);
    script.give_token(Err("vault is sealed"));
    let reason = CloseReason::AccessToken {
        detail: "vault is sealed".into(),
    };
    assert_eq!(script.events, [Event::Reconnecting { reason }]);
}

#[test]
fn a_provider_that_never_answers_does_not_hold_the_connection_for_ever() {
    for kind in BOTH {
        let mut script = connected(kind, None, never);
        script.send("A");
        script.answer(Wish::Post, 401, "");
        script.advance(seconds(100));
        assert!(
            matches!(script.events[..], [Event::Closed { .. }]),
            "{kind:?}"
        );
        assert_eq!(script.questions, []);
    }
    let mut poll = connected(LongPolling, None, never);
    poll.head(Wish::Poll, 401);
    poll.advance(seconds(100));
    assert!(matches!(poll.events[..], [Event::Closed { .. }]));
    assert_eq!(poll.questions, []);
}

#[test]
fn a_loss_while_the_token_is_asked_for_withdraws_the_question() {
    let mut script = connected(LongPolling, None, never);
    script.send("A");
    script.answer(Wish::Post, 401, "");
    script.head(Wish::Poll, 204);
    assert_eq!(script.closed(), &CloseReason::TransportEnded);
    script.assert_over();
}

#[test]
fn negotiation_is_never_repeated_for_a_401() {
    let mut script = Script::with(|config| config.has_access_token = true);
    script.start();
    script.token("one");
    script.answer(Wish::Negotiate, 401, "");
    assert_eq!(
        script.start_failed(),
        &CloseReason::Negotiate(NegotiateError::Status { status: 401 })
    );
    script.assert_over();
}

#[test]
fn nothing_is_repeated_with_the_token_of_a_redirect_or_without_a_provider() {
    let mut redirected = Script::with(|config| config.has_access_token = true);
    redirected.start();
    redirected.token("mine");
    redirected.answer(
        Wish::Negotiate,
        200,
        r#"{"url":"http://host/other","accessToken":"theirs"}"#,
    );
    redirected.connect_http(LongPolling);
    assert_eq!(bearer(&redirected, Wish::Poll), Some("Bearer theirs"));
    let mut foreign = Script::with(|config| config.has_access_token = true);
    foreign.start();
    foreign.token("mine");
    foreign.answer(Wish::Negotiate, 200, r#"{"url":"http://elsewhere/hub"}"#);
    foreign.connect_http(LongPolling);
    assert_eq!(bearer(&foreign, Wish::Poll), None);
    let without = Script::connected_over(LongPolling, never);
    for mut script in [redirected, foreign, without] {
        script.clear();
        script.head(Wish::Poll, 401);
        assert_eq!(script.closed(), &refused(HttpRequest::Poll, 401));
        assert_eq!(asked(&script), 0);
    }
}

fn refresh(script: &mut Script) -> Result<(), UsageError> {
    let result = script.client.refresh_authentication(script.now);
    script.poll();
    result
}

#[test]
fn a_refresh_posts_the_new_token_and_uses_it_from_then_on() {
    for kind in TransportKind::ALL {
        let mut script = connected(kind, None, |config| {
            config.headers.insert("x-mine", "yes".parse().unwrap());
        });
        assert_eq!(refresh(&mut script), Ok(()));
        script.token("two");
        let request = script.wish(Wish::Refresh);
        assert_eq!(request.uri(), "http://host/hub/refresh?id=token");
        assert_eq!(request.request.method(), http::Method::POST);
        assert_eq!(request.header("authorization"), Some("Bearer two"));
        assert_eq!(request.header("x-mine"), Some("yes"));
        assert!(request.request.body().is_empty());
        script.answer(
            Wish::Refresh,
            200,
            r#"{"tokenLifetimeSeconds":1800,"x":[]}"#,
        );
        assert_eq!(
            script.take_events(),
            [Event::AuthenticationRefreshed {
                lifetime: Some(seconds(1800))
            }]
        );
        script.send("A");
        if kind != WebSockets {
            assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
        }
        assert_eq!(script.client.state(), ConnectionState::Connected);
    }
}

#[test]
fn the_old_token_counts_until_the_server_has_taken_the_new_one() {
    let mut script = connected(LongPolling, None, never);
    refresh(&mut script).unwrap();
    script.token("two");
    script.send("A");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer one"));
    script.answer_poll(b"");
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer one"));
    script.take_posts();
    script.answer(
        Wish::Refresh,
        403,
        r#"{"error":"permission_change_rejected"}"#,
    );
    assert_eq!(
        script.take_events(),
        [Event::AuthenticationRefreshFailed {
            error: RefreshError::Refused {
                status: 403,
                error: Some("permission_change_rejected".into())
            }
        }]
    );
    script.send("B");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer one"));
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn every_way_a_refresh_can_fail_is_told_and_ends_nothing() {
    let fails = [
        (
            (|script| script.give_token(Err("vault is sealed"))) as fn(&mut Script),
            RefreshError::Provider {
                detail: "vault is sealed".into(),
            },
        ),
        (|script| script.give_token(Ok(None)), RefreshError::NoToken),
        (
            |script| script.advance(seconds(100)),
            RefreshError::Timeout {
                timeout: seconds(100),
            },
        ),
        (
            |script| {
                script.token("two");
                script.advance(seconds(100));
            },
            RefreshError::Timeout {
                timeout: seconds(100),
            },
        ),
        (
            |script| {
                script.token("two");
                script.answer(Wish::Refresh, 200, "canary");
            },
            RefreshError::Invalid,
        ),
        (
            |script| {
                script.token("two");
                script.answer(Wish::Refresh, 401, "");
            },
            RefreshError::Refused {
                status: 401,
                error: None,
            },
        ),
        (
            |script| {
                script.token("two");
                script.answer(Wish::Refresh, 404, r#"{"error":"refresh_disabled"}"#);
            },
            RefreshError::Refused {
                status: 404,
                error: Some("refresh_disabled".into()),
            },
        ),
        (
            |script| {
                script.token("two");
                script.break_request(Wish::Refresh);
            },
            RefreshError::Failed {
                request: HttpRequest::Refresh,
                detail: "broken".into(),
            },
        ),
    ];
    for (fail, error) in fails {
        let mut script = connected(WebSockets, None, never);
        refresh(&mut script).unwrap();
        fail(&mut script);
        assert_eq!(
            script.events,
            [Event::AuthenticationRefreshFailed { error }]
        );
        assert_eq!((script.wishes(), asked(&script)), (vec![], 1));
        assert_eq!(script.client.state(), ConnectionState::Connected);
        // Another one may follow.
        script.clear();
        refresh(&mut script).unwrap();
        script.token("three");
        script.answer(Wish::Refresh, 200, "{}");
        assert_eq!(
            script.events,
            [Event::AuthenticationRefreshed { lifetime: None }]
        );
    }
}

#[test]
fn a_refresh_that_is_under_way_is_joined() {
    let mut script = connected(WebSockets, None, never);
    refresh(&mut script).unwrap();
    refresh(&mut script).unwrap();
    script.token("two");
    refresh(&mut script).unwrap();
    assert_eq!((asked(&script), script.wishes()), (1, vec![Wish::Refresh]));
}

#[test]
fn a_token_that_the_server_gives_back_replaces_the_one_that_was_sent() {
    let mut script = connected(LongPolling, None, never);
    refresh(&mut script).unwrap();
    script.token("two");
    script.answer(Wish::Refresh, 200, r#"{"accessToken":"three"}"#);
    script.send("A");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer three"));
}

#[test]
fn a_refresh_that_is_quicker_than_the_answer_to_a_refusal_takes_its_place() {
    let mut script = connected(LongPolling, None, never);
    refresh(&mut script).unwrap();
    script.token("two");
    script.send("A");
    script.answer(Wish::Post, 401, "");
    let late = script.questions.clone();
    assert_eq!(late.len(), 1);
    script.answer(Wish::Refresh, 200, "{}");
    assert_eq!(bearer(&script, Wish::Post), Some("Bearer two"));
    assert_eq!(script.questions, []);
    // An older token does not replace it.
    for op in late {
        let token = Ok(AccessToken::new("old"));
        script.input(Input::AccessToken { op, token });
    }
    script.answer_poll(b"");
    assert_eq!(bearer(&script, Wish::Poll), Some("Bearer two"));
}

#[test]
fn there_is_nothing_to_refresh_without_a_connection_its_token_and_a_provider() {
    let mut idle = Script::with(|config| config.has_access_token = true);
    assert_eq!(refresh(&mut idle), Err(UsageError::NotConnected));
    idle.start();
    assert_eq!(refresh(&mut idle), Err(UsageError::NotConnected));
    let skipped = {
        let mut script = Script::with(|config| {
            config.has_access_token = true;
            config.skip_negotiation = true;
        });
        script.start();
        script.token("one");
        script.open();
        script.receive(b"{}\x1e");
        script
    };
    let old = {
        let mut script = Script::with(|config| config.has_access_token = true);
        script.start();
        script.token("one");
        let body = offer_with(&[LongPolling], |offer| {
            offer.version = 0;
            offer.connection_token = None;
        });
        script.answer(Wish::Negotiate, 200, &body);
        script.open_http();
        script
    };
    for mut script in [skipped, old, Script::connected_over(LongPolling, never)] {
        script.clear();
        assert_eq!(script.client.state(), ConnectionState::Connected);
        assert_eq!(refresh(&mut script), Err(UsageError::NoRefresh));
        assert_eq!((script.actions.len(), script.events.len()), (0, 0));
    }
}

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
