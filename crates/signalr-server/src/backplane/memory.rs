//! A backplane within one process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytestring::ByteString;
use futures_core::future::BoxFuture;
use futures_util::stream::{StreamExt as _, unfold};
use signalr_proto::backplane::Message;
use tokio::sync::mpsc;

use super::{Backplane, BackplaneFault, BackplaneLink, Publisher, Subscriber};
use crate::locks::lock;

/// Messages that wait for one server, above which publishers wait.
const CAPACITY: usize = 1_024;

/// A broker within this process: for tests, and for several hubs of one program that share their clients.
///
/// Clones are the same broker.
///
/// ```
/// # use signalr_server::{Hub, HubMethods, HubServer, MemoryBackplane};
/// # struct Chat;
/// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _context = runtime.enter();
/// let backplane = MemoryBackplane::default();
/// let one = HubServer::builder(Chat).backplane("My.Chat", backplane.clone()).build();
/// let other = HubServer::builder(Chat).backplane("My.Chat", backplane).build();
/// # one.unwrap();
/// # other.unwrap();
/// ```
#[derive(Clone, Default)]
pub struct MemoryBackplane {
    broker: Arc<Broker>,
}

#[derive(Default)]
struct Broker {
    last: AtomicU64,
    channels: Mutex<HashMap<ByteString, BTreeMap<u64, mpsc::Sender<Message>>>>,
}

/// One server's place at the broker.
struct Member {
    number: u64,
    broker: Arc<Broker>,
    inbox: mpsc::Sender<Message>,
}

impl Backplane for MemoryBackplane {
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        let broker = Arc::clone(&self.broker);
        Box::pin(async move {
            let number = broker.last.fetch_add(1, Ordering::Relaxed);
            let (inbox, messages) = mpsc::channel(CAPACITY);
            let messages = unfold(messages, async |mut messages| {
                let message = messages.recv().await?;
                Some((Ok(message), messages))
            });
            Ok(BackplaneLink {
                publisher: Box::new(Arc::clone(&broker)),
                subscriber: Box::new(Member {
                    number,
                    broker,
                    inbox,
                }),
                messages: messages.boxed(),
            })
        })
    }
}

impl Publisher for Arc<Broker> {
    fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> BoxFuture<'_, Result<Vec<Option<u64>>, BackplaneFault>> {
        Box::pin(async move {
            let mut receivers = Vec::with_capacity(messages.len());
            for message in messages {
                let members: Vec<_> = lock(&self.channels)
                    .get(&message.channel)
                    .map(|members| members.values().cloned().collect())
                    .unwrap_or_default();
                let mut reached = 0;
                for member in members {
                    // Who has left does not count.
                    if member.send(message.clone()).await.is_ok() {
                        reached += 1;
                    }
                }
                receivers.push(Some(reached));
            }
            Ok(receivers)
        })
    }
}

impl Subscriber for Member {
    fn subscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        let mut known = lock(&self.broker.channels);
        for channel in channels {
            let members = known.entry(channel).or_default();
            members.insert(self.number, self.inbox.clone());
        }
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>> {
        let mut known = lock(&self.broker.channels);
        for channel in channels {
            if let Some(members) = known.get_mut(&channel) {
                members.remove(&self.number);
                if members.is_empty() {
                    known.remove(&channel);
                }
            }
        }
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        lock(&self.broker.channels).retain(|_, members| {
            members.remove(&self.number);
            !members.is_empty()
        });
    }
}

impl fmt::Debug for MemoryBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackplane").finish_non_exhaustive()
    }
}
