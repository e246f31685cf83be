//! Who may come, and whose connection it is.

use std::time::Duration;

use tokio::time::timeout;

use crate::raw::{HANDSHAKE, Http, Socket, record};
use crate::server::{MIB, Margin, Server, Watch};

/// A server drops who does not answer its close frame within five seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(7);

fn bearer(name: &str) -> String {
    format!("Authorization: Bearer {name}\r\n")
}

/// A token opens one WebSocket.
pub async fn a_second_socket_is_refused() {
    let server = Server::start().await;
    let mut http = Http::open(&server).await;
    let offer = http.negotiate("/nostateful").await;
    let target = format!("/nostateful?id={}", offer.token);
    let mut first = Socket::open(&server, &target, "").await.unwrap();
    first.shake().await;
    for _ in 0..100 {
        let second = Socket::open(&server, &target, "").await;
        assert_eq!(second.err().map(|answer| answer.status), Some(409));
    }
    first.works().await;
    // A token is used up when its WebSocket is gone.
    first.reset();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = Socket::open(&server, &target, "").await;
    let status = later.err().map(|answer| answer.status);
    assert!(matches!(status, Some(404 | 409)), "{status:?}");
}

/// With stateful reconnect the second takes over, and the first is ended.
pub async fn a_second_socket_takes_over() {
    let server = Server::start().await;
    if server.official_differs("it closes both") {
        return;
    }
    let mut http = Http::open(&server).await;
    let offer = http
        .negotiate_as("/hub", "&useStatefulReconnect=true", "")
        .await;
    let target = format!("/hub?id={}", offer.token);
    let mut sockets = vec![Socket::open(&server, &target, "").await.unwrap()];
    let handshake = HANDSHAKE.replace('1', "2");
    sockets[0].send(record(handshake)).await;
    assert_eq!(sockets[0].reader.record().await.as_deref(), Some("{}"));
    sockets[0].works().await;
    for _ in 0..20 {
        let mut next = Socket::open(&server, &target, "").await.unwrap();
        let mut before = sockets.pop().unwrap();
        assert_eq!(before.end().await.code, Some(1000));
        next.works().await;
        sockets.push(next);
    }
    // One that does not answer the close frame is not kept for that.
    let mut next = Socket::open(&server, &target, "").await.unwrap();
    let gone = timeout(CLOSE_TIMEOUT, sockets[0].reader.gone()).await;
    assert!(gone.is_ok(), "the replaced socket stays open");
    next.works().await;
}

/// Whoever has the token of a connection needs to be its user as well.
pub async fn a_token_serves_its_user_alone() {
    let server = Server::start().await;
    let mut http = Http::open(&server).await;
    let unknown = http
        .ask("POST", "/auth/negotiate?negotiateVersion=1", "", b"")
        .await;
    assert_eq!(unknown.status, 401);
    let expired = http
        .ask(
            "POST",
            "/auth/negotiate?negotiateVersion=1",
            &bearer("expired"),
            b"",
        )
        .await;
    assert_eq!(expired.status, 401);
    let offer = http.negotiate_as("/auth", "", &bearer("alice")).await;
    let target = format!("/auth?id={}", offer.token);
    assert_eq!(
        Socket::open(&server, &target, "")
            .await
            .err()
            .map(|a| a.status),
        Some(401)
    );
    if server.official_differs("it lets a token be used by anybody who is known") {
        return;
    }
    let others = bearer("bob");
    assert_eq!(
        Socket::open(&server, &target, &others)
            .await
            .err()
            .map(|a| a.status),
        Some(403)
    );
    for method in ["GET", "POST", "DELETE"] {
        let answer = http.ask(method, &target, &others, b"").await;
        assert_eq!(answer.status, 403, "{method}");
    }
    let mut alice = Socket::open(&server, &target, &bearer("alice"))
        .await
        .unwrap();
    alice.shake().await;
    assert_eq!(alice.invoke("1", "UserName", "").await["result"], "alice");
}

/// A token belongs to its hub.
pub async fn a_token_serves_its_hub_alone() {
    let server = Server::start().await;
    if server.official_differs("a token serves on every hub") {
        return;
    }
    let mut http = Http::open(&server).await;
    let offer = http.negotiate("/hub").await;
    for hub in ["/detailed", "/nostateful", "/parallel", "/longpolling"] {
        let target = format!("{hub}?id={}", offer.token);
        assert_eq!(http.get(&target).await.status, 404, "{hub}");
        assert_eq!(http.post(&target, b"").await.status, 404, "{hub}");
        let refused = Socket::open(&server, &target, "").await.err();
        assert_eq!(refused.map(|answer| answer.status), Some(404), "{hub}");
    }
    // The public id is no token.
    let answer = http.get(&format!("/hub?id={}", offer.id)).await;
    assert_eq!(answer.status, 404);
}

/// Pages of other sites cannot open WebSockets with their visitors' cookies.
pub async fn foreign_origins_are_refused() {
    let server = Server::start().await;
    if server.official_differs("the test server allows every origin") {
        return;
    }
    let foreign = [
        "null",
        "http://evil.test",
        "http://hub.test:81",
        "http://hub.test.evil.test",
        "http://evil.test/hub.test",
        "http://hub.test@evil.test",
        "http://evilhub.test",
        "http://sub.hub.test",
        "file://",
        "hub.test",
        "",
        "http://hub.test http://evil.test",
    ];
    let mut wrong = Vec::new();
    for origin in foreign {
        let refused = Socket::open(&server, "/same-origin", &format!("Origin: {origin}\r\n"))
            .await
            .err();
        let status = refused.map(|answer| answer.status);
        if status != Some(403) {
            wrong.push(format!("{origin:?}: {status:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whoever ends TLS in front of a server leaves it no way to tell https from http.
    for origin in [
        "http://hub.test",
        "http://HUB.test",
        "http://hub.test:80",
        "https://hub.test",
    ] {
        let socket = Socket::open(&server, "/same-origin", &format!("Origin: {origin}\r\n")).await;
        assert!(socket.is_ok(), "{origin}");
    }
}

/// Nobody finds a connection by guessing, and guessing costs nothing.
pub async fn guessed_tokens_are_not_found() {
    const COUNT: usize = 5_000;
    let server = Server::start().await;
    let watch = Watch::begin(&server, "5,000 guessed tokens");
    let mut http = Http::open(&server).await;
    for number in 0..COUNT {
        let answer = http
            .get(&format!("/hub?id=AAAAAAAAAAAAAAAA{number:06}"))
            .await;
        assert_eq!(answer.status, 404);
    }
    drop(http);
    watch.bounded(8 * MIB, Duration::from_secs(20));
    watch.returns(Margin::default()).await;
}
