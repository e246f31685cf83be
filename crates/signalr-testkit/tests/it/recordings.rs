//! Sessions that are recorded, kept and played again.

use signalr_client::{HubConnection, Protocol, ReconnectPolicy};
use signalr_testkit::{Observer, Recording, ScriptedHub, run, sleep};
use std::time::Duration;

use crate::{PROTOCOLS, builder, failure};

/// What a client says and hears, in the order of a recording.
async fn talk(connection: &HubConnection) {
    let observer = Observer::of(connection);
    connection.start().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    connection.send("Notify", ("all",)).await.unwrap();
    let heard: (String,) = observer.expect_call("Notified").await;
    assert_eq!(heard.0, "all");
    connection.stop().await;
}

/// A hub for that.
fn hub() -> ScriptedHub {
    let hub = ScriptedHub::new();
    hub.answer("Add", |a: i32, b: i32| Ok(a + b));
    let teller = hub.clone();
    hub.answer("Notify", move |whom: String| {
        teller.send("Notified", (whom,));
        Ok(())
    });
    hub
}

fn recorded(protocol: Protocol) -> String {
    run(async {
        let (connection, recorder) = hub().network().record(builder().protocol(protocol));
        talk(&connection).await;
        recorder.recording().to_string()
    })
}

#[test]
fn what_was_recorded_plays_again_in_both_protocols() {
    for protocol in PROTOCOLS {
        let text = recorded(protocol);
        assert!(text.starts_with("signalr-recording 1\nconnect "), "{text}");
        assert!(text.ends_with("\nclose 1000\n"), "{text}");
        run(async {
            let replay = text.parse::<Recording>().unwrap().replay();
            talk(&replay.build(builder().protocol(protocol))).await;
            replay.finish().await;
        });
    }
}

#[test]
fn the_file_is_as_its_documentation_says() {
    assert_eq!(
        recorded(Protocol::Json),
        r#"signalr-recording 1
connect json
> {"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}
< {"type":3,"invocationId":"1","result":3}
> {"type":1,"target":"Notify","arguments":["all"]}
< {"type":1,"target":"Notified","arguments":["all"]}
> {"type":7}
close 1000
"#
    );
    let text = recorded(Protocol::MessagePack);
    assert!(
        text.contains("connect messagepack\n# > Add(1,2) #1\n> 9601"),
        "{text}"
    );
}

#[test]
fn files_are_written_and_read() {
    let path = std::env::temp_dir().join(format!("signalr-testkit-{}.txt", std::process::id()));
    let text = recorded(Protocol::MessagePack);
    let recording: Recording = text.parse().unwrap();
    recording.save(&path).unwrap();
    let read = Recording::load(&path).unwrap();
    std::fs::write(&path, b"signalr-recording 1\nconnect json\n> \xff\n").unwrap();
    let error = Recording::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read.to_string(), text);
    assert!(error.to_string().ends_with(":3: is not UTF-8"), "{error}");
}

#[test]
fn a_client_that_says_something_else_is_told_the_line() {
    for protocol in PROTOCOLS {
        let text = recorded(protocol);
        let line = text.lines().position(|line| line.starts_with('>')).unwrap() + 1;
        let failed = failure(async {
            let replay = text.parse::<Recording>().unwrap().replay();
            let connection = replay.connect(builder().protocol(protocol)).await;
            let error = connection.call("Add", (1, 3)).await.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("is next in the recording"), "{cause}");
            replay.finish().await;
        });
        let words = format!(
            "recording:{line}: > Add(1,2) #1 is next in the recording, and the client said Add(1,3) #1"
        );
        assert!(failed.contains(&words), "{failed}");
        assert!(failed.contains("recordings.rs:"), "{failed}");
    }
}

#[test]
fn a_client_that_says_too_little_is_told_the_line() {
    let failed = failure(async {
        let replay = recorded_json().replay();
        let connection = replay.connect(builder()).await;
        connection.call("Add", (1, 2)).await.unwrap();
        replay.finish().await;
    });
    assert!(
        failed.contains("recording:5: > Notify(\"all\") was not played within 5 min"),
        "{failed}"
    );
}

fn recorded_json() -> Recording {
    // Within a run there is no other.
    r#"signalr-recording 1
connect json
> {"type":1,"target":"Add","arguments":[1,2],"invocationId":"1"}
< {"type":3,"invocationId":"1","result":3}
> {"type":1,"target":"Notify","arguments":["all"]}
"#
    .parse()
    .unwrap()
}

#[test]
fn another_protocol_is_another_conversation() {
    let failed = failure(async {
        let replay = recorded_json().replay();
        let connection = replay.build(builder().protocol(Protocol::MessagePack));
        connection.start().await.unwrap_err();
        replay.finish().await;
    });
    assert!(
        failed.contains("recording:2: connect json is next in the recording, and the client said it speaks messagepack"),
        "{failed}"
    );
}

