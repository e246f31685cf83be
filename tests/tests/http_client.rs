//! How requests share connections, cookies and redirects, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request, Response};
use signalr_client::proto::WsMessage;
use signalr_client::{HubConnection, Limits};
use signalr_net::{NetBody, NetError, NetOptions, NetTransport, NoCookies, Proxy, Runtime};
use signalr_tests::wire::{Heard, Peer, Wire};
use signalr_tokio::Tokio;
use tokio::time::timeout;
use tungstenite::protocol::Role;

type Body = NetBody<<Tokio as Runtime>::Stream>;

const PATIENCE: Duration = Duration::from_secs(10);
const OFFER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

fn client() -> NetTransport<Tokio> {
    let options = NetOptions::default()
        .limits(Limits::CLIENT)
        .proxy(Proxy::none());
    NetTransport::new(Tokio::default(), options).unwrap()
}

fn request(method: Method, url: impl AsRef<str>) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(url.as_ref())
        .header("authorization", "Bearer t")
        .body(Bytes::new())
        .unwrap()
}

async fn send(
    client: &NetTransport<Tokio>,
    request: Request<Bytes>,
) -> Result<Response<Body>, NetError> {
    timeout(PATIENCE, client.request(request))
        .await
        .expect("the request was never answered")
}

async fn text(mut body: Body) -> Result<String, NetError> {
    let mut text = String::new();
    while let Some(chunk) = timeout(PATIENCE, body.next()).await.expect("no end came") {
        text += &String::from_utf8_lossy(&chunk?);
    }
    Ok(text)
}

async fn ask(
    client: &NetTransport<Tokio>,
    method: Method,
    url: String,
) -> Result<String, NetError> {
    text(send(client, request(method, url)).await?.into_body()).await
}

/// Waits for a word of a server's thread, and until the reactor has seen what that thread did to its sockets before.
async fn told<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> T {
    let word = tokio::task::spawn_blocking(move || receiver.recv_timeout(PATIENCE)).await;
    tokio::task::yield_now().await;
    word.unwrap().expect("the server never got there")
}

/// A channel whose sender threads may share.
fn channel<T: Send>() -> (impl Fn(T) + Send + Sync, mpsc::Receiver<T>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let send = move |value| {
        let _ = sender.lock().unwrap().send(value);
    };
    (send, receiver)
}

/// Answers every request of a connection in turn.
fn answering(answer: impl Fn(&mut Peer, Heard) + Send + Sync + 'static) -> Wire {
    Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            peer.note(&heard.line);
            answer(&mut peer, heard);
        }
    })
    .unwrap()
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let wire = answering(|peer, heard| {
        match heard.method() {
        "POST" => peer.answer("200 OK", "", "posted"),
        "DELETE" => peer.write("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => peer.write(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ngot\r\n2\r\n!!\r\n0\r\nX: y\r\n\r\n",
        ),
    }
    });
    let client = client();
    for _ in 0..3 {
        let other = client.clone();
        assert_eq!(
            ask(&client, Method::POST, wire.url("/a")).await.unwrap(),
            "posted"
        );
        assert_eq!(
            ask(&other, Method::GET, wire.url("/b")).await.unwrap(),
            "got!!"
        );
        assert_eq!(
            ask(&client, Method::DELETE, wire.url("/c")).await.unwrap(),
            ""
        );
    }
    assert_eq!(wire.accepted(), 1);
    assert_eq!(wire.log().len(), 9);
}

#[tokio::test]
async fn a_large_body_arrives_whole_on_a_connection_that_is_used_again() {
    let wire = answering(|peer, heard| {
        let sum: usize = heard.body.bytes().map(usize::from).sum();
        peer.answer("200 OK", "", &format!("{} {sum}", heard.body.len()));
    });
    let client = client();
    let whole: Vec<u8> = (b'a'..=b'z').cycle().take(3_000_000).collect();
    for length in [0, 1, 16_384, 16_385, 100_000, 3_000_000] {
        let mut post = request(Method::POST, wire.url("/"));
        let sum: usize = whole[..length].iter().copied().map(usize::from).sum();
        *post.body_mut() = Bytes::copy_from_slice(&whole[..length]);
        let answer = send(&client, post).await.unwrap();
        assert_eq!(
            text(answer.into_body()).await.unwrap(),
            format!("{length} {sum}")
        );
    }
    assert_eq!(wire.accepted(), 1);
}

#[tokio::test]
async fn two_requests_at_once_take_two_connections_and_both_are_used_again() {
    let gate = std::sync::Barrier::new(2);
    let wire = answering(move |peer, _| {
        // Neither is answered before the other is there.
        gate.wait();
        peer.answer("200 OK", "", "ok");
    });
    let client = client();
    for _ in 0..3 {
        let (poll, post) = tokio::join!(
            ask(&client, Method::GET, wire.url("/poll")),
            ask(&client, Method::POST, wire.url("/send"))
        );
        assert_eq!((poll.unwrap(), post.unwrap()), ("ok".into(), "ok".into()));
    }
    assert_eq!(wire.accepted(), 2);
}

