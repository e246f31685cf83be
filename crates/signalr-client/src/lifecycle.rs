//! How the application hears of the connection's fate.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::mpsc;
use futures_core::Stream;
use futures_util::StreamExt;
use signalr_proto::{CloseReason, ConnectionId, TransportKind};

use crate::error::RefreshError;

/// Something that happened to the connection as a whole; see [`HubConnection::events`](crate::HubConnection::events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifecycleEvent {
    /// `start` succeeded.
    Connected {
        /// The public id; none when negotiation was skipped.
        connection_id: Option<ConnectionId>,
        /// What it runs over.
        transport: TransportKind,
    },
    /// The connection was lost and is being made again.
    Reconnecting {
        /// Why it was lost.
        reason: CloseReason,
    },
    /// An attempt to have the connection back will be made. Follows [`Reconnecting`](Self::Reconnecting) at once, and every
    /// attempt that failed and is not the last, so that a window can show "attempt 3 in 10 s: connection refused". Why the last
    /// one failed is told by [`Closed`](Self::Closed).
    ReconnectAttempt {
        /// Counts from 1 with each loss.
        attempt: u32,
        /// The time until then, which [`retry_now`](crate::HubConnection::retry_now) ends.
        delay: Duration,
        /// Why the attempt before failed; before the first, why the connection was lost.
        reason: CloseReason,
    },
    /// The connection is back, as a new one.
    Reconnected {
        /// The new public id; none when negotiation was skipped.
        connection_id: Option<ConnectionId>,
        /// What it runs over.
        transport: TransportKind,
    },
    /// A transport did not start, and the next one is tried, for the first connection or for another one.
    Fallback {
        /// What did not start.
        from: TransportKind,
        /// What is tried now.
        to: TransportKind,
        /// Why the first did not start.
        reason: CloseReason,
    },
    /// `start` has failed and will be tried again, as [`retry_start`](crate::HubConnectionBuilder::retry_start) wants.
    StartRetry {
        /// Why it failed.
        reason: CloseReason,
        /// The time until the next attempt.
        delay: Duration,
        /// Which attempt that will be; the one of `start` was the first.
        attempt: u32,
    },
    /// `start` has failed, and is not tried again by itself.
    StartFailed {
        /// Why.
        reason: CloseReason,
    },
    /// The WebSocket of a stateful connection was lost and is being replaced. The connection stays Connected.
    Resuming {
        /// Why it was lost.
        reason: CloseReason,
    },
    /// The stateful connection has another WebSocket, and nothing was lost.
    Resumed,
    /// The server took a new access token for the connection.
    AuthenticationRefreshed {
        /// How long it lives, if the server says so.
        lifetime: Option<Duration>,
    },
    /// The access token could not be replaced. The connection goes on with the old one for as long as the server lets it.
    AuthenticationRefreshFailed {
        /// Why.
        error: RefreshError,
    },
    /// Messages of the offline queue were too old to be sent, and were dropped.
    Expired {
        /// How many.
        messages: usize,
    },
    /// The connection is over, until the next `start`.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What happens to a connection: what [`HubConnection::events`](crate::HubConnection::events) returns. It does not keep the
/// connection.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events(mpsc::UnboundedReceiver<LifecycleEvent>);

impl Events {
    /// The next event; `None` when the driver is gone. As that of `StreamExt`, without its import.
    pub async fn next(&mut self) -> Option<LifecycleEvent> {
        StreamExt::next(&mut self.0).await
    }
}

impl Stream for Events {
    type Item = LifecycleEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LifecycleEvent>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

type Callback = Arc<dyn Fn(&LifecycleEvent) + Send + Sync>;

/// Callbacks and event streams.
#[derive(Default)]
pub(crate) struct Listeners {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    callbacks: Vec<Callback>,
    streams: Vec<mpsc::UnboundedSender<LifecycleEvent>>,
    /// The driver is gone.
    over: bool,
}

impl Listeners {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, callback: impl Fn(&LifecycleEvent) + Send + Sync + 'static) {
        self.lock().callbacks.push(Arc::new(callback));
    }

    /// The events from now on. Ended at once where nothing can happen any more.
    pub(crate) fn subscribe(&self) -> Events {
        let (sender, receiver) = mpsc::unbounded();
        let mut lists = self.lock();
        if !lists.over {
            lists.streams.push(sender);
        }
        Events(receiver)
    }

    /// Nothing will happen any more: ends the streams.
    pub(crate) fn end(&self) {
        let streams = {
            let mut lists = self.lock();
            lists.over = true;
            lists.callbacks.clear();
            core::mem::take(&mut lists.streams)
        };
        // Whoever waits is woken without the lock.
        drop(streams);
    }

    /// Tells everybody. One that panics does not keep the others from hearing it
    /// ([CB-102](signalr_proto::spec::client_behaviour#cb-102)).
    pub(crate) fn tell(&self, event: &LifecycleEvent) {
        let callbacks = {
            let mut lists = self.lock();
            lists
                .streams
                .retain(|stream| stream.unbounded_send(event.clone()).is_ok());
            lists.callbacks.clone()
        };
        for callback in callbacks {
            if catch_unwind(AssertUnwindSafe(|| callback(event))).is_err() {
                tracing::error!("a lifecycle callback panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_panicking_callback_does_not_skip_the_others() {
        let listeners = Listeners::default();
        let heard = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&heard);
        let mut stream = listeners.subscribe();
        listeners.add(|_| panic!("oh"));
        listeners.add(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let event = LifecycleEvent::Closed {
            reason: CloseReason::Stopped,
        };
        listeners.tell(&event);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        assert_eq!(stream.next().now_or_never(), Some(Some(event)));
    }
}
