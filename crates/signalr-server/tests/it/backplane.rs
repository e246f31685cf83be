//! Servers of one farm, over a broker within the process.

use std::sync::Arc;
use std::time::Duration;

use signalr_server::testing::TestClient;
use signalr_server::{
    Backplane, BackplaneFault, BackplaneLink, BackplaneState, CallContext, Hub, HubError,
    HubMethods, HubRequest, HubServer, MemoryBackplane, User, WhenAway,
};
use tokio::time::Instant;

use crate::support::{SECOND, empty};

#[derive(Debug)]
struct Farmer;

type This = Arc<Farmer>;

impl Hub for Farmer {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on(
                "All",
                async |_: This, context: CallContext, text: String| {
                    context.clients().all().send("told", (text,)).await
                },
            )
            .on(
                "Others",
                async |_: This, context: CallContext, text: String| {
                    context.others().send("told", (text,)).await
                },
            )
            .on(
                "One",
                async |_: This, context: CallContext, id: String, text: String| {
                    context.clients().client(&id).send("told", (text,)).await
                },
            )
            .on(
                "Some",
                async |_: This, context: CallContext, ids: Vec<String>, text: String| {
                    context.clients().clients(ids).send("told", (text,)).await
                },
            )
            .on(
                "Groups",
                async |_: This, context: CallContext, names: Vec<String>, text: String| {
                    context.clients().groups(names).send("told", (text,)).await
                },
            )
            .on(
                "OthersIn",
                async |_: This, context: CallContext, name: String, text: String| {
                    context.others_in_group(&name).send("told", (text,)).await
                },
            )
            .on(
                "Users",
                async |_: This, context: CallContext, ids: Vec<String>, text: String| {
                    context.clients().users(ids).send("told", (text,)).await
                },
            )
            .on(
                "UserButMe",
                async |_: This, context: CallContext, id: String, text: String| {
                    let me = context.connection_id();
                    let user = context.clients().user(&id).except([me]);
                    user.send("told", (text,)).await
                },
            )
            .on(
                "Join",
                async |_: This, context: CallContext, id: String, name: String| {
                    context.groups().join(&id, &name).await
                },
            )
            .on(
                "Leave",
                async |_: This, context: CallContext, id: String, name: String| {
                    context.groups().leave(&id, &name).await
                },
            )
            .on(
                "Ask",
                async |_: This, context: CallContext, id: String, number: i32| {
                    let client = context.clients().client(&id);
                    let answer = client.invoke::<i32>("Double", (number,)).await;
                    answer.map_err(|error| HubError::new(error.to_string()))
                },
            );
    }
}

/// Servers that have found each other.
async fn farm(servers: usize) -> Vec<HubServer> {
    let backplane = MemoryBackplane::default();
    let servers: Vec<_> = (0..servers).map(|_| server(backplane.clone())).collect();
    for server in &servers {
        server.backplane().unwrap().ready().await;
    }
    servers
}

fn server(backplane: impl Backplane) -> HubServer {
    HubServer::builder(Farmer)
        .authorize(|request: HubRequest| async move {
            let token = request.bearer_token();
            Ok::<_, http::StatusCode>(token.map(|token| User::new(&token)))
        })
        .backplane("My.Farmer", backplane)
        .build()
        .unwrap()
}

async fn told(client: &mut TestClient) -> String {
    client.received::<(String,)>("told").await.unwrap().0
}

