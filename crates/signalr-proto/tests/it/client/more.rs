//! Single requirements that the other tests of the client machine pass by.

use std::time::Duration;

use signalr_harness::script::{OFFER, Script};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, ReconnectPolicy,
};
use signalr_proto::codec::{ArgumentWriter, HubArguments};
use signalr_proto::transport::negotiate::AccessToken;
use signalr_proto::{CloseReason, EncodeError, EndCause, SendError};

const PING: &str = "{\"type\":6}\u{1e}";
const LONG: Duration = Duration::from_secs(1000);

fn never(_: &mut ClientConfig) {}

fn once(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::Delays([Duration::from_secs(60)].into());
}

/// The last request of either kind.
fn head(script: &Script) -> (String, http::HeaderMap) {
    let last = script.actions.iter().rev().find_map(|action| match action {
        Action::Request { request, .. } => {
            Some((request.uri().to_string(), request.headers().clone()))
        }
        Action::OpenWebSocket { request, .. } => {
            Some((request.uri().to_string(), request.headers().clone()))
        }
        _ => None,
    });
    last.expect("a request was made")
}

fn give_token(script: &mut Script, token: &str) {
    let asked = script.actions.iter().rev().find_map(|action| {
        if let Action::GetAccessToken { op } = action {
            Some(*op)
        } else {
            None
        }
    });
    let op = asked.expect("a token was asked for");
    script.input(signalr_proto::client::Input::AccessToken {
        op,
        token: Ok(AccessToken::new(token)),
    });
}

/// One upload stream and nothing else.
struct OneStream;

impl HubArguments for OneStream {
    fn stream_count(&self) -> usize {
        1
    }

    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
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
fn silence_and_nonsense_of_the_server_fail_the_calls_and_are_followed_by_a_reconnect() {
    let silent: fn(&mut Script) = |script| script.advance(Duration::from_secs(30));
    let confused: fn(&mut Script) = |script| script.receive(b"{\"type\":}\x1e");
    for fault in [silent, confused] {
        let mut script = Script::connected(once);
        script.client.invoke(script.now, "A", &()).unwrap();
        script.client.stream(script.now, "B", &()).unwrap();
        fault(&mut script);
        let events = script.take_events();
        let [first, second, Event::Reconnecting { reason }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(
            matches!(
                reason,
                CloseReason::ServerTimeout { .. } | CloseReason::Protocol(_)
            ),
            "{reason}"
        );
        for event in [first, second] {
            assert!(
                matches!(event, Event::Completion { outcome: Err(CallError::ConnectionLost(lost)), .. } if lost == reason),
                "{event:?}"
            );
        }
        assert!(
            script
                .actions
                .iter()
                .any(|action| matches!(action, Action::Close { code: 1000, .. }))
        );
    }
}

#[test]
fn a_reconnect_begins_at_the_users_address_with_the_users_token_whatever_redirects_said() {
    let mut script = Script::with(|config| {
        once(config);
        config.has_access_token = true;
    });
    script.start();
    give_token(&mut script, "mine");
    let op = script.request().unwrap();
    script.respond(
        op,
        200,
        r#"{"url":"https://other/hub?by=redirect","accessToken":"theirs"}"#,
    );
    script.connect();
    assert!(matches!(
        script.take_events()[..],
        [Event::Connected { .. }]
    ));
    script.cut();
    script.clear();
    script.advance(Duration::from_secs(60));
    give_token(&mut script, "fresh");
    let (uri, headers) = head(&script);
    assert_eq!(uri, "http://host/hub/negotiate?negotiateVersion=1");
    assert_eq!(headers["authorization"], "Bearer fresh");
}

#[test]
fn transports_of_the_future_are_passed_over() {
    let mut script = Script::with(never);
    script.start();
    let op = script.request().unwrap();
    script.respond(
        op,
        200,
        &OFFER.replace(
            "[{",
            r#"[{"transport":"Pigeons","transferFormats":["Text","Scroll"]},{"#,
        ),
    );
    script.open();
    script.receive(b"{}\x1e");
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
}

#[test]
fn servers_that_are_no_signalr_servers_are_explained() {
    for (status, body, words) in [
        (
            404,
            "",
            "either this is not a SignalR endpoint or there is a proxy blocking the connection",
        ),
        (
            200,
            r#"{"ProtocolVersion":"1.5"}"#,
            "only supports connecting to an ASP.NET Core SignalR server",
        ),
    ] {
        let mut script = Script::with(never);
        script.start();
        let op = script.request().unwrap();
        script.respond(op, status, body);
        let [Event::StartFailed { reason }] = &script.events[..] else {
            panic!("{:?}", script.events)
        };
        assert!(reason.to_string().contains(words), "{reason}");
    }
}

#[test]
fn the_users_headers_go_on_every_request_and_win_over_the_clients_own() {
    let mut script = Script::with(|config| {
        config.headers.insert("user-agent", "mine".parse().unwrap());
        config.headers.insert("x-own", "1".parse().unwrap());
    });
    script.start();
    let negotiate = head(&script);
    script.connect();
    for (uri, headers) in [negotiate, head(&script)] {
        for (name, value) in [
            ("user-agent", "mine"),
            ("x-own", "1"),
            ("x-requested-with", "XMLHttpRequest"),
        ] {
            assert_eq!(headers[name], value, "{uri}");
        }
    }
}

#[test]
fn the_close_code_tells_an_orderly_end_from_a_failure() {
    for (code, why, expected, is_clean) in [
        (1000, "bye", CloseReason::TransportEnded, true),
        (
            1011,
            "broken",
            CloseReason::WebSocketClosed {
                code: 1011,
                reason: "broken".into(),
            },
            false,
        ),
    ] {
        let mut script = Script::connected(never);
        script.end(EndCause::WebSocketClose {
            code,
            reason: why.into(),
        });
        assert_eq!(expected.is_clean(), is_clean);
        assert!(is_clean || expected.to_string().contains(why), "{expected}");
        assert_eq!(script.events, [Event::Closed { reason: expected }]);
    }
}

#[test]
fn stop_ends_the_uploads_of_calls_and_of_sends() {
    let mut script = Script::connected(never);
    let streams = [
        script.client.invoke(script.now, "A", &OneStream),
        script.client.send(script.now, "B", &OneStream),
    ]
    .map(|call| call.unwrap().streams().next().unwrap());
    script.client.stop(script.now);
    for stream in streams {
        assert_eq!(
            script.client.send_item(script.now, stream, &1),
            Err(SendError::NotConnected)
        );
        assert_eq!(
            script.client.end_stream(script.now, stream, None),
            Err(SendError::NotConnected)
        );
    }
    script.poll();
    assert!(!script.take_sent().contains("\"type\":2"));
}

#[test]
fn calls_of_the_server_without_an_id_leave_nothing_to_answer() {
    let mut script = Script::connected(never);
    script.receive(b"{\"type\":1,\"target\":\"a\",\"arguments\":[]}\x1e{\"type\":1,\"invocationId\":\"\",\"target\":\"a\",\"arguments\":[]}\x1e");
    let events = script.take_events();
    assert_eq!(events.len(), 2);
    for event in events {
        assert!(
            matches!(event, Event::Invocation { reply_to: None, .. }),
            "{event:?}"
        );
    }
}
