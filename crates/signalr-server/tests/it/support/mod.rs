//! The hub under test, over memory and virtual time.

pub(crate) mod raw;
pub(crate) mod requests;
pub(crate) mod scenario;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use signalr_harness::memory::{self, MemoryClient};
use signalr_server::{
    CallContext, DisconnectReason, Hub, HubError, HubMethods, HubOptions, HubRequest, HubServer,
    InvokeError, UploadStream, User,
};
use tokio::sync::Semaphore;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Probe {
    notes: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    running: AtomicUsize,
    ask_while_connecting: bool,
}

pub(crate) type This = Arc<Probe>;

impl Probe {
    fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap().push(text.into());
    }

    async fn wait(self: Arc<Self>) -> usize {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.gate.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        running
    }

    async fn take(self: Arc<Self>, mut items: UploadStream<i32>) -> Result<i32, HubError> {
        let mut sum = 0;
        loop {
            self.gate.acquire().await?.forget();
            match items.next().await {
                Some(item) => sum += item?,
                None => return Ok(sum),
            }
        }
    }

    async fn ask(self: Arc<Self>, context: CallContext) -> Result<String, InvokeError> {
        let caller = context.caller();
        caller.invoke("Question", ()).timeout(5 * SECOND).await
    }

    async fn ask_other(
        self: Arc<Self>,
        context: CallContext,
        id: String,
    ) -> Result<String, InvokeError> {
        let other = context.clients().client(&id);
        other.invoke("Question", ()).timeout(5 * SECOND).await
    }
}

impl Hub for Probe {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: This, a: i32, b: i32| a + b)
            .on("Wait", Self::wait)
            .on("Take", Self::take)
            .on("Ask", Self::ask)
            .on("AskOther", Self::ask_other)
            .on("Panic", async |_: This, message: String| -> () {
                panic!("{message}")
            })
            .on("Note", async |hub: This, text: String| hub.note(text))
            .on(
                "Flood",
                async |_: This, context: CallContext, id: String, count: usize| {
                    for _ in 0..count {
                        context
                            .clients()
                            .client(&id)
                            .send("Text", ("x".repeat(10_000),))
                            .await?;
                    }
                    Ok::<_, HubError>(())
                },
            )
            .stream("Forever", async |hub: This, context: CallContext| {
                let dropped = Dropped(hub);
                futures_util::stream::unfold(
                    (0, dropped, context),
                    |(number, dropped, context)| async move {
                        tokio::time::sleep(SECOND).await;
                        Some((number, (number + 1, dropped, context)))
                    },
                )
            });
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        if self.ask_while_connecting {
            context
                .caller()
                .invoke::<String>("Question", ())
                .timeout(SECOND)
                .await
                .map_err(|error| HubError::new(error.to_string()))?;
        }
        if let Some(group) = context.query("group") {
            context.join_group(&group).await?;
        }
        self.note("connected");
        Ok(())
    }

    async fn on_disconnected(&self, context: &CallContext, reason: &DisconnectReason) {
        assert!(context.is_closed());
        self.note(format!("disconnected: {reason}"));
    }
}

/// Notes that a stream was dropped.
pub(crate) struct Dropped(This);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

pub(crate) struct Test {
    pub(crate) server: HubServer,
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Test {
    pub(crate) fn new(change: impl FnOnce(&mut HubOptions)) -> Self {
        Self::with(change, false)
    }

    pub(crate) fn with(change: impl FnOnce(&mut HubOptions), ask_while_connecting: bool) -> Self {
        let (notes, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let hub = Probe {
            notes: Arc::clone(&notes),
            gate: Arc::clone(&gate),
            running: AtomicUsize::new(0),
            ask_while_connecting,
        };
        let user = |request: HubRequest| async move {
            let user = request.parameter("user");
            Ok::<_, StatusCode>(user.map(|user| User::new(&user)))
        };
        let server = HubServer::builder(hub)
            .configure(change)
            .authorize(user)
            .build()
            .unwrap();
        Self {
            server,
            notes,
            gate,
        }
    }

    pub(crate) async fn client(&self, query: &str) -> MemoryClient {
        MemoryClient::connect(&self.server, query).await
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    pub(crate) async fn count(&self) -> usize {
        self.server.clients().count().await.unwrap()
    }

    /// Waits until no client is left.
    pub(crate) async fn empty(&self) {
        empty(&self.server).await;
    }
}

pub(crate) fn call(id: u32, target: &str, arguments: &str) -> String {
    format!(r#"{{"type":1,"invocationId":"{id}","target":"{target}","arguments":[{arguments}]}}"#)
}

pub(crate) fn result(id: u32, result: &str) -> Option<String> {
    Some(format!(
        r#"{{"type":3,"invocationId":"{id}","result":{result}}}"#
    ))
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(60 * SECOND, future)
        .await
        .expect("it happens")
}

/// Negotiates with this query. Gives the connection's id and its token.
pub(crate) async fn negotiate(server: &HubServer, query: &str) -> (String, String) {
    let answer = memory::negotiate(server, query).await.unwrap();
    let offer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let text = |member: &str| offer.get(member).unwrap().as_str().unwrap().to_owned();
    (text("connectionId"), text("connectionToken"))
}

/// Waits until a hub has no client.
pub(crate) async fn empty(server: &HubServer) {
    soon(async {
        while server.clients().count().await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

pub(crate) async fn silence(client: &mut MemoryClient) {
    let message = tokio::time::timeout(SECOND, client.message()).await;
    assert!(message.is_err(), "{message:?} instead of silence");
}
