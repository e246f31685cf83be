//! What the demo shows, step by step. Each gives a line for the summary, or what went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use signalr::{CallError, CallErrorKind, HubConnection, ReconnectPolicy, Upload};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::hub::DemoServer;
use super::timeline::{Timeline, Who};
use crate::failure::with_causes;
use crate::hub::explain::Explain;

type Step = Result<String, String>;

/// How often the client sends a heartbeat.
const BEAT: Duration = Duration::from_millis(700);
/// Items of the stream.
const ITEMS: u32 = 40;
const EXPLAIN: Explain = Explain {
    has_token: true,
    negotiates: true,
};

/// The client.
pub(super) struct Demo<'a> {
    server: &'a DemoServer,
    timeline: &'a Arc<Timeline>,
    client: HubConnection,
    counts: Arc<Counts>,
    heart: Option<JoinHandle<()>>,
}

/// What the handlers have seen.
struct Counts {
    tokens: AtomicU64,
    news: AtomicU64,
    heard: watch::Sender<u64>,
    reconnects: watch::Sender<u64>,
    /// How often the connection was closed for good.
    closed: watch::Sender<u64>,
}

impl Counts {
    fn new() -> Self {
        Self {
            tokens: AtomicU64::new(0),
            news: AtomicU64::new(0),
            heard: watch::Sender::new(0),
            reconnects: watch::Sender::new(0),
            closed: watch::Sender::new(0),
        }
    }
}

fn explain(error: &CallError) -> String {
    EXPLAIN.call(error)
}

async fn at_least(counter: &watch::Sender<u64>, count: u64) {
    // The sender lives as long as the wait, so there is no error.
    let _ = counter.subscribe().wait_for(|value| *value >= count).await;
}

impl<'a> Demo<'a> {
    pub(super) fn new(server: &'a DemoServer, timeline: &'a Arc<Timeline>) -> Result<Self, String> {
        let counts = Arc::new(Counts::new());
        let (token, asked) = (server.token().to_owned(), Arc::clone(&counts));
        let client = HubConnection::builder(server.url())
            .access_token(move || {
                asked.tokens.fetch_add(1, Ordering::Relaxed);
                std::future::ready(token.clone())
            })
            .automatic_reconnect(ReconnectPolicy::Delays(
                [600, 1000, 2000].map(Duration::from_millis).into(),
            ))
            .build()
            .map_err(|error| error.to_string())?;
        let demo = Self {
            server,
            timeline,
            client,
            counts,
            heart: None,
        };
        demo.handle_calls();
        demo.follow_connection();
        Ok(demo)
    }

    fn say(&self, text: &str) {
        self.timeline.line(Who::Client, text);
    }

    fn handle_calls(&self) {
        let (timeline, counts) = (Arc::clone(self.timeline), Arc::clone(&self.counts));
        self.client.on("Heard", move |number: u64| {
            timeline.beat(number);
            counts.heard.send_modify(|heard| *heard += 1);
        });
        let (timeline, counts) = (Arc::clone(self.timeline), Arc::clone(&self.counts));
        self.client.on("News", move |index: u32, text: String| {
            timeline.line(
                Who::Client,
                &format!("called by the hub: News({index}, \"{text}\")"),
            );
            counts.news.fetch_add(1, Ordering::Relaxed);
        });
        let timeline = Arc::clone(self.timeline);
        self.client.on("Multiply", move |a: u32, b: u32| {
            let timeline = Arc::clone(&timeline);
            async move {
                timeline.line(Who::Client, "is thinking");
                tokio::time::sleep(Duration::from_millis(500)).await;
                a.saturating_mul(b)
            }
        });
    }

