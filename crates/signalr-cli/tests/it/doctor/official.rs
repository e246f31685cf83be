//! The official server, in all its states.

use super::*;

#[test]
fn the_odd_hubs_of_the_official_server_are_recognised() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let odd = |path: &str, words: &[&str]| {
        doctor(&format!("{base}{path}"), &[]).failed_at("negotiate", words)
    };
    odd("/refused", &["This connection is not allowed."]);
    odd("/broken", &["not a SignalR hub"]);
    odd("/classic", &["ASP.NET"]);
    odd("/unavailable", &["503"]);
    odd("/auth", &["401", "--token"]);
    odd("/loop", &["99 redirects", "in a circle"]);
    let redirected = doctor(&format!("{base}/redirect"), &[]);
    assert_eq!(redirected.code, 0, "{}", redirected.all);
    assert!(
        redirected.step("negotiate")["detail"]
            .as_str()
            .unwrap()
            .contains("redirected to")
    );
    assert!(!redirected.all.contains("alice"), "{}", redirected.all);
    let failing = doctor(&format!("{base}/failing"), &[]);
    assert_eq!(failing.code, 1);
    assert!(
        failing
            .step("websockets")
            .to_string()
            .contains("OnConnectedAsync"),
        "{}",
        failing.all
    );
}

#[test]
fn every_transport_of_the_official_server_is_tried() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&format!("{base}/hub"), &[]);
    assert_eq!(found.code, 0, "{}", found.all);
    for step in [
        "websockets",
        "server-sent-events",
        "long-polling",
        "event-stream-flow",
        "messagepack",
        "round-trip",
    ] {
        assert_eq!(found.step(step)["status"], "ok", "{}", found.all);
    }
    let found = doctor(&format!("{base}/sse"), &[]);
    for (step, status) in [
        ("websockets", "skipped"),
        ("server-sent-events", "ok"),
        ("messagepack", "skipped"),
        ("round-trip", "ok"),
    ] {
        assert_eq!(found.step(step)["status"], status, "{}", found.all);
    }
}