#[tokio::test]
async fn another_server_gets_a_connection_of_its_own() {
    let [one, two] = [(), ()].map(|()| answering(|peer, _| peer.answer("200 OK", "", "ok")));
    let client = client();
    for wire in [&one, &two, &one, &two] {
        ask(&client, Method::GET, wire.url("/")).await.unwrap();
    }
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
}

#[tokio::test]
async fn idle_connections_are_few() {
    let gate = std::sync::Barrier::new(8);
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        gate.wait();
        peer.answer("200 OK", "", "ok");
        if peer.request().is_none() {
            closed(());
        }
    })
    .unwrap();
    let client = client();
    let all = (0..8).map(|_| ask(&client, Method::GET, wire.url("/")));
    assert!(
        futures_util::future::join_all(all)
            .await
            .iter()
            .all(Result::is_ok)
    );
    let (four, receiver) = tokio::task::spawn_blocking(move || {
        let closed = (0..4).map(|_| told_closed.recv_timeout(PATIENCE));
        (closed.filter(Result::is_ok).count(), told_closed)
    })
    .await
    .unwrap();
    assert_eq!(four, 4);
    assert!(
        receiver.try_recv().is_err(),
        "more were closed than had to be"
    );
    assert!(format!("{client:?}").contains("idle: 4"), "{client:?}");
}

#[tokio::test]
async fn a_request_on_a_connection_the_server_closed_meanwhile_goes_to_a_fresh_one() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        let heard = peer.request().unwrap();
        peer.note(&heard.body);
        peer.answer("200 OK", "", "ok");
        drop(peer);
        closed(());
    })
    .unwrap();
    let client = client();
    ask(&client, Method::GET, wire.url("/")).await.unwrap();
    told(told_closed).await;
    let mut post = request(Method::POST, wire.url("/"));
    *post.body_mut() = Bytes::from_static(b"once");
    let answer = send(&client, post).await.unwrap();
    assert_eq!(text(answer.into_body()).await.unwrap(), "ok");
    assert_eq!(
        (wire.accepted(), wire.log()),
        (2, vec!["".to_owned(), "once".into()])
    );
}

#[tokio::test]
async fn a_request_that_was_written_is_never_repeated() {
    for method in [Method::POST, Method::GET] {
        let wire = Wire::serve(|mut peer| {
            peer.request().unwrap();
            peer.note("first");
            peer.answer("200 OK", "", "ok");
            if let Some(heard) = peer.request() {
                peer.note(heard.method());
            }
        })
        .unwrap();
        let client = client();
        ask(&client, Method::GET, wire.url("/")).await.unwrap();
        let error = ask(&client, method.clone(), wire.url("/"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("closed the connection without an answer"),
            "{error}"
        );
        assert_eq!(wire.log(), ["first", method.as_str()]);
        assert_eq!(wire.accepted(), 1);
    }
}

#[tokio::test]
async fn a_body_dropped_half_way_closes_its_connection() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        peer.linger();
        closed(peer.number);
    })
    .unwrap();
    let client = client();
    let answer = send(&client, request(Method::GET, wire.url("/")))
        .await
        .unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.next().await.unwrap().unwrap(), "one");
    drop(body);
    assert_eq!(told(told_closed).await, 0);
    assert!(format!("{client:?}").contains("idle: 0"), "{client:?}");
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection_and_disturbs_no_other() {
    let (asked, told_asked) = channel();
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            if heard.target() == "/hang" {
                asked(());
                peer.linger();
                return closed(());
            }
            peer.answer("200 OK", "", heard.target());
        }
    })
    .unwrap();
    let client = client();
    assert_eq!(
        ask(&client, Method::GET, wire.url("/a")).await.unwrap(),
        "/a"
    );
    {
        let hanging = ask(&client, Method::GET, wire.url("/hang"));
        let both = futures_util::future::select(Box::pin(hanging), Box::pin(told(told_asked)));
        assert!(matches!(both.await, futures_util::future::Either::Right(_)));
    }
    told(told_closed).await;
    assert_eq!(
        ask(&client, Method::GET, wire.url("/b")).await.unwrap(),
        "/b"
    );
    assert_eq!(wire.accepted(), 2);
}

