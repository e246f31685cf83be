//! The client that applications test their hubs with.

use std::sync::Arc;

use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{
    CallContext, Hub, HubError, HubMethods, HubRequest, HubServer, InvokeError, SendError, User,
};
use tokio::time::Instant;

use crate::support::empty;

struct Chat;

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
            .stream("Count", async |_: Arc<Self>, to: i32| stream::iter(0..to));
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        if context.user_id().as_deref() == Some("eve") {
            return Err(HubError::new("not you"));
        }
        context.caller().send("welcome", ()).await?;
        Ok(())
    }
}

fn server() -> HubServer {
    HubServer::builder(Chat)
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
    client.answer("really", |(what,): (String,)| Ok(what == "delete"));
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
    let late = eve.invoke::<usize>("Say", ("hello",)).await.unwrap_err();
    assert!(
        matches!(late, TestError::Closed(_) | TestError::Refused(404)),
        "{late:?}"
    );

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
    assert_eq!(error, Err(TestError::Refused(404)));
}
