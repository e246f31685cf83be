//! Newer tokens.

use super::*;

/// A token that expires so many seconds after the start.
fn token(claims: u64, expires: u64) -> Option<Identity> {
    Some(Identity {
        user_id: Some("ann".into()),
        claims,
        expires_at: Some(Instant(Duration::from_secs(expires))),
    })
}

fn options(identity: Option<Identity>) -> ConnectionOptions {
    with(ConnectionOptions::default(), |options| {
        options.refreshable = true;
        options.close_on_expiration = true;
        options.identity = identity;
    })
}

/// On a WebSocket, with a token of 100 seconds.
fn open() -> Test {
    let mut test = Test::new(config(), options(token(1, 100)));
    test.socket = test.arrive_as(Port::WebSocket, token(1, 100));
    test.shake_hands(HANDSHAKE);
    test.actions();
    test
}

/// On long polling, with a token of 1000 seconds.
fn polling() -> Test {
    let mut test = Test::new(config(), options(token(1, 1000)));
    test.arrive_as(Port::Poll, token(1, 1000));
    test.post(HANDSHAKE);
    test.machine.accept(test.now);
    test.arrive_as(Port::Poll, token(1, 1000));
    test.actions();
    test.events.clear();
    test
}

impl Test {
    fn told_json(&mut self) -> String {
        let (_, response) = self.responses.pop_back().unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        String::from_utf8(response.body().to_vec()).unwrap()
    }

    fn judge(&mut self, op: OpId, accepted: bool) {
        self.machine.reauthenticate(self.now, op, accepted);
        self.poll();
    }
}

fn asked(op: OpId, identity: Option<Identity>) -> Event {
    let identity = identity.unwrap();
    Event::Reauthenticate { op, identity }
}

fn swapped(identity: Option<Identity>) -> Event {
    let identity = identity.unwrap();
    Event::Reauthenticated { identity }
}

