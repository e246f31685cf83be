//! What is called, sent, streamed and listened to.

use super::*;

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
