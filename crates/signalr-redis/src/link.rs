//! Two connections to Redis: one publishes, one subscribes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::ready;
use futures_util::stream::{Stream, StreamExt as _};
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{Client, Msg, Pipeline, RedisResult, Value};
use signalr_server::{BackplaneFault, BackplaneLink, Message, Publisher, Subscriber};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::address::{Place, config};
use crate::fault;

/// What a message takes beside its bytes.
const OVERHEAD: usize = 256;

/// Messages that are handed on together when they came together.
const MAX_CHUNK: usize = 64;

/// A link to the first place that can be had.
pub(crate) async fn connect(
    place: Place,
    timeout: Duration,
    backlog_limit: u32,
) -> Result<BackplaneLink, BackplaneFault> {
    let mut fault = None;
    for client in place.locate(timeout).await? {
        match link(&client, &place, timeout, backlog_limit).await {
            Ok(link) => return Ok(link),
            Err(error) => {
                place.failed();
                fault = Some(error);
            }
        }
    }
    Err(fault.unwrap_or_else(|| "there is no address to connect to".into()))
}

async fn link(
    client: &Client,
    place: &Place,
    timeout: Duration,
    backlog_limit: u32,
) -> Result<BackplaneLink, BackplaneFault> {
    let config = config(timeout);
    let publisher = client.get_multiplexed_async_connection_with_config(&config);
    let subscriber = tokio::time::timeout(timeout, client.get_async_pubsub());
    let at = client.get_connection_info().addr();
    let unreached = |error| fault::of_connecting(error, at, timeout);
    let mut publisher = publisher.await.map_err(unreached)?;
    let mode = mode(&mut publisher).await.map_err(unreached)?;
    if mode.as_deref() == Some("sentinel") {
        return Err("this is a sentinel: its address begins with redis-sentinel://".into());
    }
    if place.may_be_replica() {
        be_master(&mut publisher).await?;
    }
    let subscriber = subscriber.await.map_err(|_| fault::silent(at, timeout))?;
    let (sink, stream) = subscriber.map_err(unreached)?.split();
    Ok(BackplaneLink {
        subscriber: Box::new(Subscriptions {
            sink,
            timeout,
            unproved: Some(publisher.clone()),
        }),
        publisher: Box::new(Sender {
            connection: publisher,
            timeout,
            counts: mode.as_deref() != Some("cluster"),
        }),
        messages: bounded(stream, backlog_limit).boxed(),
    })
}

