//! A backplane of one's own: a broker of a few dozen lines over TCP, two servers around it, and a client on each.
//!
//! A line to the broker is `+channel`, `-channel` or `>channel payload` in hexadecimal digits; it passes the last kind on to everybody
//! who has subscribed, and answers it with their number, and the others with `!`, in order.

#![allow(clippy::print_stdout, reason = "prints what happens")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use signalr::server::testing::TestClient;
use signalr::server::{
    Backplane, BackplaneFault, BackplaneLink, CallContext, Hub, HubMethods, HubServer, Message,
    Publisher, Subscriber,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the broker is.
#[derive(Clone, Copy, Debug)]
struct LineBackplane(SocketAddr);

impl Backplane for LineBackplane {
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        let broker = self.0;
        Box::pin(async move {
            let (publisher, subscriber) = (Link::open(broker).await?, Link::open(broker).await?);
            // What is published goes out on one connection, and what is subscribed to comes on the other.
            Ok(BackplaneLink {
                publisher: Box::new(publisher.0),
                subscriber: Box::new(subscriber.0),
                messages: unfold(subscriber.1, async |mut messages| {
                    let message = messages.recv().await?;
                    Some((message, messages))
                })
                .boxed(),
            })
        })
    }
}

/// One connection: lines go out, and their answers come back in order.
struct Link {
    out: OwnedWriteHalf,
    answers: mpsc::Receiver<u64>,
}

impl Link {
    async fn open(broker: SocketAddr) -> std::io::Result<(Self, mpsc::Receiver<Message>)> {
        let (input, out) = TcpStream::connect(broker).await?.into_split();
        let (answered, answers) = mpsc::channel(1_000);
        let (received, messages) = mpsc::channel(1_000);
        tokio::spawn(async move {
            let mut lines = BufReader::new(input).lines();
            // Ends with the connection, and `messages` with it: so the link is known to be lost.
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(number) = line.strip_prefix('!') {
                    let Ok(()) = answered.send(number.parse().unwrap_or(0)).await else {
                        return;
                    };
                } else if let Some(message) = read(&line) {
                    let Ok(()) = received.send(message).await else {
                        return;
                    };
                }
            }
        });
        Ok((Self { out, answers }, messages))
    }

    /// Sends lines, and waits for as many answers.
    async fn ask(&mut self, lines: Vec<String>) -> Result<Vec<u64>, BackplaneFault> {
        self.out.write_all(lines.concat().as_bytes()).await?;
        let mut answers = Vec::new();
        for _ in lines {
            answers.push(self.answers.recv().await.ok_or("the broker is gone")?);
        }
        Ok(answers)
    }
}

impl Publisher for Link {
    fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> BoxFuture<'_, Result<Vec<Option<u64>>, BackplaneFault>> {
        let lines = messages
            .iter()
            .map(|message| write(&message.channel, &message.payload));
        let asked = self.ask(lines.collect());
        Box::pin(async move { Ok(asked.await?.into_iter().map(Some).collect()) })
    }
}

impl Subscriber for Link {
    fn subscribe(
        &mut self,
        channels: Vec<bytestring::ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        let lines = channels
            .iter()
            .map(|channel| format!("+{channel}\n"))
            .collect();
        Box::pin(async move { self.ask(lines).await.map(drop) })
    }

    fn unsubscribe(
        &mut self,
        channels: Vec<bytestring::ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        let lines = channels
            .iter()
            .map(|channel| format!("-{channel}\n"))
            .collect();
        Box::pin(async move { self.ask(lines).await.map(drop) })
    }
}

/// The last space is the one before the payload: names of channels may have any.
fn read(line: &str) -> Option<Message> {
    let (channel, digits) = line.strip_prefix('>')?.rsplit_once(' ')?;
    let pairs = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2));
    let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok());
    Some(Message {
        channel: channel.into(),
        payload: bytes.collect::<Option<Vec<u8>>>()?.into(),
    })
}

fn write(channel: &str, payload: &Bytes) -> String {
    let digits: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(">{channel} {digits}\n")
}

/// What the broker knows: who listens where, and the way to each.
#[derive(Default)]
struct Broker {
    channels: BTreeMap<String, BTreeSet<u64>>,
    clients: HashMap<u64, mpsc::Sender<String>>,
}

/// The broker: one task for each connection.
async fn broker(listener: TcpListener) {
    let state = Arc::new(Mutex::new(Broker::default()));
    for client in 0.. {
        let Ok((socket, _)) = listener.accept().await else {
            return;
        };
        let (input, mut out) = socket.into_split();
        let (sender, mut lines) = mpsc::channel::<String>(1_000);
        state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clients
            .insert(client, sender.clone());
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                let Ok(()) = out.write_all(line.as_bytes()).await else {
                    return;
                };
            }
        });
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut input = BufReader::new(input).lines();
            while let Ok(Some(line)) = input.next_line().await {
                let listeners = obey(&state, client, &line);
                let answer = format!("!{}\n", listeners.len());
                for listener in listeners {
                    // Who has left is not told.
                    let _ = listener.send(format!("{line}\n")).await;
                }
                let Ok(()) = sender.send(answer).await else {
                    break;
                };
            }
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.clients.remove(&client);
            state.channels.values_mut().for_each(|listeners| {
                listeners.remove(&client);
            });
        });
    }
}

fn obey(state: &Mutex<Broker>, client: u64, line: &str) -> Vec<mpsc::Sender<String>> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
    match kind {
        "+" => drop(
            state
                .channels
                .entry(rest.to_owned())
                .or_default()
                .insert(client),
        ),
        "-" => drop(
            state
                .channels
                .entry(rest.to_owned())
                .or_default()
                .remove(&client),
        ),
        _ => {
            let channel = rest.rsplit_once(' ').unwrap_or_default().0;
            let listeners = state.channels.get(channel).into_iter().flatten();
            return listeners
                .filter_map(|listener| state.clients.get(listener).cloned())
                .collect();
        }
    }
    Vec::new()
}

struct Chat;

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on(
            "Say",
            async |_: Arc<Self>, context: CallContext, text: String| {
                context.clients().all().send("Said", (text,)).await
            },
        );
    }
}

async fn serve(broker: SocketAddr) -> Result<HubServer, Failure> {
    let server = HubServer::builder(Chat)
        .backplane("My.Chat.ChatHub", LineBackplane(broker))
        .build()?;
    if let Some(backplane) = server.backplane() {
        backplane.ready().await;
    }
    Ok(server)
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(broker(listener));
    let (one, other) = (serve(address).await?, serve(address).await?);
    let mut here = TestClient::connect(&one).await?;
    let mut there = TestClient::connect(&other).await?;
    here.invoke::<()>("Say", ("from one server to the other",))
        .await?;
    let (text,) = there.received::<(String,)>("Said").await?;
    println!("{text}");
    Ok(())
}
