//! Two connections to Redis: one publishes, one subscribes.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::future::{BoxFuture, join, try_join_all};
use futures_util::stream::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{Pipeline, RedisResult, Value};
use signalr_server::{BackplaneFault, BackplaneLink, Message, Publisher, Subscriber};

use crate::address::Place;
use crate::fault;
use crate::node::{Commands, Node};

/// A link to the first place that can be had.
pub(crate) async fn connect(
    place: Place,
    timeout: Duration,
    backlog_limit: u32,
) -> Result<BackplaneLink, BackplaneFault> {
    let mut fault = None;
    for node in place.locate(timeout).await? {
        match link(&node, &place, timeout, backlog_limit).await {
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
    node: &Node,
    place: &Place,
    timeout: Duration,
    backlog_limit: u32,
) -> Result<BackplaneLink, BackplaneFault> {
    let commands = node.commands(timeout);
    let subscriptions = node.subscriptions(timeout, backlog_limit);
    let (commands, subscriptions) = join(commands, subscriptions).await;
    let mut commands = commands?;
    let mode = mode(&mut commands.connection).await;
    let mode = mode.map_err(|error| node.unreached(error, timeout))?;
    if mode.as_deref() == Some("sentinel") {
        return Err("this is a sentinel: its address begins with redis-sentinel://".into());
    }
    if place.may_be_replica() {
        be_master(&mut commands.connection).await?;
    }
    let (subscriber, messages) = subscriptions?;
    let (sink, reading) = subscriber.split();
    Ok(BackplaneLink {
        subscriber: Box::new(Subscriptions {
            sink,
            _reading: reading,
            timeout,
        }),
        publisher: Box::new(Sender {
            commands,
            timeout,
            counts: mode.as_deref() != Some("cluster"),
        }),
        messages: messages.boxed(),
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
    commands: Commands,
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
            let receivers: RedisResult<Vec<u64>> =
                pipeline.query_async(&mut self.commands.connection).await;
            let receivers = receivers.map_err(|error| fault::of_working(error, self.timeout))?;
            let counts = self.counts;
            let known = |receivers| counts.then_some(receivers);
            Ok(receivers.into_iter().map(known).collect())
        })
    }
}

struct Subscriptions {
    sink: PubSubSink,
    /// The connection lives as long as this does; the messages have been taken out.
    _reading: PubSubStream,
    timeout: Duration,
}

impl Subscriptions {
    /// The client takes an error for a confirmation: whether something comes is for others to see.
    ///
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
}

impl Subscriber for Subscriptions {
    fn subscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            let subscribe =
                async |mut sink: PubSubSink, channel: ByteString| sink.subscribe(&*channel).await;
            self.each(&channels, subscribe).await
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
