//! What the log tells those who wonder.

use tracing::Level;

use crate::bench::Bench;
use crate::logs::logged;

/// What is logged while `work` runs, but for details.
fn told(work: impl FnOnce()) -> String {
    logged(Level::INFO, work).join("\n")
}

#[test]
fn a_value_that_the_server_does_not_want_is_told_once_for_each_handler() {
    let log = told(|| {
        let mut bench = Bench::started(|builder| builder);
        bench.connection().on("Plain", || 7);
        bench.connection().on("Async", || async { "text" });
        bench.connection().on("Nothing", || {});
        for _ in 0..3 {
            for target in ["Plain", "Async", "Nothing"] {
                bench.net.say(&format!(
                    r#"{{"type":1,"target":"{target}","arguments":[]}}"#
                ));
            }
        }
        bench
            .net
            .say(r#"{"type":1,"invocationId":"s1","target":"Plain","arguments":[]}"#);
        bench.settle();
        assert!(bench.net.heard().concat().contains("\"result\":7"));
    });
    let lines = log
        .lines()
        .filter(|line| line.contains("for a call that wants none"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines.iter().all(|line| line.contains("WARN")), "{log}");
    assert!(
        lines[0].contains("Plain") && lines[1].contains("Async"),
        "{log}"
    );
}

#[test]
fn whether_a_connection_was_stopped_or_dropped_is_told() {
    let dropped = told(|| {
        let mut bench = Bench::started(|builder| builder);
        bench.connection = None;
        bench.settle();
        bench.net.change(|world| world.cut = true);
        bench.settle();
        assert!(bench.driver.is_none());
    });
    assert!(
        dropped.contains("its last handle was dropped") && !dropped.contains("was stopped"),
        "{dropped}"
    );
    let stopped = told(|| {
        let mut bench = Bench::started(|builder| builder);
        let connection = bench.connection().clone();
        let mut stopping = Box::pin(connection.stop());
        assert_eq!(bench.poll(&mut stopping), None);
        bench.net.change(|world| world.cut = true);
        assert_eq!(bench.poll(&mut stopping), Some(()));
    });
    assert!(stopped.contains("the connection was stopped"), "{stopped}");
}
