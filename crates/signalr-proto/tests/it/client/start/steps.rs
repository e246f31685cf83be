//! The steps of a start, and where each may fail.

use super::*;

#[test]
fn start_negotiates_opens_shakes_hands_pings_and_only_then_is_connected() {
    let mut script = Script::with(never);
    assert_eq!(script.client.state(), ConnectionState::Disconnected);
    script.start();
    assert_eq!(script.client.state(), ConnectionState::Connecting);
    assert_eq!(uri(&script), "http://host/hub/negotiate?negotiateVersion=1");
    respond(&mut script, 200, OFFER);
    assert_eq!(uri(&script), "ws://host/hub?id=token");
    script.open();
    assert_eq!(
        script.take_sent(),
        "{\"protocol\":\"json\",\"version\":1}\u{1e}"
    );
    assert_eq!(script.events, []);
    script.receive(b"{}\x1e");
    assert_eq!(script.take_sent(), PING);
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: TransportKind::WebSockets,
        }]
    );
    assert_eq!(
        (script.client.state(), script.client.connection_id()),
        (ConnectionState::Connected, Some("id"))
    );
}

#[test]
fn a_second_start_is_refused_without_effect() {
    let mut script = Script::connected(never);
    assert_eq!(
        script.client.start(script.now),
        Err(UsageError::NotDisconnected)
    );
    script.poll();
    assert_eq!((script.actions.len(), script.events.len()), (0, 0));
}

#[test]
fn intervals_of_zero_are_refused() {
    let mut script = Script::with(|config| config.keep_alive_interval = Duration::ZERO);
    assert_eq!(
        script.client.start(script.now),
        Err(UsageError::ZeroInterval)
    );
}

#[test]
fn headers_that_would_break_the_requests_are_refused() {
    for (name, reserved) in [
        ("content-length", true),
        ("transfer-encoding", true),
        ("host", true),
        ("sec-websocket-protocol", true),
        ("x-content-length", false),
        ("user-agent", false),
    ] {
        let value = http::HeaderValue::from_static("5");
        let mut script = Script::with(|config| {
            config.headers.insert(name, value);
        });
        let wanted = reserved.then_some(UsageError::ReservedHeader);
        assert_eq!(script.client.start(script.now).err(), wanted, "{name}");
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
fn skipping_negotiation_opens_the_socket_without_an_id() {
    let mut script = Script::with(|config| config.skip_negotiation = true);
    script.start();
    assert_eq!(uri(&script), "ws://host/hub");
    script.open();
    script.receive(b"{}\x1e");
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: None,
            transport: TransportKind::WebSockets,
        }]
    );
}

#[test]
fn messages_behind_the_handshake_response_come_once_and_after_connected() {
    let mut script = Script::with(|config| config.skip_negotiation = true);
    script.start();
    script.open();
    for piece in [
        "{",
        "}\u{1e}{\"type\":1,\"target\":\"hi\",\"argum",
        "ents\":[]}\u{1e}",
    ] {
        script.receive(piece.as_bytes());
    }
    let events = script.take_events();
    assert!(
        matches!(events.as_slice(), [Event::Connected { .. }, Event::Invocation { target, .. }] if target == "hi"),
        "{events:?}"
    );
}

