//! Questions to clients: calls of the hub that clients answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signalr_harness::memory::MemoryClient;
use signalr_server::testing::TestClient;
use signalr_server::{
    CallContext, DisconnectReason, Hub, HubError, HubMethods, HubServer, InvokeError,
};
use tokio::time::Instant;

use crate::support::raw::RawSocket;
use crate::support::{SECOND, call, empty, result, silence, soon};

/// Asks its callers, and whoever they name.
#[derive(Clone, Default)]
struct Asker {
    notes: Arc<Mutex<Vec<String>>>,
    /// Whom to ask when a client has left.
    heir: Arc<Mutex<Option<String>>>,
}

impl Asker {
    fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap().push(text.into());
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    async fn ask(self: Arc<Self>, context: CallContext, seconds: u64) -> String {
        let caller = context.caller();
        let question = caller.invoke::<String>("Question", (1, "two"));
        let answer = question.timeout(Duration::from_secs(seconds)).await;
        answer.unwrap_or_else(|error| error.to_string())
    }

    /// Says something, then asks.
    async fn tell_and_ask(self: Arc<Self>, context: CallContext) -> Result<i32, HubError> {
        let caller = context.caller();
        for number in 0..3 {
            caller.send("Hear", (number,)).await?;
        }
        Ok(caller.invoke("Question", ()).await?)
    }
}

impl Hub for Asker {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Ask", Self::ask)
            .on("TellAndAsk", Self::tell_and_ask)
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b);
    }

    async fn on_disconnected(&self, context: &CallContext, _: &DisconnectReason) {
        let caller = context.caller();
        let answer = caller.invoke::<i32>("Question", ()).await;
        self.note(format!("{}", answer.unwrap_err()));
        let heir = self.heir.lock().unwrap().clone();
        if let Some(heir) = heir {
            let heir = context.clients().client(&heir);
            let answer = heir.invoke::<i32>("Question", ()).await;
            self.note(format!("{answer:?}"));
        }
    }
}

