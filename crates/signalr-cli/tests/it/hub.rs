//! The commands that talk to a hub.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Shutdown, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::hub::{closed_port, serve, serve_answers, serve_bytes};
use crate::common::process::Running;
use crate::common::{Run, program, run, run_with};
use signalr_tests::wire::Wire;

/// The lines without the id of the connection, which differs each time.
fn without_id(run: &Run) -> Vec<String> {
    let cut = |line: &&str| {
        line.split_once("\"connectionId\":")
            .map_or_else(|| (*line).to_owned(), |(head, _)| format!("{head}…"))
    };
    run.lines().iter().map(cut).collect()
}

const CONNECTED: &str = "{\"event\":\"connected\",…";
const CLOSED: &str = "{\"event\":\"closed\"}";

#[test]
fn invoke_prints_the_result() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    for protocol in ["json", "messagepack"] {
        assert_eq!(
            run(&["invoke", &url, "Add", "1", "-2", "--protocol", protocol]).ok_text(),
            "-1\n"
        );
        assert_eq!(
            run(&["invoke", &url, "Echo", "plain word", "--protocol", protocol]).ok_text(),
            "\"plain word\"\n"
        );
        let json = run(&[
            "invoke",
            &url,
            "Echo",
            r#"{"a":[1,2.5,null]}"#,
            "--protocol",
            protocol,
            "--output",
            "json",
        ]);
        assert_eq!(
            without_id(&json),
            [
                CONNECTED,
                r#"{"event":"result","result":{"a":[1,2.5,null]}}"#,
                CLOSED
            ]
        );
    }
    let binary = run(&[
        "invoke",
        &url,
        "Echo",
        r#"{"$bin":"00ff"}"#,
        "--protocol",
        "messagepack",
    ]);
    assert_eq!(binary.ok_text(), "{\"$bin\":\"00ff\"}\n");
    let large = "123456789012345678901234567890";
    assert_eq!(
        run(&["invoke", &url, "Echo", large]).ok_text(),
        format!("{large}\n")
    );
}

#[test]
fn arguments_come_from_files_and_standard_input() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let file = std::env::temp_dir().join(format!("signalr-cli-argument-{}", std::process::id()));
    let at = format!("@{}", file.display());
    for (content, expected) in [
        ("{\"a\": 1}\n", "{\"a\":1}\n"),
        ("\u{feff}{\"a\": 1}\r\n", "{\"a\":1}\n"),
        ("\u{feff}some text\r\n", "\"some text\"\n"),
        ("some text\n", "\"some text\"\n"),
        ("two\nlines", "\"two\\nlines\"\n"),
    ] {
        std::fs::write(&file, content).unwrap();
        assert_eq!(run(&["invoke", &url, "Echo", &at]).ok_text(), expected);
        assert_eq!(
            run_with(&["invoke", &url, "Echo", "-"], content.as_bytes()).ok_text(),
            expected
        );
    }
    std::fs::write(&file, b"\xff\xfe1\0").unwrap();
    let utf_16 = run(&["invoke", &url, "Echo", &at]);
    assert!(
        utf_16.code == 2 && utf_16.err.contains("UTF-16"),
        "{}",
        utf_16.err
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&["invoke", &url, "Echo", &at]).code, 2);
}

#[test]
fn a_call_that_finds_the_connection_gone_tells_why_it_went() {
    let (base, _hub) = serve();
    let url = format!("{base}/unwelcoming");
    for command in [
        &["invoke", &url, "Add", "1", "2"][..],
        &["stream", &url, "Count", "3"],
        &["listen", &url],
    ] {
        let run = run(&[command, &["--output", "json"]].concat());
        assert_eq!(run.code, 1, "{command:?}");
        assert!(run.err.contains("not today"), "{command:?}: {}", run.err);
        assert!(run.text().contains("\"error\""), "{}", run.text());
    }
}

