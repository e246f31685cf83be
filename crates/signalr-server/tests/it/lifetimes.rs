//! What lives how long, and what a panic ends.

use std::sync::{Arc, Mutex};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use signalr_harness::memory::MemoryClient;
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{CallContext, DisconnectReason, Hub, HubError, HubMethods, HubServer};

use crate::support::{SECOND, call, empty, result, silence, soon};

/// Panics wherever it can be asked to.
#[derive(Clone, Default)]
struct Bomb {
    notes: Arc<Mutex<Vec<String>>>,
}

/// Explodes when it is serialized, after a part of it was written.
struct Explosive;

impl Serialize for Explosive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut sequence = serializer.serialize_seq(Some(2))?;
        sequence.serialize_element("secret")?;
        panic!("a mistake")
    }
}

/// Fails when it is serialized, after a part of it was written.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut sequence = serializer.serialize_seq(Some(2))?;
        sequence.serialize_element("secret")?;
        Err(serde::ser::Error::custom("secret"))
    }
}

/// Explodes when it is deserialized.
struct Fragile;

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a mistake")
    }
}

impl Bomb {
    fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap().push(text.into());
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

fn explode() {
    panic!("a mistake")
}

impl Hub for Bomb {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on("Method", async |_: Arc<Self>| explode())
            .on("Later", async |_: Arc<Self>| {
                tokio::task::yield_now().await;
                explode();
            })
            .on("AtOnce", |_: Arc<Self>| {
                explode();
                std::future::ready(())
            })
            .on("Result", async |_: Arc<Self>| Explosive)
            .on("BadResult", async |_: Arc<Self>| Unwritable)
            .on("Argument", async |_: Arc<Self>, _: Fragile| ())
            .on("Send", async |_: Arc<Self>, context: CallContext| {
                let caller = context.caller();
                caller.send("Hear", (Explosive,)).await
            })
            .on("Outlive", async |hub: Arc<Self>, context: CallContext| {
                tokio::time::sleep(30 * SECOND).await;
                let sent = context.clients().all().send("Hear", ()).await;
                let asked = context.caller().invoke::<i32>("Question", ()).await;
                let joined = context.join_group("afterlife").await;
                hub.note(format!("{} {sent:?} {joined:?}", context.is_closed()));
                hub.note(asked.unwrap_err().to_string());
                "unheard"
            })
            .on("OutliveAndPanic", async |hub: Arc<Self>| {
                tokio::time::sleep(40 * SECOND).await;
                hub.note("panics");
                explode();
            })
            .stream("Start", async |_: Arc<Self>| {
                explode();
                stream::iter([1])
            })
            .stream("Items", async |_: Arc<Self>| {
                stream::iter(0..3).map(|number| {
                    assert!(number < 2, "a mistake");
                    number
                })
            })
            .stream("Item", async |_: Arc<Self>| stream::iter([Explosive]))
            .stream("BadItem", async |_: Arc<Self>| stream::iter([Unwritable]));
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        assert!(context.query("panic").is_none(), "a mistake");
        Ok(())
    }

    async fn on_disconnected(&self, context: &CallContext, reason: &DisconnectReason) {
        self.note(reason.to_string());
        assert!(context.query("sorry").is_none(), "a mistake");
    }
}

