//! Newer tokens.

use super::*;
use signalr_proto::server::{Event, Input, Output};

#[test]
fn every_row_of_the_refresh_table() {
    let mut on = site(|config| config.authentication_refresh = true);
    let alice = (BEARER, "alice");
    let code = |status: u16, code: &str| text(status, &format!(r#"{{"error":"{code}"}}"#));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(
            on.ask(&method, "/hub/refresh?id=x", &[alice]),
            text(405, "")
        );
    }
    let token = site(|_| {}).v1();
    let mut off = site(|_| {});
    assert_eq!(
        off.ask(&Method::POST, &format!("/hub/refresh?id={token}"), &[alice]),
        code(404, "refresh_disabled")
    );
    let refresh = |site: &mut Site, id: &str, headers: &[(&'static str, &str)]| {
        site.ask(&Method::POST, &format!("/hub/refresh/?id={id}"), headers)
    };
    assert_eq!(
        refresh(&mut on, "", &[alice]),
        code(400, "missing_connection_token")
    );
    assert_eq!(
        refresh(&mut on, "nope", &[alice]),
        code(404, "connection_not_found")
    );
    let old = on.negotiate("", &[alice]);
    assert_eq!(
        refresh(&mut on, &old, &[alice]),
        code(400, "unsupported_negotiate_version")
    );
    let Verdict::Open { ids, .. } = on.verdict(&Method::GET, "/hub", &[UPGRADE, alice], None)
    else {
        panic!("does not open");
    };
    let direct = &ids.connection_token;
    assert_eq!(
        refresh(&mut on, direct, &[alice]),
        code(400, "unsupported_negotiate_version")
    );
    let token = on.negotiate("negotiateVersion=1", &[alice]);
    assert_eq!(refresh(&mut on, &token, &[]), code(401, "invalid_token"));
    assert_eq!(
        refresh(&mut on, &token, &[(BEARER, "bob")]),
        code(403, "permission_change_rejected")
    );
    let Got::Open(key, Port::Refresh) = refresh(&mut on, &token, &[alice]) else {
        panic!("is refused");
    };
    assert_eq!(
        refresh(&mut on, &token, &[alice]),
        Got::Join(key, Port::Refresh)
    );
    assert!(matches!(
        on.get(&format!("/hub?id={token}"), &[alice, UPGRADE]),
        Got::Join(..)
    ));
    on.endpoint.closed(key);
    assert_eq!(
        refresh(&mut on, &token, &[alice]),
        code(404, "connection_not_found")
    );
}

#[test]
fn no_token_counts_for_longer_than_the_maximum_from_its_first_arrival() {
    let mut site = site(|config| {
        config.maximum_authentication_expiration = Some(Duration::from_secs(100));
    });
    let target = format!("/hub?id={}", site.v1());
    let expiry = |site: &mut Site, identity: &Identity| {
        let verdict = site.verdict(&Method::GET, &target, &[], Some(identity));
        let (Verdict::Open { arrival, .. } | Verdict::Join { arrival, .. }) = verdict else {
            panic!("refused");
        };
        arrival.identity.unwrap().expires_at.unwrap().0.as_secs()
    };
    site.pass(5);
    assert_eq!(expiry(&mut site, &expiring(1, 1000)), 105);
    site.pass(5);
    assert_eq!(expiry(&mut site, &expiring(1, 1000)), 105, "the same token");
    assert_eq!(expiry(&mut site, &expiring(2, 1000)), 110, "another one");
    assert_eq!(expiry(&mut site, &expiring(3, 60)), 60);
    assert_eq!(expiry(&mut site, &user("alice")), 110);
}

#[test]
fn the_same_token_is_the_same_identity_whatever_the_clocks_say() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    let presented = |site: &mut Site, method: &Method, claims: u64, millis: u64| {
        let identity = Identity {
            expires_at: Some(Instant(Duration::from_millis(millis))),
            ..expiring(claims, 0)
        };
        let verdict = site.verdict(method, &target, &[], Some(&identity));
        let (Verdict::Open { arrival, .. } | Verdict::Join { arrival, .. }) = verdict else {
            panic!("refused");
        };
        arrival.identity.unwrap().expires_at.unwrap().0.as_millis()
    };
    assert_eq!(presented(&mut site, &Method::GET, 1, 50_000), 50_000);
    assert_eq!(presented(&mut site, &Method::GET, 1, 50_400), 50_000);
    assert_eq!(presented(&mut site, &Method::GET, 1, 49_600), 50_000);
    assert_eq!(presented(&mut site, &Method::POST, 2, 60_000), 60_000);
    assert_eq!(
        presented(&mut site, &Method::GET, 1, 50_001),
        50_000,
        "a POST changes nothing"
    );
    assert_eq!(presented(&mut site, &Method::GET, 1, 51_000), 51_000);
    assert_eq!(presented(&mut site, &Method::GET, 2, 51_500), 51_500);
}

/// Long polling whose second poll brings another token; gives what the connection says to that.
fn second_token(query: &str, change: impl FnOnce(&mut EndpointConfig)) -> Option<Event> {
    let mut site = site(change);
    let target = format!("/hub?id={}", site.negotiate(query, &[(BEARER, "alice")]));
    let first = site.verdict(&Method::GET, &target, &[], Some(&expiring(1, 100)));
    let Verdict::Open {
        mut connection,
        arrival,
        ..
    } = first
    else {
        panic!("does not open");
    };
    assert_eq!(
        connection.identity(),
        Some(&user("alice")),
        "who negotiated"
    );
    connection.handle_input(site.now, Input::Arrived(arrival));
    let second = site.verdict(&Method::GET, &target, &[], Some(&expiring(2, 200)));
    let Verdict::Join { arrival, .. } = second else {
        panic!("does not join");
    };
    connection.handle_input(site.now, Input::Arrived(arrival));
    loop {
        match connection.poll_output() {
            Output::Event(event) => return Some(event),
            Output::Action(_) => {}
            Output::Wait(_) => return None,
        }
    }
}

#[test]
fn connections_of_version_1_take_newer_tokens_if_the_hub_does() {
    let on = |config: &mut EndpointConfig| config.authentication_refresh = true;
    let event = second_token("negotiateVersion=1", on);
    let Some(Event::Reauthenticate { identity, .. }) = event else {
        panic!("{event:?}");
    };
    assert_eq!(identity, expiring(2, 200));
    assert_eq!(second_token("negotiateVersion=1", |_| {}), None);
    assert_eq!(second_token("negotiateVersion=0", on), None);
}

#[test]
fn a_connection_ends_with_its_token_if_the_hub_says_so() {
    let deadline = |close: bool| {
        let mut site = site(|config| config.close_on_authentication_expiration = close);
        let target = "/hub/negotiate?negotiateVersion=1";
        let verdict = site.verdict(&Method::POST, target, &[], Some(&expiring(1, 7)));
        assert!(matches!(verdict, Verdict::Respond(_)));
        let verdict = site.verdict(&Method::POST, "/hub?id=token1", &[], Some(&expiring(1, 7)));
        let Verdict::Open { mut connection, .. } = verdict else {
            panic!("does not open");
        };
        match connection.poll_output() {
            Output::Wait(deadline) => deadline.unwrap().0.as_secs(),
            other @ (Output::Action(_) | Output::Event(_)) => panic!("{other:?}"),
        }
    };
    assert_eq!((deadline(true), deadline(false)), (7, 15));
}
