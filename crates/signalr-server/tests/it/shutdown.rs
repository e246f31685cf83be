//! Shutting a hub down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join;
use http::StatusCode;
use signalr_harness::memory::{self, MemoryClient};
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{Hub, HubMethods, HubServer};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::support::requests::HttpClient;
use crate::support::{SECOND, Test, call, soon};

const CLOSE: &str = "{\"type\":7,\"allowReconnect\":true}\u{1e}";

fn shut_down(test: &Test) -> tokio::task::JoinHandle<()> {
    let server = test.server.clone();
    tokio::spawn(async move { server.shutdown().await })
}

#[tokio::test(start_paused = true)]
async fn clients_on_every_transport_are_invited_to_come_back() {
    let test = Test::new(|_| {});
    let mut web_socket = test.client("").await;
    let streaming = HttpClient::new(&test.server).await;
    let mut events = streaming.start_events().await;
    let waiting = HttpClient::new(&test.server).await;
    waiting.start_polling().await;
    let between = HttpClient::new(&test.server).await;
    between.start_polling().await;
    let polling = waiting.clone();
    let polling = tokio::spawn(async move { (polling.messages().await, polling.poll().await) });
    tokio::time::sleep(SECOND).await;

    let begun = Instant::now();
    let shutdown = shut_down(&test);
    let message = soon(web_socket.message()).await;
    assert_eq!(message.as_deref(), CLOSE.strip_suffix('\u{1e}'));
    assert_eq!(soon(web_socket.message()).await, None);
    assert_eq!(web_socket.close_code(), Some(1000));
    assert_eq!(soon(events.message()).await.as_deref(), Some(CLOSE));
    assert_eq!(soon(events.message()).await, None);
    let (message, end) = soon(polling).await.unwrap();
    assert_eq!(message, CLOSE);
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    // Who is between two polls hears of it with the next.
    assert_eq!(between.messages().await, CLOSE);
    assert_eq!(between.poll().await.status(), StatusCode::NO_CONTENT);
    soon(shutdown).await.unwrap();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(test.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_any_more() {
    let test = Test::new(|_| {});
    let negotiated = HttpClient::new(&test.server).await;
    soon(test.server.shutdown()).await;
    let refused = memory::negotiate(&test.server, "").await;
    assert_eq!(refused, Err(StatusCode::SERVICE_UNAVAILABLE));
    for status in [
        negotiated.poll().await.status(),
        negotiated.events().await.status(),
        negotiated.post("").await.status(),
    ] {
        assert!(
            matches!(
                status,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND
            ),
            "{status}"
        );
    }
    let web_socket = MemoryClient::attach(&test.server, "", String::new()).await;
    assert_eq!(web_socket.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_go_are_cut_after_five_seconds_on_every_transport() {
    let test = Test::new(|_| {});
    let silent = HttpClient::new(&test.server).await;
    silent.start_polling().await;
    let streaming = HttpClient::new(&test.server).await;
    let events = streaming.start_events().await;
    let target = test.server.clients().client(&streaming.id);
    target.send("Hear", ()).await.unwrap();
    let begun = Instant::now();
    soon(test.server.shutdown()).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    test.empty().await;
    assert!(begun.elapsed() < 6 * SECOND);
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn methods_that_run_do_not_hold_the_shutdown_up() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client.send_records(&[&call(1, "Wait", "")]).await;
    tokio::time::sleep(SECOND).await;
    let begun = Instant::now();
    let shutdown = shut_down(&test);
    assert!(
        soon(client.message())
            .await
            .unwrap()
            .contains("allowReconnect")
    );
    assert_eq!(soon(client.message()).await, None);
    soon(shutdown).await.unwrap();
    assert!(begun.elapsed() < SECOND);
    assert_eq!(
        test.notes(),
        [
            "connected",
            "disconnected: the server closed the connection"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn clients_that_have_not_shaken_hands_are_told_to_go() {
    let test = Test::new(|_| {});
    let mut web_socket = MemoryClient::open(&test.server, "").await.unwrap();
    let streaming = HttpClient::new(&test.server).await;
    let mut events = streaming.events().await.into_body();
    assert_eq!(events.piece().await.as_deref(), Some(":\r\n"));
    soon(test.server.shutdown()).await;
    let refusal = r#"{"error":"Handshake was canceled."}"#;
    assert_eq!(soon(web_socket.record()).await.as_deref(), Some(refusal));
    assert_eq!(soon(web_socket.record()).await, None);
    let refusal = format!("{refusal}\u{1e}");
    assert_eq!(soon(events.message()).await, Some(refusal));
    assert_eq!(soon(events.message()).await, None);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_twice_is_shutting_down_once() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    let both = [shut_down(&test), shut_down(&test)];
    assert!(
        soon(client.message())
            .await
            .unwrap()
            .contains("allowReconnect")
    );
    assert_eq!(soon(client.message()).await, None);
    for shutdown in both {
        soon(shutdown).await.unwrap();
    }
    assert_eq!(test.notes().len(), 2);
}

/// As the guide has it: calls under way hold a token.
struct Shop {
    calls: TaskTracker,
    paid: Arc<AtomicU64>,
}

impl Hub for Shop {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Pay", async |hub: Arc<Self>, cents: u64| {
            let _under_way = hub.calls.token();
            tokio::time::sleep(SECOND).await;
            hub.paid.fetch_add(cents, Ordering::SeqCst);
            cents
        });
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_waited_for_are_answered_before_and_others_come_to_their_end_unheard() {
    for is_drained_first in [true, false] {
        let (calls, paid) = (TaskTracker::new(), Arc::default());
        let shop = Shop {
            calls: calls.clone(),
            paid: Arc::clone(&paid),
        };
        let server = HubServer::new(shop).unwrap();
        let mut client = TestClient::connect(&server).await.unwrap();
        let shutdown = async {
            tokio::time::sleep(SECOND / 2).await;
            calls.close();
            if is_drained_first {
                calls.wait().await;
            }
            server.shutdown().await;
            calls.wait().await;
        };
        let (answer, ()) = soon(join(client.invoke::<u64>("Pay", (7,)), shutdown)).await;
        let heard = if is_drained_first {
            Ok(7)
        } else {
            Err(TestError::Closed(None))
        };
        assert_eq!(answer, heard);
        assert_eq!(paid.load(Ordering::SeqCst), 7);
    }
}
