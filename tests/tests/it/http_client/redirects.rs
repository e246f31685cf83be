//! Redirects that are followed, and those that are not.

use super::*;

/// Redirects `/from/...` to `location`, and tells what arrives elsewhere.
fn redirecting(status: u16, location: String) -> Wire {
    answering(move |peer, heard| {
        if heard.target().starts_with("/from") {
            peer.answer(
                &format!("{status} Elsewhere"),
                &format!("Location: {location}\r\n"),
                "gone",
            );
        } else {
            let told = format!(
                "{} {} {}",
                heard.line,
                heard.header("authorization"),
                heard.body
            );
            peer.answer("200 OK", "", &told);
        }
    })
}

async fn redirected(method: Method, wire: &Wire) -> (u16, String) {
    let mut request = request(method, wire.url("/from"));
    if request.method() != Method::GET {
        *request.body_mut() = Bytes::from_static(b"body");
    }
    let answer = send(&client(), request).await.unwrap();
    (
        answer.status().as_u16(),
        text(answer.into_body()).await.unwrap(),
    )
}

#[tokio::test]
async fn redirects_keep_method_and_body_or_are_handed_back() {
    for (method, status, wanted) in [
        (Method::POST, 307, "200 POST /to?x=1 HTTP/1.1 Bearer t body"),
        (
            Method::DELETE,
            308,
            "200 DELETE /to?x=1 HTTP/1.1 Bearer t body",
        ),
        (Method::GET, 302, "200 GET /to?x=1 HTTP/1.1 Bearer t "),
        (Method::POST, 302, "302 gone"),
        (Method::POST, 303, "303 gone"),
    ] {
        let wire = redirecting(status, "to?x=1".into());
        let (status, text) = redirected(method, &wire).await;
        assert_eq!(format!("{status} {text}"), wanted);
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_takes_no_credentials_along() {
    let other = redirecting(307, String::new());
    let wire = redirecting(307, other.url("/to"));
    let found = redirected(Method::POST, &wire).await;
    assert_eq!(found, (200, "POST /to HTTP/1.1  body".to_owned()));
}

/// Whoever asked for the first server has not heard of the second.
#[tokio::test]
async fn a_failure_elsewhere_names_who_redirects_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = closed.local_addr().unwrap();
    drop(closed);
    let wire = redirecting(307, format!("http://{there}/to?secret=1"));
    let error = send(&client(), request(Method::POST, wire.url("/from"))).await;
    let text = error.map(drop).unwrap_err().to_string();
    let here = wire.url("/").parse::<http::Uri>().unwrap();
    let here = here.authority().unwrap();
    let wanted = format!("{here} redirects to {there}: {there} cannot be reached: ");
    assert!(text.starts_with(&wanted), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_circle_of_redirects_ends_after_ten() {
    let wire = redirecting(307, "/from/here".into());
    assert_eq!(
        redirected(Method::POST, &wire).await,
        (307, "gone".to_owned())
    );
    assert_eq!(wire.log().len(), 11);
}

#[tokio::test]
async fn a_hub_is_found_through_a_redirect_of_its_negotiation() {
    let wire = answering(|peer, heard| {
        if heard.target().starts_with("/hub/negotiate") {
            peer.answer(
                "307 Temporary Redirect",
                "Location: /real?negotiateVersion=1\r\n",
                "",
            );
        } else if heard.method() == "POST" {
            peer.answer("200 OK", "", OFFER);
        } else {
            accept(peer, &heard, "");
            hub(peer);
        }
    });
    let connection = HubConnection::builder(wire.url("/hub"))
        .proxy(Proxy::none())
        .build()
        .unwrap();
    connection.start().await.unwrap();
    assert_eq!(
        wire.accepted(),
        2,
        "the redirect was followed on the same connection"
    );
    connection.stop().await;
}
