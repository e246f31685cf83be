//! Beyond one server: a backplane carries messages between the servers of a farm.

mod deliver;
mod driver;
mod farm;
mod memory;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use signalr_proto::backplane::{BackplaneCounters, BackplaneState, Message};

pub(crate) use driver::BackplaneDriver;
pub use farm::BackplaneHandle;
pub(crate) use farm::Farm;
pub use memory::MemoryBackplane;

/// Why a broker does not do what it was asked: any error. Its words get into logs, so they must not hold passwords.
pub type BackplaneFault = Box<dyn Error + Send + Sync>;

/// A broker that carries messages on channels to everybody who has subscribed: Redis, NATS, anything of the kind.
///
/// All that has to be known of it is how to connect, publish and subscribe; what is said on which channel, who waits for what
/// and what happens when the broker is gone is the business of
/// [`BackplaneNode`](signalr_proto::backplane::BackplaneNode). `docs/backplane.md` walks through one.
///
/// Messages on one channel have to arrive in the order in which they were published, and at most once. Nothing is expected
/// across channels. Names of channels are any text of any length; payloads are any bytes.
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// Connects to the broker. Called again, after a moment, whenever that fails or the link is lost.
    ///
    /// An attempt that takes too long is dropped.
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>>;
}

impl<B: Backplane + ?Sized> Backplane for Arc<B> {
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        (**self).connect()
    }
}

/// A link to a broker. It is dropped when any part of it fails, and with all its subscriptions.
#[expect(clippy::exhaustive_structs, reason = "built by backplanes")]
pub struct BackplaneLink {
    /// Publishes.
    pub publisher: Box<dyn Publisher>,
    /// Subscribes.
    pub subscriber: Box<dyn Subscriber>,
    /// What comes on the channels that are subscribed to. Its end is that of the link, and so is an error, which says why.
    pub messages: BoxStream<'static, Result<Message, BackplaneFault>>,
}

/// The publishing half of a [`BackplaneLink`].
pub trait Publisher: Send + 'static {
    /// Publishes messages in this order, and gives for each of them how many subscribers it reached, or `None` where the
    /// broker does not tell. The next messages come once these are done, so there is no need for a queue.
    ///
    /// With the numbers, questions to clients that do not exist fail at once, and those to servers that died within seconds;
    /// without, they fail in their time.
    fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> BoxFuture<'_, Result<Vec<Option<u64>>, BackplaneFault>>;
}

/// The subscribing half of a [`BackplaneLink`]. One call is under way at a time.
pub trait Subscriber: Send + 'static {
    /// Subscribes to channels. Done when everything that is published from now on arrives.
    fn subscribe(&mut self, channels: Vec<ByteString>)
    -> BoxFuture<'_, Result<(), BackplaneFault>>;

    /// Unsubscribes from channels.
    fn unsubscribe(
        &mut self,
        channels: Vec<ByteString>,
    ) -> BoxFuture<'_, Result<(), BackplaneFault>>;
}

impl fmt::Debug for BackplaneLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackplaneLink").finish_non_exhaustive()
    }
}

/// How a server stands with its backplane: for health checks and dashboards.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackplaneHealth {
    /// Whether the broker can be reached.
    pub state: BackplaneState,
    /// The last thing that went wrong with it, in its words, also when all is well again.
    pub last_fault: Option<Box<str>>,
    /// What has been published, received and lost so far.
    pub counters: BackplaneCounters,
    /// Messages that a local client did not get since their sender has none in its protocol.
    pub missing_protocol: u64,
}

impl BackplaneHealth {
    /// Whether messages go to the farm and come from it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == BackplaneState::Up
    }
}