#[test]
fn an_accepted_token_takes_the_place_of_the_old_one() {
    let mut test = open();
    let newer = token(2, 1900);
    let op = test.arrive_as(Port::Refresh, newer.clone());
    assert_eq!(test.events, [asked(op, newer.clone())]);
    assert_eq!(test.actions(), [""; 0]);
    assert_eq!(test.machine.identity(), token(1, 100).as_ref());
    test.wait(50 * SECOND);
    test.judge(op, true);
    assert_eq!(test.events.last(), Some(&swapped(newer.clone())));
    assert_eq!(test.actions(), [format!("Respond {op} 200")]);
    assert_eq!(test.told_json(), r#"{"tokenLifetimeSeconds":1850}"#);
    assert_eq!(test.machine.identity(), newer.as_ref());
    test.wait(1000 * SECOND);
    assert_eq!(test.reason(), None);
}

#[test]
fn a_rejected_token_changes_nothing() {
    let mut test = open();
    let op = test.arrive_as(Port::Refresh, token(2, 1900));
    test.judge(op, false);
    assert_eq!(test.actions(), [format!("Respond {op} 403")]);
    assert_eq!(
        test.told_json(),
        r#"{"error":"permission_change_rejected"}"#
    );
    assert_eq!(test.machine.identity(), token(1, 100).as_ref());
    assert_eq!((test.events.len(), test.reason()), (1, None));
}

#[test]
fn refreshes_that_race_do_not_roll_back() {
    let mut test = open();
    let older = test.arrive_as(Port::Refresh, token(2, 500));
    let newer = test.arrive_as(Port::Refresh, token(3, 900));
    test.judge(newer, true);
    test.judge(older, true);
    assert_eq!(test.machine.identity(), token(3, 900).as_ref());
    assert_eq!(test.told_json(), r#"{"tokenLifetimeSeconds":900}"#);
    assert_eq!(test.events.last(), Some(&swapped(token(3, 900))));
}

#[test]
fn the_lifetime_is_left_out_when_there_is_none_and_bounded() {
    let mut test = open();
    let endless = Some(Identity {
        expires_at: None,
        ..token(2, 0).unwrap()
    });
    let op = test.arrive_as(Port::Refresh, endless);
    test.judge(op, true);
    assert_eq!(test.told_json(), "{}");
    // Nothing but the next ping.
    assert_eq!(test.deadline, Some(test.now.after(15 * SECOND)));
    let op = test.arrive_as(Port::Refresh, token(3, u64::from(u32::MAX)));
    test.judge(op, true);
    assert_eq!(test.told_json(), r#"{"tokenLifetimeSeconds":2147483647}"#);
    let op = test.arrive_as(Port::Refresh, token(3, 0));
    test.judge(op, true);
    assert_eq!(test.told_json(), r#"{"tokenLifetimeSeconds":2147483647}"#);
}

#[test]
fn refreshes_that_cannot_be_are_refused() {
    let mut test = open();
    let op = test.arrive(Port::Refresh);
    assert_eq!(test.actions(), [format!("Respond {op} 401")]);
    assert_eq!(test.told_json(), r#"{"error":"invalid_token"}"#);
    let mut test = Test::open();
    let op = test.arrive_as(Port::Refresh, token(1, 1));
    assert_eq!(test.actions(), [format!("Respond {op} 404")]);
    assert_eq!(test.told_json(), r#"{"error":"refresh_disabled"}"#);
    // More than anybody needs.
    let mut test = open();
    for claims in 0..16 {
        test.arrive_as(Port::Refresh, token(claims, 1000));
    }
    assert_eq!(test.actions(), [""; 0]);
    let op = test.arrive_as(Port::Refresh, token(1, 1));
    assert_eq!(test.actions(), [format!("Respond {op} 429")]);
}

#[test]
fn a_refresh_is_answered_when_the_connection_ends() {
    for end in [
        (|test: &mut Test| test.machine.close(test.now, true)) as fn(&mut Test),
        |test| test.machine.abort(test.now),
        |test| test.end(1000),
    ] {
        let mut test = open();
        let op = test.arrive_as(Port::Refresh, token(2, 900));
        end(&mut test);
        test.poll();
        assert!(test.actions().contains(&format!("Respond {op} 404")));
        assert_eq!(test.told_json(), r#"{"error":"connection_not_found"}"#);
        let events = test.events.len();
        test.judge(op, true);
        assert_eq!(test.events.len(), events);
    }
}

#[test]
fn a_refresh_that_its_client_leaves_is_forgotten() {
    let mut test = open();
    let op = test.arrive_as(Port::Refresh, token(2, 900));
    let cause = EndCause::Clean;
    test.input(Input::Ended { op, cause });
    test.judge(op, true);
    assert_eq!((test.events.len(), test.actions().len()), (1, 0));
}

#[test]
fn an_expired_token_closes_the_connection_and_invites_the_client_back() {
    let mut test = open();
    test.wait(Duration::from_millis(99_999));
    test.sent.clear();
    test.wait(Duration::from_millis(1));
    assert_eq!(test.sent(), r#"{"type":7,"allowReconnect":true}|"#);
    assert_eq!(test.actions(), ["Close 1 1000"]);
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::AuthenticationExpired)
    );
    assert!(!test.reason().unwrap().is_error());

    let lax = with(options(token(1, 100)), |options| {
        options.close_on_expiration = false;
    });
    let mut test = Test::web_socket(config(), lax);
    test.shake_hands(HANDSHAKE);
    test.wait(1000 * SECOND);
    assert_eq!(test.reason(), None);
}

#[test]
fn a_token_may_expire_at_any_time() {
    let mut test = Test::new(config(), options(token(1, 5)));
    test.wait(5 * SECOND);
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::AuthenticationExpired)
    );

    let mut test = Test::web_socket(config(), options(token(1, 5)));
    test.wait(5 * SECOND);
    assert_eq!(test.sent(), r#"{"error":"Handshake was canceled."}|"#);

    let mut test = Test::web_socket(config(), options(token(1, 5)));
    test.receive(HANDSHAKE);
    test.sent.clear();
    test.wait(5 * SECOND);
    assert_eq!(test.sent(), r#"{"type":7,"allowReconnect":true}|"#);
}

#[test]
fn a_token_that_expires_while_the_web_socket_is_lost_ends_the_connection() {
    let stateful = with(options(token(1, 5)), |options| {
        options.stateful_reconnect = true;
    });
    let mut test = Test::web_socket(config(), stateful);
    test.shake_hands(b"{\"protocol\":\"json\",\"version\":2}\x1e");
    test.end(1006);
    test.wait(5 * SECOND);
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::AuthenticationExpired)
    );
    let late = test.arrive(Port::WebSocket);
    assert_eq!(test.actions().last(), Some(&format!("Respond {late} 404")));
}

#[test]
fn the_first_transport_says_who_the_client_is() {
    let mut test = Test::new(config(), options(token(1, 100)));
    test.socket = test.arrive_as(Port::WebSocket, token(2, 200));
    assert_eq!(test.events, []);
    assert_eq!(test.machine.identity(), token(2, 200).as_ref());
    let mut test = Test::new(config(), options(token(1, 100)));
    test.arrive(Port::WebSocket);
    assert_eq!(test.machine.identity(), token(1, 100).as_ref());
}

#[test]
fn a_poll_with_a_newer_token_waits_for_the_applications_judgement() {
    let mut test = polling();
    let newer = token(2, 2000);
    let poll = test.arrive_as(Port::Poll, newer.clone());
    assert_eq!(test.events, [asked(poll, newer.clone())]);
    test.say("a");
    assert_eq!(test.actions(), [""; 0]);
    test.judge(poll, true);
    assert_eq!(test.events.last(), Some(&swapped(newer.clone())));
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    // From now on it is the usual one.
    let poll = test.arrive_as(Port::Poll, newer);
    test.say("b");
    assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
}

#[test]
fn polls_that_wait_with_the_same_token_swap_it_once() {
    let mut test = polling();
    let newer = token(2, 2000);
    let older_poll = test.arrive_as(Port::Poll, newer.clone());
    let newer_poll = test.arrive_as(Port::Poll, newer.clone());
    test.judge(older_poll, true);
    test.judge(newer_poll, true);
    let swaps = test
        .events
        .iter()
        .filter(|event| **event == swapped(newer.clone()));
    assert_eq!(swaps.count(), 1);
    assert_eq!(test.actions(), [format!("Respond {older_poll} 204")]);
    test.say("a");
    assert_eq!(test.actions(), [format!("Deliver {newer_poll} 200")]);
}

#[test]
fn a_poll_whose_token_is_rejected_ends_the_connection() {
    let mut test = polling();
    let poll = test.arrive_as(Port::Poll, token(2, 2000));
    test.judge(poll, false);
    assert_eq!(test.actions(), [format!("Respond {poll} 403")]);
    assert!(
        test.responses[test.responses.len() - 1]
            .1
            .headers()
            .contains_key("expires")
    );
    assert_eq!(
        test.told_json(),
        r#"{"error":"permission_change_rejected"}"#
    );
    assert_eq!(
        test.reason(),
        Some(&DisconnectReason::AuthenticationRejected)
    );
}

#[test]
fn a_rejected_poll_goes_on_when_a_yet_newer_token_was_accepted_meanwhile() {
    let mut test = polling();
    let poll = test.arrive_as(Port::Poll, token(2, 2000));
    let refresh = test.arrive_as(Port::Refresh, token(3, 3000));
    test.judge(refresh, true);
    test.judge(poll, false);
    test.say("a");
    assert!(test.actions().contains(&format!("Deliver {poll} 200")));
    assert_eq!(test.machine.identity(), token(3, 3000).as_ref());
}

#[test]
fn a_poll_with_the_same_or_an_older_token_is_a_poll() {
    let mut test = polling();
    for identity in [token(1, 1000), token(2, 999), None] {
        let poll = test.arrive_as(Port::Poll, identity);
        test.say("a");
        assert_eq!(test.actions(), [format!("Deliver {poll} 200")]);
    }
    assert_eq!(test.events, []);
    assert_eq!(test.machine.identity(), token(1, 1000).as_ref());
}

#[test]
fn a_poll_that_is_never_judged_does_not_keep_the_connection_alive() {
    let mut test = polling();
    let poll = test.arrive_as(Port::Poll, token(2, 2000));
    test.wait(15 * SECOND);
    assert_eq!(test.actions(), [format!("Respond {poll} 404")]);
    assert!(matches!(
        test.reason(),
        Some(DisconnectReason::DisconnectTimeout { .. })
    ));
}

#[test]
fn without_refresh_the_expiry_follows_the_polls() {
    let strict = with(options(token(1, 20)), |options| {
        options.refreshable = false;
    });
    let mut test = Test::new(config(), strict);
    test.arrive_as(Port::Poll, token(1, 20));
    test.post(HANDSHAKE);
    test.machine.accept(test.now);
    test.arrive_as(Port::Poll, token(2, 40));
    test.wait(10 * SECOND);
    test.arrive_as(Port::Poll, token(1, 20));
    test.wait(20 * SECOND);
    assert_eq!(test.reason(), None);
    assert_eq!(test.machine.identity().unwrap().claims, 1);
    test.sent.clear();
    test.wait(10 * SECOND);
    assert_eq!(test.sent(), r#"{"type":7,"allowReconnect":true}|"#);
}

#[test]
fn a_web_socket_that_returns_with_a_newer_token_is_judged_first() {
    let open = || {
        let stateful = with(options(token(1, 100)), |options| {
            options.stateful_reconnect = true;
        });
        let mut test = Test::new(config(), stateful);
        test.socket = test.arrive_as(Port::WebSocket, token(1, 100));
        test.shake_hands(b"{\"protocol\":\"json\",\"version\":2}\x1e");
        test.end(1006);
        test.actions();
        test.events.clear();
        test
    };
    let mut test = open();
    let op = test.arrive_as(Port::WebSocket, token(2, 200));
    assert_eq!(test.events, [asked(op, token(2, 200))]);
    assert_eq!(test.actions(), [""; 0]);
    test.judge(op, true);
    assert_eq!(test.actions(), [format!("Accept {op}")]);
    assert_eq!(test.events.last(), Some(&Event::Resumed));

    let mut test = open();
    let op = test.arrive_as(Port::WebSocket, token(2, 200));
    test.judge(op, false);
    assert_eq!(test.actions(), [format!("Respond {op} 403")]);
    assert!(test.reason().is_some());

    let mut test = open();
    let op = test.arrive_as(Port::WebSocket, token(1, 100));
    assert_eq!(test.actions(), [format!("Accept {op}")]);

    // The wait for a judgement does not go on for ever.
    let mut test = open();
    let op = test.arrive_as(Port::WebSocket, token(2, 200));
    test.wait(15 * SECOND);
    assert_eq!(test.actions(), [format!("Respond {op} 404")]);
    assert!(test.reason().is_some());
}
