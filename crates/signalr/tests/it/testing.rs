//! The code of docs/testing.md, which is run here as it stands there.

mod time {
    use std::time::Duration;

    #[test]
    fn an_hour_passes_at_once() {
        signalr_testkit::run(async {
            let before = signalr_testkit::now();
            signalr_testkit::sleep(Duration::from_secs(3600)).await;
            assert_eq!(signalr_testkit::now() - before, Duration::from_secs(3600));
        });
    }
}

mod hub {
    use std::sync::Arc;

    use signalr::server::testing::{TestClient, TestError};
    use signalr::server::{CallContext, Hub, HubError, HubMethods, HubServer};

    struct Chat;

    impl Chat {
        async fn say(
            self: Arc<Self>,
            context: CallContext,
            text: String,
        ) -> Result<usize, HubError> {
            if text.is_empty() {
                return Err(HubError::new("there is nothing to say"));
            }
            context.clients().all().send("Said", (&text,)).await?;
            Ok(text.len())
        }
    }

    impl Hub for Chat {
        fn methods(methods: &mut HubMethods<Self>) {
            methods.on("Say", Self::say);
        }
    }

    #[tokio::test]
    async fn what_one_says_all_hear() {
        let hub = HubServer::new(Chat).unwrap();
        let mut ann = TestClient::connect(&hub).await.unwrap();
        let mut bob = TestClient::connect(&hub).await.unwrap();
        assert_eq!(ann.invoke::<usize>("Say", ("hello",)).await, Ok(5));
        assert_eq!(bob.received("Said").await, Ok(("hello".to_owned(),)));
    }

    #[tokio::test]
    async fn who_says_nothing_is_told_so() {
        let hub = HubServer::new(Chat).unwrap();
        let mut ann = TestClient::connect(&hub).await.unwrap();
        let Err(TestError::Call(error)) = ann.invoke::<usize>("Say", ("",)).await else {
            panic!("no error");
        };
        assert!(error.ends_with("there is nothing to say"), "{error}");
    }
}

mod client {
    use signalr::{HubConnection, HubConnectionBuilder};
    use signalr_testkit::{Observer, ScriptedHub};

