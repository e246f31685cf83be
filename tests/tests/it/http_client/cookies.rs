//! Cookies go where they came from.

use super::*;

#[tokio::test]
async fn cookies_of_every_answer_return_with_every_request_to_the_same_host() {
    let wire = answering(|peer, heard| {
        peer.note(format!("cookie {}", heard.header("cookie")));
        match heard.method() {
            "POST" => peer.answer(
                "200 OK",
                "Set-Cookie: a=1; Path=/; HttpOnly\r\nSet-Cookie: b=2\r\n",
                "",
            ),
            _ if heard.header("upgrade").is_empty() => {
                peer.answer("404 No", "Set-Cookie: c=3; Path=/\r\n", "")
            }
            _ => accept(peer, &heard, "Set-Cookie: a=4; Path=/\r\n"),
        }
    });
    let client = client();
    let url = |path| wire.url(path);
    ask(&client, Method::POST, url("/hub/negotiate"))
        .await
        .unwrap();
    ask(&client, Method::GET, url("/hub")).await.unwrap();
    let opening = Request::get(url("/hub?id=x").replace("http:", "ws:"))
        .header("cookie", "mine=0")
        .body(())
        .unwrap();
    let mut socket = client.open_web_socket(opening).await.unwrap();
    ask(&client, Method::POST, url("/other")).await.unwrap();
    let elsewhere = url("/hub").replace("127.0.0.1", "localhost");
    ask(&client, Method::GET, elsewhere).await.unwrap();
    let cookies: Vec<_> = wire
        .log()
        .into_iter()
        .filter_map(|line| line.strip_prefix("cookie ").map(str::to_owned))
        .collect();
    assert_eq!(
        cookies,
        ["", "b=2; a=1", "mine=0; b=2; a=1; c=3", "c=3; a=4", ""]
    );
    let _ = socket.send(WsMessage::Close(1000)).await;
}

#[tokio::test]
async fn a_connection_keeps_its_own_cookies_and_no_cookies_keeps_none() {
    let wire = answering(|peer, heard| {
        if heard.method() == "POST" {
            return peer.answer("200 OK", "Set-Cookie: server=7; Path=/\r\n", OFFER);
        }
        peer.note(format!("cookie {}", heard.header("cookie")));
        accept(peer, &heard, "");
        hub(peer);
    });
    let builder = || HubConnection::builder(wire.url("/hub")).proxy(Proxy::none());
    let shared = std::sync::Arc::new(signalr_client::CookieJar::default());
    for (builder, wanted) in [
        (builder(), "cookie server=7"),
        (
            builder().header("Cookie", "mine=0"),
            "cookie mine=0; server=7",
        ),
        (builder().cookies(NoCookies), "cookie "),
        (
            builder().cookies(std::sync::Arc::clone(&shared)),
            "cookie server=7",
        ),
        (builder().skip_negotiation(true), "cookie "),
        (
            builder().cookies(shared).skip_negotiation(true),
            "cookie server=7",
        ),
    ] {
        let connection = builder.build().unwrap();
        connection.start().await.unwrap();
        assert_eq!(wire.log().last().unwrap(), wanted);
        connection.stop().await;
    }
}