    fn follow_connection(&self) {
        let timeline = Arc::clone(self.timeline);
        self.client.on_reconnecting(move |reason| {
            timeline.line(
                Who::Client,
                &format!("has lost the connection ({reason}) and connects again by itself"),
            )
        });
        let (timeline, counts) = (Arc::clone(self.timeline), Arc::clone(&self.counts));
        self.client.on_reconnected(move |id| {
            timeline.line(
                Who::Client,
                &format!("is connected again, now as {}", id.unwrap_or("nobody")),
            );
            counts.reconnects.send_modify(|count| *count += 1);
        });
        let (timeline, counts) = (Arc::clone(self.timeline), Arc::clone(&self.counts));
        self.client.on_close(move |reason| {
            let why = reason.map_or_else(
                || "as asked, without an error".to_owned(),
                ToString::to_string,
            );
            timeline.line(Who::Client, &format!("has closed the connection: {why}"));
            counts.closed.send_modify(|count| *count += 1);
        });
    }

    pub(super) async fn token(&mut self) -> Step {
        self.say("tries to connect without a token");
        let stranger = HubConnection::builder(self.server.url())
            .build()
            .map_err(|error| error.to_string())?;
        match stranger.start().await {
            Ok(()) => Err("the hub let in a client without a token".to_owned()),
            Err(error) if with_causes(&error).contains("401") => {
                self.timeline.line(Who::Hub, "refuses: HTTP 401");
                Ok("who has none is refused".to_owned())
            }
            Err(error) => Err(EXPLAIN.start(&error)),
        }
    }

    pub(super) async fn connect(&mut self) -> Step {
        self.say("connects with a token, which its provider fetches whenever one is needed");
        let started = self.client.start().await;
        started.map_err(|error| EXPLAIN.start(&error))?;
        let id = self
            .client
            .connection_id()
            .ok_or("the connection has no id")?;
        self.say(&format!("is connected as {id}"));
        let asked = self.counts.tokens.load(Ordering::Relaxed);
        if asked == 0 {
            Err("nobody asked for the token".to_owned())
        } else {
            Ok("negotiated, then a WebSocket".to_owned())
        }
    }

    pub(super) async fn heartbeats(&mut self) -> Step {
        self.say(&format!(
            "sends a heartbeat every {} ms from now on; the hub calls back",
            BEAT.as_millis()
        ));
        self.heart = Some(tokio::spawn(beat(self.client.clone())));
        at_least(&self.counts.heard, 2).await;
        Ok(format!("one every {} ms, each heard", BEAT.as_millis()))
    }

    pub(super) async fn call(&mut self) -> Step {
        let greeting: String = self
            .client
            .invoke("Greet", ("fr",))
            .await
            .map_err(|error| explain(&error))?;
        self.say(&format!("calls Greet(\"fr\") and gets \"{greeting}\""));
        if greeting == "bonjour, ada" {
            Ok("typed arguments, typed result".to_owned())
        } else {
            Err(format!("the answer was '{greeting}'"))
        }
    }

    pub(super) async fn error(&mut self) -> Step {
        match self.client.invoke::<String>("Greet", ("xx",)).await {
            Ok(_) => Err("the call should have failed".to_owned()),
            Err(error) => {
                let CallErrorKind::Server { error: words } = error.kind() else {
                    return Err(explain(&error));
                };
                if !words.contains("no greeting") {
                    return Err(explain(&error));
                }
                self.say(&format!("calls Greet(\"xx\") and is told: {words}"));
                Ok("the server's words, and the connection lives on".to_owned())
            }
        }
    }

    pub(super) async fn server_calls(&mut self) -> Step {
        let news = ["the sun rises", "tea is served", "all is well"];
        let told: u64 = self
            .client
            .invoke("Tell", (news,))
            .await
            .map_err(|error| explain(&error))?;
        let heard = self.counts.news.load(Ordering::Relaxed);
        if heard == told {
            Ok(format!("{heard} calls, in order"))
        } else {
            Err(format!("{heard} of {told} calls arrived"))
        }
    }

