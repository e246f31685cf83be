//! One client's WebSocket as a played hub sees it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use signalr_proto::Protocol;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::HandshakeDecoder;
use signalr_proto::transport::WsMessage;

use crate::network::MemoryError;
use crate::runtime::{Clock, Sleep};

/// Larger than anything that a test says.
const MAX_MESSAGE: usize = 64 << 20;

type Said = Result<WsMessage, MemoryError>;

/// What is on its way to the client.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    said: VecDeque<Said>,
    reader: Option<Waker>,
}

impl Outbox {
    pub(crate) fn push(&self, said: Said) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.said.push_back(said);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Said> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = queue.said.pop_front() {
            return Poll::Ready(said);
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Who plays the hub.
pub(crate) trait Peer: Send + Sync {
    /// The client said this.
    fn received(&self, link: u64, message: WsMessage);

    /// The client's WebSocket is gone.
    fn gone(&self, link: u64);

    /// It is time for a sign of life: says it, and when the next one is due.
    fn keep_alive(&self, link: u64) -> Option<Duration>;
}

/// The client's end.
pub(crate) struct ScriptSocket {
    id: u64,
    peer: Arc<dyn Peer>,
    outbox: Arc<Outbox>,
    clock: Clock,
    alarm: Option<Sleep>,
    over: bool,
}

impl ScriptSocket {
    pub(crate) fn new(
        id: u64,
        peer: Arc<dyn Peer>,
        outbox: Arc<Outbox>,
        clock: &Clock,
        first_ping: Option<Duration>,
    ) -> Self {
        Self {
            id,
            peer,
            outbox,
            clock: clock.clone(),
            alarm: first_ping.map(|after| clock.sleep(after)),
            over: false,
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) {
        while let Some(alarm) = &mut self.alarm {
            if Pin::new(alarm).poll(cx).is_pending() {
                return;
            }
            let next = self.peer.keep_alive(self.id);
            self.alarm = next.map(|after| self.clock.sleep(after));
        }
    }
}

impl Stream for ScriptSocket {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.poll_alarm(cx);
        self.outbox.poll(cx).map(|said| {
            self.over = !matches!(said, Ok(WsMessage::Text(_) | WsMessage::Binary(_)));
            Some(said)
        })
    }
}

impl Sink<WsMessage> for ScriptSocket {
    type Error = MemoryError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: WsMessage) -> Result<(), MemoryError> {
        if matches!(message, WsMessage::Close(_)) {
            // As a server does, which then is gone.
            self.outbox.push(Ok(WsMessage::Close(1000)));
        } else {
            self.peer.received(self.id, message);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), MemoryError>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for ScriptSocket {
    fn drop(&mut self) {
        self.peer.gone(self.id);
    }
}

/// A piece of what one side says.
pub(crate) enum Part {
    /// The first: JSON under both protocols.
    Handshake(Bytes),
    /// A message, without separator or prefix.
    Message(Bytes),
}

/// Cuts what one side says into pieces.
pub(crate) struct Reader {
    handshake: HandshakeDecoder,
    shaken: bool,
    frames: Option<FrameDecoder>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            handshake: HandshakeDecoder::new(MAX_MESSAGE),
            shaken: false,
            frames: None,
        }
    }

    /// One behind the handshake.
    pub(crate) fn shaken() -> Self {
        Self {
            shaken: true,
            ..Self::new()
        }
    }

    /// Takes the next piece off the bytes. `None` when they are used up; behind the handshake a protocol must be known.
    ///
    /// # Errors
    /// In words, when the bytes are none that the protocol has.
    pub(crate) fn next(
        &mut self,
        bytes: &mut Bytes,
        protocol: Option<Protocol>,
    ) -> Result<Option<Part>, String> {
        if !self.shaken {
            let handshake = self.handshake.decode(bytes).map_err(|e| e.to_string())?;
            self.shaken = handshake.is_some();
            return Ok(handshake.map(Part::Handshake));
        }
        let Some(protocol) = protocol else {
            return Err("a message before the handshake".to_owned());
        };
        let frames = self
            .frames
            .get_or_insert_with(|| FrameDecoder::new(protocol, MAX_MESSAGE));
        let frame = frames.decode(bytes).map_err(|error| error.to_string())?;
        Ok(frame.map(Part::Message))
    }
}
