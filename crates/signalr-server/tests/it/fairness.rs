//! Nobody is kept waiting by somebody who never pauses.

use std::sync::Arc;

use futures_util::stream;
use signalr_harness::memory::MemoryClient;
use signalr_server::{CallContext, Hub, HubMethods, HubServer, SendError};

use crate::support::{call, result, soon};

struct Busy;

impl Hub for Busy {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on("Chatter", Self::chatter)
            .stream("Endless", async |_: Arc<Self>| stream::repeat(1));
    }
}

impl Busy {
    async fn chatter(self: Arc<Self>, context: CallContext) -> Result<(), SendError> {
        loop {
            context.caller().send("Hear", ("x".repeat(100),)).await?;
        }
    }
}

/// How many messages come before this one.
async fn until(client: &mut MemoryClient, wanted: &Option<String>) -> usize {
    let mut others = 0;
    while soon(client.message()).await != *wanted {
        others += 1;
        assert!(others < 100_000, "never");
    }
    others
}

const ENDLESS: &str = r#"{"type":4,"invocationId":"9","target":"Endless","arguments":[]}"#;

#[tokio::test(start_paused = true)]
async fn a_stream_without_pauses_does_not_hold_up_calls_and_other_streams() {
    let server = HubServer::new(Busy).unwrap();
    let mut client = MemoryClient::connect(&server, "").await;
    client.send_records(&[ENDLESS]).await;
    soon(client.message()).await.unwrap();
    client.send_records(&[&call(1, "Add", "1,2")]).await;
    until(&mut client, &result(1, "3")).await;
    client.send_records(&[&ENDLESS.replace('9', "8")]).await;
    let item = r#"{"type":2,"invocationId":"8","item":1}"#.to_owned();
    until(&mut client, &Some(item)).await;
    for id in [8, 9] {
        client
            .send_records(&[&format!(r#"{{"type":5,"invocationId":"{id}"}}"#)])
            .await;
        let end = format!(r#"{{"type":3,"invocationId":"{id}"}}"#);
        until(&mut client, &Some(end)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_never_stops_sending_does_not_hold_up_other_connections() {
    let server = HubServer::new(Busy).unwrap();
    let mut chatty = MemoryClient::connect(&server, "").await;
    let mut other = MemoryClient::connect(&server, "").await;
    chatty.send_records(&[&call(1, "Chatter", "")]).await;
    for _ in 0..1_000 {
        soon(chatty.message()).await.unwrap();
    }
    other.send_records(&[&call(2, "Add", "1,2")]).await;
    assert_eq!(soon(other.message()).await, result(2, "3"));
    for _ in 0..1_000 {
        soon(chatty.message()).await.unwrap();
    }
    assert_eq!(server.close(chatty.id(), false).await, Ok(true));
    until(&mut chatty, &Some(r#"{"type":7}"#.to_owned())).await;
    assert_eq!(soon(chatty.message()).await, None);
}
