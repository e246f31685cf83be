//! Time and faults: nothing of this takes any.

use std::time::{Duration, Instant};

use signalr_client::{
    CallErrorKind, CloseReason, ConnectionState, LifecycleEvent, ReconnectPolicy,
};
use signalr_testkit::{Network, Observer, Refusal, ScriptedHub, now, run, sleep};

use crate::{PROTOCOLS, builder};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_connection_comes_back_after_the_delays_of_its_policy() {
    for protocol in PROTOCOLS {
        let began = Instant::now();
        run(async {
            let hub = ScriptedHub::new();
            let policy = ReconnectPolicy::standard();
            let connection = hub
                .connect(builder().protocol(protocol).automatic_reconnect(policy))
                .await;
            let observer = Observer::of(&connection);
            hub.network().refuse(3);
            let before = now();
            hub.cut();
            let reason = observer.expect_reconnecting().await;
            assert!(reason.to_string().contains("cut by the test"), "{reason}");
            observer.expect_reconnected().await;
            // At once, after 2, 10 and 30 seconds.
            assert_eq!(now() - before, 42 * SECOND);
            hub.expect_connection().await;
            assert_eq!(hub.network().attempts(), 5);

            let sum = connection.invoke::<i32>("Add", (1, 2));
            hub.expect_invocation("Add", (1, 2)).await.complete(3);
            assert_eq!(sum.await, Ok(3));
        });
        assert!(began.elapsed() < 20 * SECOND, "{:?}", began.elapsed());
    }
}

#[test]
fn every_way_to_refuse_is_told() {
    let refusals = [
        (Refusal::Connect, "connection refused"),
        (Refusal::Negotiate { status: 503 }, "503"),
        (Refusal::WebSocket { status: 403 }, "403"),
        (
            Refusal::Handshake {
                error: "go away".to_owned(),
            },
            "go away",
        ),
    ];
    for protocol in PROTOCOLS {
        for (refusal, words) in &refusals {
            run(async {
                let hub = ScriptedHub::new();
                let connection = hub.build(builder().protocol(protocol));
                hub.network().refuse_with(1, refusal);
                let error = connection.start().await.unwrap_err();
                let cause = std::error::Error::source(&error).unwrap().to_string();
                assert!(cause.contains(words), "{cause}");
                assert_eq!(hub.network().refusals(), 0);
                connection.start().await.unwrap();
            });
        }
    }
}

#[test]
fn attempts_that_fail_are_events_and_the_last_one_is_the_reason() {
    run(async {
        let hub = ScriptedHub::new();
        let policy = vec![SECOND, 2 * SECOND];
        let connection = hub.connect(builder().automatic_reconnect(policy)).await;
        let observer = Observer::of(&connection);
        hub.network()
            .refuse_with(2, &Refusal::Negotiate { status: 500 });
        hub.close(true);
        let second = observer.expect_event("the second attempt", |event| {
            matches!(event, LifecycleEvent::ReconnectAttempt { attempt: 2, .. })
        });
        let LifecycleEvent::ReconnectAttempt { delay, reason, .. } = second.await else {
            panic!("it is not what was looked for");
        };
        assert_eq!(delay, 2 * SECOND);
        assert!(reason.to_string().contains("500"), "{reason}");
        let reason = observer.expect_closed().await;
        assert!(reason.to_string().contains("500"), "{reason}");
    });
}

#[test]
fn a_silent_hub_is_given_up_after_the_server_timeout() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let observer = Observer::of(&connection);
        // While it pings, all is well.
        sleep(3600 * SECOND).await;
        assert_eq!(connection.state(), ConnectionState::Connected);
        hub.network().silence();
        let before = now();
        let reason = observer.expect_closed().await;
        assert_eq!(
            reason,
            CloseReason::ServerTimeout {
                timeout: 30 * SECOND
            }
        );
        let waited = now() - before;
        assert!(waited > 14 * SECOND && waited <= 30 * SECOND, "{waited:?}");
    });
}

#[test]
fn what_a_silent_hub_said_arrives_when_it_resumes() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let observer = Observer::of(&connection);
        hub.network().silence();
        hub.send("First", ());
        hub.send("Second", ());
        sleep(5 * SECOND).await;
        assert_eq!(observer.calls(), [""; 0]);
        hub.network().resume();
        observer.expect_call::<()>("First").await;
        observer.expect_call::<()>("Second").await;
    });
}