#[test]
fn losses_and_refusals_are_recorded_and_played() {
    let policy = || builder().automatic_reconnect(ReconnectPolicy::standard());
    let text = run(async {
        let hub = hub();
        let (connection, recorder) = hub.network().record(policy());
        let observer = Observer::of(&connection);
        connection.start().await.unwrap();
        hub.network().refuse_with(
            1,
            &signalr_testkit::Refusal::Handshake {
                error: "too \"early\"".to_owned(),
            },
        );
        hub.cut();
        observer.expect_reconnected().await;
        connection.call("Add", (1, 2)).await.unwrap();
        recorder.recording().to_string()
    });
    assert_eq!(
        text,
        r#"signalr-recording 1
connect json
lost
refuse "too \"early\""
connect json
> {"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}
< {"type":3,"invocationId":"1","result":3}
"#
    );
    run(async {
        let replay = text.parse::<Recording>().unwrap().replay();
        let connection = replay.build(policy());
        let observer = Observer::of(&connection);
        connection.start().await.unwrap();
        observer.expect_reconnected().await;
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        replay.finish().await;
    });
}

#[test]
fn no_token_is_in_a_recording() {
    for protocol in PROTOCOLS {
        for in_query in [false, true] {
            let text = run(async {
                let hub = ScriptedHub::new();
                hub.answer("Echo", |text: String| Ok(text));
                let builder = builder().protocol(protocol).token("secret-token-1");
                let (connection, recorder) = hub.network().record(builder.token_in_query(in_query));
                connection.start().await.unwrap();
                let said = ("I am secret-token-1, at scripted-token",);
                connection.call("Echo", said).await.unwrap();
                sleep(Duration::from_secs(60)).await;
                recorder.recording().to_string()
            });
            for secret in ["secret-token-1", "scripted-token"] {
                let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(secret) && !text.contains(&hex), "{text}");
            }
            // It is the same conversation for whoever has the same token.
            run(async {
                let replay = text.parse::<Recording>().unwrap().replay();
                let builder = builder().protocol(protocol).token("secret-token-1");
                let connection = replay.connect(builder).await;
                let said = ("I am secret-token-1, at scripted-token",);
                let echo: String = connection.invoke("Echo", said).await.unwrap();
                assert_eq!(echo, "I am **************, at **************");
                replay.finish().await;
            });
        }
    }
}

#[test]
fn a_token_in_a_refusal_is_hidden_as_well() {
    let text = run(async {
        let hub = ScriptedHub::new();
        let error = "who is secret-token-1?".to_owned();
        let refusal = signalr_testkit::Refusal::Handshake { error };
        hub.network().refuse_with(1, &refusal);
        let builder = builder().token("secret-token-1");
        let (connection, recorder) = hub.network().record(builder);
        connection.start().await.unwrap_err();
        recorder.recording().to_string()
    });
    assert_eq!(
        text,
        "signalr-recording 1\nrefuse \"who is **************?\"\n"
    );
}

#[cfg(feature = "server")]
#[test]
fn every_transport_of_a_real_hub_gives_the_same_recording() {
    use signalr_client::TransportKind;
    use signalr_server::{Hub, HubMethods, HubServer};
    use signalr_testkit::{Network, TestRuntime};
    use std::sync::Arc;

    struct Calculator;

    impl Hub for Calculator {
        fn methods(methods: &mut HubMethods<Self>) {
            methods.on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b);
        }
    }

    let recordings = TransportKind::ALL.map(|transport| {
        run(async {
            let hub = HubServer::builder(Calculator)
                .build_on(TestRuntime::current())
                .unwrap();
            let builder = builder().transports([transport]);
            let (connection, recorder) = Network::to(&hub).record(builder);
            connection.start().await.unwrap();
            assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
            sleep(Duration::from_secs(60)).await;
            // Without waiting for the hub.
            drop(connection);
            sleep(Duration::from_secs(60)).await;
            let text = recorder.recording().to_string();
            // What each of them makes of a farewell is its own affair.
            let kept = text.lines().take_while(|line| !line.contains("\"type\":7"));
            kept.collect::<Vec<_>>().join("\n")
        })
    });
    assert!(recordings[0].contains("\"result\":3"), "{}", recordings[0]);
    assert_eq!(recordings[0], recordings[1]);
    assert_eq!(recordings[0], recordings[2]);
}

#[cfg(feature = "server")]
#[test]
fn the_end_of_a_connection_is_recorded_over_every_transport() {
    use signalr_client::TransportKind;
    use signalr_server::{Hub, HubMethods, HubServer};
    use signalr_testkit::{Network, TestRuntime};

    struct Nothing;

    impl Hub for Nothing {
        fn methods(_: &mut HubMethods<Self>) {}
    }

    for transport in TransportKind::ALL {
        let text = run(async {
            let hub = HubServer::builder(Nothing)
                .build_on(TestRuntime::current())
                .unwrap();
            let builder = builder().transports([transport]);
            let (connection, recorder) = Network::to(&hub).record(builder);
            connection.start().await.unwrap();
            connection.stop().await;
            recorder.recording().to_string()
        });
        let last = text.lines().last().unwrap();
        assert!(
            ["left", "close 1000"].contains(&last),
            "{transport:?}: {text}"
        );
    }
}
