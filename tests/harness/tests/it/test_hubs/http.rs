//! The HTTP side of the test hubs, over real sockets.

use signalr_harness::hubs::test_hubs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One request on a connection of its own, and the whole answer.
async fn answer(head: &str) -> String {
    let (router, _) = test_hubs().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

fn has(answer: &str, status: u16, header: &str, body: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.to_ascii_lowercase().contains(header), "{answer}");
    assert!(answer.ends_with(body), "{answer}");
}

#[tokio::test]
async fn negotiate_offers_the_transports_of_the_hub() {
    let offer = r#""availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}"#;
    let json = "content-type: application/json";
    has(
        &answer("POST /hub/negotiate?negotiateVersion=1 HTTP/1.1").await,
        200,
        json,
        offer,
    );
    has(
        &answer("POST /hub/negotiate/?negotiateVersion=1 HTTP/1.1").await,
        200,
        json,
        offer,
    );
    has(
        &answer("POST /sse/negotiate?negotiateVersion=1 HTTP/1.1").await,
        200,
        json,
        r#""availableTransports":[{"transport":"ServerSentEvents","transferFormats":["Text"]}]}"#,
    );
    has(
        &answer("GET /hub/negotiate HTTP/1.1").await,
        405,
        "content-type: text/plain",
        "\r\n\r\n",
    );
}

#[tokio::test]
async fn guarded_hubs_want_a_token() {
    has(
        &answer("POST /auth/negotiate?negotiateVersion=1 HTTP/1.1").await,
        401,
        "content-length: 0",
        "\r\n\r\n",
    );
    has(
        &answer("POST /auth/negotiate?negotiateVersion=1&access_token=expired HTTP/1.1").await,
        401,
        "",
        "\r\n\r\n",
    );
    has(
        &answer("POST /auth/negotiate?negotiateVersion=1 HTTP/1.1\r\nAuthorization: Bearer alice")
            .await,
        200,
        "application/json",
        "}",
    );
    has(
        &answer("POST /auth/negotiate?access_token=alice HTTP/1.1").await,
        200,
        "application/json",
        "}",
    );
}

#[tokio::test]
async fn other_requests_for_a_hub_are_refused_in_the_official_words() {
    let text = "content-type: text/plain";
    has(
        &answer("GET /hub HTTP/1.1").await,
        400,
        text,
        "Connection ID required",
    );
    has(
        &answer("GET /hub?id=nobody HTTP/1.1").await,
        404,
        text,
        "No Connection with that ID",
    );
    has(
        &answer("POST /hub?id=nobody HTTP/1.1").await,
        404,
        text,
        "No Connection with that ID",
    );
    has(
        &answer("DELETE /hub HTTP/1.1").await,
        400,
        text,
        "Connection ID required",
    );
    has(&answer("PUT /hub HTTP/1.1").await, 405, text, "\r\n\r\n");
    let upgrade = "GET /hub?id=nobody HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    has(
        &answer(upgrade).await,
        404,
        text,
        "No Connection with that ID",
    );
}

#[tokio::test]
async fn pages_of_any_origin_may_talk_to_the_hubs() {
    let asks = "OPTIONS /hub/negotiate HTTP/1.1\r\nOrigin: http://page.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-requested-with";
    for header in [
        "access-control-allow-origin: http://page.example",
        "access-control-allow-credentials: true",
        "access-control-allow-methods: post",
        "access-control-allow-headers: x-requested-with",
        "vary: origin",
    ] {
        has(&answer(asks).await, 204, header, "");
    }
    let negotiates =
        "POST /hub/negotiate?negotiateVersion=1 HTTP/1.1\r\nOrigin: http://page.example";
    let allowed = "access-control-allow-origin: http://page.example";
    has(&answer(negotiates).await, 200, allowed, "}");
    // Not a browser's question, but the request itself.
    let options = "OPTIONS /hub/negotiate HTTP/1.1\r\nOrigin: http://page.example";
    has(&answer(options).await, 405, allowed, "");
}

#[tokio::test]
async fn the_services_in_front_of_a_hub_answer_as_such() {
    has(
        &answer("POST /redirect/negotiate HTTP/1.1").await,
        200,
        "json",
        r#"{"url":"http://localhost/auth?via=redirect","accessToken":"alice"}"#,
    );
    has(
        &answer("POST /unavailable/negotiate HTTP/1.1").await,
        503,
        "",
        "\r\n\r\n",
    );
}
