//! How connections begin, end and come back.

use core::future;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use signalr_client::{
    BuildError, CallError, CallErrorKind, CloseReason, ConnectionState, HubConnection,
    HubConnectionBuilder, LifecycleEvent, ReconnectPolicy, RefreshErrorKind, RetryPolicy,
    StartErrorKind,
};

use crate::bench::{Bench, Net};

#[test]
fn start_negotiates_opens_shakes_hands_and_pings() {
    let mut bench = Bench::new(|builder| builder.token("secret").token_in_query(true));
    let connection = bench.connection().clone();
    assert_eq!(bench.finish(connection.start()), Ok(()));
    assert_eq!(
        (connection.state(), connection.connection_id().as_deref()),
        (ConnectionState::Connected, Some("id"))
    );
    let requests = bench.net.world().requests.clone();
    assert_eq!(
        requests,
        [
            "http://host/hub/negotiate?negotiateVersion=1",
            "ws://host/hub?id=token&access_token=secret"
        ]
    );
    assert_eq!(
        bench.net.heard().concat(),
        "{\"protocol\":\"json\",\"version\":1}\u{1e}{\"type\":6}\u{1e}"
    );
    assert!(!format!("{connection:?}").contains("secret"));
}

#[test]
fn dropping_the_last_handle_says_goodbye_and_ends_the_driver() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    bench.connection = None;
    assert_eq!(bench.poll(&mut call), None, "a pending call is a handle");
    bench.net.heard();
    drop(call);
    bench.settle();
    // The close frame follows the Close message at once, and is the last.
    let goodbye = "{\"type\":7}\u{1e}close 1000";
    assert!(bench.net.heard().concat().ends_with(goodbye));
    assert!(bench.driver.is_some(), "the server was not waited for");
    bench.net.say(r#"{"type":7}"#);
    bench.settle();
    assert!(bench.net.heard().is_empty());
    bench.net.advance(Duration::from_secs(2));
    bench.settle();
    assert!(bench.driver.is_none());
}

#[test]
fn a_stop_waits_for_the_servers_side_of_the_web_socket_but_not_for_ever() {
    for answers in [true, false] {
        let mut bench = Bench::started(|builder| builder);
        let connection = bench.connection().clone();
        let mut stopping = Box::pin(connection.stop());
        assert_eq!(bench.poll(&mut stopping), None);
        assert!(bench.net.heard().concat().ends_with("close 1000"));
        bench.net.advance(Duration::from_millis(4999));
        assert_eq!(bench.poll(&mut stopping), None);
        if answers {
            bench.net.change(|world| world.cut = true);
        } else {
            bench.net.advance(Duration::from_millis(1));
        }
        assert_eq!(bench.poll(&mut stopping), Some(()));
    }
}

#[test]
fn a_driver_that_is_dropped_while_it_connects_fails_the_start() {
    let mut bench = Bench::new(|builder| builder.access_token(future::pending::<Option<String>>));
    let connection = bench.connection().clone();
    let mut events = connection.events();
    let told = Arc::new(Mutex::new(Vec::new()));
    let closed = Arc::clone(&told);
    connection.on_close(move |reason| closed.lock().unwrap().push(reason.cloned()));
    let mut starting = Box::pin(connection.start());
    assert_eq!(bench.poll(&mut starting), None);
    bench.driver = None;
    let started = bench.poll(&mut starting).unwrap().unwrap_err();
    assert_eq!(started.kind(), &StartErrorKind::DriverGone);
    let reason = CloseReason::DriverGone;
    let failed = LifecycleEvent::StartFailed { reason };
    assert_eq!(bench.finish(events.next()), Some(failed));
    assert_eq!(bench.finish(events.next()), None);
    assert_eq!(*told.lock().unwrap(), []);
}

#[test]
fn a_connection_that_is_over_is_not_closed_again_with_its_driver() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    bench.net.change(|world| world.cut = true);
    let mut events = connection.events();
    let closed = bench.finish(events.next());
    assert!(
        matches!(closed, Some(LifecycleEvent::Closed { reason }) if reason != CloseReason::DriverGone)
    );
    bench.driver = None;
    assert_eq!(bench.finish(events.next()), None);
}

