//! Names of a megabyte.

use std::time::Duration;

use crate::raw::{
    End, HANDSHAKE, Http, LAST, SEPARATOR, Socket, TEXT, bare_frame, call, head, record,
};
use crate::server::{MIB, Margin, Server, Watch};

const CLOSED: &str =
    r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;

/// Heads of requests are refused with the status that says why.
pub async fn heads_are_refused() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "request heads of a megabyte");
    let long = "a".repeat(1 << 20);
    let many = "X-A: b\r\n".repeat(100_000);
    let heads = [
        (
            "a header",
            head("GET", "/hub?id=1", &format!("X-Long: {long}\r\n"), None),
            &["431", "400"][..],
        ),
        (
            "100,000 headers",
            head("GET", "/hub?id=1", &many, None),
            &["431", "400"],
        ),
        (
            "an id",
            head("GET", &format!("/hub?id={long}"), "", None),
            &["414", "431", "400"],
        ),
        (
            "a path",
            head("POST", &format!("/hub/{long}"), "", None),
            &["414", "431", "400"],
        ),
        (
            "a method",
            head(&long, "/hub", "", None),
            &["400", "414", "431"],
        ),
        (
            "a cookie",
            head(
                "POST",
                "/hub/negotiate",
                &format!("Cookie: {long}\r\n"),
                Some(0),
            ),
            &["431", "400"],
        ),
    ];
    for (what, head, expected) in heads {
        let mut http = Http::open(&server).await;
        // It need not be read to the end.
        let _ = http.write(head).await;
        let rest = crate::raw::soon("an answer", http.rest()).await;
        let status = String::from_utf8_lossy(rest.get(9..12).unwrap_or_default()).into_owned();
        // The answer is lost when the server closes while there is more to read.
        assert!(
            status.is_empty() || expected.contains(&&*status),
            "{what}: {status}"
        );
        eprintln!(
            "  {what}: {}",
            if status.is_empty() { "cut" } else { &status }
        );
    }
    watch.bounded(16 * MIB, Duration::from_secs(20));
    watch.returns(Margin::default()).await;
}

/// A hub without a limit for messages has one for ids and names all the same.
pub async fn names_in_messages_are_refused() {
    let server = Server::start().await;
    if server.official_differs("a hub without a limit takes names of any length") {
        return;
    }
    let watch = Watch::begin(&server, "ids and targets of a megabyte, a thousand headers");
    let long = "a".repeat(1 << 20);
    let headers = (0..1000).map(|n| format!(r#""{n}":"a""#));
    let headers = headers.collect::<Vec<_>>().join(",");
    let messages = [
        ("an id", call(&long, "Add", "1,2")),
        ("a target", call("1", &long, "")),
        (
            "a stream's id",
            format!(r#"{{"type":4,"invocationId":"{long}","target":"Count","arguments":[1,0]}}"#),
        ),
        (
            "an upload's id",
            format!(
                r#"{{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["{long}"]}}"#
            ),
        ),
        (
            "1,000 headers",
            format!(
                r#"{{"type":1,"headers":{{{headers}}},"invocationId":"1","target":"Add","arguments":[1,2]}}"#
            ),
        ),
        (
            "the id of an item",
            format!(r#"{{"type":2,"invocationId":"{long}","item":1}}"#),
        ),
        (
            "the id of a cancel",
            format!(r#"{{"type":5,"invocationId":"{long}"}}"#),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, message) in messages {
        let mut socket = Socket::connect(&server, "/large").await;
        let message = [message.as_bytes(), &[SEPARATOR]].concat();
        socket.send(bare_frame(LAST | TEXT, &message)).await;
        let end = socket.end().await;
        let expected = End {
            said: vec![CLOSED.to_owned()],
            code: Some(1000),
        };
        if end != expected {
            let said: Vec<_> = end
                .said
                .iter()
                .map(|said| said.get(..200).unwrap_or(said))
                .collect();
            wrong.push(format!("{what}: {said:?}, {:?}", end.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    watch.bounded(24 * MIB, Duration::from_secs(20));
    watch.returns(Margin::default()).await;
}

/// A large argument is another matter, and so is a large handshake.
pub async fn arguments_are_taken_where_they_may_be_large() {
    let server = Server::start().await;
    let watch = Watch::begin(&server, "an argument of 4 MB, a handshake of a megabyte");
    let mut socket = Socket::connect(&server, "/large").await;
    let text = "a".repeat(4 << 20);
    let echo = call("1", "EchoText", &format!("\"{text}\""));
    let echo = [echo.as_bytes(), &[SEPARATOR]].concat();
    socket.send(bare_frame(LAST | TEXT, &echo)).await;
    let answer = socket.reader.completion("1").await;
    assert_eq!(answer["result"].as_str().map(str::len), Some(text.len()));
    socket.reset();
    let mut socket = Socket::open(&server, "/hub", "").await.unwrap();
    let long = HANDSHAKE.replace("json", &"j".repeat(1 << 20));
    socket.send(record(long)).await;
    let end = socket.end().await;
    assert_eq!(end.said, [r#"{"error":"Handshake was canceled."}"#]);
    assert_eq!(end.code, Some(1000));
    watch.bounded(48 * MIB, Duration::from_secs(20));
    watch
        .returns(Margin {
            memory: 32 * MIB,
            ..Margin::default()
        })
        .await;
}
