//! What the log tells at which level, and that it tells no payloads.

use core::time::Duration;
use std::sync::Mutex;

use signalr_client::{LifecycleEvent, ReconnectPolicy};
use signalr_harness::log::Log;
use tracing::Level;

use crate::bench::Bench;

/// What is logged at this level and above while `work` runs, line by line.
pub(crate) fn logged(level: Level, work: impl FnOnce()) -> Vec<String> {
    let log = Log::begin(level);
    work();
    let text = log.text();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The one line with these words.
fn line<'a>(lines: &'a [String], words: &str) -> &'a str {
    let found: Vec<_> = lines.iter().filter(|line| line.contains(words)).collect();
    let [line] = found[..] else {
        panic!("'{words}' is in {} of {lines:#?}", found.len());
    };
    line
}

#[test]
fn the_way_to_another_connection_is_told_at_info_and_giving_up_at_warn() {
    let lines = logged(Level::INFO, || {
        let policy = ReconnectPolicy::Delays([0, 10].map(Duration::from_secs).into());
        let mut bench = Bench::started(|builder| builder.automatic_reconnect(policy));
        bench.net.change(|world| {
            world.cut = true;
            world.refuses = true;
        });
        bench.settle();
        bench.net.advance(Duration::from_secs(10));
        bench.settle();
    });
    let connected = line(&lines, "connected connection_id");
    assert!(
        connected.starts_with("INFO") && connected.contains("WebSockets"),
        "{connected}"
    );
    assert!(line(&lines, "connection lost, reconnecting").starts_with("INFO"));
    let first = line(&lines, "trying to reconnect");
    assert!(
        first.starts_with("INFO") && first.contains("next_attempt=1"),
        "{first}"
    );
    let second = line(&lines, "could not reconnect, trying again");
    assert!(
        second.starts_with("INFO")
            && second.contains("status 503")
            && second.contains("next_attempt=2 delay=10s"),
        "{second}"
    );
    let end = line(&lines, "giving up");
    assert!(
        end.starts_with("WARN") && end.contains("status 503"),
        "{end}"
    );
}

