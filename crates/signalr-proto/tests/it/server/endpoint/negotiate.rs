//! Negotiation, and what a hub is called.

use super::*;

#[test]
fn negotiate_answers_as_the_official_server() {
    const TRANSPORTS: &str = r#""availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}"#;
    let row = |method: &Method, query: &str| {
        let mut site = site(|_| {});
        let got = site.ask(method, &format!("/hub/negotiate?{query}"), &[]);
        assert_eq!(site.drawn, site.endpoint.waiting(), "ids for nothing");
        got
    };
    let v0 = text(
        200,
        &format!(r#"{{"negotiateVersion":0,"connectionId":"id1",{TRANSPORTS}"#),
    );
    let v1 = text(
        200,
        &format!(
            r#"{{"negotiateVersion":1,"connectionId":"id1","connectionToken":"token1",{TRANSPORTS}"#
        ),
    );
    for query in ["", "negotiateVersion=0", "x=1", "NegotiateVersion=%30"] {
        assert_eq!(row(&Method::POST, query), v0, "{query}");
    }
    for query in [
        "negotiateVersion=1",
        "negotiateVersion=9",
        "NEGOTIATEVERSION=2",
        "negotiateVersion=+1",
    ] {
        assert_eq!(row(&Method::POST, query), v1, "{query}");
    }
    let integer = text(
        200,
        r#"{"error":"The client requested a non-integer protocol version."}"#,
    );
    for version in ["x", "", "1.0", "99999999999", "1&negotiateVersion=0"] {
        assert_eq!(
            row(&Method::POST, &format!("negotiateVersion={version}")),
            integer,
            "{version}"
        );
    }
    assert_eq!(
        row(&Method::POST, "negotiateVersion=-1"),
        text(
            200,
            r#"{"error":"The client requested version '-1', but the server does not support this version."}"#
        )
    );
    for method in [
        Method::GET,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::HEAD,
    ] {
        assert_eq!(row(&method, "negotiateVersion=1"), text(405, ""));
    }
}

#[test]
fn the_minimum_version_refuses_clients_that_name_none() {
    let mut site = site(|config| config.minimum_negotiate_version = 1);
    let refused = r#"{"error":"The client requested version '0', but the server does not support this version."}"#;
    assert_eq!(
        site.ask(&Method::POST, "/hub/negotiate", &[]),
        text(200, refused)
    );
    assert_eq!((site.drawn, site.endpoint.waiting()), (0, 0));
    site.v1();
}

#[test]
fn transports_are_listed_in_their_order_and_only_those_that_are_offered() {
    let mut site = site(|config| {
        config.transports = vec![TransportKind::LongPolling, TransportKind::WebSockets];
    });
    let Got::Answer(200, body) = site.ask(&Method::POST, "/hub/negotiate", &[]) else {
        panic!("refused");
    };
    assert!(body.ends_with(
        r#""availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}"#
    ));
}

#[test]
fn stateful_reconnect_is_granted_when_it_is_allowed_and_asked_for() {
    let granted = |allowed: bool, query: &str| {
        let mut site = site(|config| config.stateful_reconnect = allowed);
        let got = site.ask(&Method::POST, &format!("/hub/negotiate?{query}"), &[]);
        matches!(got, Got::Answer(200, body) if body.starts_with(r#"{"useStatefulReconnect":true,"#))
    };
    let asked = "negotiateVersion=1&useStatefulReconnect=true";
    assert!(granted(true, asked));
    assert!(granted(true, "useStatefulReconnect=True"));
    assert!(!granted(false, asked));
    assert!(!granted(true, "negotiateVersion=1"));
    assert!(!granted(true, "negotiateVersion=1&useStatefulReconnect=1"));
    assert!(!granted(
        true,
        "negotiateVersion=x&useStatefulReconnect=true"
    ));
}

#[test]
fn the_connection_id_is_not_the_token() {
    let mut site = site(|_| {});
    assert_eq!(site.v1(), "token1");
    let unknown = text(404, "No Connection with that ID");
    assert_eq!(site.get("/hub?id=id1", &[]), unknown);
    assert_eq!(site.get("/hub?id=TOKEN1", &[]), unknown);
    assert_eq!(site.negotiate("", &[]), "id2", "in version 0 it is");
    assert_eq!(site.get("/hub?id=token2", &[]), unknown);
    assert!(matches!(site.get("/hub?id=id2", &[]), Got::Open(..)));
}

#[test]
fn negotiate_tells_how_long_the_token_lasts_if_it_can_be_refreshed() {
    let lifetime = |refresh: bool, max: Option<u64>, identity: Option<Identity>| {
        let mut site = site(|config| {
            config.authentication_refresh = refresh;
            config.maximum_authentication_expiration = max.map(Duration::from_secs);
        });
        site.now = Instant(Duration::from_millis(100_500));
        let target = "/hub/negotiate?negotiateVersion=1";
        let verdict = site.verdict(&Method::POST, target, &[], identity.as_ref());
        let Verdict::Respond(response) = verdict else {
            panic!("opens");
        };
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        body["tokenLifetimeSeconds"].as_u64()
    };
    assert_eq!(lifetime(true, None, Some(expiring(1, 200))), Some(99));
    assert_eq!(lifetime(false, None, Some(expiring(1, 200))), None);
    assert_eq!(lifetime(true, None, Some(user("alice"))), None);
    assert_eq!(lifetime(true, None, None), None);
    assert_eq!(lifetime(true, None, Some(expiring(1, 50))), None);
    assert_eq!(lifetime(true, None, Some(expiring(1, 101))), None);
    assert_eq!(
        lifetime(true, None, Some(expiring(1, u64::MAX))),
        Some(2_147_483_647)
    );
    assert_eq!(lifetime(true, Some(10), Some(expiring(1, 200))), Some(10));
    assert_eq!(lifetime(true, Some(10), Some(user("alice"))), Some(10));
    assert_eq!(lifetime(true, Some(500), Some(expiring(1, 200))), Some(99));
    assert_eq!(lifetime(true, Some(10), None), None);
}

#[test]
fn tokens_of_another_endpoint_are_unknown() {
    let mut one = site(|_| {});
    let mut other = site(|_| {});
    let token = one.v1();
    other.drawn = 7;
    other.v1();
    assert_eq!(
        other.get(&format!("/hub?id={token}"), &[]),
        text(404, "No Connection with that ID")
    );
}

#[test]
fn nothing_shows_a_token() {
    let mut site = site(|_| {});
    let target = "/hub/negotiate?negotiateVersion=1&access_token=secret";
    let negotiated = site.verdict(&Method::POST, target, &[], None);
    let opened = site.verdict(&Method::GET, "/hub?id=token1", &[], None);
    let joined = site.verdict(&Method::GET, "/hub?id=token1", &[], None);
    let direct = site.verdict(&Method::GET, "/hub", &[UPGRADE], None);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer secret".parse().unwrap());
    let head = RequestHead {
        method: &Method::GET,
        resource: Resource::Hub,
        query: "id=token1&access_token=secret",
        headers: &headers,
        upgrade: false,
        identity: Some(&user("secret")),
    };
    let Verdict::Open { ids, .. } = &direct else {
        panic!("does not open");
    };
    let shown = format!(
        "{negotiated:?} {opened:?} {joined:?} {direct:?} {head:?} {ids:?} {site:?}",
        site = site.endpoint
    );
    for secret in ["token1", "secret", "id2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_request_has_a_name_of_its_own() {
    let mut site = site(|_| {});
    let (target, _) = site.opened(&[]);
    let mut ops = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let Verdict::Join { arrival, .. } = site.verdict(&Method::GET, &target, &[], None) else {
            panic!("refused");
        };
        assert!(ops.insert(arrival.op));
    }
}

#[test]
fn resources_are_told_apart_by_the_last_segment() {
    for (path, resource) in [
        ("/hub", Resource::Hub),
        ("/", Resource::Hub),
        ("", Resource::Hub),
        ("/hub/negotiate", Resource::Negotiate),
        ("/hub/negotiate/", Resource::Negotiate),
        ("/hub/NEGOTIATE", Resource::Negotiate),
        ("/negotiate", Resource::Negotiate),
        ("/hub/Refresh", Resource::Refresh),
        ("/negotiate/hub", Resource::Hub),
        ("/hub/negotiated", Resource::Hub),
        ("/hub/negotiate//", Resource::Hub),
    ] {
        assert_eq!(Resource::of(path), resource, "{path}");
    }
}
