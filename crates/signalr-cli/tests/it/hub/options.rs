//! Options of the connection, and advice when there is none.

use super::*;

#[test]
fn negotiation_can_be_skipped() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let run = run(&[
        "invoke",
        &url,
        "Add",
        "1",
        "2",
        "--skip-negotiation",
        "--output",
        "json",
    ]);
    assert_eq!(
        run.lines()[..2],
        [
            r#"{"event":"connected","connectionId":null,"transport":"WebSockets"}"#,
            r#"{"event":"result","result":3}"#
        ]
    );
}

#[test]
fn pings_and_the_patience_with_silence_can_be_set() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let silent = run(&["listen", &url, "Nothing", "--server-timeout", "0.3"]);
    assert_eq!(silent.code, 1);
    assert!(
        silent.err.contains("server timeout (300ms)"),
        "{}",
        silent.err
    );
    let pinging = run_with(
        &["connect", &url, "--keep-alive", "0.05", "-vv"],
        b"wait 0.5\n",
    );
    let pings = pinging.err.matches("action=Send(").count();
    assert!(pings >= 5, "{pings} messages: {}", pinging.err);
}

/// What is wrong can be seen, so it is said; what may be secret is not.
#[test]
fn advice_follows_the_evidence() {
    let answer = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    };
    let offer = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"canary","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#;
    let moved = "Location: https://hub.example:8443/hub/negotiate?k=canary\r\n";
    let cases = [
        (
            answer("301 Moved", moved, ""),
            String::new(),
            "redirects negotiate to https://hub.example:8443/hub (status 301)",
        ),
        (
            answer("307 Moved", "Location: ftp://h/x?canary\r\n", ""),
            String::new(),
            "ftp://h/x (status 307)",
        ),
        (
            answer(
                "200 OK",
                "",
                r#"{"Url":"http://canary/","AccessToken":"canary"}"#,
            ),
            String::new(),
            "'Url' must be 'url', 'AccessToken' must be 'accessToken'",
        ),
        (
            answer("200 OK", "Content-Encoding: br\r\n", "canary"),
            String::new(),
            "compressed (br)",
        ),
        (
            answer("404 Not Found", "", ""),
            String::new(),
            "not a SignalR hub",
        ),
        (
            answer("200 OK", "", offer),
            answer("404 Not Found", "", "No Connection with that ID"),
            "sticky sessions",
        ),
        (
            answer("200 OK", "", offer),
            answer("302 Found", "Location: /login?canary\r\n", ""),
            "redirects to /login (status 302)",
        ),
    ];
    for (negotiated, other, words) in cases {
        let url = serve_answers("", move |_, first| {
            Some(if first.contains("/negotiate") {
                negotiated.clone()
            } else {
                other.clone()
            })
        });
        let url = format!("{url}/hub");
        for command in [
            &["invoke", &url, "X"][..],
            &["doctor", &url],
            &["negotiate", &url],
        ] {
            let run = run(command);
            let said = format!("{}{}", run.text(), run.err);
            if command[0] == "negotiate" && run.code == 0 {
                continue;
            }
            // Lines may be broken anywhere between words.
            let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(words), "{command:?}: {said}");
            assert!(!said.contains("canary"), "{command:?}: {said}");
        }
    }
}

/// Its requests reached the server that had it, so several servers are not the reason.
#[test]
fn a_connection_that_the_server_forgot_is_no_sign_of_several_servers() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let answer = |status: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let offer = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"canary","availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}"#;
    let polls = AtomicUsize::new(0);
    let url = serve_answers("", move |_, first| {
        Some(if first.contains("/negotiate") {
            answer("200 OK", offer)
        } else if first.starts_with("GET") {
            match polls.fetch_add(1, Ordering::Relaxed) {
                0 => answer("200 OK", ""),
                1 => answer("200 OK", "{}\u{1e}"),
                _ => answer("404 Not Found", "No Connection with that ID"),
            }
        } else {
            answer("200 OK", "")
        })
    });
    let run = run(&["listen", &format!("{url}/hub"), "Nothing"]);
    let said = format!("{}{}", run.text(), run.err);
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(run.code, 1, "{said}");
    assert!(flat.contains("no longer knows this connection"), "{said}");
    assert!(!flat.contains("sticky"), "{said}");
    assert!(!flat.contains("canary"), "{said}");
}

