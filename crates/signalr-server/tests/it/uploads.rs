//! Streams from clients.

use std::sync::{Arc, Mutex};

use signalr_harness::memory::MemoryClient;
use signalr_server::{Hub, HubError, HubMethods, HubServer, UploadError, UploadStream};

use crate::support::{SECOND, call, empty, result, silence, soon};

#[derive(Clone, Default)]
struct Taker {
    notes: Arc<Mutex<Vec<String>>>,
}

impl Taker {
    fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap().push(text.into());
    }
}

async fn all(mut items: UploadStream<String>) -> Result<String, UploadError> {
    let mut text = String::new();
    while let Some(item) = items.next().await {
        text += &item?;
    }
    Ok(text)
}

impl Hub for Taker {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on(
                "Join",
                async |_: Arc<Self>, left: UploadStream<String>, right: UploadStream<String>| {
                    let left = all(left).await?;
                    Ok::<_, HubError>(left + "|" + &all(right).await?)
                },
            )
            .on(
                "Ignore",
                async |_: Arc<Self>, items: UploadStream<String>| {
                    drop(items);
                    tokio::time::sleep(30 * SECOND).await;
                    "done"
                },
            )
            .on(
                "TakeTwo",
                async |_: Arc<Self>, mut items: UploadStream<String>| {
                    let mut text = String::new();
                    for _ in 0..2 {
                        text += &items.next().await.unwrap()?;
                    }
                    drop(items);
                    tokio::time::sleep(30 * SECOND).await;
                    Ok::<_, UploadError>(text)
                },
            )
            .on(
                "Outlive",
                async |hub: Arc<Self>, mut items: UploadStream<String>| {
                    while let Some(item) = items.next().await {
                        match item {
                            Ok(item) => hub.note(item),
                            Err(error) => hub.note(error.to_string()),
                        }
                    }
                    tokio::time::sleep(30 * SECOND).await;
                    hub.note("over");
                },
            )
            .stream("Echo", async |_: Arc<Self>, items: UploadStream<String>| {
                items
            });
    }
}

async fn taker() -> (Taker, HubServer, MemoryClient) {
    let hub = Taker::default();
    let server = HubServer::builder(hub.clone()).build().unwrap();
    let client = MemoryClient::connect(&server, "").await;
    (hub, server, client)
}

fn begin(target: &str, uploads: &str) -> String {
    format!(
        r#"{{"type":1,"invocationId":"1","target":"{target}","arguments":[],"streamIds":[{uploads}]}}"#
    )
}

fn item(upload: &str, text: &str) -> String {
    format!(r#"{{"type":2,"invocationId":"{upload}","item":"{text}"}}"#)
}

fn end(upload: &str) -> String {
    format!(r#"{{"type":3,"invocationId":"{upload}"}}"#)
}

async fn send(client: &mut MemoryClient, records: &[String]) {
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    client.send_records(&records).await;
}

#[tokio::test(start_paused = true)]
async fn two_uploads_may_be_sent_in_another_order_than_they_are_read_in() {
    let (_, _, mut client) = taker().await;
    let mut records = vec![begin("Join", r#""left","right""#)];
    // More than the credit of an upload.
    records.extend((0..50).map(|_| item("right", "r")));
    records.push(end("right"));
    records.extend((0..50).map(|_| item("left", "l")));
    records.push(end("left"));
    send(&mut client, &records).await;
    let joined = format!("\"{}|{}\"", "l".repeat(50), "r".repeat(50));
    assert_eq!(soon(client.message()).await, result(1, &joined));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_reader_is_dropped_does_not_block_the_connection() {
    for (method, answer) in [("Ignore", "\"done\""), ("TakeTwo", "\"xx\"")] {
        let (_, _, mut client) = taker().await;
        let mut records = vec![begin(method, r#""u""#)];
        records.extend((0..100).map(|_| item("u", "x")));
        records.push(call(2, "Add", "1,2"));
        records.push(end("u"));
        records.push(call(3, "Add", "3,4"));
        send(&mut client, &records).await;
        assert_eq!(soon(client.message()).await, result(2, "3"));
        assert_eq!(soon(client.message()).await, result(3, "7"));
        assert_eq!(soon(client.message()).await, result(1, answer));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_can_be_the_stream_that_is_returned() {
    let (_, _, mut client) = taker().await;
    let begin = r#"{"type":4,"invocationId":"1","target":"Echo","arguments":[],"streamIds":["u"]}"#;
    let mut records = vec![begin.to_owned()];
    records.extend((0..50).map(|number| item("u", &number.to_string())));
    records.push(r#"{"type":3,"invocationId":"u","error":"torn"}"#.to_owned());
    send(&mut client, &records).await;
    for number in 0..50 {
        let expected = item("1", &number.to_string());
        assert_eq!(soon(client.message()).await, Some(expected));
    }
    let error = "An error occurred on the server while streaming results. HubException: torn";
    let expected = format!(r#"{{"type":3,"invocationId":"1","error":"{error}"}}"#);
    assert_eq!(soon(client.message()).await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn an_item_of_another_type_fails_its_reader_alone() {
    let (_, _, mut client) = taker().await;
    send(
        &mut client,
        &[
            begin("Join", r#""left","right""#),
            r#"{"type":2,"invocationId":"left","item":7}"#.to_owned(),
            call(2, "Add", "1,2"),
        ],
    )
    .await;
    let mut answers = [soon(client.message()).await, soon(client.message()).await];
    answers.sort();
    let text = "An unexpected error occurred invoking 'Join' on the server. HubException: Failed to bind Stream message.";
    let failed = format!(r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#);
    assert_eq!(answers, [Some(failed), result(2, "3")]);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_another_number_of_uploads_is_refused() {
    let (_, _, mut client) = taker().await;
    send(
        &mut client,
        &[begin("Join", r#""left""#), item("left", "x")],
    )
    .await;
    let text = "An unexpected error occurred invoking 'Join' on the server. HubException: Client sent 1 stream(s), Hub method expects 2.";
    let refused = format!(r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#);
    assert_eq!(soon(client.message()).await, Some(refused));
    send(&mut client, &[item("left", "x"), call(2, "Add", "1,2")]).await;
    assert_eq!(soon(client.message()).await, result(2, "3"));
}

#[tokio::test(start_paused = true)]
async fn a_method_outlives_its_connection_and_hears_of_the_end_of_its_upload() {
    let (hub, server, mut client) = taker().await;
    send(&mut client, &[begin("Outlive", r#""u""#), item("u", "x")]).await;
    silence(&mut client).await;
    client.close().await;
    empty(&server).await;
    let closed = "The underlying connection was closed.";
    assert_eq!(*hub.notes.lock().unwrap(), ["x", closed]);
    tokio::time::sleep(31 * SECOND).await;
    assert_eq!(*hub.notes.lock().unwrap(), ["x", closed, "over"]);
}
