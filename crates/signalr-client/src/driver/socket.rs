//! The WebSocket in use, and the one that is being closed.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use signalr_proto::transport::WsMessage;
use signalr_proto::{EndCause, Instant, OpId};

use crate::transport::Transport;

/// How long a socket that we closed may take to flush and to be closed by the server, before it is dropped.
const LINGER: Duration = Duration::from_secs(1);

/// An open WebSocket with at most one message on its way.
pub(super) struct Socket<T: Transport> {
    pub(super) op: OpId,
    web_socket: T::WebSocket,
    outgoing: Outgoing,
}

enum Outgoing {
    Nothing,
    Waiting(WsMessage),
    Flushing,
}

/// What came of polling.
pub(super) enum News {
    Received(Bytes),
    Ended(EndCause),
}

impl<T: Transport> Socket<T> {
    pub(super) const fn new(op: OpId, web_socket: T::WebSocket) -> Self {
        Self {
            op,
            web_socket,
            outgoing: Outgoing::Nothing,
        }
    }

    /// Takes a message to send; never two at a time, as the machine promises.
    pub(super) fn send(&mut self, message: WsMessage) {
        self.outgoing = Outgoing::Waiting(message);
    }

    /// Whether the outgoing message was taken, or why the socket ended. Pending as well when there is none.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EndCause>> {
        if matches!(self.outgoing, Outgoing::Nothing) {
            return Poll::Pending;
        }
        let written = ready!(self.poll_hand_over(cx));
        self.outgoing = Outgoing::Nothing;
        Poll::Ready(
            written.map_err(|error| self.last_words(cx).unwrap_or_else(|| T::end_cause(&error))),
        )
    }

    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        let mut web_socket = Pin::new(&mut self.web_socket);
        if matches!(self.outgoing, Outgoing::Waiting(_)) {
            ready!(web_socket.as_mut().poll_ready(cx))?;
            if let Outgoing::Waiting(message) =
                core::mem::replace(&mut self.outgoing, Outgoing::Flushing)
            {
                web_socket.as_mut().start_send(message)?;
            }
        }
        web_socket.poll_flush(cx)
    }

    /// Writing failed: what the peer said before is the better reason.
    fn last_words(&mut self, cx: &mut Context<'_>) -> Option<EndCause> {
        loop {
            match self.poll_read(cx) {
                Poll::Ready(News::Ended(cause)) => return Some(cause),
                Poll::Ready(News::Received(_)) => {}
                Poll::Pending => return None,
            }
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        Poll::Ready(match ready!(Pin::new(&mut self.web_socket).poll_next(cx)) {
            Some(Ok(WsMessage::Close(code))) => News::Ended(EndCause::WebSocketClose {
                code,
                reason: Box::default(),
            }),
            Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) => News::Received(bytes),
            Some(Err(error)) => News::Ended(T::end_cause(&error)),
            None => News::Ended(EndCause::WebSocketClose {
                code: 1006,
                reason: Box::default(),
            }),
        })
    }
}

/// A socket that got its close frame, kept until both sides have said goodbye. A machine that stops waits for that; any other
/// has forgotten it.
pub(super) struct Closing<T: Transport> {
    socket: Socket<T>,
    /// When it is dropped, unless the machine decides that.
    pub(super) deadline: Option<Instant>,
}

impl<T: Transport> Closing<T> {
    pub(super) fn new(mut socket: Socket<T>, code: u16) -> Self {
        socket.send(WsMessage::Close(code));
        Self {
            socket,
            deadline: None,
        }
    }

    pub(super) const fn op(&self) -> OpId {
        self.socket.op
    }

    /// The machine does not wait for it, or not any more.
    pub(super) fn linger(&mut self, now: Instant) {
        self.deadline.get_or_insert_with(|| now.after(LINGER));
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Writes the close frame, and tells what comes in.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        match self.socket.poll_write(cx) {
            Poll::Ready(Err(cause)) => Poll::Ready(News::Ended(cause)),
            Poll::Ready(Ok(())) | Poll::Pending => self.socket.poll_read(cx),
        }
    }
}
