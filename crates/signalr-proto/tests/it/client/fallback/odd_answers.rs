//! Answers that say where the mistake is.

use super::*;

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
