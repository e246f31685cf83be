//! Every row of the status table of requests for the hub itself.

use super::*;

#[test]
fn a_connection_that_does_not_exist_is_told_apart_from_one_that_is_not_named() {
    let mut site = site(|_| {});
    let absent = text(400, "Connection ID required");
    let unknown = text(404, "No Connection with that ID");
    for method in [Method::GET, Method::POST, Method::DELETE] {
        for target in ["/hub", "/hub?id=", "/hub/?ID="] {
            assert_eq!(site.ask(&method, target, &[]), absent, "{method} {target}");
        }
        assert_eq!(site.ask(&method, "/hub?id=nope", &[]), unknown);
    }
    assert_eq!(site.get("/hub", &[EVENTS]), absent);
    assert_eq!(site.get("/hub?id=nope", &[EVENTS]), unknown);
    assert_eq!(site.get("/hub?id=nope", &[UPGRADE]), unknown);
    assert_eq!(site.drawn, 0);
}

#[test]
fn other_methods_are_not_allowed() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    for method in [
        Method::PUT,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
    ] {
        assert_eq!(site.ask(&method, &target, &[]), text(405, ""));
    }
}

#[test]
fn a_transport_opens_its_connection_once_and_later_requests_join_it() {
    for (headers, port) in [
        (&[UPGRADE][..], Port::WebSocket),
        (&[EVENTS], Port::Events),
        (&[], Port::Poll),
    ] {
        let mut site = site(|_| {});
        let target = format!("/hub?id={}", site.v1());
        let Got::Open(key, opened) = site.get(&target, headers) else {
            panic!("{port:?} does not open");
        };
        assert_eq!(opened, port);
        assert_eq!(
            (site.endpoint.waiting(), site.endpoint.connections()),
            (0, 1)
        );
        let conflict = text(409, "");
        let joined = Got::Join(key, Port::Poll);
        let again = if port == Port::Poll { joined } else { conflict };
        assert_eq!(site.get(&target, headers), again);
        site.endpoint.closed(key);
        site.endpoint.closed(key);
        assert_eq!(site.endpoint.connections(), 0);
        let unknown = text(404, "No Connection with that ID");
        assert_eq!(site.get(&target, headers), unknown);
    }
}

#[test]
fn the_first_transport_is_the_only_one() {
    let all = [&[UPGRADE][..], &[EVENTS], &[]];
    for first in all {
        let mut site = site(|_| {});
        let (target, _) = site.opened(first);
        for other in all.into_iter().filter(|other| *other != first) {
            let refused = text(400, "Cannot change transports mid-connection");
            assert_eq!(site.get(&target, other), refused);
        }
    }
}

#[test]
fn transports_that_are_not_offered_are_not_found() {
    for (headers, kind) in [
        (&[UPGRADE][..], TransportKind::WebSockets),
        (&[EVENTS], TransportKind::ServerSentEvents),
        (&[], TransportKind::LongPolling),
    ] {
        let mut site = site(|config| config.transports.retain(|offered| *offered != kind));
        let words = format!(
            "{} transport not supported by this end point type",
            kind.name()
        );
        let target = format!("/hub?id={}", site.v1());
        assert_eq!(site.get(&target, headers), text(404, &words));
        assert_eq!(
            site.get("/hub?id=nope", headers),
            text(404, "No Connection with that ID")
        );
        if kind == TransportKind::WebSockets {
            assert_eq!(site.get("/hub", headers), text(404, &words));
            assert_eq!((site.drawn, site.endpoint.connections()), (1, 0));
        }
        let (bound, _) = site.opened(if kind == TransportKind::LongPolling {
            &[EVENTS]
        } else {
            &[]
        });
        assert_eq!(
            site.get(&bound, headers),
            text(404, &words),
            "before the other transport is seen"
        );
    }
}

#[test]
fn a_web_socket_without_a_token_begins_a_connection_of_its_own() {
    let mut site = site(|config| config.stateful_reconnect = true);
    let Verdict::Open {
        key, ids, arrival, ..
    } = site.verdict(
        &Method::GET,
        "/hub?useStatefulReconnect=true",
        &[UPGRADE],
        None,
    )
    else {
        panic!("does not open");
    };
    assert_eq!(arrival.port, Port::WebSocket);
    assert_eq!(
        (&*ids.connection_id, &*ids.connection_token),
        ("id1", "id1")
    );
    assert_eq!(
        site.get("/hub?id=id1", &[UPGRADE]),
        text(409, ""),
        "it cannot be resumed"
    );
    assert_eq!(
        site.ask(&Method::POST, "/hub?id=id1", &[]),
        text(
            405,
            "POST requests are not allowed for WebSocket connections."
        )
    );
    site.endpoint.closed(key);
    assert!(matches!(
        site.ask(&Method::CONNECT, "/hub", &[UPGRADE]),
        Got::Open(..)
    ));
}

