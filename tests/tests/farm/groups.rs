//! Groups whose members are on several servers.

use signalr_proto::backplane::{Ack, GroupAction, GroupCommand};

use super::*;

async fn groups(kinds: &[Kind]) {
    let Some(farm) = Farm::start(kinds).await else {
        return;
    };
    for ways in mixtures(kinds) {
        let mut clients = farm.clients("/hub", &ways, "").await;
        // Speaks what the client of that server speaks, whom everybody understands.
        let outsider = Client::connect(&farm.servers[0].url, "/hub", ways[0], "").await;
        for client in &clients {
            client.call("JoinGroup", &["room"]).await;
            client.call("JoinGroup", &["room"]).await;
            client.call("JoinGroup", &["Room"]).await;
            client.call("LeaveGroup", &["Room"]).await;
        }
        let count = clients.len();
        let mut expected = vec![Vec::new(); count];
        for (sender, speaker) in clients.iter().enumerate() {
            let (all, others) = (format!("all of {sender}"), format!("others of {sender}"));
            speaker.call("SendToGroup", &["room", "Hear", &all]).await;
            let arguments = ["room", "Hear", &others];
            speaker.call("SendToOthersInGroup", &arguments).await;
            speaker.call("SendToGroup", &["Room", "Hear", "?"]).await;
            for (hearer, expected) in expected.iter_mut().enumerate() {
                expected.push(all.clone());
                if hearer != sender {
                    expected.push(others.clone());
                }
            }
        }
        outsider
            .call("SendToGroup", &["room", "Hear", "outsider"])
            .await;
        for expected in &mut expected {
            expected.push("outsider".to_owned());
        }
        all_hear(&mut clients, &expected).await;
        for client in &clients {
            client.call("LeaveGroup", &["room"]).await;
        }
        outsider.call("SendToGroup", &["room", "Hear", "?"]).await;
        none_hears(&mut clients).await;
        assert!(!farm.redis.has_listeners("preTestHub:group:room").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_on_ours_hear_each_other() {
    groups(FARMS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_on_ours_and_on_the_official_server_hear_each_other() {
    join!(groups(FARMS[1]), groups(FARMS[2]));
}

/// Ours let clients of any server join, the official one's too.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_servers_are_added_and_removed() {
    in_every_farm(async |farm| {
        let mut clients = farm.clients("/hub", ALIKE[0], "").await;
        let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
        for id in &ids {
            clients[0].call("AddToGroup", &[id, "room"]).await;
            clients[0].call("AddToGroup", &[id, "room"]).await;
        }
        let last = clients.len() - 1;
        clients[last]
            .call("SendToGroup", &["room", "Hear", "in"])
            .await;
        let heard = vec![vec!["in".to_owned()]; clients.len()];
        all_hear(&mut clients, &heard).await;
        for id in &ids {
            clients[0].call("RemoveFromGroup", &[id, "room"]).await;
        }
        clients[last]
            .call("SendToGroup", &["room", "Hear", "?"])
            .await;
        none_hears(&mut clients).await;
    })
    .await;
}

/// What the official server says when it wants one of our clients to join: its test hubs cannot be asked to.
#[tokio::test(flavor = "multi_thread")]
async fn commands_as_official_servers_give_them_are_obeyed_and_confirmed() {
    let Some(farm) = Farm::start(&[Kind::Ours]).await else {
        return;
    };
    let mut clients = farm.clients("/hub", ALIKE[0], "").await;
    let redis = redis::Listener::subscribe(&farm.redis, "preTestHub:internal:ack:other").await;
    let mut redis = redis;
    for (id, action) in [
        (1, GroupAction::Add),
        (-5, GroupAction::Unknown(3)),
        (70_000, GroupAction::Remove),
    ] {
        let command = GroupCommand {
            id,
            server: "other".into(),
            action,
            group: "room".into(),
            connection_id: clients[0].id.as_str().into(),
        };
        let mut payload = bytes::BytesMut::new();
        command.encode(&mut payload);
        farm.redis
            .publish("preTestHub:internal:groups", &payload)
            .await;
        let ack = Ack::decode(&redis.next().await).unwrap();
        assert_eq!(ack.id, id);
        let joined = farm.redis.has_listeners("preTestHub:group:room").await;
        // The subscription is there before the confirmation, and goes some time after it.
        assert!(joined || action == GroupAction::Remove);
    }
    clients[0].call("SendToGroup", &["room", "Hear", "?"]).await;
    clients[0].hears_exactly(&[]).await;
}
