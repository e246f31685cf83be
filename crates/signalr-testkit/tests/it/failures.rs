//! What a test says that fails: where, what was expected, and what was seen.

use std::time::Duration;

use signalr_client::ReconnectPolicy;
use signalr_testkit::{Observer, ScriptedHub, sleep};

use crate::{PROTOCOLS, builder, failure};

#[track_caller]
fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn another_call_is_told_beside_the_expected_one() {
    for protocol in PROTOCOLS {
        let text = failure(async {
            let hub = ScriptedHub::new();
            let connection = hub.connect(builder().protocol(protocol)).await;
            let _sum = connection.invoke::<i32>("Add", (1, "two"));
            hub.expect_invocation("Add", (1, "three")).await
        });
        tells(
            &text,
            &[
                "failures.rs:",
                "expected Add(1,\"three\"), and the client called Add(1,\"two\") #1",
                "seen so far:\n",
                "[0 s] client: connected, ",
                "client: Add(1,\"two\") #1",
            ],
        );
    }
}

#[test]
fn a_stream_is_no_invocation_and_a_name_no_other() {
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let _stream = connection.stream::<i32>("Count", (1,));
        hub.expect_invocation("Count", (1,)).await
    });
    tells(
        &text,
        &["expected Count(1), and the client called the stream Count(1) #1"],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        connection.send("count", ()).await.unwrap();
        hub.expect_call("Count").await
    });
    tells(&text, &["expected Count(…), and the client called count()"]);
}

#[test]
fn nothing_is_waited_for_for_ever() {
    let text = failure(async {
        let hub = ScriptedHub::new();
        let _connection = hub.connect(builder()).await;
        hub.expect_invocation("Send", ("a", 1)).await
    });
    tells(
        &text,
        &[
            "expected Send(\"a\",1), and it did not come within 5 min",
            "client: connected, json",
        ],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        hub.set_patience(Duration::from_millis(1500));
        hub.expect_connection().await;
    });
    tells(
        &text,
        &[
            "expected a connection, and it did not come within 1.5 s",
            "nothing was seen so far: no client has connected",
        ],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let observer = Observer::of(&connection);
        hub.send("Known", (1,));
        sleep(Duration::from_secs(1)).await;
        observer.expect_call::<()>("Unknown").await;
    });
    tells(
        &text,
        &[
            "expected the hub's call of Unknown, and it did not come within 5 min",
            "call Known(1)",
        ],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        let policy = ReconnectPolicy::standard();
        let connection = hub.connect(builder().automatic_reconnect(policy)).await;
        let observer = Observer::of(&connection);
        hub.network().refuse(100);
        hub.cut();
        observer.expect_reconnected().await;
    });
    tells(
        &text,
        &[
            "expected the connection to be back (Reconnected)",
            "event Reconnecting",
            "event Closed",
        ],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        // Nothing of this library's, and yet it ends.
        connection
            .wait_until(signalr_client::ConnectionState::Reconnecting)
            .await
    });
    tells(&text, &["has not ended after 24 hours of its time"]);
    let text = failure(std::future::ready(()).then_forever());
    tells(&text, &["has not ended after 24 hours"]);
}

trait Forever: Future + Sized {
    /// Goes on when it has ended.
    async fn then_forever(self) {
        self.await;
        loop {
            sleep(Duration::from_secs(60)).await;
        }
    }
}

impl<F: Future> Forever for F {}

#[test]
fn a_call_too_many_is_told() {
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        connection.send("Typing", (true,)).await.unwrap();
        hub.expect_no_call(Duration::from_secs(2)).await;
    });
    tells(
        &text,
        &["expected no call during 2 s, and the client made Typing(true)"],
    );
}

#[test]
fn answers_that_make_no_sense_are_told() {
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        connection.send("Notify", ()).await.unwrap();
        hub.expect_call("Notify").await.complete(1);
    });
    tells(&text, &["Notify() was sent, and wants no answer"]);
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let _sum = connection.invoke::<i32>("Add", (1, 2));
        let call = hub.expect_call("Add").await;
        call.item(1);
    });
    tells(&text, &["Add(1,2) #1 is no stream: complete() it"]);
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        let _sum = connection.invoke::<i32>("Add", (1, 2));
        hub.expect_call("Add").await.arguments::<(String,)>()
    });
    tells(&text, &["Add(1,2) #1: "]);
    let text = failure(async { ScriptedHub::new().send("Receive", ()) });
    tells(&text, &["no client is connected"]);
    let text = failure(async {
        let hub = ScriptedHub::new();
        let connection = hub.connect(builder()).await;
        connection.on("Ask", async || {
            sleep(Duration::from_secs(3600)).await;
            1
        });
        hub.invoke::<i32>("Ask", ()).await
    });
    tells(
        &text,
        &["expected the client's answer to Ask, and it did not come within 5 min"],
    );
}

#[test]
fn a_connection_that_does_not_start_tells_why() {
    let text = failure(async {
        let hub = ScriptedHub::new();
        hub.network().refuse(1);
        hub.connect(builder()).await
    });
    tells(
        &text,
        &[
            "failures.rs:",
            "could not connect to http://test/hub",
            "test cannot be reached: connection refused",
        ],
    );
    let text = failure(async {
        let hub = ScriptedHub::new();
        hub.build(signalr_client::HubConnection::builder("nowhere"));
    });
    tells(&text, &["the connection cannot be built: "]);
}
