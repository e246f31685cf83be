//! An open WebSocket, read and written by its connection's task.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use signalr_proto::{EndCause, TransferFormat};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::Upgrade;
use super::frames::{FrameError, FrameReader, Read, write_close, write_head, write_pong};
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
    /// What the web server had read before the upgrade.
    early: Bytes,
}

struct Outgoing {
    head: [u8; 10],
    head_length: usize,
    body: Bytes,
    written: usize,
}

/// What was read, beside data.
#[derive(Default)]
struct Heard {
    /// Only the newest ping needs an answer (RFC 6455, section 5.5.3), so a flood of them takes no room.
    ping: Option<Bytes>,
    end: Option<End>,
}

/// Why nothing more is read.
enum End {
    /// The stream below ended without a close frame.
    Cut,
    Closed {
        code: u16,
        reason: Box<str>,
    },
    Broken(FrameError),
}

/// Reads all of these bytes and hands the payloads to `data`. No bytes are the end.
fn hear(frames: &mut FrameReader, mut bytes: &mut [u8], data: &mut impl FnMut(Bytes)) -> Heard {
    let mut heard = Heard::default();
    if bytes.is_empty() {
        heard.end = Some(End::Cut);
    }
    while heard.end.is_none() {
        match frames.read(&mut bytes) {
            Ok(None) => break,
            Ok(Some(Read::Data(bytes))) => data(bytes),
            Ok(Some(Read::Ping(payload))) => heard.ping = Some(payload),
            Ok(Some(Read::Pong)) => {}
            Ok(Some(Read::Close { code, reason })) => {
                heard.end = Some(End::Closed { code, reason });
            }
            Err(error) => heard.end = Some(End::Broken(error)),
        }
    }
    heard
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
    fn message(body: Bytes, format: TransferFormat) -> Self {
        let kind = match format {
            TransferFormat::Text => Data::Text,
            TransferFormat::Binary => Data::Binary,
        };
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

    /// Takes a message to send; never two at a time, as the machine promises.
    pub(crate) fn send(&mut self, bytes: Bytes, format: TransferFormat) {
        self.message = Some(Outgoing::message(bytes, format));
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
                    let (io, early) = Io::of(upgraded);
                    let frames = FrameReader::default();
                    self.state = State::Open(Box::new(Open { io, frames, early }));
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
        let Open { io, frames, early } = ready!(self.poll_open(cx))?;
        let heard = if early.is_empty() {
            match io.poll_read(cx, |bytes| hear(frames, bytes, &mut data)) {
                Poll::Ready(Ok(heard)) => heard,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(failed("the connection broke", &error)));
                }
                Poll::Pending => {
                    self.dry = true;
                    return Poll::Pending;
                }
            }
        } else {
            hear(frames, &mut mem::take(early).to_vec(), &mut data)
        };
        self.dry = io.is_dry(cx);
        if let Some(payload) = heard.ping {
            self.pong(&payload);
        }
        Poll::Ready(match heard.end {
            None => Ok(()),
            Some(End::Cut) => Err(closed(1006, "")),
            Some(End::Closed { code, reason }) => {
                self.close(1000);
                self.closed = true;
                Err(closed(code, &reason))
            }
            Some(End::Broken(error)) => {
                self.close(error.code);
                Err(Left(EndCause::Failed {
                    detail: error.to_string().into(),
                }))
            }
        })
    }

    /// Whether nothing has to be read or written before the task is woken. With `reading`, reading counts.
    pub(crate) const fn is_settled(&self, reading: bool) -> bool {
        self.message.is_none() && self.control.is_none() && (self.dry || !reading)
    }

    /// A newer pong takes the place of an older, unless that has begun.
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
