//! What the next transport is negotiated with.

use super::*;

#[test]
fn the_next_transport_is_negotiated_where_the_redirect_led_and_with_its_token() {
    let mut script = started(|config| config.has_access_token = true);
    script.token("mine");
    script.answer(
        Wish::Negotiate,
        200,
        r#"{"url":"https://other/client?hub=chat","accessToken":"theirs"}"#,
    );
    script.offer(&ALL);
    refuse(&mut script);
    let again = script.wish(Wish::Negotiate);
    assert_eq!(
        again.uri(),
        "https://other/client/negotiate?hub=chat&negotiateVersion=1"
    );
    assert_eq!(again.header("authorization"), Some("Bearer theirs"));
    // This negotiation may redirect as any other.
    script.answer(Wish::Negotiate, 200, r#"{"url":"https://third/hub"}"#);
    let third = script.wish(Wish::Negotiate);
    assert_eq!(
        third.uri(),
        "https://third/hub/negotiate?negotiateVersion=1"
    );
    assert_eq!(third.header("authorization"), None);
    script.offer(&ALL);
    assert_eq!(
        script.wish(Wish::Events).uri(),
        "https://third/hub?id=token"
    );
}

#[test]
fn a_token_that_comes_with_the_offer_replaces_the_users() {
    for (kinds, wish) in [(&[LongPolling][..], Some(Wish::Poll)), (&ALL, None)] {
        let mut script = started(|config| config.has_access_token = true);
        script.token("mine");
        let body = offer(kinds).replacen('{', r#"{"accessToken":"theirs","#, 1);
        script.answer(Wish::Negotiate, 200, &body);
        assert_eq!(script.questions, []);
        let headers: &HeaderMap = match (wish, script.actions.last().unwrap()) {
            (Some(_), Action::Request { request, .. }) => request.headers(),
            (None, Action::OpenWebSocket { request, .. }) => request.headers(),
            other => panic!("{other:?}"),
        };
        assert_eq!(headers["authorization"], "Bearer theirs");
    }
}

#[test]
fn each_negotiation_asks_for_a_fresh_token() {
    let mut script = started(|config| config.has_access_token = true);
    script.token("one");
    script.offer(&ALL);
    script.token("two");
    refuse(&mut script);
    script.token("three");
    assert_eq!(
        script.wish(Wish::Negotiate).header("authorization"),
        Some("Bearer three")
    );
    script.offer(&ALL);
    assert_eq!(
        script.wish(Wish::Events).header("authorization"),
        Some("Bearer three")
    );
    refuse(&mut script);
    script.give_token(Err("vault is sealed"));
    assert_eq!(
        script.start_failed().to_string(),
        "the access token provider failed: vault is sealed"
    );
}

#[test]
fn stopping_between_two_transports_ends_the_start() {
    let mut script = started(never);
    script.offer(&ALL);
    refuse(&mut script);
    script.stop();
    assert_eq!(script.start_failed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn a_reconnect_begins_with_the_first_transport_again() {
    let mut script = started(|config| config.reconnect = ReconnectPolicy::standard());
    script.offer(&ALL);
    refuse(&mut script);
    script.offer(&ALL);
    script.open_http();
    assert_eq!(script.client.transport(), Some(ServerSentEvents));
    script.break_request(Wish::Events);
    script.advance(MILLISECOND);
    script.offer(&ALL);
    assert_eq!(tries(&script), Some(WebSockets));
    refuse(&mut script);
    script.clear();
    script.offer(&ALL);
    script.open_http();
    assert!(matches!(script.events[..], [Event::Reconnected { .. }]));
}

#[test]
fn skipped_negotiation_needs_web_sockets_alone_and_has_nothing_to_fall_back_to() {
    for transports in [
        vec![LongPolling],
        vec![WebSockets, ServerSentEvents],
        ALL.to_vec(),
    ] {
        let mut script = Script::with(|config| {
            config.skip_negotiation = true;
            config.transports = transports;
        });
        assert_eq!(
            script.client.start(script.now),
            Err(UsageError::SkippedNegotiation)
        );
        script.poll();
        assert_eq!((script.actions.len(), script.events.len()), (0, 0));
    }
    let mut script = started(|config| {
        config.skip_negotiation = true;
        config.transports = vec![WebSockets];
    });
    refuse(&mut script);
    assert_eq!(
        script.start_failed(),
        &CloseReason::UpgradeRefused { status: 403 }
    );
    script.assert_over();
}