    pub(super) async fn stream(&mut self) -> Step {
        let mut items = self
            .client
            .stream::<u32>("Download", (ITEMS,))
            .await
            .map_err(|error| explain(&error))?;
        let mut last = 0;
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| explain(&error))?;
            if item != last + 1 {
                return Err(format!("item {item} came after {last}"));
            }
            last = item;
            self.timeline.progress("downloading", item, ITEMS);
        }
        self.timeline.end_progress();
        if last == ITEMS {
            Ok(format!("{ITEMS} items, in order"))
        } else {
            Err(format!("the stream ended after {last} of {ITEMS} items"))
        }
    }

    pub(super) async fn upload(&mut self) -> Step {
        const UP_TO: u64 = 20;
        self.say(&format!("uploads the numbers 1 to {UP_TO} as a stream"));
        let numbers = stream::iter(1..=UP_TO).then(|number| async move {
            tokio::time::sleep(Duration::from_millis(35)).await;
            number
        });
        let sum: u64 = self
            .client
            .invoke("Sum", (Upload::new(numbers),))
            .await
            .map_err(|error| explain(&error))?;
        self.timeline
            .line(Who::Hub, &format!("has added them up as they came: {sum}"));
        if sum == 210 {
            Ok(format!("{UP_TO} items, their sum came back"))
        } else {
            Err(format!("the sum was {sum}"))
        }
    }

    pub(super) async fn client_result(&mut self) -> Step {
        let right: bool = self
            .client
            .invoke("Quiz", ())
            .await
            .map_err(|error| explain(&error))?;
        if right {
            Ok("the hub asked, the client answered".to_owned())
        } else {
            Err("the hub got another answer than 42".to_owned())
        }
    }

    pub(super) async fn cut(&mut self) -> Step {
        let before = self
            .client
            .connection_id()
            .ok_or("there is no connection to cut")?;
        let waiting = self.client.invoke::<()>("Dawdle", ());
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.timeline.line(
            Who::Network,
            "cuts the connection without a word, while a call waits for its answer",
        );
        if !self.server.hub.cut(&before) {
            return Err("the hub does not know the connection".to_owned());
        }
        match waiting.await {
            Err(error) if matches!(error.kind(), CallErrorKind::ConnectionLost(_)) => {
                self.say("the call that waited has failed at once");
            }
            Ok(()) => return Err("a call was answered over a cut connection".to_owned()),
            Err(error) => return Err(explain(&error)),
        }
        at_least(&self.counts.reconnects, 1).await;
        if self
            .client
            .connection_id()
            .is_none_or(|after| after == before)
        {
            return Err("the connection did not get a new id".to_owned());
        }
        let heard = *self.counts.heard.borrow();
        at_least(&self.counts.heard, heard + 1).await;
        Ok("connected again by itself, the heart beats on".to_owned())
    }

    pub(super) async fn stop(&mut self) -> Step {
        if let Some(heart) = self.heart.take() {
            heart.abort();
        }
        let departures = self.server.tally.departures();
        self.client.stop().await;
        at_least(&self.counts.closed, 1).await;
        while self.server.tally.departures() == departures {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if self.server.tally.left_cleanly() {
            Ok("both sides agree that it is over".to_owned())
        } else {
            Err("the hub saw an error".to_owned())
        }
    }

    /// After a failure: nothing more is shown, so nothing more should be said.
    pub(super) async fn give_up(&mut self) {
        if let Some(heart) = self.heart.take() {
            heart.abort();
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), self.client.stop()).await;
    }

    /// The numbers of the summary.
    pub(super) fn numbers(&self) -> String {
        format!(
            "{} heartbeats, {} calls from the server, {ITEMS} items, {} reconnect",
            self.server.tally.heartbeats(),
            self.counts.news.load(Ordering::Relaxed),
            *self.counts.reconnects.borrow()
        )
    }
}

/// Sends heartbeats as long as anybody lets it.
async fn beat(client: HubConnection) {
    let mut interval = tokio::time::interval(BEAT);
    let mut number = 0_u64;
    loop {
        interval.tick().await;
        // While the connection is down there is nobody to send to; the next beat will do.
        if client.send("Heartbeat", (number + 1,)).await.is_ok() {
            number += 1;
        }
    }
}
