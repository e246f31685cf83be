//! From the world to the machine: what the network, the clock, handlers and uploads have brought.

use core::pin::Pin;
use core::task::{Context, Poll};

use futures_util::{FutureExt as _, Stream as _};
use signalr_proto::client::Input;
use signalr_proto::{EndCause, OpId};

use super::perform::{Done, Futures};
use super::settle::wake_up;
use super::socket::{News, Socket};
use super::{Engine, MESSAGES_PER_ROUND};
use crate::transport::Transport;

impl<T: Transport, F: Futures<T>> Engine<T, F> {
    pub(super) fn poll_operations(&mut self, cx: &mut Context<'_>) {
        while let Some((op, done)) =
            poll_first(&mut self.operations, |future| future.as_mut().poll(cx))
        {
            self.turn.look_again();
            self.operation_done(op, done);
        }
        while let Some((op, token)) =
            poll_first(&mut self.tokens, |future| future.as_mut().poll(cx))
        {
            self.turn.look_again();
            self.input(Input::AccessToken { op, token });
        }
        self.poll_bodies(cx);
    }

    fn operation_done(&mut self, op: OpId, done: Done<T>) {
        self.look_at_the_clock();
        match done {
            Done::Told(input) => self.input(input),
            Done::Streamed { response, body } => {
                self.bodies.push((op, body));
                self.input(Input::Response { op, response });
            }
            Done::Opened(web_socket) => {
                self.socket = Some(Socket::new(op, web_socket));
                self.input(Input::Opened { op });
            }
        }
    }

    /// A request takes longer than the time is measured by, and may be answered within the turn that began it.
    pub(super) fn look_at_the_clock(&mut self) {
        self.now = self.transport.now();
        self.dispatcher.resume_from(self.now);
    }

    fn poll_bodies(&mut self, cx: &mut Context<'_>) {
        if self.read_paused {
            return;
        }
        let mut news = Vec::new();
        self.bodies.retain_mut(|(op, body)| {
            let op = *op;
            match Pin::new(body).poll_next(cx) {
                Poll::Pending => true,
                Poll::Ready(Some(Ok(bytes))) => {
                    news.push(Input::Chunk { op, bytes });
                    true
                }
                Poll::Ready(Some(Err(error))) => {
                    news.push(Input::Ended {
                        op,
                        cause: T::end_cause(&error),
                    });
                    false
                }
                Poll::Ready(None) => {
                    news.push(Input::Ended {
                        op,
                        cause: EndCause::Clean,
                    });
                    false
                }
            }
        });
        if !news.is_empty() {
            self.turn.look_again();
            self.look_at_the_clock();
        }
        news.into_iter().for_each(|input| self.input(input));
    }

    pub(super) fn poll_socket(&mut self, cx: &mut Context<'_>) {
        self.poll_closing(cx);
        self.poll_write(cx);
        for _ in 0..MESSAGES_PER_ROUND {
            if self.must_pause() {
                return;
            }
            let Some(Poll::Ready(news)) = self.socket.as_mut().map(|socket| socket.poll_read(cx))
            else {
                // What was read may have given something to send; until it is polled nobody wakes us for it.
                self.poll_write(cx);
                return;
            };
            self.take_news(cx, news);
        }
        // There may be more to read.
        self.turn.look_again();
    }

