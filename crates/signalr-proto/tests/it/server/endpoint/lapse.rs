//! How long tokens live, and how many there may be.

use super::*;

#[test]
fn a_negotiation_lapses_without_a_transport() {
    let mut site = site(|_| {});
    let early = format!("/hub?id={}", site.v1());
    assert_eq!(
        site.endpoint.poll_timeout(),
        Some(Instant(Duration::from_secs(15)))
    );
    site.pass(10);
    let late = format!("/hub?id={}", site.v1());
    site.pass(5);
    site.endpoint.handle_timeout(site.now);
    assert_eq!(site.endpoint.waiting(), 1);
    assert_eq!(
        site.endpoint.poll_timeout(),
        Some(Instant(Duration::from_secs(25)))
    );
    assert_eq!(
        site.get(&early, &[]),
        text(404, "No Connection with that ID")
    );
    assert!(matches!(site.get(&late, &[]), Got::Open(..)));
    assert_eq!(site.endpoint.poll_timeout(), None);
    site.pass(3600);
    assert!(
        matches!(site.get(&late, &[]), Got::Join(..)),
        "the connection has timers of its own"
    );
}

#[test]
fn a_negotiation_that_has_lapsed_is_unknown_before_anybody_says_so() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    site.pass(15);
    assert_eq!(
        site.get(&target, &[UPGRADE]),
        text(404, "No Connection with that ID")
    );
    // Time never goes back.
    site.now = Instant::ZERO;
    let target = format!("/hub?id={}", site.v1());
    assert_eq!(
        site.endpoint.poll_timeout(),
        Some(Instant(Duration::from_secs(30)))
    );
    assert!(matches!(site.get(&target, &[UPGRADE]), Got::Open(..)));
}

#[test]
fn negotiations_beyond_the_limit_wait_until_there_is_room() {
    let mut site = site(|config| config.max_waiting = 2);
    let first = format!("/hub?id={}", site.v1());
    site.pass(1);
    site.v1();
    let full = |site: &mut Site| site.ask(&Method::POST, "/hub/negotiate", &[]) == text(503, "");
    assert!(full(&mut site));
    assert_eq!(site.drawn, 2);
    site.get(&first, &[]);
    site.v1();
    assert!(full(&mut site));
    site.pass(14);
    assert!(full(&mut site));
    site.pass(1);
    site.v1();
}

#[test]
fn connections_beyond_the_limit_wait_until_there_is_room() {
    let mut site = site(|config| config.max_connections = 1);
    let second = format!("/hub?id={}", site.v1());
    let (first, key) = site.opened(&[]);
    for headers in [&[UPGRADE][..], &[EVENTS], &[]] {
        assert_eq!(site.get(&second, headers), text(503, ""));
    }
    assert_eq!(site.ask(&Method::POST, &second, &[]), text(503, ""));
    assert_eq!(site.get("/hub", &[UPGRADE]), text(503, ""));
    assert_eq!(
        site.ask(&Method::POST, "/hub/negotiate", &[]),
        text(503, "")
    );
    assert_eq!(site.get(&first, &[]), Got::Join(key, Port::Poll));
    site.endpoint.closed(key);
    assert!(
        matches!(site.get(&second, &[EVENTS]), Got::Open(..)),
        "what was refused is not bound"
    );
}

#[test]
fn ids_that_are_in_use_are_never_given_to_another_connection() {
    let mut site = site(|_| {});
    let (target, key) = site.opened(&[]);
    site.drawn = 0;
    assert_eq!(
        site.ask(&Method::POST, "/hub/negotiate?negotiateVersion=1", &[]),
        text(503, "")
    );
    assert_eq!(site.get(&target, &[]), Got::Join(key, Port::Poll));
    assert!(matches!(site.get("/hub", &[UPGRADE]), Got::Open(..)));
    site.drawn = 1;
    assert_eq!(site.get("/hub", &[UPGRADE]), text(503, ""));
    assert_eq!(
        (site.endpoint.waiting(), site.endpoint.connections()),
        (0, 2)
    );
}