#[test]
fn the_handshake_of_messagepack_travels_in_a_binary_message() {
    let mut script = Script::with(|config| config.protocol = Protocol::MessagePack);
    script.start();
    script.connect();
    let sends: Vec<_> = script
        .actions
        .iter()
        .filter_map(|action| {
            if let Action::Send { bytes, format, .. } = action {
                assert_eq!(*format, TransferFormat::Binary);
                Some(bytes)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        (&sends[0][..], &sends[1][..]),
        (
            &b"{\"protocol\":\"messagepack\",\"version\":1}\x1e"[..],
            &b"\x02\x91\x06"[..]
        )
    );
}

#[test]
fn failures_of_negotiation_end_the_start_and_nothing_is_retried() {
    for (status, body, expected) in [
        (404, "", NegotiateError::Status { status: 404 }),
        (401, "", NegotiateError::Status { status: 401 }),
        (
            200,
            r#"{"error":"not allowed"}"#,
            NegotiateError::Refused {
                error: "not allowed".into(),
            },
        ),
        (200, r#"{"ProtocolVersion":"1.5"}"#, NegotiateError::AspNet),
        (
            200,
            r#"{"connectionId":"a","availableTransports":[]}"#,
            NegotiateError::NoTransport { failures: vec![] },
        ),
    ] {
        let mut script = Script::with(|config| config.reconnect = ReconnectPolicy::standard());
        script.start();
        respond(&mut script, status, body);
        assert_eq!(start_error(&script), &CloseReason::Negotiate(expected));
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Disconnected, None)
        );
    }
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
fn the_reasons_of_transports_that_do_not_fit_are_told() {
    let mut script = Script::with(|config| config.protocol = Protocol::MessagePack);
    script.start();
    let offer = concat!(
        r#"{"connectionId":"a","availableTransports":[{"transport":"Pigeons","transferFormats":["Text"]},"#,
        r#"{"transport":"WebSockets","transferFormats":["Text"]}]}"#
    );
    respond(&mut script, 200, offer);
    let text = start_error(&script).to_string();
    assert!(
        text.ends_with(
            ": 'Pigeons' is not supported by this client; 'WebSockets' does not support Binary"
        ),
        "{text}"
    );
}

#[test]
fn stateful_reconnect_that_was_not_asked_for_is_refused() {
    let mut script = Script::with(never);
    script.start();
    respond(
        &mut script,
        200,
        &OFFER.replace(
            "\"connectionId\"",
            "\"useStatefulReconnect\":true,\"connectionId\"",
        ),
    );
    assert_eq!(
        start_error(&script),
        &CloseReason::Negotiate(NegotiateError::UnsolicitedStatefulReconnect)
    );
}

#[test]
fn a_server_of_version_zero_is_reached_by_its_connection_id() {
    let mut script = Script::with(never);
    script.start();
    respond(
        &mut script,
        200,
        r#"{"connectionId":"only","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#,
    );
    assert_eq!(uri(&script), "ws://host/hub?id=only");
}

#[test]
fn refused_sockets_and_broken_networks_are_told_apart() {
    for (cause, expected) in [
        (
            EndCause::Refused { status: 404 },
            CloseReason::UpgradeRefused { status: 404 },
        ),
        (
            EndCause::Failed {
                detail: "no route".into(),
            },
            CloseReason::TransportFailed {
                detail: "no route".into(),
            },
        ),
    ] {
        let mut script = Script::with(|config| config.skip_negotiation = true);
        script.start();
        script.end(cause);
        assert_eq!(start_error(&script), &expected);
    }
}

#[test]
fn a_handshake_that_is_refused_ends_the_start_with_the_servers_words() {
    let mut script = Script::with(|config| config.skip_negotiation = true);
    script.start();
    script.open();
    script.receive(b"{\"error\":\"no\"}\x1e");
    assert_eq!(
        start_error(&script),
        &CloseReason::HandshakeRefused { error: "no".into() }
    );
}

#[test]
fn a_handshake_that_is_no_handshake_ends_the_start_and_closes_the_socket() {
    for bytes in [
        &b"{\"type\":6}\x1e"[..],
        b"garbage\x1e",
        b"\x1e",
        b"[]\x1e",
        &[b'x'; 20_000],
    ] {
        let mut script = Script::with(|config| config.skip_negotiation = true);
        script.start();
        script.open();
        script.receive(bytes);
        assert!(
            matches!(start_error(&script), CloseReason::Protocol(_)),
            "{:?}",
            script.events
        );
        assert!(
            script
                .actions
                .iter()
                .any(|action| matches!(action, Action::Close { code: 1000, .. }))
        );
    }
}

#[test]
fn a_socket_that_ends_before_the_handshake_response_says_so() {
    let mut script = Script::with(|config| config.skip_negotiation = true);
    script.start();
    script.open();
    script.cut();
    assert_eq!(start_error(&script), &CloseReason::HandshakeEnded);
}

#[test]
fn every_step_before_the_connection_has_its_timeout() {
    let mut negotiating = Script::with(never);
    negotiating.start();
    let mut opening = Script::with(|config| config.skip_negotiation = true);
    opening.start();
    let mut asking = Script::with(|config| config.has_access_token = true);
    asking.start();
    for mut script in [negotiating, opening, asking] {
        script.advance(seconds(30) - Duration::from_millis(1));
        assert_eq!(script.events, []);
        script.advance(Duration::from_millis(1));
        assert_eq!(
            start_error(&script),
            &CloseReason::ConnectTimeout {
                timeout: seconds(30)
            }
        );
        assert!(matches!(script.actions.last(), Some(Action::Abort { .. })));
    }
    let mut shaking = Script::with(|config| config.skip_negotiation = true);
    shaking.start();
    shaking.open();
    shaking.advance(seconds(15));
    assert_eq!(
        start_error(&shaking),
        &CloseReason::HandshakeTimeout {
            timeout: seconds(15)
        }
    );
}

#[test]
fn stop_during_every_step_ends_the_start_at_once() {
    let steps: [fn(&mut Script); 4] = [
        |_| {},
        |script| respond(script, 200, OFFER),
        |script| {
            respond(script, 200, OFFER);
            script.open();
        },
        |script| {
            respond(script, 200, OFFER);
            script.open();
            script.receive(b"{");
        },
    ];
    for step in steps {
        let mut script = Script::with(|config| config.reconnect = ReconnectPolicy::standard());
        script.start();
        step(&mut script);
        script.client.stop(script.now);
        script.poll();
        assert_eq!(start_error(&script), &CloseReason::Stopped);
        assert_eq!(
            (script.client.state(), script.deadline),
            (ConnectionState::Disconnected, None)
        );
    }
}

#[test]
fn late_answers_to_an_attempt_that_was_given_up_are_ignored() {
    let mut script = Script::with(never);
    script.start();
    let op = script.request().unwrap();
    script.client.stop(script.now);
    script.poll();
    script.clear();
    script.respond(op, 200, OFFER);
    assert_eq!((script.actions.len(), script.events.len()), (0, 0));
}

#[test]
fn a_connection_starts_again_after_a_stop_and_its_ids_go_on() {
    let mut script = Script::connected(never);
    let first = script.client.invoke(script.now, "A", &()).unwrap();
    script.client.stop(script.now);
    script.poll();
    script.receive_json(r#"{"type":7}"#);
    assert_eq!(
        script.events.last(),
        Some(&Event::Closed {
            reason: CloseReason::Stopped
        })
    );
    script.clear();
    script.start();
    script.connect();
    let second = script.client.invoke(script.now, "A", &()).unwrap();
    assert_eq!((first.id().number(), second.id().number()), (1, 2));
}