fn asker() -> (Asker, HubServer) {
    let hub = Asker::default();
    let server = HubServer::builder(hub.clone()).build().unwrap();
    (hub, server)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_decoded_as_what_was_asked_for() {
    let (_, server) = asker();
    let mut client = TestClient::connect(&server).await.unwrap();
    client.answer("Question", |number: i32, text: String| {
        Ok(format!("{number} and {text}"))
    });
    let answer = client.invoke::<String>("Ask", (5,)).await;
    assert_eq!(answer.as_deref(), Ok("1 and two"));
    client.answer("Question", |_: i32, _: String| Ok(7));
    let answer = client.invoke::<String>("Ask", (5,)).await.unwrap();
    assert!(
        answer.starts_with("the client's result does not fit"),
        "{answer}"
    );
    client.answer("Question", |_: i32, _: String| {
        Err::<(), _>("no idea".to_owned())
    });
    let answer = client.invoke::<String>("Ask", (5,)).await;
    assert_eq!(answer.as_deref(), Ok("no idea"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_value_is_none() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    client.send_records(&[&call(1, "Ask", "5")]).await;
    soon(client.message()).await.unwrap();
    client
        .send_records(&[r#"{"type":3,"invocationId":"s1"}"#])
        .await;
    let text = "\"the client gave no result\"";
    assert_eq!(soon(client.message()).await, result(1, text));
}

#[tokio::test(start_paused = true)]
async fn a_question_is_given_up_after_its_own_timeout_or_thirty_seconds() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    let begun = Instant::now();
    client.send_records(&[&call(1, "Ask", "3")]).await;
    soon(client.message()).await.unwrap();
    let text = "\"Invocation canceled by the server.\"";
    assert_eq!(soon(client.message()).await, result(1, text));
    assert_eq!(begun.elapsed().as_secs(), 3);
    let target = server.clients().client(client.id());
    let begun = Instant::now();
    let answer = target.invoke::<i32>("Question", ()).await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    let timeout = 30 * SECOND;
    assert_eq!(answer, Err(InvokeError::TimedOut { timeout }));
}

#[tokio::test(start_paused = true)]
async fn clients_can_be_asked_from_outside_of_calls() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    let target = server.clients().client(client.id());
    let asking = tokio::spawn(async move { target.invoke::<i32>("Question", (1,)).await });
    assert_eq!(
        soon(client.message()).await.unwrap(),
        r#"{"type":1,"invocationId":"s1","target":"Question","arguments":[1]}"#
    );
    client
        .send_records(&[
            r#"{"type":3,"invocationId":"s1","result":42}"#,
            r#"{"type":3,"invocationId":"s1","result":43}"#,
            &call(1, "Add", "1,2"),
        ])
        .await;
    assert_eq!(asking.await.unwrap(), Ok(42));
    assert_eq!(soon(client.message()).await, result(1, "3"));
    let nobody = server.clients().client("nobody");
    let connection_id = "nobody".into();
    assert_eq!(
        nobody.invoke::<i32>("Question", ()).await,
        Err(InvokeError::UnknownConnection { connection_id })
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_waits_for_any_more_is_forgotten() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    let target = server.clients().client(client.id());
    let asking = tokio::time::timeout(SECOND, target.invoke::<i32>("Question", ()));
    assert!(asking.await.is_err());
    soon(client.message()).await.unwrap();
    client
        .send_records(&[
            r#"{"type":3,"invocationId":"s1","result":42}"#,
            &call(1, "Add", "1,2"),
        ])
        .await;
    assert_eq!(soon(client.message()).await, result(1, "3"));
}

#[tokio::test(start_paused = true)]
async fn a_question_fails_when_its_client_leaves() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    let id = client.id().to_owned();
    let target = server.clients().client(&id);
    let asking = tokio::spawn(async move { target.invoke::<i32>("Question", ()).await });
    soon(client.message()).await.unwrap();
    client.close().await;
    let connection_id = id.into();
    assert_eq!(
        soon(asking).await.unwrap(),
        Err(InvokeError::Disconnected { connection_id })
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_method_said_before_comes_before_its_question() {
    let (_, server) = asker();
    let mut client = MemoryClient::connect(&server, "").await;
    client.send_records(&[&call(1, "TellAndAsk", "")]).await;
    for number in 0..3 {
        let hear = format!(r#"{{"type":1,"target":"Hear","arguments":[{number}]}}"#);
        assert_eq!(soon(client.message()).await, Some(hear));
    }
    assert_eq!(
        soon(client.message()).await.unwrap(),
        r#"{"type":1,"invocationId":"s1","target":"Question","arguments":[]}"#
    );
    client
        .send_records(&[r#"{"type":3,"invocationId":"s1","result":7}"#])
        .await;
    assert_eq!(soon(client.message()).await, result(1, "7"));
}

#[tokio::test(start_paused = true)]
async fn a_question_to_a_client_that_is_behind_waits_for_its_turn() {
    let (_, server) = asker();
    let mut client = RawSocket::open(&server, "").await;
    client.shake_hands().await;
    let [id] = &*server.clients().list().await.unwrap() else {
        panic!("one client");
    };
    let target = server.clients().client(id);
    let teller = target.clone();
    let telling = tokio::spawn(async move {
        for _ in 0..20 {
            teller.send("Hear", ("x".repeat(10_000),)).await.unwrap();
        }
    });
    // Who tells does not wait for long; what it has told still does.
    soon(telling).await.unwrap();
    let asking = tokio::spawn(async move { target.invoke::<i32>("Question", ()).await });
    tokio::time::sleep(SECOND).await;
    let question = r#"{"type":1,"invocationId":"s1","target":"Question","arguments":[]}"#;
    soon(async { while !client.message().await.contains(question) {} }).await;
    client
        .send(b"{\"type\":3,\"invocationId\":\"s1\",\"result\":7}\x1e")
        .await;
    assert_eq!(soon(asking).await.unwrap(), Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_left_cannot_be_asked_but_others_can() {
    let (hub, server) = asker();
    let mut heir = MemoryClient::connect(&server, "").await;
    *hub.heir.lock().unwrap() = Some(heir.id().to_owned());
    let mut client = MemoryClient::connect(&server, "").await;
    let disconnected = format!("Connection '{}' disconnected.", client.id());
    client.close().await;
    let question = soon(heir.message()).await.unwrap();
    assert!(question.contains(r#""target":"Question""#), "{question}");
    let id = question.split('"').nth(5).unwrap();
    let answer = format!(r#"{{"type":3,"invocationId":"{id}","result":7}}"#);
    heir.send_records(&[&answer]).await;
    silence(&mut heir).await;
    assert_eq!(hub.notes(), [disconnected, "Ok(7)".to_owned()]);
    *hub.heir.lock().unwrap() = None;
    heir.close().await;
    empty(&server).await;
}