#[test]
fn the_connected_event_tells_id_and_transport_however_short_the_connection() {
    let (base, _hub) = serve();
    let url = format!("{base}/unwelcoming");
    for _ in 0..5 {
        let run = run(&["listen", &url, "--output", "json"]);
        let first: serde_json::Value = serde_json::from_str(run.lines()[0]).unwrap();
        assert!(first["connectionId"].is_string(), "{first}");
        assert_eq!(first["transport"], "WebSockets", "{first}");
    }
}

#[test]
fn what_a_server_says_does_not_steer_the_terminal() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let text = "\u{1b}[31mred\u{9b}31m";
    let failed = run(&["invoke", &url, "FailWith", text]);
    assert!(
        failed.err.contains("\\u001b[31mred\\u009b31m"),
        "{}",
        failed.err
    );
    let echoed = run(&["invoke", &url, "Echo", text]).ok_text();
    assert_eq!(echoed, "\"\\u001b[31mred\\u009b31m\"\n");
    let commands = format!("invoke FailWith '{text}'\n");
    let session = run_with(&["connect", &url], commands.as_bytes());
    for shown in [
        failed.err,
        session.err,
        session.out.escape_ascii().to_string(),
    ] {
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_told_before_connecting() {
    let empty = std::env::temp_dir().join(format!("signalr-cli-empty-{}", std::process::id()));
    std::fs::write(&empty, " \n").unwrap();
    let file = empty.to_str().unwrap();
    for (arguments, words) in [
        (&["http://127.0.0.1:99999/hub"][..], "at most 65535"),
        (
            &["http://127.0.0.1:1/hub", "--token-file", file],
            "there is no token in the file",
        ),
        (&["http://127.0.0.1:1/hub", ""], "a method needs a name"),
        (
            &["http://user:canary@127.0.0.1:1/hub"],
            "the user name and password in the address would not be sent",
        ),
        (
            &["http://127.0.0.1:1/hub", "--keep-alive", "0"],
            "--keep-alive must be a number of seconds",
        ),
        (
            &["http://127.0.0.1:1/hub", "--server-timeout", "soon"],
            "--server-timeout must be a number of seconds",
        ),
        (
            &[
                "http://127.0.0.1:1/hub",
                "--skip-negotiation",
                "--transport",
                "lp",
            ],
            "negotiation can only be skipped",
        ),
    ] {
        let run = run(&[&["invoke"], arguments, &["Method"]].concat());
        assert_eq!(run.code, 2, "{}", run.err);
        assert!(run.err.contains(words), "{}", run.err);
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
    std::fs::remove_file(&empty).unwrap();
}

#[test]
fn errors_of_the_server_are_told_in_its_words() {
    let (base, _hub) = serve();
    let failed = run(&[
        "invoke",
        &format!("{base}/open"),
        "Fail",
        "--output",
        "json",
    ]);
    let message =
        "An unexpected error occurred invoking 'Fail' on the server. HubException: no such luck";
    assert_eq!(failed.code, 1);
    assert_eq!(
        without_id(&failed),
        [
            CONNECTED,
            &format!("{{\"event\":\"error\",\"message\":\"{message}\"}}"),
            CLOSED
        ]
    );
    assert_eq!(failed.err, format!("signalr: {message}\n"));
    assert_eq!(
        run(&["invoke", &format!("{base}/open"), "NoSuchMethod"]).code,
        1
    );
    assert_eq!(run(&["invoke", &format!("{base}/open"), "Abort"]).code, 1);
}

#[test]
fn send_waits_for_nothing() {
    let (base, _hub) = serve();
    let sent = run(&["send", &format!("{base}/open"), "Stall", "--output", "json"]);
    assert_eq!(without_id(&sent), [CONNECTED, CLOSED]);
    assert_eq!(sent.code, 0);
}

#[test]
fn stream_prints_items_as_they_come() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    for protocol in ["json", "messagepack"] {
        assert_eq!(
            run(&["stream", &url, "Count", "3", "--protocol", protocol]).ok_text(),
            "0\n1\n2\n"
        );
    }
    let failed = run(&["stream", &url, "CountThenFail", "--output", "json"]);
    assert_eq!(
        (failed.code, failed.lines()[1]),
        (1, "{\"event\":\"item\",\"item\":1}")
    );
    assert!(failed.lines()[2].contains("out of numbers"));
    assert_eq!(
        run(&["stream", &url, "Count", "100000"])
            .ok_text()
            .lines()
            .count(),
        100_000
    );
}

#[test]
fn a_reader_that_goes_away_ends_a_stream_quietly() {
    let (base, _hub) = serve();
    let mut running = Running::start(&mut program(&[
        "stream",
        &format!("{base}/open"),
        "Forever",
    ]));
    let mut stdout = running.take_stdout();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "0\n");
    drop(stdout);
    let run = running.end();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}