fn bomb() -> (Bomb, HubServer) {
    let hub = Bomb::default();
    let server = HubServer::new(hub.clone()).unwrap();
    (hub, server)
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_own_call_and_is_not_told() {
    let (hub, server) = bomb();
    let mut client = TestClient::connect(&server).await.unwrap();
    for method in ["Method", "Later", "Result", "BadResult", "Send", "AtOnce"] {
        let answer = client.invoke::<()>(method, ()).await;
        let text = format!("An unexpected error occurred invoking '{method}' on the server.");
        assert_eq!(answer, Err(TestError::Call(text.into())));
        assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    }
    let answer = client.invoke::<()>("Argument", (1,)).await;
    let text = "Failed to invoke 'Argument' due to an error on the server.";
    assert_eq!(answer, Err(TestError::Call(text.into())));
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    client.close().await.unwrap();
    empty(&server).await;
    assert_eq!(hub.notes(), ["the client closed the connection"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_stream_and_is_not_told() {
    let (_, server) = bomb();
    let mut client = TestClient::connect(&server).await.unwrap();
    let answer = client.stream::<i32>("Start", ()).await;
    let text = "An unexpected error occurred invoking 'Start' on the server.";
    assert_eq!(answer, Err(TestError::Call(text.into())));
    for method in ["Items", "Item", "BadItem"] {
        let answer = client.stream::<i32>(method, ()).await;
        let text = "An error occurred on the server while streaming results.";
        assert_eq!(answer, Err(TestError::Call(text.into())));
        assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_of_a_value_that_fails_is_not_sent() {
    let (_, server) = bomb();
    let mut client = MemoryClient::connect(&server, "").await;
    for method in ["Result", "BadResult"] {
        client.send_records(&[&call(1, method, "")]).await;
        let text = format!("An unexpected error occurred invoking '{method}' on the server.");
        let answer = format!(r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#);
        assert_eq!(soon(client.message()).await, Some(answer));
    }
    for method in ["Item", "BadItem"] {
        let begin =
            format!(r#"{{"type":4,"invocationId":"1","target":"{method}","arguments":[]}}"#);
        client.send_records(&[&begin]).await;
        let text = "An error occurred on the server while streaming results.";
        let answer = format!(r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#);
        assert_eq!(soon(client.message()).await, Some(answer));
    }
    silence(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_welcome_turns_the_client_away() {
    let (hub, server) = bomb();
    let mut client = MemoryClient::connect(&server, "panic").await;
    let close = r#"{"type":7,"error":"Connection closed with an error."}"#;
    assert_eq!(soon(client.message()).await.as_deref(), Some(close));
    assert_eq!(soon(client.message()).await, None);
    empty(&server).await;
    assert_eq!(hub.notes(), [""; 0]);
    let mut other = MemoryClient::connect(&server, "").await;
    other.send_records(&[&call(1, "Add", "1,2")]).await;
    assert_eq!(soon(other.message()).await, result(1, "3"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_farewell_leaves_nothing_behind() {
    let (hub, server) = bomb();
    let mut client = MemoryClient::connect(&server, "sorry").await;
    let id = client.id().to_owned();
    server.groups().join(&id, "red").await.unwrap();
    client.close().await;
    empty(&server).await;
    assert_eq!(hub.notes(), ["the client left"]);
    assert_eq!(server.groups().count("red").await, Ok(0));
    assert_eq!(server.dropped_messages(&id), None);
}

#[tokio::test(start_paused = true)]
async fn a_method_outlives_its_connection_and_what_it_does_then_reaches_nobody() {
    let (hub, server) = bomb();
    let mut client = MemoryClient::connect(&server, "").await;
    let id = client.id().to_owned();
    client.send_records(&[&call(1, "Outlive", "")]).await;
    silence(&mut client).await;
    client.close().await;
    empty(&server).await;
    assert_eq!(hub.notes(), ["the client left"]);
    tokio::time::sleep(31 * SECOND).await;
    let asked = format!("Connection '{id}' disconnected.");
    assert_eq!(
        hub.notes(),
        ["the client left", "true Ok(()) Ok(())", &asked]
    );
    assert_eq!(server.groups().count("afterlife").await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_method_that_outlives_its_connection_may_panic() {
    let (hub, server) = bomb();
    let mut client = MemoryClient::connect(&server, "").await;
    client
        .send_records(&[&call(1, "OutliveAndPanic", "")])
        .await;
    silence(&mut client).await;
    client.close().await;
    empty(&server).await;
    tokio::time::sleep(41 * SECOND).await;
    assert_eq!(hub.notes(), ["the client left", "panics"]);
}

#[test]
fn connections_that_are_dropped_with_their_runtime_leave_nothing_behind() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let (id, server) = first.block_on(async {
        let (_, server) = bomb();
        let mut client = MemoryClient::connect(&server, "").await;
        server.groups().join(client.id(), "red").await.unwrap();
        client.send_records(&[&call(1, "Outlive", "")]).await;
        silence(&mut client).await;
        assert_eq!(server.clients().count().await, Ok(1));
        let id = client.id().to_owned();
        // The client is not closed, and dropped before its server sees that.
        drop(client);
        (id, server)
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(server.clients().count().await, Ok(0));
        assert_eq!(server.groups().count("red").await, Ok(0));
        assert_eq!(server.dropped_messages(&id), None);
        let mut client = MemoryClient::connect(&server, "").await;
        client.send_records(&[&call(1, "Add", "1,2")]).await;
        assert_eq!(soon(client.message()).await, result(1, "3"));
        client.close().await;
        empty(&server).await;
    });
}
