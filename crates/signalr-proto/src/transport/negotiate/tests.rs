use core::time::Duration;

use http::Response;

use super::response::missing;
use super::*;
use crate::error::NegotiateError;

fn decode(body: &str) -> Result<NegotiateResponse, NegotiateError> {
    NegotiateResponse::decode(body.as_bytes())
}

fn offer(body: &str) -> Offer {
    match decode(body) {
        Ok(NegotiateResponse::Connect(offer)) => offer,
        other => panic!("no offer: {other:?}"),
    }
}

#[test]
fn version_one_needs_a_connection_token_and_version_zero_uses_the_id() {
    let one = offer(
        r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#,
    );
    assert_eq!((one.version, one.token()), (1, "t"));
    for zero in [r#""negotiateVersion":0,"#, ""] {
        let zero = offer(&format!(
            r#"{{{zero}"connectionId":"i","connectionToken":"t","availableTransports":[]}}"#
        ));
        assert_eq!((zero.version, zero.token()), (0, "i"));
    }
    for member in ["connectionId", "connectionToken", "availableTransports"] {
        let body = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#;
        assert_eq!(decode(&body.replace(member, "x")), Err(missing(member)));
    }
}

#[test]
fn an_empty_error_is_none_and_an_empty_name_is_invalid() {
    let body = r#"{"error":"","negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[]}"#;
    assert_eq!(offer(body).token(), "t");
    for (member, value) in [("connectionId", "\"i\""), ("connectionToken", "\"t\"")] {
        let error = decode(&body.replace(value, "\"\"")).unwrap_err();
        let text = format!(
            "invalid negotiation response received: expected '{member}' to be a text that is not empty at byte 0"
        );
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn of_members_that_are_there_twice_the_last_counts() {
    let twice = offer(concat!(
        r#"{"connectionId":"a","negotiateVersion":0,"error":"no","url":"http://x","connectionId":"i","negotiateVersion":1,"#,
        r#""error":null,"url":"","connectionToken":"t","useStatefulReconnect":true,"useStatefulReconnect":false,"#,
        r#""availableTransports":[],"availableTransports":[{"transport":"x","transferFormats":[],"transport":"WebSockets","transferFormats":["Text"]}]}"#
    ));
    assert_eq!((&*twice.connection_id, twice.token()), ("i", "t"));
    assert!(!twice.stateful_reconnect);
    let names: Vec<_> = twice.transports.iter().map(|one| &*one.transport).collect();
    assert_eq!(names, ["WebSockets"]);
    let refresh =
        RefreshResponse::decode(br#"{"tokenLifetimeSeconds":1,"tokenLifetimeSeconds":7}"#);
    assert_eq!(refresh.unwrap().lifetime, Some(Duration::from_secs(7)));
}

#[test]
fn unknown_members_are_skipped_at_any_depth() {
    let one = offer(
        r#"{"x":{"y":[1,{"z":null}]},"negotiateVersion":1,"connectionId":"i","connectionToken":"t",
           "availableTransports":[{"transport":"Pigeons","transferFormats":["Text"],"speed":[]}]}"#,
    );
    assert_eq!(
        one.transports,
        [TransportOffer {
            transport: "Pigeons".into(),
            transfer_formats: vec!["Text".into()]
        }]
    );
}

#[test]
fn a_redirect_wins_over_everything_but_an_error() {
    let redirect = decode(r#"{"url":"https://other/client?hub=chat","accessToken":"canary","negotiateVersion":0,"availableTransports":[]}"#).unwrap();
    let NegotiateResponse::Redirect { url, access_token } = &redirect else {
        panic!("{redirect:?}")
    };
    assert_eq!(
        (&**url, access_token.as_ref().unwrap().expose()),
        ("https://other/client?hub=chat", "canary")
    );
    assert!(!format!("{redirect:?}").contains("canary"));
    assert_eq!(
        decode(r#"{"url":"https://x","error":"no"}"#),
        Ok(NegotiateResponse::Refused { error: "no".into() })
    );
}

#[test]
fn an_asp_net_server_that_is_not_core_is_explained() {
    assert_eq!(
        decode(r#"{"ProtocolVersion":"1.5","Url":"/signalr"}"#),
        Err(NegotiateError::AspNet)
    );
    assert_eq!(
        decode(r#"{"protocolVersion":"1.5","url":"/signalr"}"#),
        Err(NegotiateError::AspNet)
    );
}

#[test]
fn members_with_wrong_capitals_are_named_and_their_values_are_not() {
    for (body, detail) in [
        (
            r#"{"Url":"https://canary/","AccessToken":"canary"}"#,
            "'Url' must be 'url', 'AccessToken' must be 'accessToken'",
        ),
        (
            r#"{"negotiateVersion":1,"ConnectionId":"canary","AVAILABLETRANSPORTS":[]}"#,
            "'ConnectionId' must be 'connectionId', 'AVAILABLETRANSPORTS' must be 'availableTransports'",
        ),
    ] {
        let detail = detail.into();
        assert_eq!(decode(body), Err(NegotiateError::Misspelled { detail }));
    }
    // What can be read is read, whatever else is there.
    assert!(matches!(
        decode(r#"{"url":"https://x/","Url":"https://y/"}"#),
        Ok(NegotiateResponse::Redirect { .. })
    ));
}

#[test]
fn an_answer_that_is_redirected_or_compressed_says_so() {
    let read = |status: u16, name: &str, value: &str| {
        let response = Response::builder().status(status).header(name, value);
        NegotiateResponse::read(&response.body(Bytes::from_static(b"canary")).unwrap())
            .unwrap_err()
            .to_string()
    };
    let redirected = read(302, "location", "https://h/hub/negotiate?k=canary");
    assert!(
        redirected.starts_with("the server redirects negotiate to https://h/hub (status 302)"),
        "{redirected}"
    );
    let compressed = read(200, "content-encoding", "gzip");
    assert!(compressed.contains("compressed (gzip)"), "{compressed}");
    assert!(!format!("{redirected}{compressed}").contains("canary"));
    assert!(read(404, "location", "/hub").contains("status 404"));
}

#[test]
fn every_request_asks_for_bodies_that_are_not_compressed_unless_the_user_knows_better() {
    let url = HubUrl::parse("http://h/hub").unwrap();
    let asked = |headers: Option<&HeaderMap>| {
        let request = request(&url, headers, None, false).unwrap();
        request.headers()["accept-encoding"].clone()
    };
    assert_eq!(asked(None), "identity");
    let mut own = HeaderMap::new();
    own.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
    assert_eq!(asked(Some(&own)), "br");
}

#[test]
fn a_body_that_is_not_a_json_object_is_an_error_with_its_place_and_without_its_text() {
    for body in [
        "",
        "not json canary",
        "[]",
        "null",
        "{\"connectionId\":5}",
        "{\n\n  canary",
        "{\"connectionId\":\"canary\",}",
    ] {
        let error = decode(body).unwrap_err();
        assert!(
            matches!(error, NegotiateError::Invalid(_)),
            "{body}: {error:?}"
        );
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn responses_are_written_as_the_official_server_writes_them() {
    let mut offer = Offer::new("i".into(), Some("t".into()), &TransportKind::ALL);
    offer.stateful_reconnect = true;
    let response = NegotiateResponse::Connect(offer);
    let text = concat!(
        r#"{"useStatefulReconnect":true,"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":["#,
        r#"{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},"#,
        r#"{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}"#
    );
    assert_eq!(response.encode(), text);
    assert_eq!(NegotiateResponse::decode(text.as_bytes()), Ok(response));
    let refused = NegotiateResponse::Refused { error: "no".into() };
    assert_eq!(NegotiateResponse::decode(&refused.encode()), Ok(refused));
}

#[test]
fn the_request_has_the_headers_of_the_official_clients_and_hides_the_token() {
    let url = HubUrl::parse("http://h/hub").unwrap();
    let request = request(&url, None, AccessToken::new("canary").as_ref(), false).unwrap();
    assert_eq!(request.headers()["x-requested-with"], "XMLHttpRequest");
    assert_eq!(request.headers()["authorization"], "Bearer canary");
    assert!(
        request.headers()["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("Microsoft SignalR/")
    );
    assert!(!format!("{request:?}").contains("canary"));
}
