//! What others want of a connection: messages to send, and orders to its task.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use signalr_proto::codec::Outcome;
use signalr_proto::server::{CallId, DisconnectReason};
use tokio::sync::Notify;

use super::wires::Exchange;
use crate::locks::lock;
use crate::options::SlowClients;
use crate::slow::SlowCounters;

/// Something a connection's task is asked to do.
pub(crate) enum Order {
    /// A request or a WebSocket has come for it.
    Arrived(Box<Exchange>),
    /// End with a Close message.
    Close { allow_reconnect: bool },
    /// End without a word and for good.
    Abort(DisconnectReason),
    /// Lose the transport as a broken network would.
    Cut,
    /// Ask the client.
    Ask {
        id: ByteString,
        frame: Bytes,
        answer: oneshot::Sender<Outcome>,
    },
    /// Nobody waits for that answer any more.
    Forget(ByteString),
    /// A method waits for its client.
    Release(CallId),
    /// A method took items of an upload, and may wait for more.
    Took {
        call: CallId,
        upload: usize,
        items: usize,
        hungry: bool,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is on its way.
    Taken,
    /// It is on its way, and the sender should wait before the next.
    Behind,
    /// The connection is over, or took no part in this message.
    Gone,
}

#[derive(Default)]
struct Contents {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Messages that left for the client so far.
    taken: u64,
    orders: Vec<Order>,
    /// Somebody may wait for room since there was none.
    crowded: bool,
    /// The client took nothing for so long that nobody waits for it any more.
    stalled: bool,
    closed: bool,
}

/// What came of handing out messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) any: bool,
    /// Some still wait.
    pub(crate) left: bool,
}

/// Messages for which an idle connection keeps room: a burst, or each would have to take and give back memory.
const FEW: usize = 16;

/// Where messages and orders wait for the connection's task.
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    /// Something waits inside.
    filled: AtomicBool,
    task: AtomicWaker,
    /// Fires when there is room again, and when the connection is over.
    room: Notify,
    /// Bytes above which senders wait.
    limit: usize,
    /// Bytes above which a client that takes nothing is dealt with.
    budget: usize,
    slow: SlowClients,
    dropped: AtomicU64,
    /// Of all connections of the hub.
    counters: Arc<SlowCounters>,
}

impl Mailbox {
    pub(crate) fn new(
        limit: usize,
        budget: usize,
        slow: SlowClients,
        counters: Arc<SlowCounters>,
    ) -> Self {
        Self {
            contents: Mutex::default(),
            filled: AtomicBool::new(false),
            task: AtomicWaker::new(),
            room: Notify::new(),
            limit,
            budget: budget.max(limit),
            slow,
            dropped: AtomicU64::new(0),
            counters,
        }
    }

    /// Puts a message in, whole and already encoded. A message of any size is taken while none waits.
    pub(crate) fn push(&self, frame: Bytes) -> Pushed {
        let mut contents = lock(&self.contents);
        if contents.closed {
            return Pushed::Gone;
        }
        while contents.bytes > 0 && contents.bytes.saturating_add(frame.len()) > self.budget {
            match self.slow {
                SlowClients::Wait => break,
                SlowClients::DropOldest => {
                    let Some(oldest) = contents.frames.pop_front() else {
                        break;
                    };
                    self.count_dropped();
                    contents.bytes = contents.bytes.saturating_sub(oldest.len());
                }
                SlowClients::Disconnect => {
                    self.count_dropped();
                    let waiting = contents.bytes.saturating_add(frame.len());
                    contents
                        .orders
                        .push(Order::Abort(DisconnectReason::SlowClient {
                            waiting,
                            limit: self.budget,
                        }));
                    contents.closed = true;
                    drop(contents);
                    self.fill();
                    self.room.notify_waiters();
                    return Pushed::Gone;
                }
            }
        }
        contents.bytes = contents.bytes.saturating_add(frame.len());
        contents.frames.push_back(frame);
        contents.crowded |= contents.bytes >= self.limit;
        let behind = contents.bytes >= self.limit && !contents.stalled;
        drop(contents);
        self.fill();
        if behind {
            Pushed::Behind
        } else {
            Pushed::Taken
        }
    }