/// `standalone`, `sentinel` or `cluster`, or `None` when Redis does not tell: before version 6, or when the user may not ask.
async fn mode(connection: &mut MultiplexedConnection) -> RedisResult<Option<String>> {
    let hello = redis::cmd("HELLO");
    let answer: RedisResult<HashMap<String, Value>> = hello.query_async(connection).await;
    match answer {
        Ok(mut answer) => {
            let mode = answer.remove("mode");
            Ok(mode.and_then(|mode| redis::from_redis_value(mode).ok()))
        }
        Err(error) if error.code().is_none() || fault::wants_password(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What is published on a replica stays there.
async fn be_master(connection: &mut MultiplexedConnection) -> Result<(), BackplaneFault> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    let role = role.into_iter().next().unwrap_or(Value::Nil);
    let role: String = redis::from_redis_value(role)?;
    if role != "master" {
        return Err(format!("the sentinels name a {role} as the master").into());
    }
    Ok(())
}

struct Sender {
    connection: MultiplexedConnection,
    timeout: Duration,
    /// Whether Redis knows how many have heard a message. A node of a cluster knows of its own clients only.
    counts: bool,
}

impl Publisher for Sender {
    fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> BoxFuture<'_, Result<Vec<Option<u64>>, BackplaneFault>> {
        let mut pipeline = Pipeline::with_capacity(messages.len());
        for message in &messages {
            pipeline.publish(&*message.channel, &*message.payload);
        }
        Box::pin(async move {
            let receivers: RedisResult<Vec<u64>> = pipeline.query_async(&mut self.connection).await;
            let receivers = receivers.map_err(|error| fault::of_working(error, self.timeout))?;
            let counts = self.counts;
            let known = |receivers| counts.then_some(receivers);
            Ok(receivers.into_iter().map(known).collect())
        })
    }
}

struct Subscriptions {
    sink: PubSubSink,
    timeout: Duration,
    /// Asks whether the first subscriptions have come about.
    unproved: Option<MultiplexedConnection>,
}

impl Subscriptions {
    /// One command for each channel, all written before the first is answered. Redis confirms every channel by itself, and some
    /// versions of the client take the first confirmation for that of the whole command and the next one for that of the next.
    async fn each<F: Future<Output = RedisResult<()>>>(
        &self,
        channels: &[ByteString],
        change: impl Fn(PubSubSink, ByteString) -> F,
    ) -> Result<(), BackplaneFault> {
        let commands = channels
            .iter()
            .map(|channel| change(self.sink.clone(), channel.clone()));
        let changed = tokio::time::timeout(self.timeout, try_join_all(commands)).await;
        changed.map_err(|_| fault::late(self.timeout))??;
        Ok(())
    }

    /// The client takes an error for a confirmation. The first channels include some that are this server's alone.
    async fn prove(&mut self, channels: &[ByteString]) -> Result<(), BackplaneFault> {
        let Some(mut connection) = self.unproved.take() else {
            return Ok(());
        };
        let mut command = redis::cmd("PUBSUB");
        command.arg("NUMSUB");
        for channel in channels {
            command.arg(&**channel);
        }
        let listeners: RedisResult<Vec<(String, u64)>> = command.query_async(&mut connection).await;
        // Who may not ask has to be believed.
        for (channel, listeners) in listeners.unwrap_or_default() {
            if listeners == 0 {
                let fault = format!("Redis does not let us subscribe to {channel}: its ACL has to");
                return Err(fault.into());
            }
        }
        Ok(())
    }
}

impl Subscriber for Subscriptions {
    fn subscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            let subscribe =
                async |mut sink: PubSubSink, channel: ByteString| sink.subscribe(&*channel).await;
            self.each(&channels, subscribe).await?;
            self.prove(&channels).await
        })
    }

    fn unsubscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            let unsubscribe =
                async |mut sink: PubSubSink, channel: ByteString| sink.unsubscribe(&*channel).await;
            self.each(&channels, unsubscribe).await
        })
    }
}

/// The messages, of which so many bytes may wait, or one of any size; the stream ends when there are more. The connection behind
/// it is read whether or not anybody takes them, since answers to subscriptions come the same way.
fn bounded(stream: PubSubStream, limit: u32) -> Messages {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reader = tokio::spawn(forward(stream, limit, sender));
    Messages {
        receiver,
        current: Vec::new().into_iter(),
        room: None,
        _reader: Reader(reader),
    }
}

/// What came together, and the room that it takes.
type Chunk = (Vec<Message>, OwnedSemaphorePermit);

struct Messages {
    receiver: mpsc::UnboundedReceiver<Chunk>,
    current: vec::IntoIter<Message>,
    room: Option<OwnedSemaphorePermit>,
    _reader: Reader,
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if let Some(message) = self.current.next() {
                return Poll::Ready(Some(message));
            }
            self.room = None;
            let Some((messages, room)) = ready!(self.receiver.poll_recv(cx)) else {
                return Poll::Ready(None);
            };
            self.current = messages.into_iter();
            self.room = Some(room);
        }
    }
}

/// The task that reads, which ends with whoever it reads for.
struct Reader(tokio::task::JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn forward(stream: PubSubStream, limit: u32, sender: mpsc::UnboundedSender<Chunk>) {
    let room = usize::try_from(limit).unwrap_or(usize::MAX);
    let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
    let mut chunks = stream.ready_chunks(MAX_CHUNK);
    while let Some(chunk) = chunks.next().await {
        let messages: Vec<Message> = chunk.iter().map(read).collect();
        let bytes = messages
            .iter()
            .map(|message| message.payload.len().saturating_add(OVERHEAD))
            .fold(0, usize::saturating_add);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(limit);
        let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(bytes) else {
            return;
        };
        if sender.send((messages, permit)).is_err() {
            return;
        }
    }
}

/// A channel whose name is no text is none of ours: the client calls it `?`.
fn read(message: &Msg) -> Message {
    Message {
        channel: message.get_channel_name().into(),
        payload: Bytes::copy_from_slice(message.get_payload_bytes()),
    }
}
