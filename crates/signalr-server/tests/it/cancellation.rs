//! Calls that their clients no longer want, or cannot have any more.

use std::sync::{Arc, Mutex};

use signalr_harness::memory::MemoryClient;
use signalr_server::{
    CallContext, CancellationToken, DisconnectReason, Hub, HubMethods, HubServer, UploadStream,
};
use tokio::time::Instant;

use crate::support::{SECOND, call, empty, result, silence, soon};

/// Waits for the end of calls and notes it.
#[derive(Clone, Default)]
struct Waiter {
    notes: Arc<Mutex<Vec<String>>>,
}

impl Waiter {
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    async fn wait(self: Arc<Self>, name: String, token: CancellationToken) -> String {
        token.cancelled().await;
        self.note(&name);
        name
    }
}

impl Hub for Waiter {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Wait", Self::wait)
            .on(
                "WaitInContext",
                async |hub: Arc<Self>, context: CallContext| {
                    let closed_before = context.is_closed();
                    context.cancelled().await;
                    hub.note(&format!("{closed_before} {}", context.is_closed()));
                },
            )
            .on(
                "WaitWithUpload",
                async |hub: Arc<Self>, token: CancellationToken, items: UploadStream<i32>| {
                    token.cancelled().await;
                    drop(items);
                    hub.note("upload");
                    "upload"
                },
            )
            .on("WaitLater", async |hub: Arc<Self>, context: CallContext| {
                tokio::time::sleep(5 * SECOND).await;
                // A token that is made after the fact tells the same.
                let token = context.cancellation();
                hub.note(&format!("late {}", token.is_cancelled()));
            })
            .on("Leave", async |hub: Arc<Self>, context: CallContext| {
                let token = context.cancellation();
                context.close();
                hub.note(&format!(
                    "left {} {}",
                    token.is_cancelled(),
                    context.is_closed()
                ));
                "unheard"
            })
            .stream(
                "Stream",
                async |hub: Arc<Self>, token: CancellationToken| {
                    futures_util::stream::once(async move {
                        token.cancelled().await;
                        hub.note("stream");
                        1
                    })
                },
            );
    }

    async fn on_disconnected(&self, context: &CallContext, _: &DisconnectReason) {
        assert!(context.is_closed() && context.cancellation().is_cancelled());
        self.note("disconnected");
    }
}

async fn waiter() -> (Waiter, HubServer, MemoryClient) {
    let hub = Waiter::default();
    let server = HubServer::builder(hub.clone()).build().unwrap();
    let client = MemoryClient::connect(&server, "").await;
    (hub, server, client)
}

fn cancel(id: u32) -> String {
    format!(r#"{{"type":5,"invocationId":"{id}"}}"#)
}

#[tokio::test(start_paused = true)]
async fn a_token_fires_when_its_call_is_cancelled_and_the_call_is_still_answered() {
    let (hub, _, mut client) = waiter().await;
    client.send_records(&[&call(1, "Wait", "\"me\"")]).await;
    silence(&mut client).await;
    client.send_records(&[&cancel(2)]).await;
    silence(&mut client).await;
    client.send_records(&[&cancel(1)]).await;
    assert_eq!(soon(client.message()).await, result(1, "\"me\""));
    assert_eq!(hub.notes(), ["me"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_fires_for_its_own_call_only() {
    let (hub, _, mut client) = waiter().await;
    let upload = |id: u32| {
        format!(
            r#"{{"type":1,"invocationId":"{id}","target":"WaitWithUpload","arguments":[],"streamIds":["u{id}"]}}"#
        )
    };
    client.send_records(&[&upload(1), &upload(2)]).await;
    silence(&mut client).await;
    client.send_records(&[&cancel(2)]).await;
    assert_eq!(soon(client.message()).await, result(2, "\"upload\""));
    silence(&mut client).await;
    assert_eq!(hub.notes(), ["upload"]);
    client.send_records(&[&cancel(1)]).await;
    assert_eq!(soon(client.message()).await, result(1, "\"upload\""));
}

#[tokio::test(start_paused = true)]
async fn a_context_tells_the_cancellation_of_its_call_from_the_end_of_the_connection() {
    let (hub, _, mut client) = waiter().await;
    client.send_records(&[&call(1, "WaitInContext", "")]).await;
    silence(&mut client).await;
    client.send_records(&[&cancel(1)]).await;
    assert_eq!(soon(client.message()).await, result(1, "null"));
    client.send_records(&[&call(2, "WaitInContext", "")]).await;
    silence(&mut client).await;
    client.close().await;
    soon(client.gone()).await;
    tokio::time::sleep(SECOND).await;
    let mut notes = hub.notes();
    notes.sort();
    assert_eq!(notes, ["disconnected", "false false", "false true"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_asked_for_after_the_cancellation_has_fired() {
    let (hub, _, mut client) = waiter().await;
    client
        .send_records(&[&call(1, "WaitLater", ""), &cancel(1)])
        .await;
    assert_eq!(soon(client.message()).await, result(1, "null"));
    assert_eq!(hub.notes(), ["late true"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_fires_when_the_client_leaves_or_is_lost() {
    for orderly in [true, false] {
        let (hub, server, mut client) = waiter().await;
        client.send_records(&[&call(1, "Wait", "\"me\"")]).await;
        silence(&mut client).await;
        let begun = Instant::now();
        if orderly {
            client.close().await;
        } else {
            server.cut(client.id());
        }
        empty(&server).await;
        assert!(begun.elapsed() < SECOND);
        let mut notes = hub.notes();
        notes.sort();
        assert_eq!(notes, ["disconnected", "me"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_fires_when_the_client_leaves_although_another_call_waits_for_its_turn() {
    let (hub, server, mut client) = waiter().await;
    client
        .send_records(&[
            &call(1, "Wait", "\"first\""),
            &call(2, "Wait", "\"second\""),
        ])
        .await;
    silence(&mut client).await;
    let begun = Instant::now();
    client.close().await;
    empty(&server).await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(hub.notes(), ["first", "second", "disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_dropped_when_its_client_leaves() {
    let (hub, server, mut client) = waiter().await;
    client
        .send_records(&[r#"{"type":4,"invocationId":"1","target":"Stream","arguments":[]}"#])
        .await;
    silence(&mut client).await;
    client.close().await;
    empty(&server).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(hub.notes(), ["disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_closes_its_connection_sees_it_closed_at_once_and_is_not_answered() {
    let (hub, server, mut client) = waiter().await;
    client.send_records(&[&call(1, "Leave", "")]).await;
    let close = Some(r#"{"type":7}"#.to_owned());
    assert_eq!(soon(client.message()).await, close);
    assert_eq!(soon(client.message()).await, None);
    empty(&server).await;
    assert_eq!(hub.notes(), ["left true true", "disconnected"]);
}
