//! Messages to every audience, from every server to every server.

use super::*;

/// Every sender with every transport and protocol.
async fn audiences(kinds: &[Kind]) {
    let Some(farm) = Farm::start(kinds).await else {
        return;
    };
    for ways in mixtures(kinds) {
        let mut clients = farm.clients("/hub", &ways, "").await;
        let count = clients.len();
        let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
        let mut expected = vec![Vec::new(); count];
        for (sender, speaker) in clients.iter().enumerate() {
            let text = |kind: &str| format!("{kind} of {sender}");
            let (all, others, one) = (text("all"), text("others"), text("one"));
            speaker.call("SendToAll", &["Hear", &all]).await;
            speaker.call("SendToOthers", &["Hear", &others]).await;
            for id in &ids {
                speaker.call("SendToClient", &[id, "Hear", &one]).await;
            }
            speaker.call("SendToClient", &["nobody", "Hear", "?"]).await;
            for (hearer, expected) in expected.iter_mut().enumerate() {
                expected.push(all.clone());
                expected.push(one.clone());
                if hearer != sender {
                    expected.push(others.clone());
                }
            }
        }
        all_hear(&mut clients, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_ours_reach_everybody_who_is_meant() {
    audiences(FARMS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_ours_and_of_the_official_server_reach_everybody_who_is_meant() {
    join!(audiences(FARMS[1]), audiences(FARMS[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_hears_on_all_servers() {
    in_every_farm(async |farm| {
        for ways in ALIKE {
            user(&farm, ways).await;
        }
    })
    .await;
}

async fn user(farm: &Farm, ways: &[Way]) {
    let mut alices = farm.clients("/auth", ways, "alice").await;
    let mut bobs = farm.clients("/auth", ways, "bob").await;
    for (index, sender) in bobs.iter().enumerate() {
        let text = format!("from {index}");
        sender.call("SendToUser", &["alice", "Hear", &text]).await;
        sender.call("SendToUser", &["Alice", "Hear", "?"]).await;
    }
    let texts: Vec<_> = (0..bobs.len())
        .map(|index| format!("from {index}"))
        .collect();
    let heard = vec![texts; alices.len()];
    join!(all_hear(&mut alices, &heard), none_hears(&mut bobs));
}

/// The limits for clients are none for servers, whose messages may be of any size.
#[tokio::test(flavor = "multi_thread")]
async fn large_messages_arrive() {
    in_every_farm(async |farm| {
        let mut clients = farm.clients("/large", ALIKE[1], "").await;
        for size in [300_000, 1_000_000] {
            let text = "x".repeat(size);
            for sender in 0..clients.len() {
                clients[sender].call("SendToAll", &["Hear", &text]).await;
                for client in &mut clients {
                    assert_eq!(client.hears().await.as_str().map(str::len), Some(size));
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_sender_to_one_audience_stay_in_order() {
    in_every_farm(async |farm| {
        let mut clients = farm.clients("/hub", ALIKE[0], "").await;
        for sender in 0..clients.len() {
            for number in 0..100 {
                let text = number.to_string();
                let arguments = signalr_client::Spread(vec!["Hear", &*text]);
                clients[sender]
                    .connection
                    .send("SendToAll", arguments)
                    .await
                    .unwrap();
            }
            for client in &mut clients {
                for number in 0..100 {
                    assert_eq!(client.hears().await, number.to_string());
                }
            }
        }
    })
    .await;
}
