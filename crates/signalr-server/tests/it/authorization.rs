//! Who may connect, who may call, and what is known about whom.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use signalr_harness::log::Log;
use signalr_harness::memory::ask;
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{
    CallContext, Denial, Hub, HubError, HubMethods, HubRequest, HubServer, HubServerBuilder,
    LogCalls, User,
};

use tracing::Level;

use crate::support::empty;
use crate::support::raw::{RawSocket, upgrade};

struct Claims {
    admin: bool,
}

/// How often a connection has knocked.
#[derive(Clone, Default)]
struct Knocks(usize);

struct Guarded;

fn is_admin(context: &CallContext) -> bool {
    let user = context.user();
    user.is_some_and(|user| user.claims::<Claims>().is_some_and(|claims| claims.admin))
}

impl Hub for Guarded {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .require_for_all(|context| context.user_id().as_deref() != Some("eve"))
            .require_for_all(|context| {
                assert!(context.user_id().as_deref() != Some("mallory"), "a mistake");
                true
            })
            .on("Name", async |_: Arc<Self>, context: CallContext| {
                context.user_id()
            })
            .on("Ban", async |_: Arc<Self>, name: String| {
                format!("{name} is banned")
            })
            .require(is_admin)
            .stream("Audit", async |_: Arc<Self>| stream::iter(0..3))
            .require(is_admin)
            .require(|_| false)
            .on("Knock", async |_: Arc<Self>, context: CallContext| {
                context.extensions().update(|knocks: &mut Knocks| {
                    knocks.0 += 1;
                    knocks.0
                })
            })
            .on("Forget", async |_: Arc<Self>, context: CallContext| {
                let extensions = context.extensions();
                let knocks = extensions.remove::<Knocks>().map(|knocks| knocks.0);
                assert!(extensions.get::<Knocks>().is_none());
                assert!(extensions.insert(7_u8).is_none());
                (knocks, extensions.insert(8_u8))
            });
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        context.extensions().insert(Knocks(40));
        Ok(())
    }
}

fn server() -> HubServer {
    builder().build().unwrap()
}

fn builder() -> HubServerBuilder<Guarded> {
    HubServer::builder(Guarded).authorize(|request: HubRequest| async move {
        let Some(name) = request.bearer_token() else {
            return Ok(None);
        };
        if name == "expired" {
            let whole = Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)
                .body("the token has expired");
            return Err(Denial::from(whole.unwrap()));
        }
        assert!(name != "trudy", "no such name");
        if name == "banned" {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let admin = name == "alice";
        Ok(Some(User::new(&name).with_claims(Claims { admin })))
    })
}

/// Web servers would break the connection off, and over HTTP/2 everything else with it.
#[tokio::test(start_paused = true)]
async fn a_panic_of_authorize_is_an_answer() {
    let log = Log::begin(Level::ERROR);
    let server = server();
    let refused = TestClient::connect_as(&server, "trudy").await.err();
    assert_eq!(refused, Some(TestError::Refused(500)));
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let socket = upgrade("/hub?access_token=trudy").body(Bytes::new());
    assert_eq!(ask(&server, socket.unwrap()).await.status(), status);
    let poll = Request::get("/hub?id=x&access_token=trudy").body(Bytes::new());
    assert_eq!(ask(&server, poll.unwrap()).await.status(), status);
    TestClient::connect_as(&server, "bob").await.unwrap();
    let text = log.text();
    assert_eq!(text.matches("no such name").count(), 3, "{text}");
}

fn failed<T>(text: &str) -> Result<T, TestError> {
    Err(TestError::Call(text.into()))
}

