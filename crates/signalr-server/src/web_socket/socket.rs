//! An open WebSocket, read and written by its connection's task.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use signalr_proto::{EndCause, WsMessage};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::Upgrade;
use super::frames::{FrameReader, Read, write_close, write_head, write_pong};
use super::io::Io;

/// Writes in one turn before others get theirs.
const WRITES_PER_TURN: usize = 4;

/// A WebSocket, from the moment it is granted.
pub(crate) struct Socket {
    state: State,
    /// The message that is being sent; there is one at a time.
    message: Option<Outgoing>,
    /// A pong or close frame, which goes before the message unless that has begun. A newer pong takes the place of an older.
    control: Option<Outgoing>,
    /// A close frame was written or waits in `control`.
    closing: bool,
    /// There was nothing to read in this turn of the task, which is woken when there is.
    dry: bool,
    /// The client's close frame was read: nothing more comes of it.
    closed: bool,
}

enum State {
    Opening(Box<OnUpgrade>),
    Open(Box<Open>),
    /// Nothing more is read or written.
    Over,
}

struct Open {
    io: Io,
    frames: FrameReader,
    /// What was read and is not handed out yet.
    input: BytesMut,
}

struct Outgoing {
    head: [u8; 10],
    head_length: usize,
    body: Bytes,
    written: usize,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    Message,
}

/// The client is gone.
pub(crate) struct Left(pub(crate) EndCause);

impl Outgoing {
    fn message(message: WsMessage) -> Self {
        match message {
            WsMessage::Text(body) => Self::data(Data::Text, body),
            WsMessage::Binary(body) => Self::data(Data::Binary, body),
            WsMessage::Close(code) => Self::close(code),
        }
    }

    fn data(kind: Data, body: Bytes) -> Self {
        let mut head = [0; 10];
        let mut room = head.as_mut_slice();
        write_head(&mut room, OpCode::Data(kind), body.len());
        let left = room.len();
        Self {
            head,
            head_length: head.len().saturating_sub(left),
            body,
            written: 0,
        }
    }

    fn close(code: u16) -> Self {
        let mut frame = BytesMut::new();
        write_close(&mut frame, code, "");
        Self::whole(frame.freeze())
    }

    fn pong(payload: &[u8]) -> Self {
        let mut frame = BytesMut::new();
        write_pong(&mut frame, payload);
        Self::whole(frame.freeze())
    }

    const fn whole(body: Bytes) -> Self {
        Self {
            head: [0; 10],
            head_length: 0,
            body,
            written: 0,
        }
    }

    const fn size(&self) -> usize {
        self.head_length + self.body.len()
    }

    fn poll(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.size() {
            let head = self.head.get(self.written..self.head_length);
            let body = self.written.saturating_sub(self.head_length);
            let written = ready!(io.poll_write(
                cx,
                head.unwrap_or_default(),
                self.body.get(body..).unwrap_or_default()
            ))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        io.poll_flush(cx)
    }
}

impl Socket {
    pub(crate) fn new(upgrade: Upgrade) -> Self {
        Self {
            state: State::Opening(Box::new(upgrade.on_upgrade)),
            message: None,
            control: None,
            closing: false,
            dry: false,
            closed: false,
        }
    }

    pub(crate) const fn begin_turn(&mut self) {
        self.dry = false;
    }

    pub(crate) fn send(&mut self, message: WsMessage) {
        self.message = Some(Outgoing::message(message));
    }

    /// Closes with this code, after the message that is being sent.
    pub(crate) fn close(&mut self, code: u16) {
        if !self.closing {
            self.closing = true;
            self.control = Some(Outgoing::close(code));
        }
    }

    /// Whether a close frame has yet to be written or answered.
    pub(crate) const fn is_leaving(&self) -> bool {
        self.closing
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut Open, Left>> {
        if let State::Opening(upgrade) = &mut self.state {
            match ready!(Pin::new(upgrade).poll(cx)) {
                Ok(upgraded) => {
                    let (io, read) = Io::of(upgraded);
                    let input = BytesMut::from(&*read);
                    let frames = FrameReader::default();
                    self.state = State::Open(Box::new(Open { io, frames, input }));
                }
                Err(error) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(failed("the WebSocket did not open", &error)));
                }
            }
        }
        match &mut self.state {
            State::Open(open) => Poll::Ready(Ok(open)),
            State::Opening(_) | State::Over => Poll::Ready(Err(closed(1006, ""))),
        }
    }

