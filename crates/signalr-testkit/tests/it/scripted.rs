//! A hub that the test plays.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use signalr_client::{CallErrorKind, ConnectionState, Upload};
use signalr_testkit::{Observer, ScriptedHub, now, run};

use crate::{PROTOCOLS, builder};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[test]
fn calls_are_expected_and_answered_in_both_protocols() {
    for protocol in PROTOCOLS {
        run(async {
            let hub = ScriptedHub::new();
            let connection = hub.connect(builder().protocol(protocol)).await;
            assert_eq!(connection.connection_id().as_deref(), Some("scripted"));

            let order = Order {
                item: "tea".to_owned(),
                count: 2,
            };
            let price = connection.invoke::<f64>("Price", (&order, "EUR"));
            let call = hub.expect_invocation("Price", (&order, "EUR")).await;
            assert!(call.wants_answer() && !call.is_stream());
            assert_eq!(
                call.arguments::<(Order, String)>(),
                (order, "EUR".to_owned())
            );
            call.complete(3.5);
            assert_eq!(price.await, Ok(3.5));

            let failed = connection.call("Pay", ());
            hub.expect_call("Pay").await.fail("no money");
            let error = failed.await.unwrap_err();
            assert!(
                matches!(error.kind(), CallErrorKind::Server { error } if &**error == "no money")
            );

            let done = connection.call("Tidy", ());
            hub.expect_invocation("Tidy", ()).await.finish();
            done.await.unwrap();

            connection.send("Notify", ("all",)).await.unwrap();
            let sent = hub.expect_invocation("Notify", ("all",)).await;
            assert!(!sent.wants_answer());
        });
    }
}

#[test]
fn streams_go_in_both_directions() {
    for protocol in PROTOCOLS {
        run(async {
            let hub = ScriptedHub::new();
            let connection = hub.connect(builder().protocol(protocol)).await;
            let (numbers, ()) =
                futures_util::join!(connection.stream::<u8>("Count", (3,)), async {
                    let call = hub.expect_stream("Count", (3,)).await;
                    (0..3).for_each(|number| call.item(number));
                    call.finish();
                });
            let numbers: Vec<_> = numbers.unwrap().map(Result::unwrap).collect().await;
            assert_eq!(numbers, [0, 1, 2]);

            let endless = connection.stream::<u8>("Count", (0,));
            let (endless, call) = futures_util::join!(endless, hub.expect_stream("Count", (0,)));
            drop(endless.unwrap());
            call.expect_cancellation().await;

            let words = Upload::new(stream::iter(["a", "b"]));
            let stored = connection.invoke::<usize>("Store", (words, "file"));
            let call = hub.expect_invocation("Store", ("file",)).await;
            assert_eq!(call.expect_item::<String>(0).await.as_deref(), Some("a"));
            assert_eq!(call.expect_upload::<String>(0).await, ["b"]);
            call.complete(2);
            assert_eq!(stored.await, Ok(2));
        });
    }
}

#[test]
fn the_hub_calls_the_client_and_asks_it() {
    for protocol in PROTOCOLS {
        run(async {
            let hub = ScriptedHub::new();
            let connection = hub.connect(builder().protocol(protocol)).await;
            let observer = Observer::of(&connection);
            connection.on("Add", |a: i32, b: i32| a + b);
            connection.on("Refuse", || Err::<i32, _>("I will not"));

            hub.send("Receive", ("ann", 7));
            let heard: (String, u8) = observer.expect_call("Receive").await;
            assert_eq!(heard, ("ann".to_owned(), 7));
            assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await, Ok(3));
            let refused = hub.invoke::<i32>("Refuse", ()).await.unwrap_err();
            assert!(refused.contains("I will not"), "{refused}");
            assert!(hub.invoke::<i32>("Unknown", ()).await.is_err());
        });
    }
}

#[test]
fn prepared_answers_are_given_beside_the_test() {
    run(async {
        let hub = ScriptedHub::new();
        hub.answer("Add", |a: i32, b: i32| Ok(a + b));
        hub.answer("Fail", || Err::<(), _>("never".to_owned()));
        hub.answer("Break", || -> Result<(), String> { panic!("oh") });
        let connection = hub.connect(builder()).await;
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        assert_eq!(connection.invoke::<i32>("Add", (3, 4)).await, Ok(7));
        for (method, words) in [("Fail", "never"), ("Break", "the test's answer panicked")] {
            let error = connection.call(method, ()).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        hub.expect_no_call(Duration::from_secs(1)).await;
    });
}

#[test]
fn both_sides_close() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        connection.stop().await;
        assert_eq!(hub.expect_close().await, None);
        hub.expect_disconnection().await;

        connection.start().await.unwrap();
        hub.expect_connection().await;
        let observer = Observer::of(&connection);
        hub.close_with_error("for maintenance", true);
        let reason = observer.expect_closed().await;
        assert!(reason.to_string().contains("for maintenance"), "{reason}");
        observer.expect_state(ConnectionState::Disconnected).await;
        assert!(now() < Duration::from_secs(1));
    });
}

#[test]
fn negotiation_can_be_skipped_and_addresses_may_be_secure() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder().skip_negotiation(true)).await;
        assert_eq!(connection.connection_id(), None);
        let secure = signalr_client::HubConnection::builder("https://example.com/hub?a=b");
        let connection = hub.connect(secure.token("secret")).await;
        assert_eq!(connection.state(), ConnectionState::Connected);
        assert_eq!(hub.network().attempts(), 2);
    });
}

#[test]
fn bytes_that_no_hub_should_say_end_the_connection() {
    run(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let observer = Observer::of(&connection);
        hub.ping();
        hub.send_bytes("{\"type\":1}\u{1e}");
        let reason = observer.expect_closed().await;
        assert!(reason.to_string().contains("target"), "{reason}");
    });
}
