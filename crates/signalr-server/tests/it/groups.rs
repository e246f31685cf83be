//! Groups, and who is there.

use std::sync::{Arc, Mutex};

use signalr_server::testing::TestClient;
use signalr_server::{
    CallContext, Denial, DisconnectReason, GroupError, Hub, HubError, HubMethods, HubRequest,
    HubServer, User,
};

use crate::support::empty;

/// A room that its members enter by themselves.
#[derive(Clone, Default)]
struct Rooms {
    last: Arc<Mutex<Vec<String>>>,
}

impl Hub for Rooms {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on(
                "Join",
                async |_: Arc<Self>, context: CallContext, name: String| {
                    context.join_group(&name).await
                },
            )
            .on(
                "Leave",
                async |_: Arc<Self>, context: CallContext, name: String| {
                    context.leave_group(&name).await
                },
            )
            .on(
                "Tell",
                async |_: Arc<Self>, context: CallContext, name: String, text: String| {
                    let others = context.others_in_group(&name);
                    others.send("told", (text,)).await
                },
            )
            .on(
                "Ban",
                async |_: Arc<Self>, context: CallContext, user: String| {
                    let connections = context.clients().list_of_user(&user).await?;
                    for connection in &connections {
                        context.server().close(connection, false).await?;
                    }
                    Ok::<_, HubError>(connections.len())
                },
            )
            .on(
                "TellOthers",
                async |_: Arc<Self>, context: CallContext, text: String| {
                    context.others().send("told", (text,)).await
                },
            );
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        context.join_group("lobby").await?;
        Ok(())
    }

    async fn on_disconnected(&self, context: &CallContext, _: &DisconnectReason) {
        let groups = context.groups();
        let last = groups.of(context.connection_id()).await.unwrap();
        // Whoever joins now does not stay.
        context.join_group("afterlife").await.unwrap();
        *self.last.lock().unwrap() = last;
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_finds_and_closes_the_connections_of_a_user() {
    let server = HubServer::builder(Rooms::default())
        .authorize(|request: HubRequest| async move {
            let token = request.bearer_token();
            Ok::<_, Denial>(token.map(|token| User::new(&token)))
        })
        .build()
        .unwrap();
    let mut alice = TestClient::connect(&server).await.unwrap();
    let mut bobs = Vec::new();
    for _ in 0..2 {
        bobs.push(TestClient::connect_as(&server, "bob").await.unwrap());
    }
    assert_eq!(alice.invoke("Ban", ("carol",)).await, Ok(0));
    assert_eq!(alice.invoke("Ban", ("bob",)).await, Ok(2));
    for mut bob in bobs {
        bob.closed().await.unwrap();
    }
    assert_eq!(server.clients().list_of_user("bob").await, Ok(Vec::new()));
    assert_eq!(server.clients().count().await, Ok(1));
}

fn sorted<E: std::fmt::Debug>(names: Result<Vec<String>, E>) -> Vec<String> {
    let mut names = names.unwrap();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_group_has_those_who_joined_and_have_not_left() {
    let server = HubServer::new(Rooms::default()).unwrap();
    let groups = server.groups();
    assert_eq!(groups.count("lobby").await, Ok(0));
    let mut alice = TestClient::connect(&server).await.unwrap();
    let mut bob = TestClient::connect(&server).await.unwrap();
    let everybody = {
        let mut ids = vec![
            alice.connection_id().to_owned(),
            bob.connection_id().to_owned(),
        ];
        ids.sort();
        ids
    };
    assert_eq!(sorted(groups.members("lobby").await), everybody);
    assert_eq!(sorted(server.clients().list().await), everybody);
    assert_eq!(server.clients().count().await, Ok(2));
    alice.invoke::<()>("Join", ("Zoo",)).await.unwrap();
    alice.invoke::<()>("Join", ("zoo",)).await.unwrap();
    alice.invoke::<()>("Join", ("zoo",)).await.unwrap();
    let of_alice = groups.of(alice.connection_id()).await.unwrap();
    assert_eq!(of_alice, ["Zoo", "lobby", "zoo"], "in order");
    assert_eq!(
        groups.members("zoo").await.unwrap(),
        [alice.connection_id()]
    );
    assert_eq!(groups.count("zoo").await, Ok(1));
    alice.invoke::<()>("Leave", ("zoo",)).await.unwrap();
    alice.invoke::<()>("Leave", ("zoo",)).await.unwrap();
    bob.invoke::<()>("Leave", ("zoo",)).await.unwrap();
    assert_eq!(groups.count("zoo").await, Ok(0));
    assert_eq!(groups.members("zoo").await.unwrap(), [""; 0]);
    let of_alice = groups.of(alice.connection_id()).await.unwrap();
    assert_eq!(of_alice, ["Zoo", "lobby"]);
    assert_eq!(groups.of("nobody").await.unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_groups_until_its_farewell_is_over() {
    let hub = Rooms::default();
    let server = HubServer::new(hub.clone()).unwrap();
    let mut client = TestClient::connect(&server).await.unwrap();
    client.invoke::<()>("Join", ("zoo",)).await.unwrap();
    let id = client.connection_id().to_owned();
    client.close().await.unwrap();
    empty(&server).await;
    assert_eq!(*hub.last.lock().unwrap(), ["lobby", "zoo"]);
    let groups = server.groups();
    assert_eq!(groups.of(&id).await.unwrap(), [""; 0]);
    for group in ["lobby", "zoo", "afterlife"] {
        assert_eq!(groups.count(group).await, Ok(0), "{group}");
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_a_group_hear_each_other() {
    let server = HubServer::new(Rooms::default()).unwrap();
    let mut alice = TestClient::connect(&server).await.unwrap();
    let mut bob = TestClient::connect(&server).await.unwrap();
    let mut carol = TestClient::connect(&server).await.unwrap();
    for client in [&mut alice, &mut bob] {
        client.invoke::<()>("Join", ("zoo",)).await.unwrap();
    }
    for client in [&mut alice, &mut carol] {
        client.invoke::<()>("Tell", ("zoo", "roar")).await.unwrap();
    }
    carol.invoke::<()>("TellOthers", ("bye",)).await.unwrap();
    for (client, texts) in [
        (&mut alice, &["roar", "bye"][..]),
        (&mut bob, &["roar", "roar", "bye"]),
    ] {
        for text in texts {
            let told = client.received::<(String,)>("told").await;
            assert_eq!(told, Ok(((*text).to_owned(),)));
        }
    }
    assert!(carol.received::<(String,)>("told").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn groups_have_limits_that_are_told() {
    let server = HubServer::builder(Rooms::default())
        .configure(|options| {
            options.maximum_group_name_length = 10;
            options.maximum_groups_per_connection = 2;
        })
        .build()
        .unwrap();
    let groups = server.groups();
    let mut client = TestClient::connect(&server).await.unwrap();
    let id = client.connection_id().to_owned();
    let too_long = groups.join(&id, "12345678901").await.unwrap_err();
    let (length, limit) = (11, 10);
    assert_eq!(too_long, GroupError::NameTooLong { length, limit });
    assert_eq!(
        too_long.to_string(),
        "a group name of 11 bytes exceeds the limit of 10"
    );
    assert_eq!(groups.join(&id, "1234567890").await, Ok(()));
    assert_eq!(groups.join(&id, "lobby").await, Ok(()), "joined already");
    let too_many = groups.join(&id, "zoo").await.unwrap_err();
    assert_eq!(too_many, GroupError::TooManyGroups { limit: 2 });
    let error = client.invoke::<()>("Join", ("zoo",)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "An unexpected error occurred invoking 'Join' on the server.",
        "hidden from clients"
    );
    groups.leave(&id, "lobby").await.unwrap();
    assert_eq!(groups.join(&id, "zoo").await, Ok(()));
    assert_eq!(groups.of(&id).await.unwrap(), ["1234567890", "zoo"]);
}