#[test]
fn listen_prints_all_calls_or_those_that_were_named() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    for protocol in ["json", "messagepack"] {
        let all = run(&[
            "listen",
            &url,
            "--count",
            "4",
            "--output",
            "json",
            "--protocol",
            protocol,
        ]);
        let welcome = |number: u32| {
            format!(
                "{{\"event\":\"invocation\",\"target\":\"Welcome\",\"arguments\":[{number},\"hello\"]}}"
            )
        };
        let other = "{\"event\":\"invocation\",\"target\":\"Other\",\"arguments\":[]}".to_owned();
        assert_eq!(
            without_id(&all),
            [
                CONNECTED.to_owned(),
                welcome(0),
                welcome(1),
                welcome(2),
                other,
                CLOSED.to_owned()
            ]
        );
        assert_eq!(all.code, 0);
    }
    let some = run(&["listen", &url, "Other", "--count", "1"]);
    assert_eq!((some.code, some.text()), (0, "Other()\n"));
}

#[test]
fn tokens_come_from_the_option_a_file_or_the_environment() {
    let (base, _hub) = serve();
    let url = format!("{base}/guarded");
    assert_eq!(
        run(&["invoke", &url, "User", "--token", "secret"]).ok_text(),
        "\"ann\"\n"
    );
    let file = std::env::temp_dir().join(format!("signalr-cli-token-{}", std::process::id()));
    std::fs::write(&file, "secret\n").unwrap();
    assert_eq!(
        run(&[
            "invoke",
            &url,
            "User",
            "--token-file",
            file.to_str().unwrap()
        ])
        .ok_text(),
        "\"ann\"\n"
    );
    std::fs::remove_file(&file).unwrap();
    let mut from_environment = program(&["invoke", &url, "User"]);
    from_environment.env("SIGNALR_TOKEN", "secret");
    assert_eq!(
        Running::start(&mut from_environment).end().ok_text(),
        "\"ann\"\n"
    );
    for arguments in [
        &["invoke", &url, "User", "--token", "canary"][..],
        &["invoke", &url, "User"],
        &["negotiate", &url, "--token", "canary"],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, 1);
        assert!(
            refused.err.contains("the server refused the token") && !refused.err.contains("canary"),
            "{}",
            refused.err
        );
    }
}