#[test]
fn a_hub_without_pings_times_out_and_one_that_says_nothing_at_all_does_not_shake_hands() {
    run(async {
        let hub = ScriptedHub::new();
        hub.set_keep_alive(None);
        let connection = hub.connect(builder()).await;
        let observer = Observer::of(&connection);
        observer.expect_closed().await;
        assert_eq!(now(), 30 * SECOND);

        hub.network().silence();
        let error = connection.start().await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        hub.network().resume();
        connection.start().await.unwrap();
    });
}

#[test]
fn a_slow_network_delays_everything_and_keeps_the_order() {
    run(async {
        let hub = ScriptedHub::new();
        hub.answer("Echo", |text: String| Ok(text));
        let connection = hub.build(builder());
        hub.network().delay(SECOND);
        connection.start().await.unwrap();
        // Negotiation, the WebSocket and the handshake, there and back each.
        assert_eq!(now(), 6 * SECOND);
        let before = now();
        let echo: String = connection.invoke("Echo", ("hello",)).await.unwrap();
        assert_eq!(echo, "hello");
        assert!(now() - before >= 2 * SECOND, "{:?}", now() - before);

        let observer = Observer::of(&connection);
        hub.send("Slow", ());
        sleep(SECOND / 2).await;
        hub.network().delay(Duration::ZERO);
        hub.send("Quick", ());
        observer.expect_call::<()>("Slow").await;
        observer.expect_call::<()>("Quick").await;
    });
}

#[test]
fn a_call_that_is_under_way_is_told_that_the_connection_was_cut() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let call = connection.call("Slow", ());
        let open = hub.expect_call("Slow").await;
        hub.cut();
        let error = call.await.unwrap_err();
        assert!(
            matches!(error.kind(), CallErrorKind::ConnectionLost(_)),
            "{error:?}"
        );
        hub.expect_disconnection().await;
        // Too late, as with any server.
        open.finish();
    });
}

#[test]
fn timeouts_of_calls_and_keep_alive_are_the_clients_own() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let call = connection.invoke::<()>("Slow", ()).timeout(7 * SECOND);
        let error = call.await.unwrap_err();
        assert!(
            matches!(error.kind(), CallErrorKind::Timeout { .. }),
            "{error:?}"
        );
        assert_eq!(now(), 7 * SECOND);
        hub.expect_call("Slow").await.expect_cancellation().await;
    });
}

#[cfg(feature = "tokio")]
mod within_tokio {
    use super::*;

    async fn comes_back() {
        let hub = ScriptedHub::new();
        let policy = ReconnectPolicy::standard();
        let connection = hub.connect(builder().automatic_reconnect(policy)).await;
        let observer = Observer::of(&connection);
        hub.cut();
        observer.expect_reconnected().await;
        hub.expect_connection().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_everybodys() {
        let began = Instant::now();
        let before = tokio::time::Instant::now();
        let hub = ScriptedHub::new();
        let policy = ReconnectPolicy::standard();
        let connection = hub.connect(builder().automatic_reconnect(policy)).await;
        let observer = Observer::of(&connection);
        hub.network().refuse(3);
        hub.cut();
        observer.expect_reconnected().await;
        assert!(before.elapsed() >= 42 * SECOND, "{:?}", before.elapsed());
        assert!(began.elapsed() < 20 * SECOND, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_not_the_testkits_ends_as_well() {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let error = connection.call("Never", ()).await.unwrap_err();
        let CallErrorKind::ConnectionLost(reason) = error.kind() else {
            panic!("{error:?}");
        };
        assert!(reason.to_string().contains("24 hours"), "{reason}");
    }

    #[tokio::test]
    async fn a_real_clock_does_as_well() {
        comes_back().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_do_many_threads() {
        comes_back().await;
    }
}

#[test]
fn networks_have_no_business_outside_of_a_test() {
    let made = std::panic::catch_unwind(ScriptedHub::new);
    let panic = made.unwrap_err();
    let text = panic.downcast_ref::<&str>().unwrap();
    assert!(text.contains("signalr_testkit::run"), "{text}");
}

#[test]
fn a_network_may_be_kept_and_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Network>();
    is_shared::<ScriptedHub>();
    is_shared::<Observer>();
}
