//! How connections begin and end, and who hears what.

mod support;

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use signalr_proto::WsMessage;
use signalr_server::HubRequest;
use signalr_testkit::memory::MemoryClient;
use support::{SECOND, Test, call, result, silence, soon};

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
        (all.clients([&ids[3], "nobody"]), "3"),
        (all.group("red"), "02"),
        (all.group("red").except([&ids[0]]), "2"),
        (all.groups(["red", "Red", ""]), "012"),
        (all.group("nothing"), ""),
        (all.user("alice"), "01"),
        (all.user("Alice"), ""),
        (all.users(["alice", "bob"]), "012"),
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
    test.server.leave_group(client.id(), "red");
    test.server.leave_group(client.id(), "red");
    test.server.join_group("nobody", "red");
    test.server
        .clients()
        .group("red")
        .send("Hear", ())
        .await
        .unwrap();
    silence(&mut client).await;
    test.server.join_group(client.id(), "red");
    test.server.join_group(client.id(), "red");
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
    assert!(
        (SECOND..=11 * SECOND).contains(&sent_after),
        "{sent_after:?}"
    );
    soon(stuck.gone()).await;
    assert_eq!(test.server.connection_count(), 1);
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
    let request = HubRequest::new("/hub", "", http::HeaderMap::new());
    let accepted = test.server.connect(&http::Method::GET, true, request);
    let accepted = accepted.await.ok().unwrap();
    let (mut outgoing, to_server) = mpsc::channel(16);
    let (from_server, mut incoming) = mpsc::channel(16);
    let serving = tokio::spawn(accepted.serve(to_server.map(Ok), from_server));
    let talk: &[u8] = b"{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":7}\x1e";
    outgoing.send(WsMessage::Text(talk.into())).await.unwrap();
    while !matches!(soon(incoming.next()).await, Some(WsMessage::Close(1000))) {}
    let closed = tokio::time::Instant::now();
    serving.await.unwrap();
    assert_eq!(closed.elapsed().as_secs(), 5);
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client closed the connection"
    );
    drop(outgoing);
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
    let nope = call(1, &"N".repeat(10_000), "");
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
    let test = Test::new(|options| {
        options.allowed_origins = Some(vec!["https://good.example".to_owned()])
    });
    let open = |origin: Option<&str>| {
        let mut headers = http::HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(http::header::ORIGIN, origin.parse().unwrap());
        }
        let server = test.server.clone();
        async move {
            server
                .connect(&http::Method::GET, true, HubRequest::new("/", "", headers))
                .await
                .map(drop)
                .map_err(|refusal| refusal.status())
        }
    };
    assert_eq!(open(Some("https://good.example")).await, Ok(()));
    assert_eq!(
        open(Some("https://evil.example")).await,
        Err(StatusCode::FORBIDDEN)
    );
    assert_eq!(open(None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_negotiated_connection_opens_once() {
    let test = Test::new(|_| {});
    let request = |query: &str| HubRequest::new("/hub", query, http::HeaderMap::new());
    let response = test
        .server
        .negotiate(&http::Method::POST, request("negotiateVersion=1"))
        .await;
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let (id, token) = (
        body["connectionId"].as_str().unwrap(),
        body["connectionToken"].as_str().unwrap(),
    );
    assert_eq!(
        MemoryClient::open(&test.server, &format!("id={id}"))
            .await
            .err(),
        Some(StatusCode::NOT_FOUND)
    );
    let query = format!("id={token}");
    let client = MemoryClient::open(&test.server, &query).await.unwrap();
    assert_eq!(client.id(), id);
    assert_eq!(
        MemoryClient::open(&test.server, &query).await.err(),
        Some(StatusCode::CONFLICT)
    );
    soon(client.gone()).await;
    assert_eq!(
        MemoryClient::open(&test.server, &query).await.err(),
        Some(StatusCode::NOT_FOUND)
    );
}
