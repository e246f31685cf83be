//! Connections for threads without an async runtime.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures_util::stream;
use signalr_client::blocking::HubConnection;
use signalr_client::{
    CallErrorKind, ConnectionState, StartErrorKind, Upload, WeakHubConnection, blocking,
};
use signalr_tests::own;

const PATIENCE: Duration = Duration::from_secs(10);

fn connect() -> HubConnection {
    let url = own::start().unwrap().url + "/hub";
    let connection = signalr_client::HubConnection::builder(url)
        .build_blocking()
        .unwrap();
    connection.start().unwrap();
    connection
}

/// What a handler for `target` gives when the server calls it.
fn in_handler<T: Send + 'static>(
    connection: &HubConnection,
    target: &str,
    work: impl Fn(HubConnection) -> T + Send + Sync + 'static,
) -> Receiver<T> {
    let (sender, receiver) = channel();
    let inside = std::sync::Mutex::new(Some(connection.clone()));
    connection.on(target, move |_: i32| {
        // Taken, so that the handler does not keep its connection.
        if let Some(connection) = inside.lock().unwrap().take() {
            let _ = sender.send(work(connection));
        }
    });
    receiver
}

#[test]
fn calls_sends_streams_and_uploads_wait_for_what_they_are_for() {
    let connection = connect();
    assert_eq!(connection.state(), ConnectionState::Connected);
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)), Ok(3));
    assert_eq!(connection.call("Add", (1, 2)), Ok(()));
    assert_eq!(connection.send("DoNothing", ()), Ok(()));
    let numbers = connection.stream::<i32>("Count", (5, 0)).unwrap();
    let numbers: Result<Vec<_>, _> = numbers.collect();
    assert_eq!(numbers, Ok(vec![0, 1, 2, 3, 4]));
    let upload = Upload::new(stream::iter(0..10));
    assert_eq!(connection.invoke::<i64>("Sum", (upload,)), Ok(45));
    let (heard, hears) = channel();
    let subscription = connection.on_with(
        heard,
        "Hear",
        |heard: std::sync::mpsc::Sender<i32>, n: i32| {
            let _ = heard.send(n);
        },
    );
    connection.call("SendToCaller", ("Hear", 7)).unwrap();
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(7));
    assert!(connection.off(&subscription));
    connection.stop();
    assert_eq!(connection.state(), ConnectionState::Disconnected);
    let late = connection.invoke::<i32>("Add", (1, 2)).unwrap_err();
    assert_eq!(late.kind(), &CallErrorKind::NotConnected);
    connection.start().unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)), Ok(3));
}

#[test]
fn a_deadline_ends_a_call_that_waits() {
    let connection = connect();
    let after = Duration::from_millis(50);
    let begun = Instant::now();
    let late = connection
        .timeout(after)
        .invoke::<String>("Slow", (30_000, "x"))
        .unwrap_err();
    assert_eq!(late.kind(), &CallErrorKind::Timeout { after });
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn what_is_begun_is_looked_at_and_never_waited_for() {
    let url = own::start().unwrap().url + "/hub";
    let connection = signalr_client::HubConnection::builder(url)
        .build_blocking()
        .unwrap();
    fn finish<O>(mut pending: blocking::Pending<O>) -> O {
        let begun = Instant::now();
        loop {
            if let Some(output) = pending.poll() {
                assert!(pending.poll().is_none(), "it comes once");
                return output;
            }
            assert!(begun.elapsed() < PATIENCE, "it hangs");
            std::thread::yield_now();
        }
    }
    assert_eq!(finish(connection.begin_start()), Ok(()));
    assert_eq!(finish(connection.begin::<i32>("Add", (1, 2))), Ok(3));
    let mut slow = connection.begin::<String>("Slow", (30_000, "x"));
    assert!(slow.poll().is_none());
    connection.stop();
    let lost = finish(slow).unwrap_err();
    assert!(matches!(lost.kind(), CallErrorKind::ConnectionLost(_)));
}

#[test]
fn a_handler_that_would_wait_for_its_own_connection_is_told_so() {
    let connection = connect();
    let told = in_handler(&connection, "Hear", |connection| {
        let called = connection.invoke::<i32>("Add", (1, 2)).unwrap_err();
        let sent = connection.send("DoNothing", ()).unwrap_err();
        let opened = connection.stream::<i32>("Count", (1, 0)).unwrap_err();
        let started = connection.start().unwrap_err();
        let kinds = [called, sent, opened].map(signalr_client::CallError::into_kind);
        (kinds, started.into_kind())
    });
    connection.send("SendToCaller", ("Hear", 1)).unwrap();
    let (calls, start) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(calls, [const { CallErrorKind::InsideHandler }; 3]);
    assert_eq!(start, StartErrorKind::InsideHandler);

    // It may call without waiting on its thread, and it may stop.
    let (sender, receiver) = channel();
    connection.on_with(
        sender,
        "Ask",
        async |sender: std::sync::mpsc::Sender<_>, hub: WeakHubConnection, n: i32| {
            let hub = hub.upgrade().unwrap();
            drop(sender.send(hub.invoke::<i32>("Add", (n, 1)).await));
        },
    );
    connection.send("SendToCaller", ("Ask", 1)).unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), Ok(2));
    let stopped = in_handler(&connection, "Stop", |connection| connection.stop());
    connection.send("SendToCaller", ("Stop", 1)).unwrap();
    stopped.recv_timeout(PATIENCE).unwrap();
    let begun = Instant::now();
    while connection.state() != ConnectionState::Disconnected {
        assert!(begun.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
}

#[test]
fn a_start_that_fails_says_why_and_ends_in_time() {
    let connection = signalr_client::HubConnection::builder("http://127.0.0.1:1/hub")
        .build_blocking()
        .unwrap();
    let error = connection.start().unwrap_err();
    assert!(matches!(error.kind(), StartErrorKind::Failed(_)));
    connection.stop();
}
