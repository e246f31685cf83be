//! Proxies that stand in the way.

use super::*;

/// A server in front of another.
fn spoiling_proxy(base: &str, spoils: Spoils) -> Wire {
    let target = base.strip_prefix("http://").unwrap().to_owned();
    Wire::serve(move |peer| pass_on(peer.stream, &target, spoils)).unwrap()
}

/// Passes a connection on up to the request that the proxy spoils, with which it keeps all answers.
fn pass_on(mut client: TcpStream, target: &str, spoils: Spoils) {
    let mut server = TcpStream::connect(target).unwrap();
    let (mut answers, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let spoiled = Arc::new(AtomicBool::new(false));
    let keeps = Arc::clone(&spoiled);
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(length) = answers.read(&mut chunk) {
            if length == 0 {
                break;
            }
            if !keeps.load(Ordering::SeqCst) && to.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let mut chunk = [0; 8192];
    while let Ok(length) = client.read(&mut chunk) {
        if length == 0 {
            break;
        }
        let request = String::from_utf8_lossy(&chunk[..length]).to_ascii_lowercase();
        match spoils {
            Spoils::WebSockets if request.contains("upgrade: websocket") => {
                let refusal =
                    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.write_all(refusal.as_bytes());
                break;
            }
            Spoils::Streams if request.contains("text/event-stream") => {
                spoiled.store(true, Ordering::SeqCst);
            }
            Spoils::WebSockets | Spoils::Streams => {}
        }
        if server.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_proxy_that_holds_event_streams_back_is_found_out() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let url = spoiling_proxy(base, Spoils::Streams).url("/hub");
    let found = doctor(&url, &["--timeout", "1"]);
    assert_eq!(found.code, 1);
    for step in ["server-sent-events", "event-stream-flow"] {
        assert_eq!(found.step(step)["status"], "failed", "{}", found.all);
        assert!(
            found.step(step)["advice"]
                .as_str()
                .unwrap()
                .contains("proxy_buffering"),
            "{}",
            found.all
        );
    }
    assert_eq!(found.step("long-polling")["status"], "ok", "{}", found.all);
}

#[test]
fn a_proxy_that_refuses_web_sockets_is_found_out() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&spoiling_proxy(base, Spoils::WebSockets).url("/hub"), &[]);
    assert_eq!(
        found.step("websockets")["status"],
        "failed",
        "{}",
        found.all
    );
    assert!(
        found.step("websockets").to_string().contains("400"),
        "{}",
        found.all
    );
    assert_eq!(
        found.step("round-trip")["facts"]["transport"],
        "ServerSentEvents"
    );
}

#[test]
fn a_proxy_is_named_and_looked_at_in_place_of_the_server() {
    let (base, _hub) = serve();
    let proxy = wire::http_proxy(None).unwrap();
    let url = format!("{base}/open");
    let with = proxy.url("").replace("http://", "http://user:canary@");
    let found = doctor(&url, &["--proxy", &with]);
    assert_eq!(found.code, 0, "{}", found.all);
    assert_eq!(found.step("proxy")["facts"]["proxy"], proxy.url(""));
    assert!(
        found.step("tcp")["detail"]
            .as_str()
            .unwrap()
            .starts_with(&proxy.address.to_string()),
        "{}",
        found.all
    );
    assert!(!found.all.contains("canary"), "{}", found.all);
    let nowhere = closed_port()
        .replace("/hub", "")
        .replace("http://", "socks5://");
    doctor(&url, &["--proxy", &nowhere]).failed_at("tcp", &["refused"]);
    assert_eq!(doctor(&url, &["--proxy", "none"]).code, 0);
}
