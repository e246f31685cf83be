//! The client that applications test their hubs with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode};
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{
    CallContext, CancellationToken, DisconnectReason, Hub, HubError, HubMethods, HubRequest,
    HubServer, InvokeError, PeerAddress, SendError, UploadStream, User,
};
use tokio::time::Instant;

use crate::support::{empty, soon};

#[derive(Clone, Default)]
struct Chat {
    /// Held by what runs.
    running: Arc<()>,
    left: Arc<Mutex<Vec<DisconnectReason>>>,
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on(
                "Say",
                async |_: Arc<Self>,
                       context: CallContext,
                       text: String|
                       -> Result<usize, SendError> {
                    let from = context.user_id();
                    context.clients().all().send("said", (from, &text)).await?;
                    Ok(text.len())
                },
            )
            .on("Fail", async |_: Arc<Self>| -> Result<(), HubError> {
                Err(HubError::new("no"))
            })
            .on("Language", async |_: Arc<Self>, context: CallContext| {
                context.header("accept-language").map(str::to_owned)
            })
            .on(
                "Confirm",
                async |_: Arc<Self>, context: CallContext| -> Result<bool, InvokeError> {
                    context.caller().invoke("really", ("delete",)).await
                },
            )
            .on("Leave", async |_: Arc<Self>, context: CallContext| {
                context.close();
            })
            .stream("Count", async |_: Arc<Self>, to: i32| stream::iter(0..to))
            .stream("Ticks", async |hub: Arc<Self>, pause: u64| {
                let ticking = Arc::clone(&hub.running);
                stream::unfold((0, ticking), move |(tick, ticking)| async move {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    Some((tick, (tick + 1, ticking)))
                })
            })
            .on(
                "Work",
                async |hub: Arc<Self>, seconds: u64, cancelled: CancellationToken| {
                    let _working = Arc::clone(&hub.running);
                    let work = tokio::time::sleep(Duration::from_secs(seconds));
                    cancelled.run_until_cancelled(work).await.is_some()
                },
            )
            .on(
                "Join",
                async |_: Arc<Self>,
                       mut left: UploadStream<String>,
                       separator: String,
                       mut right: UploadStream<String>|
                       -> Result<String, HubError> {
                    let mut parts = Vec::new();
                    while let Some(part) = right.next().await {
                        parts.push(part?);
                    }
                    while let Some(part) = left.next().await {
                        parts.push(part?);
                    }
                    Ok(parts.join(&separator))
                },
            )
            .stream(
                "Shout",
                async |_: Arc<Self>, words: UploadStream<String>| {
                    words.map(|word| word.map(|word| word.to_uppercase()))
                },
            )
            .on("Whence", async |_: Arc<Self>, context: CallContext| {
                (context.query("user"), context.request().peer_address())
            })
            .on(
                "AskOther",
                async |_: Arc<Self>,
                       context: CallContext,
                       other: String|
                       -> Result<i32, InvokeError> {
                    context.clients().client(&other).invoke("ask", ()).await
                },
            )
            .on(
                "Flood",
                async |_: Arc<Self>, context: CallContext, name: String, count: usize| {
                    for _ in 0..count {
                        context.caller().send(&name, ()).await?;
                    }
                    Ok::<_, SendError>(())
                },
            );
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        if context.user_id().as_deref() == Some("eve") {
            return Err(HubError::new("not you"));
        }
        context.caller().send("welcome", ()).await?;
        Ok(())
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.left.lock().unwrap().push(reason.clone());
    }
}

fn server() -> HubServer {
    serving(Chat::default())
}

