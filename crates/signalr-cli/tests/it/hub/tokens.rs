//! Where tokens come from, and when they are read again.

use super::*;

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
