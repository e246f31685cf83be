//! Real hubs: client and server, and nothing but memory between them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use signalr_client::{LifecycleEvent, ReconnectPolicy, TransportKind, Upload};
use signalr_server::{
    CallContext, Denial, Hub, HubError, HubMethods, HubRequest, HubServer, UploadStream, User,
};
use signalr_testkit::{Network, Observer, Refusal, TestRuntime, now, run, sleep};

use crate::{PROTOCOLS, builder};

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>, context: CallContext, text: String) -> Result<usize, HubError> {
        let user = context.user();
        let user = user.as_ref().map_or("somebody", |user| user.id());
        context.clients().all().send("Said", (user, &text)).await?;
        Ok(text.len())
    }

    async fn ask(self: Arc<Self>, context: CallContext) -> Result<i32, HubError> {
        Ok(context.caller().invoke::<i32>("Answer", ()).await?)
    }

    async fn sum(self: Arc<Self>, mut numbers: UploadStream<i32>) -> i32 {
        let mut sum = 0;
        while let Some(Ok(number)) = numbers.next().await {
            sum += number;
        }
        sum
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
        methods.on("Ask", Self::ask);
        methods.on("Sum", Self::sum);
        methods.stream("Count", async |_: Arc<Self>, to: u32| {
            futures_util::stream::iter(0..to)
        });
    }
}

async fn authorize(request: HubRequest) -> Result<Option<User>, Denial> {
    match request.bearer_token() {
        Some(token) => Ok(Some(User::new(&token))),
        None => Err(http::StatusCode::UNAUTHORIZED.into()),
    }
}

fn hub() -> HubServer {
    HubServer::builder(Chat)
        .build_on(TestRuntime::current())
        .unwrap()
}

#[test]
fn a_client_and_a_hub_meet_over_every_transport_in_both_protocols() {
    for protocol in PROTOCOLS {
        for transport in TransportKind::ALL {
            if (protocol, transport) == (PROTOCOLS[1], TransportKind::ServerSentEvents) {
                // Events are text.
                continue;
            }
            run(async {
                let network = Network::to(&hub());
                let builder = builder().protocol(protocol).transports([transport]);
                let connection = network.connect(builder).await;
                assert_eq!(connection.transport(), Some(transport));
                let observer = Observer::of(&connection);
                assert_eq!(connection.invoke::<usize>("Say", ("hello",)).await, Ok(5));
                let said: (String, String) = observer.expect_call("Said").await;
                assert_eq!(said, ("somebody".to_owned(), "hello".to_owned()));
                connection.on("Answer", || 42);
                assert_eq!(connection.invoke::<i32>("Ask", ()).await, Ok(42));
                let items = connection.stream::<u32>("Count", (3,)).await.unwrap();
                let items: Vec<_> = items.map(Result::unwrap).collect().await;
                assert_eq!(items, [0, 1, 2]);
                let numbers = Upload::new(futures_util::stream::iter([1, 2, 3]));
                assert_eq!(connection.invoke::<i32>("Sum", (numbers,)).await, Ok(6));
                // Both sides live on, however long nobody says anything.
                sleep(Duration::from_secs(600)).await;
                assert_eq!(connection.invoke::<usize>("Say", ("still",)).await, Ok(5));
                connection.stop().await;
            });
        }
    }
}

#[test]
fn what_is_cut_comes_back_as_another_connection() {
    run(async {
        let network = Network::to(&hub());
        let policy = ReconnectPolicy::standard();
        let connection = network.connect(builder().automatic_reconnect(policy)).await;
        let first = connection.connection_id();
        let observer = Observer::of(&connection);
        let before = now();
        network.refuse(2);
        network.cut();
        observer.expect_reconnected().await;
        assert_eq!(now() - before, Duration::from_secs(12));
        assert_ne!(connection.connection_id(), first);
        assert_eq!(connection.invoke::<usize>("Say", ("back",)).await, Ok(4));
    });
}

#[test]
fn a_stateful_connection_survives_a_cut() {
    run(async {
        let hub = HubServer::builder(Chat)
            .configure(|options| options.endpoint.stateful_reconnect = true)
            .build_on(TestRuntime::current())
            .unwrap();
        let network = Network::to(&hub);
        let connection = network.connect(builder().stateful_reconnect(true)).await;
        let observer = Observer::of(&connection);
        let id = connection.connection_id();
        network.cut();
        assert_eq!(connection.invoke::<usize>("Say", ("on",)).await, Ok(2));
        observer
            .expect_event("Resumed", |event| *event == LifecycleEvent::Resumed)
            .await;
        assert_eq!(connection.connection_id(), id);
    });
}

#[test]
fn a_web_socket_that_is_refused_makes_the_client_fall_back() {
    run(async {
        let network = Network::to(&hub());
        network.refuse_with(1, &Refusal::WebSocket { status: 502 });
        let connection = network.build(builder());
        let observer = Observer::of(&connection);
        connection.start().await.unwrap();
        observer
            .expect_event("a fallback", |event| {
                matches!(event, LifecycleEvent::Fallback { .. })
            })
            .await;
        assert_eq!(
            connection.transport(),
            Some(TransportKind::ServerSentEvents)
        );
    });
}

#[test]
fn tokens_reach_the_hub() {
    run(async {
        let hub = HubServer::builder(Chat)
            .authorize(authorize)
            .build_on(TestRuntime::current())
            .unwrap();
        let network = Network::to(&hub);
        assert!(network.build(builder()).start().await.is_err());
        let ann = network.connect(builder().token("ann")).await;
        let observer = Observer::of(&ann);
        ann.send("Say", ("hello",)).await.unwrap();
        let said: (String, String) = observer.expect_call("Said").await;
        assert_eq!(said.0, "ann");
    });
}

#[test]
fn a_client_that_is_cut_is_gone_for_the_hub_in_time() {
    run(async {
        let hub = hub();
        let network = Network::to(&hub);
        let (ann, bob) =
            futures_util::join!(network.connect(builder()), network.connect(builder()));
        let id = bob.connection_id().unwrap();
        assert_eq!(hub.close(&id, false).await, Ok(true));
        network.cut();
        sleep(Duration::from_secs(60)).await;
        let id = ann.connection_id().unwrap_or(id);
        assert_eq!(hub.close(&id, false).await, Ok(false));
    });
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn hubs_within_tokio_need_no_runtime_named() {
    let hub = HubServer::new(Chat).unwrap();
    let connection = Network::to(&hub).connect(builder()).await;
    assert_eq!(connection.invoke::<usize>("Say", ("hello",)).await, Ok(5));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(connection.invoke::<usize>("Say", ("hello",)).await, Ok(5));
}
