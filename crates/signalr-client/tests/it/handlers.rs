//! Calls of the server: handlers, observers, and what waits for them.

use core::future;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use signalr_client::{Arguments, ConnectionState, Limits};

use crate::bench::{Bench, answer};

#[test]
fn questions_count_among_the_calls_that_wait_for_handlers() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let (open, gate) = futures_channel::oneshot::channel::<()>();
    let gate = gate.shared();
    bench.connection().on("Ask", move || {
        let gate = gate.clone();
        async move { gate.await.is_ok() }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"invocationId":"s{number}","target":"Ask","arguments":[]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (80..=90).contains(&unread),
        "{unread} messages were left unread"
    );
    open.send(()).unwrap();
    bench.settle();
    let heard = bench.net.heard().concat();
    assert_eq!(heard.matches(r#""result":true"#).count(), 100);
}

#[test]
fn a_slow_handler_stops_the_reading_and_the_server_is_not_blamed() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let (open, gate) = futures_channel::oneshot::channel::<()>();
    let gate = gate.shared();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let numbers = Arc::clone(&handled);
    bench.connection().on("Number", move |number: u32| {
        let (gate, numbers) = (gate.clone(), Arc::clone(&numbers));
        async move {
            let _ = gate.await;
            numbers.lock().unwrap().push(number);
        }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Number","arguments":[{number}]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (80..=90).contains(&unread),
        "{unread} messages were left unread"
    );
    bench.net.advance(Duration::from_secs(40));
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Connected);
    open.send(()).unwrap();
    bench.settle();
    assert_eq!(*handled.lock().unwrap(), (0..100).collect::<Vec<_>>());
    bench.net.advance(Duration::from_secs(31));
    bench.settle();
    assert_eq!(
        bench.connection().state(),
        ConnectionState::Disconnected,
        "silence is the server's fault again"
    );
}

#[test]
fn a_handler_that_waits_for_an_answer_gets_it_however_many_calls_wait_for_the_handler() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let handled = Arc::new(Mutex::new(Vec::new()));
    let (numbers, weak) = (Arc::clone(&handled), bench.connection().downgrade());
    bench.connection().on("Number", move |number: u32| {
        let (numbers, connection) = (Arc::clone(&numbers), weak.upgrade().unwrap());
        async move {
            let answer = match number {
                0 => connection.invoke("Ask", ()).await,
                _ => Ok(number),
            };
            numbers.lock().unwrap().push(answer);
        }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Number","arguments":[{number}]}}"#
        ));
    }
    bench.settle();
    bench.net.say(&answer(1, 0));
    bench.settle();
    let wanted: Vec<_> = (0..100).map(Ok).collect();
    assert_eq!(*handled.lock().unwrap(), wanted);
}

#[test]
fn calls_that_wait_while_an_answer_is_awaited_are_bounded_by_their_size() {
    let mut bench = Bench::started(|builder| {
        let mut limits = Limits::CLIENT;
        limits.max_incoming_bytes = 10_000;
        builder.handler_queue(10).limits(limits)
    });
    bench
        .connection()
        .on("Text", |_: String| future::pending::<()>());
    let mut call = bench.connection().invoke::<u32>("Ask", ());
    assert_eq!(bench.poll(&mut call), None);
    let text = "x".repeat(100);
    for _ in 0..500 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Text","arguments":["{text}"]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (400..=480).contains(&unread),
        "{unread} messages were left unread"
    );
}

#[test]
fn an_observer_hears_every_call_before_its_handlers_and_answers_none() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let note = |who: &'static str| {
        let heard = Arc::clone(&heard);
        move |target: &str, arguments: &Arguments| {
            let text = String::from_utf8_lossy(arguments.as_bytes()).into_owned();
            heard.lock().unwrap().push(format!("{who} {target}{text}"));
        }
    };
    let said = || core::mem::take(&mut *heard.lock().unwrap());
    connection.on_any(|_, _| panic!("as it must"));
    let first = connection.on_any(note("first"));
    connection.on_any(note("second"));
    let handler = note("handler");
    connection.on("Known", move |arguments: Arguments| handler("", &arguments));

    bench
        .net
        .say(r#"{"type":1,"target":"Known","arguments":[1]}"#);
    bench
        .net
        .say(r#"{"type":1,"invocationId":"q","target":"Unknown","arguments":["a"]}"#);
    bench.settle();
    let all = [
        "first Known[1]",
        "second Known[1]",
        "handler [1]",
        "first Unknown[\"a\"]",
        "second Unknown[\"a\"]",
    ];
    assert_eq!(said(), all);
    let answers = bench.net.heard().concat();
    assert!(
        answers.contains("Client didn't provide a result.")
            && answers.matches("\"type\":3").count() == 1,
        "{answers}"
    );

    assert!(connection.off(&first) && !connection.off(&first));
    bench
        .net
        .say(r#"{"type":1,"target":"Known","arguments":[2]}"#);
    bench.settle();
    assert_eq!(said(), ["second Known[2]", "handler [2]"]);
}

#[test]
fn an_observer_is_not_held_up_by_slow_handlers() {
    let mut bench = Bench::started(|builder| builder);
    bench.connection().on("Slow", future::pending::<()>);
    let count = Arc::new(Mutex::new(0));
    let heard = Arc::clone(&count);
    bench
        .connection()
        .on_any(move |_, _| *heard.lock().unwrap() += 1);
    for _ in 0..3 {
        bench
            .net
            .say(r#"{"type":1,"target":"Slow","arguments":[]}"#);
    }
    bench.settle();
    assert_eq!(*count.lock().unwrap(), 3);
}

#[test]
fn several_results_are_an_error_when_the_server_asks_and_none_when_it_does_not() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    let calls = Arc::new(Mutex::new(0));
    for number in 1..=2 {
        let calls = Arc::clone(&calls);
        connection.on("Add", move |a: i32| {
            *calls.lock().unwrap() += 1;
            a + number
        });
    }
    connection.on("Add", |_: i32| {});
    let failing = connection.on("Fail", |_: i32| Err::<i32, _>("no"));
    connection.on("Fail", |a: i32| a);
    connection.on("Fail", |_: i32| Ok::<(), String>(()));

    for (id, target) in [("", "Add"), (r#""invocationId":"1","#, "Add")] {
        bench.net.say(&format!(
            r#"{{"type":1,{id}"target":"{target}","arguments":[1]}}"#
        ));
    }
    bench.settle();
    assert_eq!(*calls.lock().unwrap(), 4, "all handlers run each time");
    assert_eq!(
        bench.net.heard(),
        [
            "{\"type\":3,\"invocationId\":\"1\",\"error\":\"Client provided multiple results.\"}\u{1e}"
        ]
    );

    // A failure is no result: the other handler's counts.
    let ask = r#"{"type":1,"invocationId":"2","target":"Fail","arguments":[7]}"#;
    bench.net.say(ask);
    bench.settle();
    assert!(bench.net.heard().concat().contains(r#""result":7"#));
    assert!(connection.off(&failing));
}

#[test]
fn capitals_of_names_may_be_ignored() {
    let mut bench = Bench::started(|builder| builder.ignore_case(true));
    let subscription = bench.connection().on("getNumber", || 7);
    bench
        .net
        .say(r#"{"type":1,"invocationId":"1","target":"GetNumber","arguments":[]}"#);
    bench.settle();
    assert!(bench.net.heard().concat().contains(r#""result":7"#));
    assert!(bench.connection().off(&subscription));
    assert_eq!(bench.connection().off_all("GETNUMBER"), 0);
}