#[test]
fn another_web_socket_joins_a_connection_with_stateful_reconnect() {
    let mut site = site(|config| config.stateful_reconnect = true);
    let token = site.negotiate("negotiateVersion=1&useStatefulReconnect=true", &[]);
    let target = format!("/hub?id={token}");
    let Got::Open(key, _) = site.get(&target, &[UPGRADE]) else {
        panic!("does not open");
    };
    assert_eq!(
        site.get(&target, &[UPGRADE]),
        Got::Join(key, Port::WebSocket)
    );
    assert_eq!(
        site.get(&target, &[EVENTS]),
        text(400, "Cannot change transports mid-connection")
    );
    let plain = site.v1();
    assert!(matches!(
        site.get(&format!("/hub?id={plain}"), &[UPGRADE]),
        Got::Open(..)
    ));
    assert_eq!(
        site.get(&format!("/hub?id={plain}"), &[UPGRADE]),
        text(409, "")
    );
}

#[test]
fn an_event_stream_is_what_accepts_one() {
    for accept in [
        "text/event-stream",
        "TEXT/Event-Stream",
        "text/html, text/event-stream",
        "text/event-stream;q=0.9,*/*;q=0.1",
        " text/event-stream ; charset=utf-8",
    ] {
        let mut site = site(|_| {});
        let (_, _) = site.opened(&[("accept", accept), UPGRADE]);
        let (target, _) = site.opened(&[("accept", "text/html"), ("accept", accept)]);
        assert_eq!(site.get(&target, &[EVENTS]), text(409, ""), "{accept}");
    }
    for accept in [
        "*/*",
        "text/*",
        "text/event-stream-of-mine",
        "x=text/event-stream",
    ] {
        let mut site = site(|_| {});
        let (target, key) = site.opened(&[("accept", accept)]);
        assert_eq!(
            site.get(&target, &[]),
            Got::Join(key, Port::Poll),
            "{accept}"
        );
    }
}

#[test]
fn posts_belong_to_connections_that_are_not_on_a_web_socket() {
    for headers in [&[EVENTS][..], &[]] {
        let mut site = site(|_| {});
        let (target, key) = site.opened(headers);
        assert_eq!(
            site.ask(&Method::POST, &target, &[]),
            Got::Join(key, Port::Post)
        );
    }
    let mut site = site(|_| {});
    let (target, _) = site.opened(&[UPGRADE]);
    assert_eq!(
        site.ask(&Method::POST, &target, &[]),
        text(
            405,
            "POST requests are not allowed for WebSocket connections."
        )
    );
}

#[test]
fn a_post_before_any_transport_opens_the_connection_that_keeps_it() {
    let mut site = site(|_| {});
    let target = format!("/hub?id={}", site.v1());
    let Got::Open(key, Port::Post) = site.ask(&Method::POST, &target, &[]) else {
        panic!("does not open");
    };
    assert_eq!(
        site.ask(&Method::POST, &target, &[]),
        Got::Join(key, Port::Post)
    );
    assert_eq!(
        (site.endpoint.waiting(), site.endpoint.connections()),
        (0, 1)
    );
    assert_eq!(site.get(&target, &[EVENTS]), Got::Join(key, Port::Events));
    assert_eq!(
        site.get(&target, &[]),
        text(400, "Cannot change transports mid-connection")
    );
}

#[test]
fn delete_ends_long_polling_and_nothing_else() {
    let refused = text(
        400,
        "Cannot terminate this connection using the DELETE endpoint.",
    );
    let mut site = site(|_| {});
    let (target, key) = site.opened(&[]);
    assert_eq!(
        site.ask(&Method::DELETE, &target, &[]),
        Got::Join(key, Port::Delete)
    );
    for headers in [&[UPGRADE][..], &[EVENTS]] {
        let (target, _) = site.opened(headers);
        assert_eq!(site.ask(&Method::DELETE, &target, &[]), refused);
    }
    let target = format!("/hub?id={}", site.v1());
    assert_eq!(
        site.ask(&Method::DELETE, &target, &[]),
        refused,
        "before any transport"
    );
    assert_eq!(site.endpoint.waiting(), 1);
}

#[test]
fn every_answer_to_a_poll_forbids_caches_and_no_other_does() {
    let mut site = site(|config| config.transports.pop().map_or((), drop));
    let mut check = |headers: &[(&'static str, &str)], target: &str, cached: bool| {
        let Verdict::Respond(response) = site.verdict(&Method::GET, target, headers, None) else {
            panic!("{target} is welcome");
        };
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/plain");
        let expected = [
            ("cache-control", "no-cache, no-store"),
            ("pragma", "no-cache"),
            ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ];
        for (name, value) in expected {
            let found = headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(found, (!cached).then_some(value), "{target} {name}");
        }
    };
    for target in ["/hub", "/hub?id=nope"] {
        check(&[], target, false);
        check(&[EVENTS], target, true);
    }
    check(&[UPGRADE], "/hub?id=nope", true);
}

#[test]
fn a_poll_that_is_refused_forbids_caches_too() {
    let mut site = site(|config| config.max_connections = 1);
    let mine = site.negotiate("negotiateVersion=1", &[(BEARER, "alice")]);
    let other = site.v1();
    let (target, _) = site.opened(&[EVENTS]);
    let refused = |site: &mut Site, target: &str, status: u16| {
        let Verdict::Respond(response) = site.verdict(&Method::GET, target, &[], None) else {
            panic!("{target} is welcome");
        };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["cache-control"], "no-cache, no-store");
    };
    refused(&mut site, &target, 400);
    refused(&mut site, &format!("/hub?id={mine}"), 403);
    refused(&mut site, &format!("/hub?id={other}"), 503);
}
