//! The demo's own hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use signalr::server::{
    CallContext, DisconnectReason, Hub, HubError, HubMethods, HubRequest, HubServer, UploadStream,
    User,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::timeline::{Timeline, Who};

/// What the user of the token is called.
const USER: &str = "ada";
/// How long the hub waits for the answer to a question.
const PATIENCE: Duration = Duration::from_secs(5);

/// The methods.
struct DemoHub {
    timeline: Arc<Timeline>,
    tally: Arc<Tally>,
}

/// What the hub has seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    heartbeats: AtomicU64,
    /// Whether the last client to leave left without an error.
    left_cleanly: AtomicBool,
    departures: AtomicU64,
}

impl Tally {
    pub(super) fn heartbeats(&self) -> u64 {
        self.heartbeats.load(Ordering::Relaxed)
    }

    pub(super) fn departures(&self) -> u64 {
        self.departures.load(Ordering::Relaxed)
    }

    pub(super) fn left_cleanly(&self) -> bool {
        self.left_cleanly.load(Ordering::Relaxed)
    }
}

impl DemoHub {
    async fn heartbeat(self: Arc<Self>, context: CallContext, number: u64) -> Result<(), HubError> {
        self.tally.heartbeats.fetch_add(1, Ordering::Relaxed);
        context.caller().send("Heard", (number,)).await?;
        Ok(())
    }

    async fn greet(
        self: Arc<Self>,
        context: CallContext,
        language: String,
    ) -> Result<String, HubError> {
        let user = context.user_id().unwrap_or_else(|| "stranger".to_owned());
        match language.as_str() {
            "en" => Ok(format!("hello, {user}")),
            "fr" => Ok(format!("bonjour, {user}")),
            _ => Err(HubError::new(format!("no greeting in '{language}'"))),
        }
    }

    async fn tell(
        self: Arc<Self>,
        context: CallContext,
        news: Vec<String>,
    ) -> Result<usize, HubError> {
        for (index, item) in news.iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            context.caller().send("News", (index, item)).await?;
        }
        Ok(news.len())
    }

    async fn download(self: Arc<Self>, items: u32) -> impl Stream<Item = u32> + Send + 'static {
        stream::iter(1..=items).then(|item| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            item
        })
    }

    async fn sum(self: Arc<Self>, mut numbers: UploadStream<u64>) -> Result<u64, HubError> {
        let mut sum = 0_u64;
        while let Some(number) = numbers.next().await {
            sum = sum.saturating_add(number?);
        }
        Ok(sum)
    }

    async fn quiz(self: Arc<Self>, context: CallContext) -> Result<bool, HubError> {
        self.timeline
            .line(Who::Hub, "asks the client: how much is 6 times 7?");
        let client = context.caller();
        let answer: u32 = client.invoke("Multiply", (6, 7)).timeout(PATIENCE).await?;
        self.timeline
            .line(Who::Hub, &format!("got the answer {answer}"));
        Ok(answer == 42)
    }

    async fn dawdle(self: Arc<Self>, context: CallContext) {
        context.cancelled().await;
    }
}

impl Hub for DemoHub {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Heartbeat", Self::heartbeat);
        methods.on("Greet", Self::greet);
        methods.on("Tell", Self::tell);
        methods.on("Sum", Self::sum);
        methods.on("Quiz", Self::quiz);
        methods.on("Dawdle", Self::dawdle);
        methods.stream("Download", Self::download);
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        let user = name(context);
        self.timeline.line(Who::Hub, &format!("welcomes {user}"));
        Ok(())
    }

    async fn on_disconnected(&self, context: &CallContext, reason: &DisconnectReason) {
        let user = name(context);
        let clean = matches!(reason, DisconnectReason::ClosedByClient { error: None });
        self.tally.left_cleanly.store(clean, Ordering::Relaxed);
        self.tally.departures.fetch_add(1, Ordering::Relaxed);
        self.timeline.line(
            Who::Hub,
            &format!(
                "{user} is gone{}",
                if clean { "" } else { " without a word" }
            ),
        );
    }
}

fn name(context: &CallContext) -> String {
    context.user_id().unwrap_or_else(|| "somebody".to_owned())
}

/// The hub, served on a free port of this computer.
pub(super) struct DemoServer {
    pub(super) hub: HubServer,
    pub(super) tally: Arc<Tally>,
    url: String,
    token: String,
    task: JoinHandle<()>,
}

impl DemoServer {
    pub(super) async fn start(timeline: &Arc<Timeline>) -> Result<Self, String> {
        let tally = Arc::new(Tally::default());
        let token = fresh_token();
        let expected = token.clone();
        let hub = HubServer::builder(DemoHub {
            timeline: Arc::clone(timeline),
            tally: Arc::clone(&tally),
        })
        .authorize(move |request: HubRequest| {
            let known = request.bearer_token().as_deref() == Some(&expected);
            async move {
                if known {
                    Ok(Some(User::new(USER)))
                } else {
                    Err(StatusCode::UNAUTHORIZED)
                }
            }
        })
        .build()
        .map_err(|error| error.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let app = axum::Router::new().merge(hub.router("/demo"));
        let task = tokio::spawn(async move {
            // Ends with an error only when the port is lost, which the client notices.
            let _ = signalr::server::serve(listener, app).await;
        });
        Ok(Self {
            hub,
            tally,
            url: format!("http://{address}/demo"),
            token,
            task,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) async fn stop(&self) {
        self.hub.shutdown().await;
        self.task.abort();
    }
}

/// Good enough for a hub that lives for ten seconds.
fn fresh_token() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!(
        "{:016x}{:016x}",
        RandomState::new().hash_one(1),
        RandomState::new().hash_one(2)
    )
}