/// What must come of an odd first answer: its body, or a part of the error; and how many connections two requests take.
type Odd = (&'static str, Result<&'static str, &'static str>, usize);

/// Answers after which the server waits for the next request.
const ODD_BUT_OPEN: [Odd; 12] = [
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        1,
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        Ok(""),
        1,
    ),
    (
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        1,
    ),
    (
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Ok(""),
        2,
    ),
    (
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Ok(""),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        Err("does not speak HTTP"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi",
        Err("does not speak HTTP"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n",
        Err("broke off"),
        2,
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n", Err("does not speak HTTP"), 2),
];

/// Answers after which the server closes.
const ODD_AND_CLOSED: [Odd; 7] = [
    ("HTTP/1.0 200 OK\r\n\r\nhi", Ok("hi"), 2),
    ("HTTP/1.1 200 OK\r\n\r\nhi", Ok("hi"), 2),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        Err("broke off"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
        Err("broke off"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        Err("broke off"),
        2,
    ),
    ("HTTP/1.1 200 OK\r\nContent-Le", Err(""), 2),
    ("", Err("closed the connection without an answer"), 2),
];

async fn odd((answer, wanted, connections): Odd, stays: bool) {
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        if peer.number == 0 {
            peer.write(answer);
            if !stays {
                return;
            }
        } else {
            peer.answer("200 OK", "", "second");
        }
        while peer.request().is_some() {
            peer.answer("200 OK", "", "second");
        }
    })
    .unwrap();
    let client = client();
    let first = ask(&client, Method::POST, wire.url("/")).await;
    match (&first, wanted) {
        (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{answer}"),
        (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{answer}: {error}"),
        _ => panic!("{answer}: {first:?}"),
    }
    let second = ask(&client, Method::POST, wire.url("/")).await;
    assert_eq!(second.as_deref(), Ok("second"), "{answer}");
    assert_eq!(wire.accepted(), connections, "{answer}");
}

#[tokio::test]
async fn odd_answers_end_well_or_in_an_error_and_never_mix_with_the_next() {
    for case in ODD_BUT_OPEN {
        odd(case, true).await;
    }
    for case in ODD_AND_CLOSED {
        odd(case, false).await;
    }
}

#[tokio::test]
async fn what_a_server_says_unasked_between_two_requests_answers_neither() {
    let (said, told_said) = channel();
    let wire = Wire::serve(move |mut peer| {
        while peer.request().is_some() {
            peer.answer("200 OK", "", "asked");
            if peer.number == 0 {
                peer.answer("200 OK", "", "unasked");
                said(());
            }
        }
    })
    .unwrap();
    let client = client();
    assert_eq!(
        ask(&client, Method::GET, wire.url("/")).await.unwrap(),
        "asked"
    );
    told(told_said).await;
    assert_eq!(
        ask(&client, Method::GET, wire.url("/")).await.unwrap(),
        "asked"
    );
    assert_eq!(wire.accepted(), 2);
}

#[tokio::test]
async fn an_endless_head_is_an_error() {
    let wire = Wire::serve(|mut peer| {
        peer.request().unwrap();
        peer.write("HTTP/1.1 200 OK\r\n");
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        while std::io::Write::write_all(&mut peer.stream, line.as_bytes()).is_ok() {}
    })
    .unwrap();
    ask(&client(), Method::GET, wire.url("/"))
        .await
        .unwrap_err();
}

/// Answers the opening of a WebSocket, with more headers.
fn accept(peer: &mut Peer, heard: &Heard, headers: &str) {
    let key =
        tungstenite::handshake::derive_accept_key(heard.header("sec-websocket-key").as_bytes());
    peer.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}Sec-WebSocket-Accept: {key}\r\n\r\n"
    ));
}

/// A hub that accepts the handshake and then listens.
fn hub(peer: &Peer) {
    let stream = peer.stream.try_clone().unwrap();
    let mut socket = tungstenite::WebSocket::from_raw_socket(stream, Role::Server, None);
    if socket.read().is_ok() {
        let _ = socket.send(tungstenite::Message::text("{}\u{1e}"));
    }
    // The client says goodbye first.
    while socket
        .read()
        .is_ok_and(|message| !message.to_string().contains("\"type\":7"))
    {}
    let _ = socket.close(None);
    while socket.read().is_ok() {}
    let _ = peer.stream.shutdown(std::net::Shutdown::Both);
}

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

#[tokio::test]
async fn opening_a_web_socket_closes_what_is_idle() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            if heard.method() == "POST" {
                peer.answer("200 OK", "", OFFER);
            } else {
                accept(&mut peer, &heard, "");
                return hub(&peer);
            }
        }
        closed(peer.number);
    })
    .unwrap();
    let connection = HubConnection::builder(wire.url("/hub"))
        .proxy(Proxy::none())
        .build()
        .unwrap();
    connection.start().await.unwrap();
    assert_eq!(told(told_closed).await, 0);
    connection.stop().await;
}

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
