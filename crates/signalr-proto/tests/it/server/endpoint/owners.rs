//! Whose connection it is.

use super::*;

#[test]
fn a_web_socket_of_a_foreign_page_is_refused_before_anything_else() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    let foreign = [
        UPGRADE,
        ("origin", "http://evil.com"),
        ("host", "example.com"),
    ];
    for target in [&*target, "/hub?id=nope", "/hub"] {
        let refused = text(403, "Pages of this origin may not connect.");
        assert_eq!(site.get(target, &foreign), refused);
    }
    let own = [
        UPGRADE,
        ("origin", "http://example.com"),
        ("host", "example.com"),
    ];
    assert!(matches!(site.get(&target, &own), Got::Open(..)));
    // The other transports are guarded by CORS.
    let target = format!("/hub?id={}", site.v1());
    assert!(matches!(site.get(&target, &foreign[1..]), Got::Open(..)));
}

#[test]
fn a_connection_is_its_users_only() {
    let mut site = site(|_| {});
    let token = site.negotiate("negotiateVersion=1", &[(BEARER, "alice")]);
    let target = format!("/hub?id={token}");
    let (alice, bob) = ((BEARER, "alice"), (BEARER, "bob"));
    for headers in [
        &[][..],
        &[bob],
        &[bob, EVENTS],
        &[UPGRADE],
        &[(BEARER, "ALICE")],
    ] {
        assert_eq!(site.get(&target, headers), text(403, ""));
    }
    assert_eq!(site.ask(&Method::POST, &target, &[bob]), text(403, ""));
    let Got::Open(key, _) = site.get(&target, &[alice]) else {
        panic!("does not open");
    };
    assert_eq!(site.get(&target, &[bob]), text(403, ""));
    assert_eq!(site.ask(&Method::DELETE, &target, &[bob]), text(403, ""));
    assert_eq!(site.ask(&Method::POST, &target, &[]), text(403, ""));
    assert_eq!(site.get(&target, &[alice]), Got::Join(key, Port::Poll));
}

#[test]
fn who_brings_the_transport_of_a_connection_that_was_negotiated_by_nobody_owns_it() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    let (alice, bob) = ((BEARER, "alice"), (BEARER, "bob"));
    // A POST claims nothing yet.
    assert!(matches!(
        site.ask(&Method::POST, &target, &[bob]),
        Got::Open(..)
    ));
    assert!(matches!(site.get(&target, &[alice]), Got::Join(..)));
    assert_eq!(site.get(&target, &[bob]), text(403, ""));
    assert_eq!(site.ask(&Method::POST, &target, &[bob]), text(403, ""));
    let direct = [UPGRADE, alice];
    let Verdict::Open { ids, .. } = site.verdict(&Method::GET, "/hub", &direct, None) else {
        panic!("does not open");
    };
    let target = format!("/hub?id={}", ids.connection_token);
    assert_eq!(site.get(&target, &[UPGRADE, bob]), text(403, ""));
    assert_eq!(site.get(&target, &[UPGRADE, alice]), text(409, ""));
}

#[test]
fn a_connection_that_began_as_nobodys_stays_nobodys() {
    let mut site = site(|config| config.authentication_refresh = true);
    let (target, key) = site.opened(&[]);
    let alice = user("alice");
    let Verdict::Join {
        key: joined,
        arrival,
    } = site.verdict(&Method::GET, &target, &[], Some(&alice))
    else {
        panic!("is refused");
    };
    assert_eq!((joined, arrival.identity), (key, None));
    let refresh = target.replace("/hub", "/hub/refresh");
    let rejected = text(403, r#"{"error":"permission_change_rejected"}"#);
    assert_eq!(
        site.ask(&Method::POST, &refresh, &[(BEARER, "alice")]),
        rejected
    );
}
