//! Stateful reconnect: connections that outlive their WebSockets.

use http::StatusCode;
use signalr_harness::memory::MemoryClient;
use signalr_server::SlowClients;

use crate::support::{SECOND, Test, call, result, silence, soon};

const SEQUENCE: &str = r#"{"type":9,"sequenceId":1}"#;

fn stateful() -> Test {
    Test::new(|options| options.endpoint.stateful_reconnect = true)
}

fn hear(number: u32) -> Option<String> {
    Some(format!(
        r#"{{"type":1,"target":"Hear","arguments":[{number}]}}"#
    ))
}

/// A client that may come back: its public id, and the query of its WebSockets.
struct Place {
    id: String,
    query: String,
}

impl Place {
    async fn new(test: &Test, query: &str) -> Self {
        let query = format!("useStatefulReconnect=true&{query}");
        let (id, token) = crate::support::negotiate(&test.server, &query).await;
        let query = format!("id={token}");
        Self { id, query }
    }

    async fn open(&self, test: &Test, query: &str) -> Result<MemoryClient, StatusCode> {
        let query = format!("{}&{query}", self.query);
        MemoryClient::attach(&test.server, &query, self.id.clone()).await
    }

    async fn connect(&self, test: &Test, query: &str) -> MemoryClient {
        let mut client = self.open(test, query).await.unwrap();
        client
            .send(b"{\"protocol\":\"json\",\"version\":2}\x1e")
            .await;
        assert_eq!(soon(client.record()).await.as_deref(), Some("{}"));
        client
    }
}