#[test]
fn handles_of_a_dropped_driver_fail_and_do_not_hang() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    let mut items = bench
        .finish(bench.connection().stream::<u32>("Count", ()))
        .unwrap();
    assert_eq!(bench.poll(&mut call), None);
    let (mut states, mut events) = (bench.connection().states(), bench.connection().events());
    assert_eq!(
        bench.finish(states.next()),
        Some(ConnectionState::Connected)
    );
    bench.driver = None;
    let gone = |error: CallError| matches!(error.kind(), CallErrorKind::DriverGone);
    let Some(Err(answer)) = bench.poll(&mut call) else {
        panic!("the call is not resolved");
    };
    let Some(Err(end)) = bench.finish(items.next()) else {
        panic!("the stream is not resolved");
    };
    assert!(gone(answer) && gone(end));

    // All that is asked later says the same.
    let connection = bench.connection().clone();
    assert_eq!(connection.state(), ConnectionState::Disconnected);
    assert_eq!(
        (connection.connection_id(), connection.transport()),
        (None, None)
    );
    assert_eq!(
        bench.finish(states.next()),
        Some(ConnectionState::Disconnected)
    );
    assert_eq!(bench.finish(states.next()), None);
    let reason = CloseReason::DriverGone;
    let closed = LifecycleEvent::Closed { reason };
    assert_eq!(bench.finish(events.next()), Some(closed));
    assert_eq!(bench.finish(events.next()), None);
    assert_eq!(bench.finish(connection.events().next()), None);
    let started = bench.finish(connection.start()).unwrap_err();
    assert_eq!(started.kind(), &StartErrorKind::DriverGone);
    let refreshed = bench.finish(connection.refresh_authentication());
    assert_eq!(refreshed.unwrap_err().kind(), &RefreshErrorKind::DriverGone);
    let waited = bench.finish(connection.wait_until(ConnectionState::Connected));
    assert_eq!(waited.unwrap_err().kind(), &StartErrorKind::DriverGone);
    let called = bench.finish(connection.invoke::<u32>("Echo", ()));
    assert!(gone(called.unwrap_err()));
    assert!(gone(bench.finish(connection.send("Echo", ())).unwrap_err()));
    let opened = bench.finish(connection.stream::<u32>("Echo", ()));
    assert!(gone(opened.unwrap_err()));
    bench.finish(connection.stop());
}

#[test]
fn a_lost_connection_comes_back_by_a_custom_policy_with_fresh_tokens() {
    let tokens = Arc::new(Mutex::new(0));
    let count = Arc::clone(&tokens);
    let policy = RetryPolicy::custom(|context| {
        Some(Duration::from_secs(
            5 + u64::from(context.previous_retry_count),
        ))
    });
    let mut bench = Bench::started(|builder| {
        builder.automatic_reconnect(policy).access_token(move || {
            *count.lock().unwrap() += 1;
            future::ready(String::from("t"))
        })
    });
    let mut events = bench.connection().events();
    bench.net.change(|world| world.cut = true);
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Reconnecting);
    bench.net.advance(Duration::from_secs(5));
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Connected);
    assert_eq!(*tokens.lock().unwrap() % 2, 0);
    let told: Vec<_> = core::iter::from_fn(|| events.next().now_or_never().flatten()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn stop_while_waiting_to_reconnect_is_prompt_and_tells_once() {
    let mut bench = Bench::started(|builder| {
        builder.automatic_reconnect(ReconnectPolicy::Delays([Duration::from_secs(60)].into()))
    });
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    bench
        .connection()
        .on_close(move |reason: Option<&CloseReason>| heard.lock().unwrap().push(reason.cloned()));
    bench.net.change(|world| world.cut = true);
    bench.settle();
    let connection = bench.connection().clone();
    bench.finish(connection.stop());
    assert_eq!(
        (connection.state(), reasons.lock().unwrap().as_slice()),
        (ConnectionState::Disconnected, [None].as_slice())
    );
}

#[test]
fn mistakes_of_configuration_are_errors_of_build() {
    let build =
        |builder: HubConnectionBuilder| builder.build_with(Net::default()).map(|_| ()).unwrap_err();
    for wrong in [
        HubConnection::builder("not a url"),
        HubConnection::builder("http://h/hub").header("a b", "x"),
        HubConnection::builder("http://h/hub").header("a", "x\n"),
        HubConnection::builder("http://h/hub").server_timeout(Duration::ZERO),
    ] {
        assert!(matches!(build(wrong), BuildError::Usage(_)));
    }
}

/// A transport of one's own has its own proxies, cookies and certificates.
#[cfg(feature = "net")]
#[test]
fn options_of_the_network_are_refused_where_another_transport_would_not_obey_them() {
    use signalr_client::{NoCookies, Proxy};

    type Configure = fn(HubConnectionBuilder) -> HubConnectionBuilder;
    let options: [(&str, Configure); 5] = [
        ("proxy", |builder| builder.proxy(Proxy::none())),
        ("cookies", |builder| builder.cookies(NoCookies)),
        ("add_root_certificate", |builder| {
            builder.add_root_certificate(Vec::new())
        }),
        ("only_added_root_certificates", |builder| {
            builder.only_added_root_certificates(true)
        }),
        ("danger_accept_invalid_certificates", |builder| {
            builder.danger_accept_invalid_certificates(true)
        }),
    ];
    for (option, configure) in options {
        let builder = configure(HubConnection::builder("http://h/hub"));
        let error = builder.build_with(Net::default()).map(|_| ()).unwrap_err();
        assert_eq!(error, BuildError::NetworkOption { option });
        assert!(error.to_string().contains(option), "{error}");
    }
}