    /// Reads what has come, and hands the payloads to `data`. Pings and close frames are answered here.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut data: impl FnMut(Bytes),
    ) -> Poll<Result<(), Left>> {
        if self.dry {
            return Poll::Pending;
        }
        let open = ready!(self.poll_open(cx))?;
        if open.input.is_empty() {
            match open.io.poll_read(cx, &mut open.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(closed(1006, ""))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(failed("the connection broke", &error)));
                }
                Poll::Pending => {
                    self.dry = true;
                    return Poll::Pending;
                }
            }
        }
        loop {
            let State::Open(open) = &mut self.state else {
                return Poll::Ready(Ok(()));
            };
            match open.frames.read(&mut open.input) {
                Ok(None) => {
                    // An idle connection holds no buffer.
                    open.input = BytesMut::new();
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(Read::Data(bytes))) => data(bytes),
                Ok(Some(Read::Ping(payload))) => self.pong(&payload),
                Ok(Some(Read::Pong)) => {}
                Ok(Some(Read::Close { code, reason })) => {
                    self.close(1000);
                    self.closed = true;
                    return Poll::Ready(Err(closed(code, &reason)));
                }
                Err(error) => {
                    self.close(error.code);
                    return Poll::Ready(Err(Left(EndCause::Failed {
                        detail: error.to_string().into(),
                    })));
                }
            }
        }
    }

    /// Only the newest ping needs an answer (RFC 6455, section 5.5.3), so a flood of them takes no room.
    fn pong(&mut self, payload: &[u8]) {
        let begun = self
            .control
            .as_ref()
            .is_some_and(|control| control.written > 0);
        if !self.closing && !begun {
            self.control = Some(Outgoing::pong(payload));
        }
    }

    /// Writes what waits, as far as it goes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Written, Left>> {
        for _ in 0..WRITES_PER_TURN {
            let begun = self
                .message
                .as_ref()
                .is_some_and(|message| message.written > 0);
            let turn = if self.control.is_some() && !begun {
                &mut self.control
            } else {
                &mut self.message
            };
            let Some(outgoing) = turn else {
                return Poll::Ready(Ok(Written::Nothing));
            };
            if let State::Opening(_) = self.state {
                if let Err(left) = ready!(self.poll_open(cx)) {
                    return Poll::Ready(Err(left));
                }
                continue;
            }
            let State::Open(open) = &mut self.state else {
                return Poll::Ready(Err(closed(1006, "")));
            };
            if let Err(error) = ready!(outgoing.poll(&mut open.io, cx)) {
                return Poll::Ready(Err(failed("the connection broke", &error)));
            }
            let was_message = begun || self.control.is_none();
            if was_message {
                self.message = None;
                return Poll::Ready(Ok(Written::Message));
            }
            self.control = None;
        }
        Poll::Ready(Ok(Written::Nothing))
    }

    /// Is ready when the close frame was written and the client has answered or gone.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.begin_turn();
        while self.message.is_some() || self.control.is_some() {
            match ready!(self.poll_write(cx)) {
                Ok(_) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        let State::Open(_) = self.state else {
            return Poll::Ready(());
        };
        // The server is the first to hang up (RFC 6455, section 7.1.1).
        while !self.closed {
            if ready!(self.poll_read(cx, drop)).is_err() {
                break;
            }
        }
        if let State::Open(open) = &mut self.state {
            let _ = open.io.poll_shutdown(cx);
        }
        Poll::Ready(())
    }
}

fn closed(code: u16, reason: &str) -> Left {
    Left(EndCause::WebSocketClose {
        code,
        reason: reason.into(),
    })
}

fn failed(what: &str, error: &dyn std::error::Error) -> Left {
    Left(EndCause::Failed {
        detail: format!("{what}: {error}").into(),
    })
}