async fn tell(test: &Test, client: &str, number: u32) {
    let client = test.server.clients().client(client);
    client.send("Hear", (number,)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_cut_goes_on_with_another_web_socket_and_loses_nothing() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let mut client = place.connect(&test, "").await;
    let id = client.id().to_owned();
    client.send_records(&[&call(1, "Wait", "")]).await;
    for round in 0..3 {
        tell(&test, &id, round * 2).await;
        assert_eq!(soon(client.message()).await, hear(round * 2));
        assert!(test.server.cut(&id));
        assert_eq!(soon(client.message()).await, None);
        tell(&test, &id, round * 2 + 1).await;
        client = place.open(&test, "").await.unwrap();
        client.send_records(&[SEQUENCE, &call(1, "Wait", "")]).await;
        assert_eq!(soon(client.message()).await.as_deref(), Some(SEQUENCE));
        for number in 0..round * 2 + 2 {
            assert_eq!(soon(client.message()).await, hear(number));
        }
    }
    test.gate.add_permits(1);
    let ack = Some(r#"{"type":8,"sequenceId":1}"#.to_owned());
    let mut last = [soon(client.message()).await, soon(client.message()).await];
    last.sort();
    assert_eq!(last, [result(1, "1"), ack]);
    assert_eq!(test.notes(), ["connected"]);
    assert_eq!(test.count().await, 1);
    client.close().await;
    soon(client.gone()).await;
    assert_eq!(test.notes(), ["connected", "disconnected: the client left"]);
}

/// `SB-47`.
#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_is_still_in_its_groups() {
    let test = stateful();
    let groups = test.server.groups();
    let room = test.server.clients().group("room");
    let place = Place::new(&test, "").await;
    let mut client = place.connect(&test, "group=room").await;
    let id = client.id().to_owned();
    for round in 0..3 {
        assert!(test.server.cut(&id));
        assert_eq!(soon(client.message()).await, None);
        // What is said to the group meanwhile waits for its member.
        room.send("Hear", (round,)).await.unwrap();
        client = place.open(&test, "").await.unwrap();
        client.send_records(&[SEQUENCE]).await;
        assert_eq!(soon(client.message()).await.as_deref(), Some(SEQUENCE));
        for number in 0..=round {
            assert_eq!(soon(client.message()).await, hear(number));
        }
        assert_eq!(groups.of(&id).await, Ok(vec!["room".to_owned()]));
        assert_eq!(groups.count("room").await, Ok(1));
    }
    client.close().await;
    soon(client.gone()).await;
    assert_eq!(groups.count("room").await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_second_web_socket_takes_over_from_one_that_still_seems_to_stand() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let mut first = place.connect(&test, "").await;
    let id = first.id().to_owned();
    tell(&test, &id, 1).await;
    assert_eq!(soon(first.message()).await, hear(1));
    let mut second = place.open(&test, "").await.unwrap();
    assert_eq!(second.id(), id);
    assert_eq!(soon(second.message()).await.as_deref(), Some(SEQUENCE));
    assert_eq!(soon(second.message()).await, hear(1));
    assert_eq!(soon(first.message()).await, None);
    soon(first.gone()).await;
    second
        .send_records(&[SEQUENCE, &call(1, "Add", "1,2")])
        .await;
    assert_eq!(soon(second.message()).await, result(1, "3"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_come_back_is_forgotten_after_the_disconnect_timeout() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let client = place.connect(&test, "").await;
    let left = tokio::time::Instant::now();
    soon(client.gone()).await;
    test.empty().await;
    assert_eq!(left.elapsed().as_secs(), 15);
    assert_eq!(test.notes(), ["connected", "disconnected: the client left"]);
    let refused = place.open(&test, "").await.map(|_| ());
    assert_eq!(refused, Err(StatusCode::NOT_FOUND));
}

#[tokio::test(start_paused = true)]
async fn only_the_same_user_may_take_a_connection_over() {
    let test = stateful();
    let place = Place::new(&test, "user=alice").await;
    let mut client = place.connect(&test, "user=alice").await;
    for other in ["", "user=eve"] {
        let refused = place.open(&test, other).await.map(|_| ());
        assert_eq!(refused, Err(StatusCode::FORBIDDEN));
    }
    client.send_records(&[&call(1, "Add", "1,2")]).await;
    assert_eq!(soon(client.message()).await, result(1, "3"));
    assert!(place.open(&test, "user=alice").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_version_1_cannot_be_taken_over() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let mut client = place.open(&test, "").await.unwrap();
    client
        .send(b"{\"protocol\":\"json\",\"version\":1}\x1e")
        .await;
    assert_eq!(soon(client.record()).await.as_deref(), Some("{}"));
    let refused = place.open(&test, "").await.map(|_| ());
    assert_eq!(refused, Err(StatusCode::NO_CONTENT));
    test.server.cut(client.id());
    assert_eq!(soon(client.message()).await, None);
    soon(client.gone()).await;
    assert_eq!(
        test.notes(),
        ["connected", "disconnected: the connection was cut"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_heir_that_leaves_at_once_costs_nothing() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let client = place.connect(&test, "").await;
    for _ in 0..5 {
        drop(place.open(&test, "").await.unwrap());
        tokio::task::yield_now().await;
    }
    drop(client);
    let mut last = place.open(&test, "").await.unwrap();
    assert_eq!(soon(last.message()).await.as_deref(), Some(SEQUENCE));
    last.send_records(&[SEQUENCE, &call(1, "Add", "1,2")]).await;
    assert_eq!(soon(last.message()).await, result(1, "3"));
    assert_eq!(test.notes(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_those_who_may_come_back() {
    let test = stateful();
    let place = Place::new(&test, "").await;
    let client = place.connect(&test, "").await;
    test.server.cut(client.id());
    tokio::time::sleep(SECOND).await;
    let begun = tokio::time::Instant::now();
    soon(test.server.shutdown()).await;
    assert!(begun.elapsed() < SECOND);
    soon(client.gone()).await;
    assert_eq!(
        test.notes(),
        [
            "connected",
            "disconnected: the server closed the connection"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn senders_wait_while_too_much_is_not_acknowledged_and_are_let_go_when_the_client_is_gone() {
    let test = Test::new(|options| {
        options.endpoint.stateful_reconnect = true;
        options.connection.stateful_reconnect_buffer_size = 10;
        options.outgoing_limit = 10;
        options.slow_clients = SlowClients::Wait;
    });
    let place = Place::new(&test, "").await;
    let mut client = place.connect(&test, "").await;
    let id = client.id().to_owned();
    tell(&test, &id, 1).await;
    let early = tokio::time::timeout(5 * SECOND, tell(&test, &id, 2)).await;
    assert!(early.is_err(), "the second message does not wait");
    assert_eq!(soon(client.message()).await, hear(1));
    silence(&mut client).await;
    client.send_records(&[r#"{"type":8,"sequenceId":1}"#]).await;
    assert_eq!(soon(client.message()).await, hear(2));
    client.send_records(&[r#"{"type":8,"sequenceId":2}"#]).await;
    soon(tell(&test, &id, 3)).await;
    assert_eq!(soon(client.message()).await, hear(3));
    test.server.cut(&id);
    let group = test.server.clients().client(&id);
    let _ = soon(group.send("Hear", (4,))).await;
}