#[test]
fn a_token_file_is_read_once_more_when_its_token_was_refused_and_renewed_meanwhile() {
    let (base, _hub) = serve();
    let file = std::env::temp_dir().join(format!("signalr-cli-late-{}", std::process::id()));
    let path = file.to_str().unwrap();
    for (command, answer) in [("invoke", "\"ann\"\n"), ("negotiate", "WebSockets")] {
        std::fs::write(&file, "expired").unwrap();
        let renewed = file.clone();
        let front = serve_answers(&base, move |number, _| {
            (number == 0).then(|| {
                std::fs::write(&renewed, "\u{feff}secret\n").unwrap();
                "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    .to_owned()
            })
        });
        let url = format!("{front}/guarded");
        let method: &[&str] = if command == "invoke" { &["User"] } else { &[] };
        let arguments = [&[command, &url], method, &["--token-file", path]].concat();
        let text = run(&arguments).ok_text();
        assert!(text.contains(answer), "{text}");
        // The same token again would be refused again, so it is not tried.
        std::fs::write(&file, "expired").unwrap();
        let refused = run(&[
            &[command, &format!("{base}/guarded")],
            method,
            &["--token-file", path],
        ]
        .concat());
        assert_eq!(refused.code, 1);
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_token_file_is_read_again_for_each_new_connection() {
    let (base, _hub) = serve();
    let (front, streams) = relay(&base);
    let file = std::env::temp_dir().join(format!("signalr-cli-renewed-{}", std::process::id()));
    std::fs::write(&file, "secret").unwrap();
    let (running, mut lines) = listening(&[
        "listen",
        &format!("{front}/guarded"),
        "Nothing",
        "--reconnect",
        "--output",
        "json",
        "--token-file",
        file.to_str().unwrap(),
    ]);
    next_connection_id(&mut lines);
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    std::fs::write(&file, "canary").unwrap();
    for stream in streams.lock().unwrap().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    assert!(next().contains("\"reconnecting\""));
    let refused = next();
    assert!(
        refused.contains("\"retrying\"")
            && refused.contains("the server refused the token")
            && refused.contains("\"attempt\":2"),
        "{refused}"
    );
    std::fs::write(&file, "secret").unwrap();
    assert!(next().contains("\"reconnected\""));
    std::fs::remove_file(&file).unwrap();
    drop(running);
}

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

/// A server in front of another, and the connections through it.
fn relay(base: &str) -> (String, Arc<Mutex<Vec<TcpStream>>>) {
    let target = base.strip_prefix("http://").unwrap().to_owned();
    let streams = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&streams);
    let wire = Wire::serve(move |peer| {
        let server = TcpStream::connect(&target).unwrap();
        kept.lock().unwrap().push(peer.stream.try_clone().unwrap());
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        };
        let (client, other) = (
            peer.stream.try_clone().unwrap(),
            server.try_clone().unwrap(),
        );
        std::thread::spawn(move || pump(client, other));
        pump(server, peer.stream);
    });
    (wire.unwrap().url(""), streams)
}

#[test]
fn a_stateful_connection_survives_the_loss_of_its_web_socket() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let (base, streams) = relay(base);
    let url = format!("{base}/hub");
    let mut running = Running::start(
        program(&["connect", &url, "--stateful", "--output", "json"]).stdin(Stdio::piped()),
    );
    let mut lines = running.take_stdout().lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("\"connected\""));
    running.write(b"invoke Add 1 2\n");
    assert_eq!(next(), "{\"event\":\"result\",\"result\":3}");
    for stream in streams.lock().unwrap().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    assert!(next().starts_with("{\"event\":\"resuming\",\"error\":"));
    assert_eq!(next(), "{\"event\":\"resumed\"}");
    running.write(b"invoke Add 3 4\n");
    assert_eq!(next(), "{\"event\":\"result\",\"result\":7}");
    drop(running.take_stdin());
    assert_eq!(next(), CLOSED);
    assert_eq!(running.end().code, 0);
}

#[test]
fn the_first_start_is_repeated_when_that_is_wanted() {
    let address = closed_port();
    let port = address
        .rsplit(':')
        .next()
        .unwrap()
        .strip_suffix("/hub")
        .unwrap();
    let port: u16 = port.parse().unwrap();
    let (running, mut lines) = listening(&[
        "invoke",
        &address,
        "Add",
        "1",
        "2",
        "--retry-start",
        "--output",
        "json",
    ]);
    let mut line = String::new();
    while !line.contains("\"delaySeconds\":2") {
        line.clear();
        lines.read_line(&mut line).unwrap();
        assert!(
            line.starts_with("{\"event\":\"retrying\",\"error\":"),
            "{line}"
        );
    }
    // Now the server starts.
    crate::common::hub::serve_at(port);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"result\":3"), "{rest}");
    assert_eq!(running.end().code, 0);
}

#[test]
fn negotiate_prints_the_answer_and_masks_secrets_for_people_only() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    let json = run(&["negotiate", &url, "--output", "json"]).ok_text();
    assert!(
        json.starts_with("{\"event\":\"negotiated\",\"connectionId\":\"")
            && json.contains("\"version\":1,\"transports\":[{\"transport\":\"WebSockets\""),
        "{json}"
    );
    let masked = run(&["negotiate", &url]).ok_text();
    assert!(masked.contains("********"), "{masked}");
    let shown = run(&["negotiate", &url, "--show-secrets"]).ok_text();
    assert!(!shown.contains("********"), "{shown}");
    let body =
        b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n{\"error\":\"no\"}";
    let refused = run(&["negotiate", &serve_bytes(Some(body))]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("refused the connection: no"),
        "{}",
        refused.err
    );
}