    /// Puts an order in. One that comes after the end is dropped, with all that waits for its answer.
    pub(crate) fn order(&self, order: Order) {
        let mut contents = lock(&self.contents);
        if contents.closed {
            return;
        }
        contents.orders.push(order);
        drop(contents);
        self.fill();
    }

    /// As [`order`](Self::order) for an exchange, which is given back when the connection is over.
    pub(crate) fn arrive(&self, exchange: Box<Exchange>) -> Result<(), Box<Exchange>> {
        let mut contents = lock(&self.contents);
        if contents.closed {
            return Err(exchange);
        }
        contents.orders.push(Order::Arrived(exchange));
        drop(contents);
        self.fill();
        Ok(())
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.counters.message_dropped();
    }

    fn fill(&self) {
        if !self.filled.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Whether senders should wait.
    fn is_behind(&self) -> bool {
        let contents = lock(&self.contents);
        contents.bytes >= self.limit && !contents.closed && !contents.stalled
    }

    /// Waits until there is room, or the connection is over.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            // Listening begins before looking, so that room made in between is not missed.
            room.as_mut().enable();
            if !self.is_behind() {
                return;
            }
            room.await;
        }
    }

    /// Messages that left for the client so far.
    pub(crate) fn taken(&self) -> u64 {
        lock(&self.contents).taken
    }

    /// Nobody shall wait for this client any more until it has caught up.
    pub(crate) fn stall(&self) {
        let mut contents = lock(&self.contents);
        contents.stalled = contents.bytes >= self.limit;
    }

    /// Messages that were dropped because the client did not take them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// For the connection's task.
impl Mailbox {
    pub(crate) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Whether something has come since the last time that orders were taken.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// Takes the orders. `None` when nothing has come since the last time, which costs no lock.
    pub(crate) fn take_orders(&self) -> Option<Vec<Order>> {
        let filled = self.is_filled() && self.filled.swap(false, Ordering::AcqRel);
        filled.then(|| std::mem::take(&mut lock(&self.contents).orders))
    }

    /// Hands out messages, oldest first, for as long as `take` takes them.
    pub(crate) fn take_frames(&self, mut take: impl FnMut(&Bytes) -> bool) -> Taken {
        let mut contents = lock(&self.contents);
        let before = contents.taken;
        while contents.frames.front().is_some_and(&mut take) {
            if let Some(frame) = contents.frames.pop_front() {
                contents.bytes = contents.bytes.saturating_sub(frame.len());
                contents.taken = contents.taken.wrapping_add(1);
            }
        }
        if contents.frames.is_empty() {
            // An idle connection holds no more room than a few messages need.
            contents.frames.shrink_to(FEW);
        }
        let room = contents.crowded && contents.bytes <= self.limit / 2;
        contents.crowded &= !room;
        contents.stalled &= !room;
        let taken = Taken {
            any: contents.taken != before,
            left: !contents.frames.is_empty(),
        };
        drop(contents);
        if room {
            self.room.notify_waiters();
        }
        taken
    }

    /// Takes nothing more, and gives what was ordered and not yet done.
    pub(crate) fn close(&self) -> Vec<Order> {
        let mut contents = lock(&self.contents);
        contents.closed = true;
        contents.frames = VecDeque::new();
        contents.bytes = 0;
        let orders = std::mem::take(&mut contents.orders);
        drop(contents);
        self.room.notify_waiters();
        orders
    }
}

/// Shows sizes only: the frames are payloads.
impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contents = lock(&self.contents);
        f.debug_struct("Mailbox")
            .field("bytes", &contents.bytes)
            .field("closed", &contents.closed)
            .finish_non_exhaustive()
    }
}