fn serving(hub: Chat) -> HubServer {
    HubServer::builder(hub)
        .authorize(|request: HubRequest| async move {
            match request.bearer_token().as_deref() {
                Some("wrong") => Err(StatusCode::UNAUTHORIZED),
                token => Ok(token.map(User::new)),
            }
        })
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_calls_and_receives() {
    let server = server();
    let mut alice = TestClient::connect_as(&server, "alice").await.unwrap();
    let mut bob = TestClient::connect(&server).await.unwrap();
    assert_eq!(alice.invoke::<usize>("Say", ("hello",)).await, Ok(5));
    let said = (Some("alice".to_owned()), "hello".to_owned());
    assert_eq!(bob.received("said").await, Ok(said.clone()));
    assert_eq!(alice.received("said").await, Ok(said));
    assert_eq!(bob.waiting(), ["welcome"]);
    assert_eq!(bob.received("welcome").await, Ok(()));
    assert_eq!(bob.waiting(), [""; 0]);
    alice.send("Say", ("again",)).await.unwrap();
    let said = (Some("alice".to_owned()), "again".to_owned());
    assert_eq!(bob.received("said").await, Ok(said));
    assert_eq!(
        alice.stream::<i32>("Count", (4,)).await.unwrap(),
        [0, 1, 2, 3]
    );
}

#[tokio::test(start_paused = true)]
async fn it_sends_the_headers_that_it_is_given() {
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", HeaderValue::from_static("sv"));
    let mut client = TestClient::connect_with(&server(), headers).await.unwrap();
    let language = client.invoke::<Option<String>>("Language", ()).await;
    assert_eq!(language, Ok(Some("sv".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn it_answers_questions() {
    let mut client = TestClient::connect(&server()).await.unwrap();
    client.answer("really", |what: String| Ok(what == "delete"));
    assert_eq!(client.invoke::<bool>("Confirm", ()).await, Ok(true));
    let mut mute = TestClient::connect(&server()).await.unwrap();
    let unanswered = mute.invoke::<bool>("Confirm", ()).await.unwrap_err();
    assert_eq!(
        unanswered.to_string(),
        "An unexpected error occurred invoking 'Confirm' on the server. HubException: Client didn't provide a result."
    );
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_went_wrong() {
    let server = server();
    let refused = TestClient::connect_as(&server, "wrong").await.err();
    assert_eq!(refused, Some(TestError::Refused(401)));
    let mut eve = TestClient::connect_as(&server, "eve").await.unwrap();
    let words = "Connection closed with an error. HubException: not you";
    assert_eq!(eve.closed().await, Ok(Some(words.into())));

    let mut client = TestClient::connect(&server).await.unwrap();
    let text = "An unexpected error occurred invoking 'Fail' on the server. HubException: no";
    let failed = client.invoke::<()>("Fail", ()).await;
    assert_eq!(failed, Err(TestError::Call(text.into())));
    let mistyped = client.invoke::<String>("Say", ("hello",)).await;
    assert!(matches!(mistyped, Err(TestError::Type(_))), "{mistyped:?}");
    let begun = Instant::now();
    let nothing = client.received::<()>("shouted").await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(
        nothing.to_string(),
        r#"nothing came within 5s; received so far: ["welcome", "said"]"#
    );
}

#[tokio::test(start_paused = true)]
async fn it_leaves_and_is_left() {
    let server = server();
    let client = TestClient::connect(&server).await.unwrap();
    client.close().await.unwrap();
    empty(&server).await;
    let mut left = TestClient::connect(&server).await.unwrap();
    left.send("Leave", ()).await.unwrap();
    assert_eq!(left.closed().await, Ok(None));
    assert!(left.received::<()>("welcome").await.is_ok(), "came before");
    assert_eq!(
        left.received::<()>("welcome").await,
        Err(TestError::Closed(None))
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_turned_away_has_its_words_from_whatever_it_does() {
    let server = server();
    let words = "Connection closed with an error. HubException: not you";
    let closed = || TestError::Closed(Some(words.into()));
    let connect = || async { TestClient::connect_as(&server, "eve").await.unwrap() };
    let called = connect().await.invoke::<usize>("Say", ("hello",)).await;
    assert_eq!(called, Err(closed()));
    let mut eve = connect().await;
    assert_eq!(eve.closed().await, Ok(Some(words.into())));
    let late = eve.invoke::<usize>("Say", ("hello",)).await;
    assert_eq!(late, Err(closed()));
    assert_eq!(eve.send("Say", ("hello",)).await, Err(closed()));
    let mut items = eve.stream::<i32>("Count", (4,));
    assert_eq!(items.next().await, Some(Err(closed())));
    assert_eq!(items.next().await, None);
    assert_eq!(eve.received::<()>("welcome").await, Err(closed()));
    assert_eq!(eve.close().await, Err(closed()));
}

#[tokio::test(start_paused = true)]
async fn it_has_a_query_and_whatever_middleware_finds_out() {
    let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
    let mut ann = TestClient::builder(&server())
        .query("user", "änn & ben?")
        .query("lang", "sv")
        .extension(PeerAddress(peer))
        .connect()
        .await
        .unwrap();
    let whence = ann.invoke::<(String, SocketAddr)>("Whence", ()).await;
    assert_eq!(whence, Ok(("änn & ben?".to_owned(), peer)));
    let invalid = TestClient::builder(&server()).header("x-lang", "a\nb");
    let invalid = invalid.connect().await.err();
    assert_eq!(invalid, Some(TestError::Header("x-lang".into())));
}

#[tokio::test(start_paused = true)]
async fn it_takes_an_endless_stream_item_by_item_and_cancels_it() {
    let hub = Chat::default();
    let mut client = TestClient::connect(&serving(hub.clone())).await.unwrap();
    let mut ticks = client.stream::<i32>("Ticks", (1_000,));
    for tick in 0..20 {
        assert_eq!(ticks.next().await, Some(Ok(tick)));
    }
    assert_eq!(client.invoke::<usize>("Say", ("meanwhile",)).await, Ok(9));
    assert_eq!(Arc::strong_count(&hub.running), 3);
    drop(ticks);
    client.invoke::<usize>("Say", ("now",)).await.unwrap();
    assert_eq!(Arc::strong_count(&hub.running), 2);
    // Nothing is lost when an item is late.
    let mut slow = client.stream::<i32>("Ticks", (6_000,));
    let late = slow.next().await;
    assert!(matches!(late, Some(Err(TestError::Nothing { .. }))));
    assert_eq!(slow.next().await, Some(Ok(0)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_cancelled() {
    let hub = Chat::default();
    let mut client = TestClient::connect(&serving(hub.clone())).await.unwrap();
    let work = client.invoke::<bool>("Work", (3_600,));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), work)
            .await
            .is_err()
    );
    assert_eq!(client.invoke::<usize>("Say", ("next",)).await, Ok(4));
    assert_eq!(Arc::strong_count(&hub.running), 2);
}

#[tokio::test(start_paused = true)]
async fn its_patience_is_the_tests() {
    let server = server();
    let mut client = TestClient::connect(&server).await.unwrap();
    let late = client.invoke::<bool>("Work", (6,)).await;
    assert!(matches!(late, Err(TestError::Nothing { .. })), "{late:?}");
    let patient = TestClient::builder(&server).patience(Duration::from_secs(60));
    let mut patient = patient.connect().await.unwrap();
    assert_eq!(patient.invoke("Work", (59,)).await, Ok(true));
    let late = patient.invoke::<bool>("Work", (61,)).await.unwrap_err();
    assert_eq!(
        late.to_string(),
        r#"nothing came within 60s; received so far: ["welcome"]"#
    );
}

#[tokio::test(start_paused = true)]
async fn it_uploads() {
    let mut client = TestClient::connect(&server()).await.unwrap();
    // More than the hub reads ahead.
    let left = stream::iter((0..100).map(|part| part.to_string()));
    let joined = client
        .upload(left)
        .upload(stream::iter(["a", "b"]))
        .invoke::<String>("Join", ("-",))
        .await
        .unwrap();
    assert!(joined.starts_with("a-b-0-1-2-"), "{joined}");
    assert!(joined.ends_with("-98-99"), "{joined}");
    let words = stream::iter(["so", "so"]);
    let loud = client.upload(words).stream::<String>("Shout", ()).await;
    assert_eq!(loud.unwrap(), ["SO", "SO"]);
    let words = stream::iter([Ok("so"), Err("enough".to_owned()), Ok("not this")]);
    let mut loud = client.try_upload(words).stream::<String>("Shout", ());
    assert_eq!(loud.next().await, Some(Ok("SO".to_owned())));
    let Some(Err(TestError::Call(text))) = loud.next().await else {
        panic!("no error");
    };
    assert!(text.ends_with("enough"), "{text}");
    // An upload that does not end ends with the call's connection.
    let endless = stream::pending::<String>();
    let mut waiting = client.upload(endless).stream::<String>("Shout", ());
    assert!(waiting.next().now_or_never().is_none());
    drop(waiting);
    client.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_answers_while_the_test_does_something_else() {
    let server = server();
    let mut alice = TestClient::connect(&server).await.unwrap();
    let mut bob = TestClient::connect(&server).await.unwrap();
    bob.answer("ask", || Ok(42));
    let asked = alice
        .invoke::<i32>("AskOther", (bob.connection_id(),))
        .await;
    assert_eq!(asked, Ok(42));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_answer_is_the_tests() {
    let mut client = TestClient::connect(&server()).await.unwrap();
    client.answer("really", |_: String| -> Result<bool, _> {
        panic!("another question was expected")
    });
    let call = client.invoke::<bool>("Confirm", ());
    let panic = std::panic::AssertUnwindSafe(call).catch_unwind().await;
    let panic = panic.unwrap_err();
    assert_eq!(
        panic.downcast_ref::<&str>(),
        Some(&"another question was expected")
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_it() {
    for await_together in [true, false] {
        let server = server();
        let mut client = TestClient::connect(&server).await.unwrap();
        let begun = Instant::now();
        let end = if await_together {
            tokio::join!(server.shutdown(), client.closed()).1
        } else {
            server.shutdown().await;
            client.closed().await
        };
        assert_eq!(end, Ok(None));
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
        let late = client.invoke::<usize>("Say", ("hello",)).await;
        assert_eq!(late, Err(TestError::Closed(None)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_or_dropped_is_gone_at_once() {
    let hub = Chat::default();
    let server = serving(hub.clone());
    let client = TestClient::connect(&server).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(server.clients().count().await, Ok(0));
    let reasons = || std::mem::take(&mut *hub.left.lock().unwrap());
    let closed = DisconnectReason::ClosedByClient { error: None };
    assert_eq!(reasons(), [closed]);

    let mut client = TestClient::connect(&server).await.unwrap();
    client.received::<()>("welcome").await.unwrap();
    let begun = Instant::now();
    drop(client);
    soon(empty(&server)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(reasons(), [DisconnectReason::TransportEnded]);
}

#[tokio::test(start_paused = true)]
async fn an_error_lists_each_name_once() {
    let mut client = TestClient::connect(&server()).await.unwrap();
    client.invoke::<()>("Flood", ("m", 5_000)).await.unwrap();
    let nothing = client.received::<()>("n").await.unwrap_err();
    let text = r#"nothing came within 5s; received so far: ["welcome", "m" 5000 times]"#;
    assert_eq!(nothing.to_string(), text);
    for name in 0..20 {
        let name = name.to_string();
        client.invoke::<()>("Flood", (name, 1)).await.unwrap();
    }
    let nothing = client.received::<()>("n").await.unwrap_err().to_string();
    assert!(nothing.ends_with(r#""13", and 6 more]"#), "{nothing}");
    assert_eq!(client.waiting().len(), 5_021);
}

#[test]
fn a_client_of_a_hub_that_is_gone_is_told_so() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let mut client = first.block_on(async { TestClient::connect(&server()).await.unwrap() });
    drop(first);
    let error = runtime().block_on(async { client.invoke::<()>("Fail", ()).await });
    assert_eq!(error, Err(TestError::Closed(None)));
}