    /// Writes what is on its way. After a whole batch the next one may follow, which is left to the next round.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let op = socket.op;
        match socket.poll_write(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.turn.sent(op),
            Poll::Ready(Err(cause)) => {
                self.turn.look_again();
                self.take_news(cx, News::Ended(cause));
            }
        }
    }

    /// What a socket still says that got its close frame: a machine that has forgotten it passes over that.
    pub(super) fn poll_closing(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MESSAGES_PER_ROUND {
            let Some(closing) = self.closing.as_mut() else {
                return;
            };
            if closing.is_late(self.now) {
                self.closing = None;
                break;
            }
            let op = closing.op();
            let Poll::Ready(news) = closing.poll(cx) else {
                return;
            };
            match news {
                News::Received(bytes) => self.input(Input::Received { op, bytes }),
                News::Ended(cause) => {
                    self.closing = None;
                    self.input(Input::Ended { op, cause });
                    break;
                }
            }
        }
        self.turn.look_again();
    }

    fn take_news(&mut self, cx: &mut Context<'_>, news: News) {
        let Some(op) = self.socket.as_ref().map(|socket| socket.op) else {
            return;
        };
        let now = self.now;
        match news {
            News::Received(bytes) => self.consult(|inner| {
                inner
                    .machine
                    .handle_input(now, Input::Received { op, bytes })
            }),
            News::Ended(cause) => {
                tracing::debug!(%op, ?cause, "the WebSocket ended");
                self.socket = None;
                self.consult(|inner| inner.machine.handle_input(now, Input::Ended { op, cause }));
            }
        }
        self.carry_out(cx);
    }

    /// Whether handlers are so far behind that reading has to stop. The machine is told, so that it does not blame the server.
    fn must_pause(&mut self) -> bool {
        if self.read_paused && self.dispatcher.has_room() {
            self.read_paused = false;
            self.turn.look_again();
            self.input(Input::ReadResumed);
        } else if !self.read_paused && self.dispatcher.is_full() {
            tracing::debug!("handlers are slow: reading stops until they catch up");
            self.read_paused = true;
            self.turn.look_again();
            self.input(Input::ReadPaused);
        }
        self.read_paused
    }

    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) {
        let linger = self.closing.as_ref().and_then(|closing| closing.deadline);
        let Some(deadline) = [self.deadline, self.alarm, linger]
            .into_iter()
            .flatten()
            .min()
        else {
            return;
        };
        if deadline <= self.now {
            self.turn.look_again();
            self.expire();
            return;
        }
        // A timer that runs wakes us by itself; one that fires too early is made anew.
        let runs = self
            .timer
            .as_ref()
            .is_some_and(|(fires, _)| self.now < *fires && *fires <= deadline);
        if runs {
            return;
        }
        let mut timer = Box::pin(self.futures.sleep(self.transport.clone(), deadline));
        let fired = timer.poll_unpin(cx).is_ready();
        if fired {
            self.turn.look_again();
            self.look_at_the_clock();
        }
        self.timer = (!fired).then_some((deadline, timer));
    }

    fn expire(&mut self) {
        let now = self.now;
        let mut inner = self.shared.lock();
        wake_up(&mut inner, now, self.turn.take_sent());
        inner.machine.handle_input(now, Input::Timeout);
        inner.alarms.advance(now, &mut self.wakers);
        self.alarm = inner.alarms.next();
        drop(inner);
        // The machine gives its next deadline when it is polled; until then this one is done with.
        self.deadline = None;
        self.wake();
    }

    /// Handlers and uploads.
    pub(super) fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        let mut busy = self.dispatcher.poll(cx);
        while !self.pumps.is_empty()
            && matches!(
                Pin::new(&mut self.pumps).poll_next(cx),
                Poll::Ready(Some(_))
            )
        {
            busy = true;
        }
        if busy || (self.read_paused && self.dispatcher.has_room()) {
            self.turn.look_again();
        }
    }
}

/// Polls each and takes out the first that is ready.
fn poll_first<F, D>(
    futures: &mut Vec<(OpId, F)>,
    mut poll: impl FnMut(&mut F) -> Poll<D>,
) -> Option<(OpId, D)> {
    let found = futures
        .iter_mut()
        .enumerate()
        .find_map(|(index, (op, future))| match poll(future) {
            Poll::Ready(done) => Some((index, *op, done)),
            Poll::Pending => None,
        });
    let (index, op, done) = found?;
    drop(futures.swap_remove(index));
    Some((op, done))
}
