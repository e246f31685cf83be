//! Access tokens on the way to a connection.

use super::*;

#[test]
fn a_fresh_token_is_asked_for_before_negotiation_and_before_the_socket() {
    let mut script = with_provider(never);
    give(&mut script, Ok(Some("one")));
    assert_eq!(header(&script, "authorization").unwrap(), "Bearer one");
    respond(&mut script, 200, OFFER);
    give(&mut script, Ok(Some("two")));
    assert_eq!(header(&script, "authorization").unwrap(), "Bearer two");
    assert_eq!(uri(&script), "ws://host/hub?id=token");
}

#[test]
fn the_token_goes_into_the_query_on_request() {
    let mut script = with_provider(|config| {
        config.skip_negotiation = true;
        config.token_in_query = true;
    });
    give(&mut script, Ok(Some("a b")));
    assert_eq!(
        (uri(&script).as_str(), header(&script, "authorization")),
        ("ws://host/hub?access_token=a%20b", None)
    );
}

#[test]
fn an_empty_token_is_no_token() {
    let mut script = with_provider(never);
    give(&mut script, Ok(Some("")));
    assert_eq!(header(&script, "authorization"), None);
}

#[test]
fn a_provider_that_fails_ends_the_attempt_with_its_words() {
    let mut script = with_provider(never);
    give(&mut script, Err("vault is sealed"));
    assert_eq!(
        start_error(&script).to_string(),
        "the access token provider failed: vault is sealed"
    );
}

#[test]
fn a_token_that_is_no_header_value_is_refused_without_being_shown() {
    let mut script = with_provider(never);
    give(&mut script, Ok(Some("canary\n")));
    let text = start_error(&script).to_string();
    assert!(
        text.contains("characters") && !text.contains("canary"),
        "{text}"
    );
}

#[test]
fn nothing_that_holds_a_token_shows_it_in_debug_output() {
    let mut script = with_provider(|config| {
        config.token_in_query = true;
        config.headers.insert("x-key", "canary".parse().unwrap());
    });
    give(&mut script, Ok(Some("canary")));
    respond(
        &mut script,
        200,
        &OFFER.replace(r#""token""#, r#""canary""#),
    );
    give(&mut script, Ok(Some("canary")));
    let text = format!(
        "{script:?} {:?} {:?}",
        script.client.config(),
        script.actions
    );
    assert!(!text.contains("canary"), "{text}");
}