#[test]
fn addresses_where_no_hub_answers_are_explained() {
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let cases = [
        (closed_port(), "is the server running"),
        (
            serve_bytes(Some(b"SSH-2.0-garbage\r\n")),
            "not a SignalR hub",
        ),
        (serve_bytes(Some(html)), "not a SignalR hub"),
        (serve_bytes(Some(missing)), "not a SignalR hub"),
        (
            serve_bytes(Some(b"junk")).replace("http:", "https:"),
            "http://",
        ),
    ];
    for (url, words) in cases {
        for command in [
            &["invoke", &url, "Method"][..],
            &["listen", &url],
            &["negotiate", &url],
        ] {
            let run = run(command);
            assert_eq!(run.code, 1, "{command:?}: {}", run.err);
            assert!(run.err.contains(words), "{command:?}: {}", run.err);
        }
    }
}

#[test]
fn silence_ends_with_the_timeout() {
    let silent = serve_bytes(None);
    for command in [
        &["invoke", &silent, "Method", "--timeout", "0.3"][..],
        &["listen", &silent, "--timeout", "0.3"],
        &["negotiate", &silent, "--timeout", "0.3"],
    ] {
        let run = run(command);
        assert_eq!(run.code, 1);
        assert!(
            run.err.contains("timed out") && run.err.contains("0.3 seconds"),
            "{}",
            run.err
        );
    }
    let (base, _hub) = serve();
    let stalled = run(&[
        "invoke",
        &format!("{base}/open"),
        "Stall",
        "--timeout",
        "0.5",
    ]);
    assert_eq!(stalled.code, 1);
    assert!(
        stalled.err.contains("no answer within 0.5 seconds"),
        "{}",
        stalled.err
    );
}

#[test]
fn listen_reconnects_when_told_to_and_ends_with_the_connection_otherwise() {
    let (base, hub) = serve();
    let url = format!("{base}/open");
    let (running, mut lines) = listening(&["listen", &url, "Other", "--output", "json"]);
    hub.cut(&next_connection_id(&mut lines));
    assert_eq!(running.end().code, 1);

    let (running, mut lines) = listening(&[
        "listen",
        &url,
        "Other",
        "--output",
        "json",
        "--reconnect",
        "--count",
        "2",
    ]);
    let id = next_connection_id(&mut lines);
    let mut call = String::new();
    lines.read_line(&mut call).unwrap();
    assert!(call.contains("invocation"), "{call}");
    hub.cut(&id);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let events: Vec<&str> = rest
        .lines()
        .map(|line| line.split(['"']).nth(3).unwrap())
        .collect();
    assert!(
        events.contains(&"reconnecting") && events.contains(&"reconnected"),
        "{rest}"
    );
    assert_eq!(running.end().code, 0);
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_cleanly_with_130() {
    let (base, _hub) = serve();
    let url = format!("{base}/open");
    for arguments in [
        &["listen", &url, "--output", "json"][..],
        &["stream", &url, "Forever", "--output", "json"],
        &["invoke", &url, "Stall", "--output", "json"],
    ] {
        let (running, mut lines) = listening(arguments);
        next_connection_id(&mut lines);
        let pid = running.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let run = running.end();
        assert_eq!((run.code, run.err.as_str()), (130, ""), "{arguments:?}");
        assert_eq!(rest.lines().last(), Some(CLOSED), "{arguments:?}");
    }
}

fn listening(arguments: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let mut running = Running::start(&mut program(arguments));
    let lines = running.take_stdout();
    (running, lines)
}

/// Reads the line that tells of the connection.
fn next_connection_id(lines: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let id = line
        .strip_prefix("{\"event\":\"connected\",\"connectionId\":\"")
        .unwrap();
    id.split('"').next().unwrap().to_owned()
}
