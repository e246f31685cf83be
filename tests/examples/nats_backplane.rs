//! A backplane of one's own: NATS between two servers, with a client on each.
//!
//! `nats_backplane nats://127.0.0.1:4222` says something on one server that is heard on the other.

#![allow(clippy::print_stdout, reason = "prints what happens")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use bytestring::ByteString;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt as _, unfold};
use signalr::server::testing::TestClient;
use signalr::server::{
    Backplane, BackplaneFault, BackplaneLink, CallContext, Hub, HubMethods, HubServer, Message,
    Publisher, Subscriber,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long NATS may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that may wait to be handed to clients; more than that end the link.
const BACKLOG: usize = 10_000;

/// Where NATS is.
#[derive(Clone, Debug)]
pub(crate) struct NatsBackplane(pub(crate) String);

impl Backplane for NatsBackplane {
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        let url = self.0.clone();
        Box::pin(async move {
            let (sender, received) = mpsc::channel(BACKLOG);
            let end = End::default();
            // The client would connect again by itself, and nobody would know that messages were lost. The end of the stream
            // of messages tells that the link is no more, and drops the client.
            let ending = end.clone();
            let options = ConnectOptions::new().connection_timeout(PATIENCE);
            let options = options.event_callback(move |event| {
                let lost = !matches!(event, Event::Connected);
                let ending = ending.clone();
                async move {
                    if lost {
                        ending.now();
                    }
                }
            });
            end.begins(sender);
            let client = options.connect(url).await?;
            Ok(BackplaneLink {
                publisher: Box::new(Publishing(Echo::of(client.clone()).await?)),
                subscriber: Box::new(Subscriptions {
                    echo: Echo::of(client).await?,
                    end,
                    readers: Vec::new(),
                }),
                messages: unfold(received, async |mut received| {
                    Some((Ok(received.recv().await?), received))
                })
                .boxed(),
            })
        })
    }
}

/// The way to the stream of messages, which ends when this is gone.
#[derive(Clone, Default)]
struct End(Arc<Mutex<Option<mpsc::Sender<Message>>>>);

impl End {
    fn begins(&self, sender: mpsc::Sender<Message>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn now(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whoever falls behind has lost the link.
    fn pass_on(&self, message: Message) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*sender {
            if open.try_send(message).is_err() {
                *sender = None;
            }
        }
    }
}

/// Messages to oneself: NATS does one thing after the other, so one that comes back says that everything before it was done.
struct Echo {
    client: Client,
    inbox: String,
    heard: async_nats::Subscriber,
}

impl Echo {
    async fn of(client: Client) -> Result<Self, BackplaneFault> {
        let inbox = client.new_inbox();
        let heard = client.subscribe(inbox.clone()).await?;
        Ok(Self {
            client,
            inbox,
            heard,
        })
    }

    /// Waits until NATS has done what it was told.
    async fn settle(&mut self) -> Result<(), BackplaneFault> {
        self.client.publish(self.inbox.clone(), "".into()).await?;
        let heard = tokio::time::timeout(PATIENCE, self.heard.next()).await?;
        heard.map(drop).ok_or_else(|| "NATS hung up".into())
    }
}

struct Publishing(Echo);

impl Publisher for Publishing {
    fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> BoxFuture<'_, Result<Vec<Option<u64>>, BackplaneFault>> {
        Box::pin(async move {
            let count = messages.len();
            for Message { channel, payload } in messages {
                let published = self.0.client.publish(subject(&channel), payload);
                published.await?;
            }
            self.0.settle().await?;
            // NATS does not tell how many have heard a message.
            Ok(vec![None; count])
        })
    }
}

struct Subscriptions {
    echo: Echo,
    end: End,
    readers: Vec<(ByteString, JoinHandle<()>)>,
}

impl Subscriptions {
    async fn add(&mut self, channel: ByteString) -> Result<(), BackplaneFault> {
        let mut messages = self.echo.client.subscribe(subject(&channel)).await?;
        let (end, name) = (self.end.clone(), channel.clone());
        let reader = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let channel = name.clone();
                let payload = message.payload;
                end.pass_on(Message { channel, payload });
            }
        });
        self.readers.push((channel, reader));
        Ok(())
    }
}

impl Subscriber for Subscriptions {
    fn subscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            for channel in channels {
                self.add(channel).await?;
            }
            self.echo.settle().await
        })
    }

    fn unsubscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            // A subscription ends when its reader does.
            self.readers.retain(|(channel, reader)| {
                let left = channels.contains(channel);
                if left {
                    reader.abort();
                }
                !left
            });
            Ok(())
        })
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.readers.iter().for_each(|(_, reader)| reader.abort());
    }
}

/// Channels have any name, and subjects of NATS neither spaces nor wildcards: other characters than these become `=` and digits.
fn subject(channel: &str) -> String {
    let mut subject = String::from("signalr.");
    for byte in channel.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'-' => {
                subject.push(byte.into());
            }
            _ => subject.push_str(&format!("={byte:02x}")),
        }
    }
    subject
}

pub(crate) struct Chat;

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on(
            "Join",
            async |_: Arc<Self>, context: CallContext, group: String| {
                context.groups().join(context.connection_id(), &group).await
            },
        );
        methods.on(
            "Say",
            async |_: Arc<Self>, context: CallContext, group: String, text: String| {
                context.clients().group(&group).send("Said", (text,)).await
            },
        );
    }
}

pub(crate) async fn serve(nats: &str) -> Result<HubServer, Failure> {
    let server = HubServer::builder(Chat)
        .backplane("My.Chat.ChatHub", NatsBackplane(nats.to_owned()))
        .build()?;
    if let Some(backplane) = server.backplane() {
        backplane.ready().await;
    }
    Ok(server)
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Failure> {
    let nats = std::env::args().nth(1);
    let nats = nats.unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let (one, other) = (serve(&nats).await?, serve(&nats).await?);
    let mut here = TestClient::connect(&one).await?;
    let mut there = TestClient::connect(&other).await?;
    there.invoke::<()>("Join", ("a room",)).await?;
    here.invoke::<()>("Say", ("a room", "from one server to the other"))
        .await?;
    let (text,) = there.received::<(String,)>("Said").await?;
    println!("{text}");
    Ok(())
}