#[tokio::test(start_paused = true)]
async fn arguments_are_decoded_before_policies_decide_and_behind_filters() {
    let mistyped = "Failed to invoke 'Ban' due to an error on the server.";
    let unauthorized = "Failed to invoke 'Ban' because user is unauthorized";
    let filtered = builder().filter(LogCalls::new()).build().unwrap();
    for (server, first) in [(server(), mistyped), (filtered, unauthorized)] {
        let mut bob = TestClient::connect_as(&server, "bob").await.unwrap();
        assert_eq!(bob.invoke::<String>("Ban", (7,)).await, failed(first));
        let answer = bob.invoke::<String>("Ban", ("eve", 7)).await;
        assert_eq!(answer, failed(mistyped), "arguments are counted before");
        let mut alice = TestClient::connect_as(&server, "alice").await.unwrap();
        assert_eq!(alice.invoke::<String>("Ban", (7,)).await, failed(mistyped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_refuses_callers_whom_its_policy_does_not_allow() {
    let server = server();
    let mut alice = TestClient::connect_as(&server, "alice").await.unwrap();
    let mut bob = TestClient::connect_as(&server, "bob").await.unwrap();
    let mut nobody = TestClient::connect(&server).await.unwrap();
    let answer = alice.invoke::<String>("Ban", ("eve",)).await;
    assert_eq!(answer.as_deref(), Ok("eve is banned"));
    let text = "Failed to invoke 'ban' because user is unauthorized";
    for client in [&mut bob, &mut nobody] {
        let answer = client.invoke::<String>("ban", ("eve",)).await;
        assert_eq!(answer, failed(text));
    }
    let name = bob.invoke::<Option<String>>("Name", ()).await;
    assert_eq!(name, Ok(Some("bob".to_owned())));
    assert_eq!(nobody.invoke("Name", ()).await, Ok(None::<String>));
}

#[tokio::test(start_paused = true)]
async fn every_policy_of_a_method_must_allow_the_caller() {
    let server = server();
    let mut alice = TestClient::connect_as(&server, "alice").await.unwrap();
    let text = "Failed to invoke 'Audit' because user is unauthorized";
    assert_eq!(alice.stream::<i32>("Audit", ()).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn a_policy_for_the_whole_hub_holds_for_each_method() {
    let server = server();
    let mut eve = TestClient::connect_as(&server, "eve").await.unwrap();
    let text = "Failed to invoke 'Name' because user is unauthorized";
    let answer = eve.invoke::<Option<String>>("Name", ()).await;
    assert_eq!(answer, failed(text));
    let text = "Failed to invoke 'Knock' because user is unauthorized";
    assert_eq!(eve.invoke::<usize>("Knock", ()).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_call_is_told_so_before_anything_is_said_about_the_form_of_the_call() {
    let server = server();
    let mut bob = TestClient::connect_as(&server, "bob").await.unwrap();
    let text = "Failed to invoke 'Audit' because user is unauthorized";
    assert_eq!(bob.invoke::<i32>("Audit", ()).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_refuses_its_call_and_harms_no_other() {
    let server = server();
    let mut mallory = TestClient::connect_as(&server, "mallory").await.unwrap();
    let mut bob = TestClient::connect_as(&server, "bob").await.unwrap();
    for _ in 0..2 {
        let answer = mallory.invoke::<usize>("Knock", ()).await;
        let text = "Failed to invoke 'Knock' due to an error on the server.";
        assert_eq!(answer, failed(text));
    }
    assert_eq!(bob.invoke::<usize>("Knock", ()).await, Ok(41));
    mallory.close().await.unwrap();
    bob.close().await.unwrap();
    empty(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_may_be_a_whole_response() {
    let server = server();
    for request in [
        Request::post("/hub/negotiate?negotiateVersion=1"),
        Request::get("/hub?id=x"),
        Request::post("/hub?id=x"),
        Request::delete("/hub?id=x"),
        Request::post("/hub/refresh?id=x"),
    ] {
        let request = request.header(header::AUTHORIZATION, "Bearer expired");
        let response = ask(&server, request.body(Bytes::new()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let header = response.headers().get(header::WWW_AUTHENTICATE).unwrap();
        assert_eq!(header, r#"Bearer error="invalid_token""#);
        assert_eq!(response.body(), "the token has expired");
    }
    let refused = TestClient::connect_as(&server, "banned").await.err();
    assert_eq!(refused, Some(TestError::Refused(403)));
    let web_socket = RawSocket::ask(&server, upgrade("/hub?access_token=banned")).await;
    assert_eq!(web_socket.err(), Some(StatusCode::FORBIDDEN));
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_query_is_as_good_as_one_in_the_header() {
    let server = server();
    let mut socket = RawSocket::open(&server, "access_token=alice").await;
    socket.shake_hands().await;
    socket
        .send(b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"Ban\",\"arguments\":[\"eve\"]}\x1e")
        .await;
    assert_eq!(
        socket.message().await,
        "{\"type\":3,\"invocationId\":\"1\",\"result\":\"eve is banned\"}\x1e"
    );
}

#[tokio::test(start_paused = true)]
async fn extensions_belong_to_one_connection_and_live_as_long() {
    let server = server();
    let mut one = TestClient::connect(&server).await.unwrap();
    let mut other = TestClient::connect(&server).await.unwrap();
    assert_eq!(one.invoke::<usize>("Knock", ()).await, Ok(41));
    assert_eq!(one.invoke::<usize>("Knock", ()).await, Ok(42));
    assert_eq!(other.invoke::<usize>("Knock", ()).await, Ok(41));
    let forgotten = one
        .invoke::<(Option<usize>, Option<u8>)>("Forget", ())
        .await;
    assert_eq!(forgotten, Ok((Some(42), Some(7))));
    assert_eq!(one.invoke::<usize>("Knock", ()).await, Ok(1));
    assert_eq!(other.invoke::<usize>("Knock", ()).await, Ok(42));
}
