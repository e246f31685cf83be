//! How connections begin and end, and who hears what.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use signalr_harness::memory::{MemoryClient, ask};
use signalr_server::Origins;

use crate::support::raw::{RawSocket, upgrade};
use crate::support::{SECOND, Test, call, negotiate, result, silence, soon};

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_for_another_is_closed() {
    let test = Test::new(|_| {});
    let mut asked = test.client("").await;
    let mut liar = test.client("").await;
    asked.send_records(&[&call(1, "Ask", "")]).await;
    soon(asked.message()).await;
    liar.send_records(&[r#"{"type":3,"invocationId":"s1","result":"lie"}"#])
        .await;
    assert_eq!(
        soon(liar.message()).await.unwrap(),
        r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#
    );
    asked
        .send_records(&[r#"{"type":3,"invocationId":"s1","result":"truth"}"#])
        .await;
    assert_eq!(soon(asked.message()).await, result(1, "\"truth\""));
}

#[tokio::test(start_paused = true)]
async fn every_audience_is_exactly_the_right_one() {
    let test = Test::new(|_| {});
    let mut clients = [
        test.client("user=alice&group=red").await,
        test.client("user=alice&group=Red").await,
        test.client("user=bob&group=red").await,
        test.client("").await,
    ];
    let ids: Vec<String> = clients
        .iter()
        .map(|client| client.id().to_owned())
        .collect();
    let all = test.server.clients();
    let rows = [
        (all.all(), "0123"),
        (all.all_except([&ids[1], &ids[3]]), "02"),
        (all.clients([&ids[3], "nobody", &ids[3]]), "3"),
        (all.group("red"), "02"),
        (all.group("red").except([&ids[0]]), "2"),
        (all.groups(["red", "Red", ""]), "012"),
        (all.group("nothing"), ""),
        (all.user("alice"), "01"),
        (all.user("Alice"), ""),
        (all.users(["alice", "bob", "alice"]), "012"),
    ];
    for (number, (audience, _)) in rows.iter().enumerate() {
        audience.send("Hear", (number,)).await.unwrap();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        for number in (0..rows.len()).filter(|number| rows[*number].1.contains(&index.to_string()))
        {
            assert_eq!(
                soon(client.message()).await,
                Some(format!(
                    r#"{{"type":1,"target":"Hear","arguments":[{number}]}}"#
                )),
                "client {index}"
            );
        }
        silence(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn groups_end_with_the_connection_and_with_leaving() {
    let test = Test::new(|_| {});
    let mut client = test.client("group=red").await;
    let other = test.client("group=red").await;
    soon(other.gone()).await;
    let groups = test.server.groups();
    groups.leave(client.id(), "red").await.unwrap();
    groups.leave(client.id(), "red").await.unwrap();
    groups.join("nobody", "red").await.unwrap();
    test.server
        .clients()
        .group("red")
        .send("Hear", ())
        .await
        .unwrap();
    silence(&mut client).await;
    groups.join(client.id(), "red").await.unwrap();
    groups.join(client.id(), "red").await.unwrap();
    test.server
        .clients()
        .group("red")
        .send("Hear", ())
        .await
        .unwrap();
    soon(client.message()).await.unwrap();
    silence(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_does_not_keep_others_waiting_and_is_cut() {
    let test = Test::new(|_| {});
    let stuck = test.client("").await;
    let mut client = test.client("").await;
    let text = "x".repeat(60_000);
    let started = tokio::time::Instant::now();
    let all = test.server.clients().all();
    let sending = async {
        for _ in 0..5 {
            all.send("Text", (&text,)).await.unwrap();
        }
        started.elapsed()
    };
    let receiving = async {
        let first = client.message().await.unwrap();
        let first_after = started.elapsed();
        for _ in 1..5 {
            client.message().await.unwrap();
        }
        (first.len() > 60_000, first_after)
    };
    let (sent_after, (whole, first_after)) =
        soon(futures_util::future::join(sending, receiving)).await;
    assert!(whole && first_after < SECOND, "{first_after:?}");
    assert!(sent_after < SECOND, "{sent_after:?}");
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(test.count().await, 1);
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client took no data for 10s"
    );
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn shutdown_asks_every_client_to_reconnect() {
    let test = Test::new(|_| {});
    let mut clients = [
        test.client("").await,
        test.client("").await,
        test.client("").await,
    ];
    let started = tokio::time::Instant::now();
    let server = test.server.clone();
    let shutdown = tokio::spawn(async move { server.shutdown().await });
    for client in &mut clients {
        assert_eq!(
            soon(client.message()).await.unwrap(),
            r#"{"type":7,"allowReconnect":true}"#
        );
        assert_eq!(soon(client.message()).await, None);
        assert_eq!(client.close_code(), Some(1000));
    }
    soon(shutdown).await.unwrap();
    assert!(started.elapsed() < SECOND);
    assert_eq!(
        MemoryClient::open(&test.server, "").await.err(),
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_takes_five_seconds_at_most() {
    let test = Test::new(|_| {});
    let stuck = test.client("").await;
    let id = stuck.id().to_owned();
    let client = test.server.clients().client(&id);
    let _ = tokio::time::timeout(Duration::from_millis(1), async {
        for _ in 0..9 {
            client.send("Text", ("x".repeat(60_000),)).await.unwrap();
        }
    })
    .await;
    let started = tokio::time::Instant::now();
    test.server.shutdown().await;
    assert!(started.elapsed() <= 5 * SECOND, "{:?}", started.elapsed());
    soon(stuck.gone()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_answers_the_close_frame_is_given_up_after_five_seconds() {
    let test = Test::new(|_| {});
    let mut client = RawSocket::open(&test.server, "").await;
    client
        .send(b"{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":7}\x1e")
        .await;
    assert_eq!(soon(client.message()).await, "{}\x1e{\"type\":7}\x1e");
    assert_eq!(soon(client.close_code()).await, 1000);
    let closed = tokio::time::Instant::now();
    soon(client.end()).await;
    assert_eq!(closed.elapsed().as_secs(), 5);
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client closed the connection"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_ends_without_a_word_and_with_an_error() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    assert!(test.server.cut(client.id()));
    assert_eq!(soon(client.message()).await, None);
    assert_eq!(client.close_code(), None);
    soon(client.gone()).await;
    assert_eq!(
        test.notes(),
        ["connected", "disconnected: the connection was cut"]
    );
    assert!(!test.server.cut("nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_its_refusals_is_not_read_either() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    let nope = call(1, &"N".repeat(1_000), "");
    let sent = tokio::time::timeout(5 * SECOND, async {
        let mut sent = 0;
        for _ in 0..1000 {
            client.send_records(&[&nope]).await;
            sent += 1;
            tokio::task::yield_now().await;
        }
        sent
    });
    assert!(sent.await.is_err());
    tokio::time::sleep(10 * SECOND).await;
    soon(client.gone()).await;
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client took no data for 10s"
    );
}

#[tokio::test(start_paused = true)]
async fn only_listed_origins_may_open_web_sockets() {
    let good = "https://good.example";
    let test = Test::new(|options| {
        options.endpoint.origins = Origins::List(vec![good.to_owned()]);
    });
    let open = async |origin: Option<&str>| {
        let mut request = upgrade("/hub");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        RawSocket::ask(&test.server, request).await.map(|_| ())
    };
    assert_eq!(open(Some(good)).await, Ok(()));
    assert_eq!(
        open(Some("https://evil.example")).await,
        Err(StatusCode::FORBIDDEN)
    );
    assert_eq!(open(None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_negotiated_connection_opens_once() {
    let test = Test::new(|_| {});
    let (id, token) = negotiate(&test.server, "").await;
    let open = async |id: &str| {
        let query = format!("id={id}");
        MemoryClient::open(&test.server, &query).await
    };
    assert_eq!(open(&id).await.err(), Some(StatusCode::NOT_FOUND));
    let client = open(&token).await.unwrap();
    assert_eq!(open(&token).await.err(), Some(StatusCode::CONFLICT));
    soon(client.gone()).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(open(&token).await.err(), Some(StatusCode::NOT_FOUND));
}

#[tokio::test(start_paused = true)]
async fn a_web_socket_without_negotiation_is_a_connection_of_its_own() {
    let test = Test::new(|_| {});
    let mut client = MemoryClient::attach(&test.server, "user=alice", String::new())
        .await
        .unwrap();
    client
        .send(b"{\"protocol\":\"json\",\"version\":1}\x1e")
        .await;
    assert_eq!(soon(client.record()).await.as_deref(), Some("{}"));
    client.send_records(&[&call(1, "Add", "1,2")]).await;
    assert_eq!(soon(client.message()).await, result(1, "3"));
    let alice = test.server.clients().user("alice");
    alice.send("Hear", ()).await.unwrap();
    assert!(soon(client.message()).await.unwrap().contains("Hear"));
}

#[tokio::test(start_paused = true)]
async fn a_negotiation_that_nobody_comes_back_for_lapses() {
    let test = Test::new(|_| {});
    let (_, token) = negotiate(&test.server, "").await;
    tokio::time::sleep(14 * SECOND).await;
    let (_, younger) = negotiate(&test.server, "").await;
    tokio::time::sleep(2 * SECOND).await;
    let poll = async |token: &str| {
        let request = Request::get(format!("/hub?id={token}")).body(Bytes::new());
        ask(&test.server, request.unwrap()).await.status()
    };
    assert_eq!(poll(&token).await, StatusCode::NOT_FOUND);
    assert_eq!(poll(&younger).await, StatusCode::OK);
}
