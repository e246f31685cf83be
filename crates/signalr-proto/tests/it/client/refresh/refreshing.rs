//! Refreshes that the application asks for.

use super::*;

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
