//! The steps, and what is told when one fails.

use super::*;

#[test]
fn a_hub_that_works_is_told_so_in_every_step() {
    let (base, _hub) = serve();
    let url = format!("{base}/guarded");
    let found = doctor(&url, &["--token", "secret", "--probe-size", "Echo"]);
    assert_eq!(found.code, 0, "{}", found.all);
    for step in [
        "address",
        "proxy",
        "dns",
        "tcp",
        "negotiate",
        "websockets",
        "messagepack",
        "round-trip",
        "message-size",
    ] {
        assert_eq!(found.step(step)["status"], "ok", "{}", found.all);
    }
    assert_eq!(found.step("tls")["status"], "skipped");
    assert!(found.step("negotiate")["facts"]["requests"][0]["answer"]["version"] == 1);
    assert!(found.step("round-trip")["facts"]["medianMilliseconds"].is_number());
    assert_eq!(found.step("message-size")["facts"]["largestPassed"], 16384);
    assert!(!found.all.contains("secret"), "{}", found.all);
    let people = crate::common::run(&["doctor", &url, "--token", "secret"]);
    assert_eq!(people.code, 0, "{}", people.err);
    assert!(
        people.text().contains("ok      websockets"),
        "{}",
        people.text()
    );
}

#[test]
fn what_cannot_be_checked_because_a_step_failed_is_skipped() {
    doctor("localhost:5000/hub", &[]).failed_at("address", &["https://localhost:5000/hub"]);
    doctor("http://no-such-name.invalid/hub", &[])
        .failed_at("dns", &["cannot be resolved", "spelled"]);
    doctor(&closed_port(), &[]).failed_at("tcp", &["connection refused", "is the server running"]);
    let (base, _hub) = serve();
    doctor(&format!("{base}/guarded"), &["--token", "canary"])
        .failed_at("negotiate", &["the server refused the token"]);
    doctor(&format!("{base}/nothing"), &[]).failed_at("negotiate", &["404", "path"]);
}

#[test]
fn answers_that_are_no_negotiation_are_told_apart() {
    for (answer, words) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"[..], &["not a SignalR hub"][..]),
        (b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["302", "login page"]),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["502", "the server behind it"]),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["500", "log of the server"]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\nconnection: close\r\n\r\n{\"ProtocolVersion\":\"1.5\",\"Url\":\"/\"}", &["ASP.NET", "client of its own"]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"error\":\"full\"}", &["refused the connection: full"]),
        (b"SSH-2.0-nonsense\r\n", &["not answer as an HTTP server"]),
    ] {
        doctor(&serve_bytes(Some(answer)), &["--timeout", "5"]).failed_at("negotiate", words);
    }
}

#[test]
fn silence_ends_each_step_in_time() {
    let silent = serve_bytes(None);
    doctor(&silent, &["--timeout", "0.3"]).failed_at("negotiate", &["300ms", "is it stuck"]);
    doctor(&silent.replace("http:", "https:"), &["--timeout", "0.3"])
        .failed_at("tls", &["does not answer the TLS handshake in time"]);
}

#[test]
fn a_transport_that_was_asked_for_and_is_not_offered_is_a_failure() {
    const OFFER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 142\r\nconnection: close\r\n\r\n{\"negotiateVersion\":1,\"connectionId\":\"a\",\"connectionToken\":\"b\",\"availableTransports\":[{\"transport\":\"LongPolling\",\"transferFormats\":[\"Text\"]}]}";
    let found = doctor(
        &serve_bytes(Some(OFFER)),
        &["--transport", "ws", "--timeout", "1"],
    );
    assert_eq!(found.code, 1, "{}", found.all);
    let step = found.step("websockets");
    assert_eq!(step["status"], "failed", "{}", found.all);
    assert!(step["advice"].to_string().contains("--transport"), "{step}");
}

#[test]
fn addresses_that_are_none_come_with_the_advice_that_fits() {
    for (url, words) in [
        ("http://h:65536/chat", "65535"),
        (
            "http://b\u{fffd}cher.example/chat",
            "letters of any language",
        ),
        ("http://h/two words", "ASCII"),
    ] {
        doctor(url, &[]).failed_at("address", &[words]);
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_not_taken_for_the_server() {
    let proxy = closed_port().replace("/hub", "");
    doctor("http://127.0.0.1:1/hub", &["--proxy", &proxy]).failed_at("tcp", &["this is the proxy"]);
}

#[test]
fn the_certificate_of_an_authority_is_told_from_one_that_nobody_trusts() {
    let ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let made = Made::new(|params| params.is_ca = ca, None);
    doctor(&made.serve(), &[]).failed_at("tls", &["authority (CA)", "CA:FALSE"]);
}

#[test]
fn limits_below_a_kibibyte_are_found() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&format!("{base}/tiny"), &["--probe-size", "EchoText"]);
    assert_eq!(found.step("message-size")["facts"]["largestPassed"], 512);
}

#[test]
fn the_wrong_scheme_is_recognised_in_both_directions() {
    let (base, _hub) = serve();
    doctor(&format!("{}/open", base.replace("http:", "https:")), &[])
        .failed_at("tls", &["does not speak TLS", "http://"]);
    let made = Made::new(|_| {}, None);
    doctor(&made.serve().replace("https:", "http:"), &[])
        .failed_at("negotiate", &["speaks TLS at this port", "https://"]);
}