    /// As the program connects.
    fn client(url: &str) -> HubConnectionBuilder {
        HubConnection::builder(url).token("secret")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_answered() {
        let hub = ScriptedHub::new();
        let connection = hub.connect(client("https://example.com/chat")).await;
        let sum = connection.invoke::<i32>("Add", (1, 2));
        hub.expect_invocation("Add", (1, 2)).await.complete(3);
        assert_eq!(sum.await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_hub_calls_and_asks() {
        let hub = ScriptedHub::new();
        let connection = hub.connect(client("http://test/chat")).await;
        let observer = Observer::of(&connection);
        connection.on("Ask", |question: String| question.len());

        hub.send("Receive", ("ann", "hello"));
        let heard: (String, String) = observer.expect_call("Receive").await;
        assert_eq!(heard.1, "hello");
        assert_eq!(hub.invoke::<usize>("Ask", ("how long?",)).await, Ok(9));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_can_be_prepared() {
        let hub = ScriptedHub::new();
        hub.answer("Add", |a: i32, b: i32| Ok(a + b));
        let connection = hub.connect(client("http://test/chat")).await;
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    }
}

mod reconnecting {
    use std::time::Duration;

    use signalr::{HubConnection, ReconnectPolicy};
    use signalr_testkit::{Observer, ScriptedHub};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn it_comes_back_at_the_third_attempt() {
        let hub = ScriptedHub::new();
        let builder = HubConnection::builder("http://test/chat");
        let builder = builder.automatic_reconnect(ReconnectPolicy::standard());
        let connection = hub.connect(builder).await;
        let observer = Observer::of(&connection);

        let lost = Instant::now();
        hub.network().refuse(2);
        hub.cut();
        observer.expect_reconnecting().await;
        observer.expect_reconnected().await;
        // At once, after 2 and after 10 seconds.
        assert!(lost.elapsed() >= Duration::from_secs(12));

        // What the program does anew on a new connection can be expected like anything else.
        connection.send("Join", ("red",)).await.unwrap();
        hub.expect_invocation("Join", ("red",)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_says_nothing_is_given_up() {
        let hub = ScriptedHub::new();
        let connection = hub
            .connect(HubConnection::builder("http://test/chat"))
            .await;
        let observer = Observer::of(&connection);
        hub.network().silence();
        let reason = observer.expect_closed().await;
        assert!(reason.is_transient(), "{reason}");
    }
}

mod both {
    use std::sync::Arc;

    use signalr::server::{Hub, HubMethods, HubServer};
    use signalr::{HubConnection, TransportKind};
    use signalr_testkit::Network;

    pub(super) struct Calculator;

    impl Hub for Calculator {
        fn methods(methods: &mut HubMethods<Self>) {
            methods.on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn they_understand_each_other_over_every_transport() {
        let hub = HubServer::new(Calculator).unwrap();
        let network = Network::to(&hub);
        for transport in TransportKind::ALL {
            let builder = HubConnection::builder("http://test/calc").transports([transport]);
            let connection = network.connect(builder).await;
            assert_eq!(connection.transport(), Some(transport));
            assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        }
    }
}

mod recordings {
    use signalr::HubConnection;
    use signalr_testkit::{Recording, ScriptedHub};

    pub(super) const RECORDED: &str = r#"signalr-recording 1
connect json
> {"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}
< {"type":3,"invocationId":"1","result":3}
> {"type":7}
close 1000
"#;

    async fn talk(connection: &HubConnection) {
        connection.start().await.unwrap();
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        connection.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_recorded() {
        let hub = ScriptedHub::new();
        hub.answer("Add", |a: i32, b: i32| Ok(a + b));
        let builder = HubConnection::builder("http://test/calc");
        let (connection, recorder) = hub.network().record(builder);
        talk(&connection).await;
        assert_eq!(recorder.recording().to_string(), RECORDED);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_played_again() {
        // From a file: Recording::load("tests/add.txt")
        let replay = RECORDED.parse::<Recording>().unwrap().replay();
        talk(&replay.build(HubConnection::builder("http://test/calc"))).await;
        replay.finish().await;
    }
}

mod real_server {
    use signalr::client::{NetOptions, NetTransport};
    use signalr::{HubConnection, Tokio};
    use signalr_testkit::Recorder;

    pub(super) async fn record(
        url: &str,
        file: &std::path::Path,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let network = NetTransport::new(Tokio::default(), NetOptions::default())?;
        let recorder = Recorder::new(network);
        let (connection, driver) = HubConnection::builder(url).build_with(recorder.clone())?;
        tokio::spawn(driver.run());
        connection.start().await?;
        let sum: i32 = connection.invoke("Add", (1, 2)).await?;
        assert_eq!(sum, 3);
        connection.stop().await;
        recorder.recording().save(file)?;
        Ok(())
    }
}

/// The guide shows a way to record real servers; a hub behind a real port is one.
#[tokio::test]
async fn a_real_session_is_recorded_as_the_guide_shows() {
    let hub = signalr::server::HubServer::new(both::Calculator).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/calc", listener.local_addr().unwrap());
    let app = axum::Router::new().merge(hub.router("/calc"));
    tokio::spawn(signalr::server::serve(listener, app).into_future());
    let file = std::env::temp_dir().join(format!("signalr-guide-{}.txt", std::process::id()));
    real_server::record(&url, &file).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text, recordings::RECORDED);
}

#[test]
fn the_guide_shows_what_is_run_here() {
    let (guide, here) = (
        include_str!("../../../../docs/testing.md"),
        include_str!("testing.rs"),
    );
    let plain = |text: &str| -> Vec<String> {
        // What is private in the guide is used from outside here.
        let text = text.replace("pub(super) ", "");
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    let here = plain(here);
    let mut blocks = 0;
    for block in guide.split("```rust\n").skip(1) {
        let block = plain(block.split("```").next().unwrap_or_default());
        let block: Vec<_> = block.into_iter().filter(|line| !line.is_empty()).collect();
        let kept: Vec<_> = here.iter().filter(|line| !line.is_empty()).collect();
        let is_here = kept
            .windows(block.len())
            .any(|lines| lines.iter().copied().eq(&block));
        assert!(is_here, "{}", block.join("\n"));
        blocks += 1;
    }
    assert_eq!(blocks, 7);
}