#[test]
fn headers_are_sent_and_the_log_keeps_secrets() {
    let (base, _hub) = serve();
    let url = format!("{base}/guarded");
    let run = run(&[
        "invoke",
        &url,
        "Header",
        "x-colour",
        "-H",
        "X-Colour: blue",
        "--header",
        "x-other: canary",
        "--token",
        "secret",
        "-vv",
    ]);
    assert_eq!((run.code, run.text()), (0, "\"blue\"\n"));
    assert!(run.err.contains("connect"), "{}", run.err);
    for secret in ["secret", "canary", "blue"] {
        assert!(!run.err.contains(secret), "{}", run.err);
    }
}

#[test]
fn a_proxy_comes_from_the_option_or_the_environment() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let proxy = signalr_tests::wire::http_proxy(None).unwrap();
    let with = proxy.url("").replace("http://", "http://user:canary@");
    let asked = || proxy.log().len();
    assert_eq!(
        run(&["invoke", &url, "Add", "1", "2", "--proxy", &with]).ok_text(),
        "3\n"
    );
    assert_eq!(asked(), 2, "negotiation and the WebSocket");
    let environment = |arguments: &[&str]| -> Run {
        let mut command = program(&[&["invoke", &url, "Add", "1", "2"], arguments].concat());
        Running::start(command.env("http_proxy", &with)).end()
    };
    assert_eq!(environment(&[]).ok_text(), "3\n");
    assert_eq!(asked(), 4);
    assert_eq!(environment(&["--proxy", "none"]).ok_text(), "3\n");
    assert_eq!(asked(), 4);

    let wrong = run(&["negotiate", &url, "--proxy", "ftp://user:canary@nowhere"]);
    assert_eq!(wrong.code, 2);
    assert!(!wrong.err.contains("canary"), "{}", wrong.err);
    let nowhere = closed_port().replace("http://", "http://user:canary@");
    let unreachable = run(&[
        "invoke",
        &url,
        "Add",
        "--proxy",
        &nowhere.replace("/hub", ""),
    ]);
    assert_eq!(unreachable.code, 1);
    assert!(
        unreachable.err.contains("the proxy 127.0.0.1") && !unreachable.err.contains("canary"),
        "{}",
        unreachable.err
    );
}

#[test]
fn transports_are_chosen_in_the_order_they_are_named() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let url = format!("{base}/hub");
    let over = |url: &str, options: &[&str]| {
        let run = run(&[&["invoke", url, "Transport", "--output", "json"], options].concat());
        let first: serde_json::Value = serde_json::from_str(run.lines()[0]).unwrap();
        (
            run.code,
            first["transport"].as_str().unwrap_or_default().to_owned(),
        )
    };
    for (options, transport) in [
        (&[][..], "WebSockets"),
        (&["--transport", "auto"], "WebSockets"),
        (&["--transport", "sse,ws"], "ServerSentEvents"),
        (&["--transport", "lp", "--transport", "ws"], "LongPolling"),
        (
            &["--transport", "sse,lp", "--protocol", "messagepack"],
            "LongPolling",
        ),
    ] {
        assert_eq!(
            over(&url, options),
            (0, transport.to_owned()),
            "{options:?}"
        );
    }
    let only = format!("{base}/longpolling");
    assert_eq!(over(&only, &["--transport", "ws,lp"]).1, "LongPolling");
    let none = run(&["invoke", &only, "Transport", "--transport", "ws"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("LongPolling"), "{}", none.err);
    for nonsense in ["auto,ws", "tcp", ""] {
        assert_eq!(
            run(&["invoke", &url, "Transport", "--transport", nonsense]).code,
            2,
            "{nonsense}"
        );
    }
}
