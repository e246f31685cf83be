//! Which transport is tried, what follows when it does not start, and first starts that are repeated.

use std::time::Duration;

use http::HeaderMap;
use signalr_harness::script::{Script, Wish, offer, offer_with};
use signalr_proto::client::{
    Action, ClientConfig, ConnectionState, Event, Input, ReconnectPolicy, RetryContext,
};
use signalr_proto::transport::negotiate::TransportKind::{
    self, LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::transport::{TransportFailure, TransportFailureReason};
use signalr_proto::{
    CloseReason, EndCause, HttpRequest, NegotiateError, Protocol, SendError, UsageError,
};

const ALL: [TransportKind; 3] = TransportKind::ALL;
const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn never(_: &mut ClientConfig) {}

/// A started client.
fn started(change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(change);
    script.start();
    script
}

/// What the client tries to open.
fn tries(script: &Script) -> Option<TransportKind> {
    if script.find(Wish::Events).is_some() {
        Some(ServerSentEvents)
    } else if script.find(Wish::Poll).is_some() {
        Some(LongPolling)
    } else {
        script.socket.map(|_| WebSockets)
    }
}

/// Lets what is tried fail.
fn refuse(script: &mut Script) {
    match tries(script).expect("a transport is tried") {
        WebSockets => script.end(EndCause::Refused { status: 403 }),
        ServerSentEvents => script.head(Wish::Events, 404),
        _ => script.head(Wish::Poll, 500),
    }
}

fn negotiations(script: &Script) -> usize {
    script.count(|action| Wish::is(action, Wish::Negotiate))
}

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

fn retrying(config: &mut ClientConfig) {
    config.retry_start = ReconnectPolicy::Delays([seconds(1), seconds(5)].into());
}

fn status(status: u16) -> CloseReason {
    CloseReason::Negotiate(NegotiateError::Status { status })
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

/// Where a redirect leads to and how a body is compressed is told; what may be secret is not.
#[test]
fn redirects_and_compressed_bodies_are_told_for_what_they_are() {
    let redirected = |target: &str| CloseReason::Redirected {
        status: 302,
        target: target.into(),
    };
    let headers = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/event-stream".parse().unwrap());
        headers.insert(name, value.parse().unwrap());
        headers
    };
    let to = headers("location", "https://u:canary@h/login?canary");
    let zipped = headers("content-encoding", "gzip");
    for (kind, wish, request) in [
        (ServerSentEvents, Wish::Events, HttpRequest::EventStream),
        (LongPolling, Wish::Poll, HttpRequest::Poll),
    ] {
        let one = |status, headers: &HeaderMap| {
            let mut script = started(|config| config.transports = vec![kind]);
            script.offer(&[kind]);
            script.head_with(wish, status, headers.clone());
            failures(&mut script)
        };
        assert_eq!(one(302, &to), [redirected("https://h/login")]);
        let coding = "gzip".into();
        assert_eq!(
            one(200, &zipped),
            [CloseReason::Compressed { request, coding }]
        );
        // What the official server says of its event streams.
        let mut script = started(|config| config.transports = vec![kind]);
        script.offer(&[kind]);
        script.head_with(wish, 200, headers("content-encoding", "identity"));
        assert_eq!(script.client.state(), ConnectionState::Connecting);
        assert_eq!(failures(&mut script), []);
    }
    let mut script = started(never);
    script.offer(&[WebSockets]);
    script.end(EndCause::refusal(http::StatusCode::FOUND, &to));
    assert_eq!(failures(&mut script), [redirected("https://h/login")]);
    let mut script = started(never);
    let op = script.wish(Wish::Negotiate).op;
    let mut response = http::Response::new(bytes::Bytes::new());
    *response.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
    *response.headers_mut() = headers("location", "/moved/negotiate?canary");
    script.input(Input::Response { op, response });
    let target = "/moved".into();
    assert_eq!(
        script.start_failed(),
        &NegotiateError::Redirected {
            status: 301,
            target
        }
        .into()
    );
}

/// Why the transports failed when none is left; nothing while one is tried.
fn failures(script: &mut Script) -> Vec<CloseReason> {
    if script.client.state() == ConnectionState::Connecting {
        return Vec::new();
    }
    let CloseReason::Negotiate(NegotiateError::NoTransport { failures }) = script.start_failed()
    else {
        panic!("{:?}", script.events);
    };
    let reason = |failure: &TransportFailure| match &failure.reason {
        TransportFailureReason::Failed(reason) => Some(CloseReason::clone(reason)),
        _ => None,
    };
    failures.iter().filter_map(reason).collect()
}