/// Nothing more has come than what was taken.
async fn quiet(clients: &mut [&mut TestClient]) {
    tokio::time::sleep(SECOND).await;
    for client in clients {
        assert_eq!(client.waiting(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn every_audience_spans_the_farm() {
    let servers = farm(2).await;
    let mut near = TestClient::connect_as(&servers[0], "alice").await.unwrap();
    let mut far = TestClient::connect_as(&servers[1], "alice").await.unwrap();
    let mut bob = TestClient::connect_as(&servers[1], "bob").await.unwrap();
    let ids = [&near, &far, &bob].map(|client| client.connection_id().to_owned());

    near.invoke::<()>("All", ("1",)).await.unwrap();
    near.invoke::<()>("Others", ("2",)).await.unwrap();
    near.invoke::<()>("One", (&ids[1], "3")).await.unwrap();
    near.invoke::<()>("Some", (&ids, "4")).await.unwrap();
    near.invoke::<()>("Users", (["alice", "nobody"], "5"))
        .await
        .unwrap();
    for (client, name) in [(&mut near, "room"), (&mut far, "room"), (&mut bob, "hall")] {
        let id = client.connection_id().to_owned();
        client.invoke::<()>("Join", (&id, name)).await.unwrap();
    }
    near.invoke::<()>("Groups", (["room", "hall", ""], "6"))
        .await
        .unwrap();
    far.invoke::<()>("OthersIn", ("room", "7")).await.unwrap();
    near.invoke::<()>("One", ("nobody", "8")).await.unwrap();

    let mut heard = Vec::new();
    for (client, count) in [(&mut near, 5), (&mut far, 6), (&mut bob, 4)] {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(told(client).await);
        }
        texts.sort();
        heard.push(texts.concat());
    }
    assert_eq!(heard, ["14567", "123456", "1246"]);
    quiet(&mut [&mut near, &mut far, &mut bob]).await;
    let health = servers[0].backplane().unwrap().health();
    assert!(health.is_up());
    assert!(health.counters.published >= 10);
}

#[tokio::test(start_paused = true)]
async fn connections_are_left_out_of_messages_to_all_and_to_groups_only() {
    let servers = farm(2).await;
    let mut near = TestClient::connect_as(&servers[0], "alice").await.unwrap();
    let error = near
        .invoke::<()>("UserButMe", ("alice", "x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UserButMe"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_server_is_added_and_removed() {
    let servers = farm(3).await;
    let mut near = TestClient::connect(&servers[0]).await.unwrap();
    let mut far = TestClient::connect(&servers[1]).await.unwrap();
    let mut third = TestClient::connect(&servers[2]).await.unwrap();
    let id = far.connection_id().to_owned();
    near.invoke::<()>("Join", (&id, "room")).await.unwrap();
    assert_eq!(servers[1].groups().of(&id).await.unwrap(), ["room"]);
    third
        .invoke::<()>("Groups", (["room"], "in"))
        .await
        .unwrap();
    assert_eq!(told(&mut far).await, "in");
    near.invoke::<()>("Leave", (&id, "room")).await.unwrap();
    third
        .invoke::<()>("Groups", (["room"], "out"))
        .await
        .unwrap();
    quiet(&mut [&mut far]).await;
}

#[tokio::test(start_paused = true)]
async fn the_clients_of_the_farm_are_counted() {
    let mut servers = farm(3).await;
    let mut near = TestClient::connect_as(&servers[0], "alice").await.unwrap();
    let mut far = TestClient::connect_as(&servers[1], "alice").await.unwrap();
    let third = TestClient::connect(&servers[2]).await.unwrap();
    for client in [&mut near, &mut far] {
        let id = client.connection_id().to_owned();
        client.invoke::<()>("Join", (&id, "room")).await.unwrap();
    }
    let handle = servers[0].backplane().unwrap();
    assert_eq!(handle.count().await, Ok(3));
    assert_eq!(handle.count_group("room").await, Ok(2));
    assert_eq!(handle.count_user("alice").await, Ok(2));
    assert_eq!(handle.count_user("bob").await, Ok(0));
    third.close().await.unwrap();
    let last = servers.pop().unwrap();
    empty(&last).await;
    drop(last);
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.count().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_change_for_a_client_that_nobody_has_fails_after_thirty_seconds() {
    let servers = farm(2).await;
    let began = Instant::now();
    let error = servers[0]
        .groups()
        .join("nobody", "room")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no server of the farm confirmed the change of a group within 30s"
    );
    assert_eq!(began.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_server_answers() {
    let servers = farm(2).await;
    let mut near = TestClient::connect(&servers[0]).await.unwrap();
    let mut far = TestClient::connect(&servers[1]).await.unwrap();
    let id = far.connection_id().to_owned();
    far.answer("Double", |number: i32| Ok::<_, String>(number * 2));
    assert_eq!(near.invoke::<i32>("Ask", (&id, 21)).await.unwrap(), 42);
    far.answer("Double", |_: i32| Err::<i32, _>("cannot count".to_owned()));
    let error = near.invoke::<i32>("Ask", (&id, 21)).await.unwrap_err();
    assert!(error.to_string().contains("cannot count"), "{error}");
    far.answer("Double", |_: i32| Ok::<_, String>("two".to_owned()));
    let error = near.invoke::<i32>("Ask", (&id, 21)).await.unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_question_to_nobody_fails_at_once_and_one_to_a_client_that_leaves_when_it_does() {
    let servers = farm(2).await;
    let mut near = TestClient::connect(&servers[0]).await.unwrap();
    let began = Instant::now();
    let error = near.invoke::<i32>("Ask", ("nobody", 1)).await.unwrap_err();
    assert!(
        error.to_string().contains("'nobody' does not exist"),
        "{error}"
    );
    assert!(began.elapsed() < SECOND);

    let mut far = TestClient::connect(&servers[1]).await.unwrap();
    let id = far.connection_id().to_owned();
    far.ignore("Double");
    let asked = near.invoke::<i32>("Ask", (&id, 1));
    let left = async {
        tokio::time::sleep(SECOND).await;
        far.close().await.unwrap();
    };
    let (error, ()) = tokio::join!(asked, left);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("Connection disconnected."), "{error}");
    assert!(began.elapsed() < 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_unsubscribed_from_everything() {
    let servers = farm(1).await;
    let handle = servers[0].backplane().unwrap();
    let before = handle.health().counters.channels;
    let mut client = TestClient::connect_as(&servers[0], "alice").await.unwrap();
    let id = client.connection_id().to_owned();
    client.invoke::<()>("Join", (&id, "room")).await.unwrap();
    assert_eq!(handle.health().counters.channels, before + 3);
    client.close().await.unwrap();
    empty(&servers[0]).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.health().counters.channels, before);
}

/// A broker that is there or not.
#[derive(Clone, Debug, Default)]
struct Moody {
    broker: MemoryBackplane,
    away: Arc<std::sync::atomic::AtomicBool>,
}

impl Moody {
    fn set_away(&self, away: bool) {
        self.away.store(away, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Backplane for Moody {
    fn connect(
        &self,
    ) -> futures_util::future::BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        if self.away.load(std::sync::atomic::Ordering::SeqCst) {
            return Box::pin(async { Err("out to lunch".into()) });
        }
        let (broker, away) = (self.broker.clone(), Arc::clone(&self.away));
        Box::pin(async move {
            use futures_util::StreamExt as _;
            let mut link = broker.connect().await?;
            let gone = async move {
                while !away.load(std::sync::atomic::Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            link.messages = link.messages.take_until(Box::pin(gone)).boxed();
            Ok(link)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn clients_outlive_the_broker_and_hear_what_is_sent_when_it_is_back() {
    let moody = Moody::default();
    let servers = [server(moody.clone()), server(moody.clone())];
    let mut near = TestClient::connect(&servers[0]).await.unwrap();
    let mut far = TestClient::connect(&servers[1]).await.unwrap();
    let id = far.connection_id().to_owned();
    far.invoke::<()>("Join", (&id, "room")).await.unwrap();
    moody.set_away(true);
    tokio::time::sleep(SECOND).await;
    let health = servers[0].backplane().unwrap().health();
    assert_eq!(health.state, BackplaneState::Away);
    assert_eq!(health.last_fault.as_deref(), Some("out to lunch"));

    let began = Instant::now();
    near.invoke::<()>("All", ("lost",)).await.unwrap_err();
    near.invoke::<()>("Join", (&id, "hall")).await.unwrap_err();
    let refused = TestClient::connect(&servers[0]).await.unwrap();
    drop(refused);
    assert!(began.elapsed() < SECOND);
    // What needs no other server goes on.
    let own = near.connection_id().to_owned();
    near.invoke::<()>("One", (&own, "direct")).await.unwrap();
    assert_eq!(told(&mut near).await, "direct");

    moody.set_away(false);
    for server in &servers {
        server.backplane().unwrap().ready().await;
    }
    near.invoke::<()>("Groups", (["room"], "back"))
        .await
        .unwrap();
    assert_eq!(told(&mut far).await, "back");
    quiet(&mut [&mut near, &mut far]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_while_the_broker_is_away_is_turned_away() {
    let moody = Moody::default();
    moody.set_away(true);
    let server = server(moody.clone());
    tokio::time::sleep(SECOND).await;
    let mut client = TestClient::connect(&server).await.unwrap();
    client.closed().await.unwrap();
    moody.set_away(false);
    server.backplane().unwrap().ready().await;
    let mut client = TestClient::connect(&server).await.unwrap();
    client.invoke::<()>("All", ("1",)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_shall_wait_for_the_broker_waits() {
    let moody = Moody::default();
    let server = HubServer::builder(Farmer)
        .backplane("My.Farmer", moody.clone())
        .configure_backplane(|config| config.when_away = WhenAway::Wait(20 * SECOND))
        .build()
        .unwrap();
    let mut client = TestClient::connect(&server).await.unwrap();
    moody.set_away(true);
    tokio::time::sleep(SECOND).await;
    let all = server.clients().all();
    let sent = all.send("told", ("patience",));
    let back = async {
        tokio::time::sleep(5 * SECOND).await;
        moody.set_away(false);
    };
    let (sent, ()) = tokio::join!(sent, back);
    sent.unwrap();
    assert_eq!(told(&mut client).await, "patience");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_served_no_more_leaves_the_farm() {
    let backplane = MemoryBackplane::default();
    let first = server(backplane.clone());
    let handle = first.backplane().unwrap();
    handle.ready().await;
    drop(first);
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.health().state, BackplaneState::Stopped);
    handle.ready().await;
}

#[tokio::test(start_paused = true)]
async fn servers_that_share_a_name_say_so() {
    let backplane = MemoryBackplane::default();
    let servers = [(); 2].map(|()| {
        HubServer::builder(Farmer)
            .backplane("My.Farmer", backplane.clone())
            .configure_backplane(|config| config.server_name = "same".into())
            .build()
            .unwrap()
    });
    tokio::time::sleep(10 * SECOND).await;
    for server in &servers {
        let health = server.backplane().unwrap().health();
        assert!(health.is_up());
        let fault = health.last_fault.unwrap();
        assert!(fault.contains("the same server_name"), "{fault}");
    }
}
