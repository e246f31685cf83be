//! Which transport is tried, and which next.

use super::*;

#[test]
fn the_first_usable_transport_in_the_servers_order_is_used_without_asking_again() {
    for (offered, expected) in [
        (&ALL[..], WebSockets),
        (&[LongPolling, WebSockets], LongPolling),
        (&[ServerSentEvents, LongPolling], ServerSentEvents),
    ] {
        let mut script = started(never);
        script.offer(offered);
        assert_eq!(tries(&script), Some(expected));
        assert_eq!(negotiations(&script), 1);
    }
}

#[test]
fn messagepack_passes_over_the_event_stream_without_asking_again() {
    let mut script = started(|config| config.protocol = Protocol::MessagePack);
    script.offer(&[ServerSentEvents, LongPolling]);
    assert_eq!(
        (tries(&script), negotiations(&script)),
        (Some(LongPolling), 1)
    );
    let mut none = started(|config| config.protocol = Protocol::MessagePack);
    none.offer(&[ServerSentEvents]);
    let text = none.start_failed().to_string();
    assert!(
        text.ends_with(": 'ServerSentEvents' does not support Binary"),
        "{text}"
    );
}

#[test]
fn transports_that_are_unknown_or_not_wanted_are_passed_over_without_asking_again() {
    let mut script = started(|config| config.transports = vec![LongPolling]);
    script.answer(
        Wish::Negotiate,
        200,
        &offer_with(&ALL, |offer| {
            offer.transports.insert(0, offer.transports[0].clone());
            offer.transports[0].transport = "Pigeons".into();
        }),
    );
    assert_eq!(
        (tries(&script), negotiations(&script)),
        (Some(LongPolling), 1)
    );
}

#[test]
fn the_users_order_of_transports_counts_more_than_the_servers() {
    let mut script = started(|config| config.transports = vec![LongPolling, WebSockets]);
    script.offer(&ALL);
    assert_eq!(tries(&script), Some(LongPolling));
    refuse(&mut script);
    script.offer(&ALL);
    assert_eq!(tries(&script), Some(WebSockets));
}

#[test]
fn each_transport_that_does_not_start_is_followed_by_the_next_on_a_connection_of_its_own() {
    let mut script = started(never);
    for (index, kind) in ALL.into_iter().enumerate() {
        assert_eq!(negotiations(&script), index + 1);
        let token = format!("token{index}");
        let body = offer_with(&ALL, |offer| {
            offer.connection_token = Some(token.clone().into())
        });
        script.answer(Wish::Negotiate, 200, &body);
        assert_eq!(tries(&script), Some(kind));
        let uri = match script.actions.last().unwrap() {
            Action::Request { request, .. } => request.uri(),
            Action::OpenWebSocket { request, .. } => request.uri(),
            other => panic!("{other:?}"),
        };
        assert!(
            uri.query().unwrap().contains(&format!("id={token}")),
            "{uri}"
        );
        if kind != LongPolling {
            refuse(&mut script);
        }
    }
    assert_eq!(
        (script.client.state(), script.events.len()),
        (ConnectionState::Connecting, 0)
    );
    let fallback = |from, to, reason| Event::Fallback { from, to, reason };
    assert_eq!(
        script.progress,
        [
            fallback(
                WebSockets,
                ServerSentEvents,
                CloseReason::UpgradeRefused { status: 403 }
            ),
            fallback(
                ServerSentEvents,
                LongPolling,
                CloseReason::RequestRefused {
                    request: HttpRequest::EventStream,
                    status: 404
                }
            ),
        ]
    );
    script.open_http();
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    assert_eq!(script.client.transport(), Some(LongPolling));
}

#[test]
fn a_transport_after_which_none_is_left_is_no_fallback() {
    let mut script = started(never);
    script.offer(&[WebSockets]);
    refuse(&mut script);
    assert_eq!(script.progress, []);
    assert!(
        script
            .start_failed()
            .to_string()
            .contains("WebSockets failed")
    );
}

#[test]
fn when_every_transport_fails_the_reasons_of_all_are_told() {
    let mut script = started(|config| config.reconnect = ReconnectPolicy::standard());
    for _ in ALL {
        script.offer(&ALL);
        refuse(&mut script);
    }
    // Nothing is left to try, so no other connection is asked for.
    assert_eq!(negotiations(&script), ALL.len());
    assert_eq!(
        script.start_failed().to_string(),
        concat!(
            "unable to connect to the server with any of the available transports: ",
            "WebSockets failed: the server refused the WebSocket with status 403: the server forbids this; ",
            "ServerSentEvents failed: the server answered the request for the event stream with status 404: ",
            "it does not know this connection, which it has ended or another server holds (several servers need sticky sessions); ",
            "LongPolling failed: the server answered a poll with status 500"
        )
    );
    script.assert_over();
}

#[test]
fn nothing_offered_at_all_has_a_text_of_its_own() {
    let mut script = started(never);
    script.offer(&[]);
    assert_eq!(
        script.start_failed().to_string(),
        "none of the transports supported by the client are supported by the server"
    );
}

#[test]
fn a_failing_negotiation_before_the_next_transport_ends_the_start() {
    for (status, body, words) in [
        (
            503,
            "",
            "negotiation failed: the server answered negotiate with status 503",
        ),
        (200, r#"{"error":"enough"}"#, "negotiation failed: enough"),
    ] {
        let mut script = started(never);
        script.offer(&ALL);
        refuse(&mut script);
        script.answer(Wish::Negotiate, status, body);
        let text = script.start_failed().to_string();
        assert!(text.contains("WebSockets failed: "), "{text}");
        assert!(text.ends_with(words), "{text}");
        script.assert_over();
    }
    let mut script = started(never);
    script.offer(&ALL);
    refuse(&mut script);
    script.break_request(Wish::Negotiate);
    let text = script.start_failed().to_string();
    assert!(text.ends_with("negotiation failed: broken"), "{text}");
}

#[test]
fn a_transport_that_does_not_open_in_time_is_followed_by_the_next() {
    let mut script = started(never);
    for kind in [WebSockets, ServerSentEvents] {
        script.offer(&ALL);
        assert_eq!(tries(&script), Some(kind));
        script.advance(seconds(30) - MILLISECOND);
        assert!(!script.wishes().contains(&Wish::Negotiate));
        script.clear();
        script.advance(MILLISECOND);
        assert_eq!(
            script.count(|action| matches!(action, Action::Abort { .. })),
            1
        );
        assert_eq!(script.wishes(), [Wish::Negotiate]);
    }
    script.offer(&ALL);
    assert_eq!(tries(&script), Some(LongPolling));
    script.advance(seconds(30));
    assert_eq!(
        script
            .start_failed()
            .to_string()
            .matches("connecting took longer than 30s")
            .count(),
        3
    );
}

#[test]
fn a_handshake_that_fails_is_not_a_transport_that_failed() {
    let fail: [fn(&mut Script); 3] = [
        |script| script.receive(b"{\"error\":\"no\"}\x1e"),
        |script| script.cut(),
        |script| script.advance(seconds(15)),
    ];
    for fail in fail {
        let mut script = started(never);
        script.offer(&ALL);
        script.open();
        fail(&mut script);
        assert!(!matches!(script.start_failed(), CloseReason::Negotiate(_)));
        assert_eq!(negotiations(&script), 1);
        script.assert_over();
    }
}