const TWO: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"canary","availableTransports":[{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

#[test]
fn a_transport_that_does_not_start_is_told_at_info_with_its_reason() {
    let lines = logged(Level::INFO, || {
        let mut bench = Bench::new(|builder| builder);
        bench.net.change(|world| world.offer = Some(TWO));
        let connection = bench.connection().clone();
        assert_eq!(bench.finish(connection.start()), Ok(()));
    });
    let fallback = line(&lines, "a transport did not start, trying the next");
    assert!(
        fallback.starts_with("INFO")
            && fallback.contains("from=\"ServerSentEvents\" to=\"WebSockets\"")
            && fallback.contains("is no event stream"),
        "{fallback}"
    );
    assert!(!lines.concat().contains("canary"), "{lines:#?}");
}

/// Words of the application are told, and data are not, as they may be what the server has sent.
#[test]
fn a_handler_that_fails_is_an_error_with_its_words_or_the_name_of_its_type() {
    #[derive(serde::Serialize)]
    struct Unreadable {
        found: String,
    }

    let lines = logged(Level::TRACE, || {
        let mut bench = Bench::started(|builder| builder);
        let connection = bench.connection();
        connection.on("Data", |found: String| Err::<(), _>(Unreadable { found }));
        connection.on("Words", |_: String| Err::<(), _>("it is not readable"));
        connection.on("Panics", |text: String| assert_eq!(text, "", "{text}"));
        for target in ["Data", "Words", "Panics"] {
            bench.net.say(&format!(
                r#"{{"type":1,"target":"{target}","arguments":["canary"]}}"#
            ));
        }
        bench.settle();
    });
    let data = line(&lines, "a handler failed: Unreadable");
    assert!(data.starts_with("ERROR") && data.contains("Data"), "{data}");
    let words = line(&lines, "a handler failed: it is not readable");
    assert!(
        words.starts_with("ERROR") && words.contains("Words"),
        "{words}"
    );
    let panics = line(&lines, "a handler failed: it panicked");
    assert!(
        panics.starts_with("ERROR") && panics.contains("Panics"),
        "{panics}"
    );
    assert!(!lines.concat().contains("canary"), "{lines:#?}");
}

/// Servers of version 0 let requests in by it ([`Bench`] offers version 1).
#[test]
fn an_id_that_is_a_secret_is_neither_logged_nor_shown() {
    const OLD: &str = r#"{"connectionId":"canary","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
    let mut shown = String::new();
    let lines = logged(Level::TRACE, || {
        use futures_util::FutureExt as _;

        let mut bench = Bench::new(|builder| builder);
        bench.net.change(|world| world.offer = Some(OLD));
        let mut events = bench.connection().events();
        let connection = bench.connection().clone();
        assert_eq!(bench.finish(connection.start()), Ok(()));
        let Some(Some(event)) = events.next().now_or_never() else {
            panic!("nothing is told");
        };
        shown = format!("{event:?}");
        let LifecycleEvent::Connected { connection_id, .. } = event else {
            panic!("{shown}");
        };
        assert_eq!(connection_id.as_deref(), Some("canary"));
        assert_eq!(connection.connection_id().as_deref(), Some("canary"));
    });
    assert!(line(&lines, "connected connection_id").contains("(secret)"));
    let seen = lines.iter().chain([&shown]);
    let seen: Vec<_> = seen.filter(|text| text.contains("canary")).collect();
    assert!(seen.is_empty(), "{seen:#?}");
}

#[test]
fn a_clean_end_is_no_warning() {
    let lines = logged(Level::WARN, || {
        let mut bench = Bench::started(|builder| builder);
        bench.net.say(r#"{"type":7}"#);
        bench.settle();
    });
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn a_handler_that_cannot_be_called_is_a_warning_with_target_and_reason() {
    let lines = logged(Level::WARN, || {
        let mut bench = Bench::started(|builder| builder);
        bench.connection().on("Add", |_: i32, _: i32| {});
        for target in ["Add", "Missing"] {
            bench.net.say(&format!(
                r#"{{"type":1,"target":"{target}","arguments":["canary"]}}"#
            ));
        }
        bench.settle();
    });
    let misfit = line(&lines, "Add");
    assert!(
        misfit.starts_with("WARN")
            && misfit.contains("provides 1 argument(s) but target expects 2"),
        "{misfit}"
    );
    assert!(line(&lines, "Missing").contains("no handler"));
    assert!(!lines.concat().contains("canary"));
}

#[test]
fn a_name_that_differs_in_capitals_is_a_warning_once_even_for_observers() {
    let lines = logged(Level::WARN, || {
        let mut bench = Bench::started(|builder| builder);
        bench.connection().on("Receive", |_: String| {});
        let observer = bench.connection().on_any(|_, _| {});
        let call = r#"{"type":1,"target":"receive","arguments":["canary"]}"#;
        bench.net.say(call);
        bench.net.say(call);
        bench.settle();
        bench.connection().off(&observer);
        bench.net.say(call);
        bench.settle();
    });
    // The last line is that the bench ends with its connection.
    let [first, second, _] = &lines[..] else {
        panic!("{lines:#?}");
    };
    assert!(
        first.starts_with("WARN")
            && first.contains(r#"target="receive" handler="Receive""#)
            && first.contains("ignore_case"),
        "{first}"
    );
    assert!(second.contains("no handler") && !second.contains("capitals"));
    assert!(!lines.concat().contains("canary"));
}

#[test]
fn results_that_contradict_each_other_are_a_warning() {
    let lines = logged(Level::WARN, || {
        let mut bench = Bench::started(|builder| builder);
        bench.connection().on("Ask", || 1);
        bench.connection().on("Ask", || 2);
        bench
            .net
            .say(r#"{"type":1,"invocationId":"1","target":"Ask","arguments":[]}"#);
        bench.settle();
    });
    let warning = line(&lines, "several handlers gave a result");
    assert!(
        warning.starts_with("WARN") && warning.contains(r#"target="Ask""#),
        "{warning}"
    );
}

#[test]
fn a_handler_that_blocks_the_driver_for_a_second_is_a_warning_with_its_target() {
    for (target, question, slow) in [
        ("Plain", "", true),
        ("Plain", "", false),
        ("Ask", r#""invocationId":"1","#, true),
        ("Async", "", true),
        ("AsyncAsk", r#""invocationId":"1","#, true),
    ] {
        let lines = logged(Level::WARN, || {
            let mut bench = Bench::started(|builder| builder);
            let net = bench.net.clone();
            let block = move || net.advance(Duration::from_millis(if slow { 1500 } else { 900 }));
            if target.starts_with("Async") {
                let (open, gate) = futures_channel::oneshot::channel::<()>();
                let gate = Mutex::new(Some(gate));
                bench.connection().on(target, move || {
                    let (gate, block) = (gate.lock().unwrap().take(), block.clone());
                    async move {
                        let _ = gate.unwrap().await;
                        block();
                        1
                    }
                });
                bench.net.say(&format!(
                    r#"{{"type":1,{question}"target":"{target}","arguments":[]}}"#
                ));
                bench.settle();
                open.send(()).unwrap();
            } else {
                bench.connection().on(target, move || {
                    block();
                    1
                });
                bench.net.say(&format!(
                    r#"{{"type":1,{question}"target":"{target}","arguments":[]}}"#
                ));
            }
            bench.settle();
        });
        if slow {
            let warning = line(&lines, "blocked the connection");
            assert!(
                warning.starts_with("WARN")
                    && warning.contains(&format!("target=\"{target}\" took=1.5s")),
                "{warning}"
            );
        } else {
            let blocked = lines.iter().find(|line| line.contains("blocked"));
            assert_eq!(blocked, None);
        }
    }
}

#[test]
fn a_callback_that_blocks_the_driver_is_a_warning() {
    let lines = logged(Level::WARN, || {
        let mut bench = Bench::started(|builder| builder);
        let net = bench.net.clone();
        bench
            .connection()
            .on_close(move |_| net.advance(Duration::from_secs(2)));
        bench.net.say(r#"{"type":7}"#);
        bench.settle();
    });
    assert!(line(&lines, "a lifecycle callback blocked").contains("took=2s"));
}

#[test]
fn the_events_tell_id_and_transport_and_every_attempt() {
    use futures_util::FutureExt as _;

    let policy = ReconnectPolicy::Delays([0, 10].map(Duration::from_secs).into());
    let mut bench = Bench::new(|builder| builder.automatic_reconnect(policy));
    let mut events = bench.connection().events();
    let connection = bench.connection().clone();
    assert_eq!(bench.finish(connection.start()), Ok(()));
    let mut told = || {
        let mut told = Vec::new();
        while let Some(Some(event)) = events.next().now_or_never() {
            told.push(event);
        }
        told
    };
    assert!(matches!(
        &told()[..],
        [LifecycleEvent::Connected { connection_id: Some(id), transport, .. }]
            if &**id == "id" && transport.name() == "WebSockets"
    ));
    bench.net.change(|world| {
        world.cut = true;
        world.refuses = true;
    });
    bench.settle();
    let told = told();
    let [
        LifecycleEvent::Reconnecting { reason: lost },
        LifecycleEvent::ReconnectAttempt {
            attempt: 1,
            delay: Duration::ZERO,
            reason,
        },
        LifecycleEvent::ReconnectAttempt {
            attempt: 2,
            delay,
            reason: refused,
        },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((lost, *delay), (reason, Duration::from_secs(10)));
    assert!(refused.to_string().contains("503"), "{refused}");
}

#[test]
fn the_events_tell_every_attempt_to_start_and_why_the_last_one_failed() {
    use futures_util::FutureExt as _;

    let policy = ReconnectPolicy::Delays([3, 10].map(Duration::from_secs).into());
    let mut bench = Bench::new(|builder| builder.retry_start(policy));
    bench.net.change(|world| world.refuses = true);
    let mut events = bench.connection().events();
    let connection = bench.connection().clone();
    let mut starting = Box::pin(connection.start());
    assert_eq!(bench.poll(&mut starting), None);
    bench.net.advance(Duration::from_secs(3));
    assert_eq!(bench.poll(&mut starting), None);
    bench.net.advance(Duration::from_secs(10));
    assert!(bench.poll(&mut starting).unwrap().is_err());
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        told.push(event);
    }
    let [
        LifecycleEvent::StartRetry {
            attempt: 2,
            delay: second,
            reason: first_failure,
        },
        LifecycleEvent::StartRetry {
            attempt: 3,
            delay: third,
            reason: second_failure,
        },
        LifecycleEvent::StartFailed { reason: end },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!([*second, *third], [3, 10].map(Duration::from_secs));
    for failure in [first_failure, second_failure, end] {
        assert!(failure.to_string().contains("503"), "{failure}");
    }
}
