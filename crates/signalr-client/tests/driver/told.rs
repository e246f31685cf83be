//! What the log tells those who wonder.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bench::Bench;

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while `work` runs, but for details.
fn told(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
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
