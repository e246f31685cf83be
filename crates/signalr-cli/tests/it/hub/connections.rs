//! Connections that are lost, repeated, interrupted, or never made.

use super::*;

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

/// Of members that are there twice the last counts, in what is printed, too.
#[test]
fn what_negotiate_prints_is_what_a_connection_would_use() {
    let twice = b"HTTP/1.1 200 OK\r\ncontent-length: 128\r\nconnection: close\r\n\r\n{\"negotiateVersion\":0,\"negotiateVersion\":1,\"connectionId\":\"a\",\"connectionId\":\"b\",\"connectionToken\":\"t\",\"availableTransports\":[]}";
    let printed = run(&["negotiate", &serve_bytes(Some(twice)), "--output", "json"]).ok_text();
    assert_eq!(
        printed,
        "{\"event\":\"negotiated\",\"connectionId\":\"b\",\"connectionToken\":\"t\",\"version\":1,\"transports\":[],\"url\":null,\"accessToken\":null,\"useStatefulReconnect\":false,\"error\":null}\n"
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
