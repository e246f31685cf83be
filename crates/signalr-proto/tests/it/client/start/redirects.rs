//! Answers to negotiation that lead elsewhere.

use super::*;

#[test]
fn a_redirect_is_followed_with_its_own_token_and_query() {
    let mut script = with_provider(never);
    give(&mut script, Ok(Some("mine")));
    respond(
        &mut script,
        200,
        r#"{"url":"https://other/client/?hub=chat","accessToken":"theirs"}"#,
    );
    assert_eq!(
        uri(&script),
        "https://other/client/negotiate?hub=chat&negotiateVersion=1"
    );
    assert_eq!(header(&script, "authorization").unwrap(), "Bearer theirs");
    respond(&mut script, 200, OFFER);
    assert_eq!(uri(&script), "wss://other/client/?hub=chat&id=token");
    assert_eq!(header(&script, "authorization").unwrap(), "Bearer theirs");
}

#[test]
fn another_origin_never_sees_the_tokens_and_headers_of_the_first() {
    let mut script = with_provider(|config| {
        config.headers.insert("x-key", "secret".parse().unwrap());
    });
    give(&mut script, Ok(Some("mine")));
    assert_eq!(header(&script, "x-key").unwrap(), "secret");
    respond(&mut script, 200, r#"{"url":"https://other/hub"}"#);
    assert_eq!(
        (header(&script, "authorization"), header(&script, "x-key")),
        (None, None)
    );
    // Back at the first origin they may be used again.
    respond(&mut script, 200, r#"{"url":"http://HOST:80/elsewhere"}"#);
    give(&mut script, Ok(Some("mine")));
    assert_eq!(
        (
            header(&script, "authorization").unwrap().as_str(),
            header(&script, "x-key").unwrap().as_str()
        ),
        ("Bearer mine", "secret")
    );
}

#[test]
fn the_hundredth_redirect_in_a_row_is_one_too_many() {
    for (redirects, fails) in [(99, false), (100, true)] {
        let mut script = Script::with(never);
        script.start();
        for _ in 0..redirects {
            respond(&mut script, 200, r#"{"url":"http://host/loop"}"#);
        }
        if fails {
            assert_eq!(
                start_error(&script),
                &CloseReason::Negotiate(NegotiateError::RedirectLimit { limit: 100 })
            );
        } else {
            script.connect();
            assert!(matches!(
                script.events.as_slice(),
                [Event::Connected { .. }]
            ));
        }
    }
}

#[test]
fn a_redirect_to_no_address_is_an_error() {
    let mut script = Script::with(never);
    script.start();
    respond(&mut script, 200, r#"{"url":"/relative"}"#);
    assert_eq!(
        start_error(&script),
        &CloseReason::Negotiate(NegotiateError::RedirectUrl)
    );
}

#[test]
fn a_reconnect_begins_at_the_users_address_with_the_users_token_whatever_redirects_said() {
    let mut script = Script::with(|config| {
        once(config);
        config.has_access_token = true;
    });
    script.start();
    give(&mut script, Ok(Some("mine")));
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
    give(&mut script, Ok(Some("fresh")));
    let (uri, headers) = head(&script);
    assert_eq!(uri, "http://host/hub/negotiate?negotiateVersion=1");
    assert_eq!(headers["authorization"], "Bearer fresh");
}
