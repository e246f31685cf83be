//! `signalr serve`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ChildStdout;

use crate::common::process::Running;

/// The words of a line, which are there once the program listens.
fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn get(url: &str, path: &str) -> String {
    let host = url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(host).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[cfg(unix)]
fn interrupt(running: &Running) {
    let id = running.id().to_string();
    let status = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(status.unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_hub_is_served_until_it_is_interrupted() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--hub",
        "/chat",
        "--metrics",
        "127.0.0.1:0",
        "-v",
    ];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    let mut out = serving.take_stdout();
    let hub = line(&mut out);
    let hub = hub.strip_prefix("listening on ").unwrap();
    assert!(hub.ends_with("/chat"), "{hub}");
    let metrics = line(&mut out);
    let metrics = metrics.strip_prefix("metrics on ").unwrap();
    let (metrics, _) = metrics.split_once("/metrics").unwrap();

    let echoed = crate::common::run(&["invoke", hub, "Echo", "[1,\"two\"]"]).ok_text();
    assert!(echoed.contains("two"), "{echoed}");
    let counted =
        crate::common::run(&["stream", hub, "Count", "3", "0", "--output", "json"]).ok_text();
    for item in ["\"item\":0}", "\"item\":1}", "\"item\":2}"] {
        assert!(counted.contains(item), "{counted}");
    }
    let answer = get(metrics, "/metrics");
    assert!(answer.contains("\nsignalr_calls_total 2\n"), "{answer}");
    assert!(get(metrics, "/health").starts_with("HTTP/1.1 200"));
    interrupt(&serving);
    let run = serving.end();
    assert_eq!(run.code, 0, "{}", run.err);
    for words in ["connection opened", "method=\"Echo\""] {
        assert!(run.err.contains(words), "'{words}' is missing: {}", run.err);
    }
}

#[cfg(unix)]
#[test]
fn a_token_is_asked_for_and_never_shown() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--token",
        "correct horse",
        "-vv",
    ];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    let hub = line(&mut serving.take_stdout());
    let hub = hub.strip_prefix("listening on ").unwrap();
    let refused = crate::common::run(&["invoke", hub, "Echo", "1"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("401"), "{}", refused.err);
    let echoed = crate::common::run(&["invoke", hub, "Echo", "1", "--token", "correct horse"]);
    assert_eq!(echoed.ok_text().trim(), "1");
    interrupt(&serving);
    let run = serving.end();
    assert_eq!(run.code, 0);
    assert!(!run.err.contains("correct"), "{}", run.err);
}

#[cfg(unix)]
#[test]
fn a_client_is_the_user_that_its_address_names() {
    let any = "127.0.0.1:0";
    let arguments = ["serve", "--listen", any, "--metrics", any];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    let mut out = serving.take_stdout();
    let (hub, metrics) = (line(&mut out), line(&mut out));
    let hub = hub.strip_prefix("listening on ").unwrap();
    let metrics = metrics.strip_prefix("metrics on ").unwrap();
    let (metrics, _) = metrics.split_once("/metrics").unwrap();
    let ada = format!("{hub}?user=Ada%20L");
    let mut listening = Running::start(&mut crate::common::program(&[
        "listen", "--count", "1", &ada,
    ]));
    while !get(metrics, "/metrics").contains("\nsignalr_connections 1\n") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for (user, text) in [("Ada", "0"), ("Ada L", "[1]")] {
        crate::common::run(&["invoke", hub, "SendToUser", user, text]).ok_text();
    }
    let heard = line(&mut listening.take_stdout());
    assert!(heard.ends_with(",[1])"), "{heard}");
    assert_eq!(listening.end().code, 0);
    interrupt(&serving);
    assert_eq!(serving.end().code, 0);
}

#[cfg(unix)]
#[test]
fn a_path_in_any_script_is_served_as_clients_ask_for_it() {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--hub", "/Grüße/chat"];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    let hub = line(&mut serving.take_stdout());
    let hub = hub.strip_prefix("listening on ").unwrap();
    assert!(hub.ends_with("/Gr%C3%BC%C3%9Fe/chat"), "{hub}");
    let unescaped = hub.replace("%C3%BC%C3%9F", "üß");
    for hub in [hub, &unescaped] {
        let echoed = crate::common::run(&["invoke", hub, "Echo", "1"]);
        assert_eq!(echoed.ok_text().trim(), "1");
    }
    interrupt(&serving);
    assert_eq!(serving.end().code, 0);
}

#[cfg(unix)]
#[test]
fn a_redis_that_says_nothing_is_told_when_it_has_had_its_time() {
    // Whoever connects is not even accepted.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", socket.local_addr().unwrap());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--redis", &url];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    line(&mut serving.take_stdout());
    std::thread::sleep(std::time::Duration::from_secs(8));
    interrupt(&serving);
    let run = serving.end();
    assert_eq!(run.code, 0);
    let (waiting, given_up) = run.err.split_once('\n').unwrap();
    assert!(waiting.contains("has not answered yet"), "{}", run.err);
    assert!(given_up.contains("did not answer within 5s"), "{}", run.err);
}

#[cfg(unix)]
#[test]
fn a_redis_that_is_not_there_is_told() {
    // The port is taken, and nobody accepts there.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://:secret@{}", socket.local_addr().unwrap());
    drop(socket);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--redis", &url];
    let mut serving = Running::start(&mut crate::common::program(&arguments));
    line(&mut serving.take_stdout());
    std::thread::sleep(std::time::Duration::from_secs(3));
    interrupt(&serving);
    let run = serving.end();
    assert_eq!(run.code, 0);
    assert!(run.err.contains("Redis cannot be reached"), "{}", run.err);
    assert!(!run.err.contains("secret"), "{}", run.err);
}

#[test]
fn what_cannot_be_served_is_said() {
    for hub in ["chat", "", "/:id", "/*all", "/{id}", "/a b", "/hub?x"] {
        let run = crate::common::run(&["serve", "--listen", "127.0.0.1:0", "--hub", hub]);
        assert_eq!(run.code, 2, "{hub}: {}", run.err);
        assert!(run.err.contains("--hub is a path"), "{hub}: {}", run.err);
    }
    let run = crate::common::run(&["serve", "--listen", "127.0.0.1:0", "--token", ""]);
    assert_eq!(run.code, 2);
    let any = "127.0.0.1:0";
    for address in [
        "nowhere",
        "5000",
        ":5000",
        "http://127.0.0.1:5000",
        "a:99999",
    ] {
        let run = crate::common::run(&["serve", "--listen", address]);
        let metrics = crate::common::run(&["serve", "--listen", any, "--metrics", address]);
        for (run, option) in [(run, "--listen"), (metrics, "--metrics")] {
            let words = format!("{option} is an address and a port");
            assert_eq!(run.code, 2, "{address}: {}", run.err);
            assert!(run.err.contains(&words), "{address}: {}", run.err);
            assert!(run.out.is_empty(), "{address}");
        }
    }
    let run = crate::common::run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--redis",
        "http://:secret@localhost",
    ]);
    assert_eq!(run.code, 2);
    assert!(!run.err.contains("secret"), "{}", run.err);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = crate::common::run(&["serve", "--listen", &address]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains(&address), "{}", run.err);
}
