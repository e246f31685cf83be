//! Two connections to Redis: one publishes, one subscribes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{Stream, StreamExt as _, unfold};
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, Msg, Pipeline};
use signalr_server::{BackplaneFault, BackplaneLink, Message, Publisher, Subscriber};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What a message takes beside its bytes.
const OVERHEAD: usize = 256;

pub(crate) async fn connect(
    client: Client,
    timeout: Duration,
    backlog_limit: u32,
) -> Result<BackplaneLink, BackplaneFault> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout));
    let publisher = client.get_multiplexed_async_connection_with_config(&config);
    let subscriber = tokio::time::timeout(timeout, client.get_async_pubsub());
    let (publisher, subscriber) = (publisher.await?, subscriber.await??);
    let (sink, stream) = subscriber.split();
    Ok(BackplaneLink {
        publisher: Box::new(Sender(publisher)),
        subscriber: Box::new(Subscriptions { sink, timeout }),
        messages: bounded(stream, backlog_limit).boxed(),
    })
}

struct Sender(MultiplexedConnection);

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
            let receivers: Vec<u64> = pipeline.query_async(&mut self.0).await?;
            Ok(receivers.into_iter().map(Some).collect())
        })
    }
}

struct Subscriptions {
    sink: PubSubSink,
    timeout: Duration,
}

/// One command for each channel, all written before the first is answered. Redis confirms every channel by itself, and some
/// versions of the client take the first confirmation for that of the whole command and the next one for that of the next.
impl Subscriber for Subscriptions {
    fn subscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            let commands = channels.iter().map(|channel| {
                let mut sink = self.sink.clone();
                async move { sink.subscribe(&**channel).await }
            });
            tokio::time::timeout(self.timeout, try_join_all(commands)).await??;
            Ok(())
        })
    }

    fn unsubscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        Box::pin(async move {
            let commands = channels.iter().map(|channel| {
                let mut sink = self.sink.clone();
                async move { sink.unsubscribe(&**channel).await }
            });
            tokio::time::timeout(self.timeout, try_join_all(commands)).await??;
            Ok(())
        })
    }
}

/// The messages, of which so many bytes may wait; the stream ends when there are more. The connection behind it is read
/// whether or not anybody takes them, since answers to subscriptions come the same way.
fn bounded(stream: PubSubStream, limit: u32) -> impl Stream<Item = Message> + Send {
    let room = Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX)));
    let (sender, receiver) = mpsc::unbounded_channel();
    let reader = tokio::spawn(forward(stream, room, sender));
    let reader = Reader(reader);
    unfold((receiver, reader), async |(mut receiver, reader)| {
        let (message, _) = receiver.recv().await?;
        Some((message, (receiver, reader)))
    })
}

/// The task that reads, which ends with whoever it reads for.
struct Reader(tokio::task::JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn forward(
    mut stream: PubSubStream,
    room: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<(Message, OwnedSemaphorePermit)>,
) {
    while let Some(message) = stream.next().await {
        let Some(message) = read(&message) else {
            continue;
        };
        let bytes = message.payload.len().saturating_add(OVERHEAD);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(bytes) else {
            return;
        };
        if sender.send((message, permit)).is_err() {
            return;
        }
    }
}

/// A channel whose name is no text is none of ours.
fn read(message: &Msg) -> Option<Message> {
    let channel: String = message.get_channel().ok()?;
    Some(Message {
        channel: channel.into(),
        payload: Bytes::copy_from_slice(message.get_payload_bytes()),
    })
}
