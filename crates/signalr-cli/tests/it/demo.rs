//! `signalr demo`.

#[test]
fn the_plain_demo_runs_to_its_end_without_escape_sequences() {
    let out = crate::common::run(&["demo", "--plain"]).ok_text();
    assert!(!out.contains(['\u{1b}', '\r']), "{out}");
    for words in [
        "token",
        "heartbeat 3",
        "News(2",
        "100 %",
        "upload",
        "6 times 7",
        "cuts the connection",
        "connected again",
        "Summary",
        "all well",
    ] {
        assert!(out.contains(words), "'{words}' is missing:\n{out}");
    }
}
