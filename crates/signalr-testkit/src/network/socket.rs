//! What comes from a hub, with the faults of the network between: WebSockets and bodies.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use signalr_proto::codec::handshake;
use signalr_proto::transport::WsMessage;

use super::error::MemoryError;
use super::faults::{Cut, Faults};
use crate::runtime::{Clock, Sleep};

/// A WebSocket as a hub's side gives it.
pub(crate) trait HubSocket:
    Stream<Item = Result<WsMessage, MemoryError>> + Sink<WsMessage, Error = MemoryError> + Send
{
}

impl<S> HubSocket for S where
    S: Stream<Item = Result<WsMessage, MemoryError>> + Sink<WsMessage, Error = MemoryError> + Send
{
}

/// A body as a hub's side gives it.
pub(crate) type HubBody = Pin<Box<dyn Stream<Item = Result<Bytes, MemoryError>> + Send>>;

/// What the network is like for what travels in one direction, and when it arrives.
struct Conditions {
    faults: Arc<Faults>,
    clock: Clock,
    /// How often the network had been cut when this began.
    begun: u64,
    alarm: Option<Sleep>,
}

impl Conditions {
    fn new(faults: &Arc<Faults>, clock: &Clock, begun: u64) -> Self {
        Self {
            faults: Arc::clone(faults),
            clock: clock.clone(),
            begun,
            alarm: None,
        }
    }

    fn arrival(&self) -> Duration {
        self.clock.now() + self.faults.current_delay()
    }

    /// Waits until that time.
    fn poll_until(&mut self, due: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        if now >= due {
            self.alarm = None;
            return Poll::Ready(());
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| self.clock.sleep(due - now));
        ready!(Pin::new(alarm).poll(cx));
        self.alarm = None;
        Poll::Ready(())
    }
}

/// What is on its way from the hub, in its order.
struct Incoming<T> {
    conditions: Conditions,
    queue: VecDeque<(Duration, T)>,
    /// What is there already came together with what took its time before: the body of an answer, with its head.
    came_along: bool,
}

impl<T> Incoming<T> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, MemoryError>> {
        // Only what comes from now on is late: a delay that changes never changes the order.
        while let Poll::Ready(item) = next(cx) {
            let last = self.queue.back().map_or(Duration::ZERO, |(due, _)| *due);
            let arrival = match self.came_along {
                true => self.conditions.clock.now(),
                false => self.conditions.arrival(),
            };
            self.queue.push_back((arrival.max(last), item));
        }
        self.came_along = false;
        let open = ready!(self.conditions.faults.poll_open(self.conditions.begun, cx));
        if let Err(cut) = open {
            return Poll::Ready(Err(MemoryError::cut(&cut)));
        }
        let Some((due, _)) = self.queue.front() else {
            return Poll::Pending;
        };
        ready!(self.conditions.poll_until(*due, cx));
        match self.queue.pop_front() {
            Some((_, item)) => Poll::Ready(Ok(item)),
            None => Poll::Pending,
        }
    }
}

/// A WebSocket of the network in memory.
pub struct MemorySocket {
    /// None when it is cut or has ended.
    inner: Option<Pin<Box<dyn HubSocket>>>,
    incoming: Incoming<Option<Result<WsMessage, MemoryError>>>,
    outgoing: Conditions,
    /// The message under way to the hub, and when it arrives.
    sent: Option<(Duration, WsMessage)>,
    /// The hub has said its last.
    drained: bool,
    /// The error that the handshake is answered with.
    refused: Option<String>,
}

impl MemorySocket {
    pub(crate) fn new(
        inner: Pin<Box<dyn HubSocket>>,
        faults: &Arc<Faults>,
        clock: &Clock,
        begun: u64,
        refused: Option<String>,
    ) -> Self {
        Self {
            inner: Some(inner),
            incoming: Incoming {
                conditions: Conditions::new(faults, clock, begun),
                queue: VecDeque::new(),
                came_along: false,
            },
            outgoing: Conditions::new(faults, clock, begun),
            sent: None,
            drained: false,
            refused,
        }
    }

    fn is_cut(&self) -> bool {
        self.incoming.conditions.faults.cuts() != self.incoming.conditions.begun
    }

    /// The first that a hub says is its answer to the handshake.
    fn changed(&mut self, message: WsMessage) -> WsMessage {
        let Some(error) = self.refused.take() else {
            return message;
        };
        let mut answer = BytesMut::new();
        handshake::encode_response(&mut answer, Some(&error));
        match message {
            WsMessage::Binary(_) => WsMessage::Binary(answer.freeze()),
            WsMessage::Text(_) | WsMessage::Close(_) => WsMessage::Text(answer.freeze()),
        }
    }
}

impl Stream for MemorySocket {
    type Item = Result<WsMessage, MemoryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let (inner, drained) = (&mut this.inner, &mut this.drained);
        let polled = this.incoming.poll(cx, |cx| {
            let Some(inner) = inner.as_mut().filter(|_| !*drained) else {
                return Poll::Pending;
            };
            let item = ready!(inner.as_mut().poll_next(cx));
            *drained = !matches!(item, Some(Ok(_)));
            Poll::Ready(item)
        });
        Poll::Ready(match ready!(polled) {
            Ok(Some(Ok(message))) => Some(Ok(this.changed(message))),
            Ok(end) => end,
            Err(cut) => {
                this.inner = None;
                Some(Err(cut))
            }
        })
    }
}

impl Sink<WsMessage> for MemorySocket {
    type Error = MemoryError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: WsMessage) -> Result<(), MemoryError> {
        self.sent = Some((self.outgoing.arrival(), message));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        let this = &mut *self;
        if this.is_cut() {
            this.inner = None;
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(Err(MemoryError::cut(&Cut::ByTest)));
        };
        if let Some((due, _)) = &this.sent {
            ready!(this.outgoing.poll_until(*due, cx));
            ready!(inner.as_mut().poll_ready(cx))?;
            if let Some((_, message)) = this.sent.take() {
                inner.as_mut().start_send(message)?;
            }
        }
        inner.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll_close(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl core::fmt::Debug for MemorySocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemorySocket").finish_non_exhaustive()
    }
}

/// The body of an answer of the network in memory.
pub struct MemoryBody {
    inner: Option<HubBody>,
    incoming: Incoming<Option<Result<Bytes, MemoryError>>>,
    drained: bool,
}

impl MemoryBody {
    pub(crate) fn new(inner: HubBody, faults: &Arc<Faults>, clock: &Clock, begun: u64) -> Self {
        Self {
            inner: Some(inner),
            incoming: Incoming {
                conditions: Conditions::new(faults, clock, begun),
                queue: VecDeque::new(),
                came_along: true,
            },
            drained: false,
        }
    }
}

impl Stream for MemoryBody {
    type Item = Result<Bytes, MemoryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let (inner, drained) = (&mut this.inner, &mut this.drained);
        let polled = this.incoming.poll(cx, |cx| {
            let Some(inner) = inner.as_mut().filter(|_| !*drained) else {
                return Poll::Pending;
            };
            let item = ready!(inner.as_mut().poll_next(cx));
            *drained = !matches!(item, Some(Ok(_)));
            Poll::Ready(item)
        });
        Poll::Ready(match ready!(polled) {
            Ok(item) => item,
            Err(cut) => {
                this.inner = None;
                Some(Err(cut))
            }
        })
    }
}

impl core::fmt::Debug for MemoryBody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemoryBody").finish_non_exhaustive()
    }
}
