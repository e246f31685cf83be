//! How connections end, and how they come back.

use super::ClientConnection;
use super::api::{Action, Event};
use super::connecting::{Attempt, Step};
use super::http::LAST_WORDS;
use super::link::Link;
use super::outage::Outage;
use super::session::Session;
use super::state::State;
use super::timer::Timer;
use crate::error::CloseReason;
use crate::time::Instant;
use crate::transport::OpId;

impl ClientConnection {
    /// Ends the connection, in any state. Ends in [`Event::Closed`], or in [`Event::StartFailed`] while the first start is
    /// under way; in `Disconnected` nothing happens, and a second stop joins the first
    /// ([CB-100](crate::spec::client_behaviour#cb-100)).
    ///
    /// When connected, what was written before is still sent, then `{"type":7}`, then what ends the transport: a close frame
    /// on a WebSocket, a `DELETE` on long polling. All of that, and the server's side of it, has
    /// [`close_timeout`](super::ClientConfig::close_timeout).
    pub fn stop(&mut self, now: Instant) {
        self.advance(now);
        self.drain_incoming();
        match core::mem::replace(&mut self.state, State::Disconnected) {
            State::Disconnected => {}
            State::Stopping(session) => self.state = State::Stopping(session),
            State::Connecting(attempt) => {
                let Attempt { step, context } = *attempt;
                match step {
                    Step::Handshaking(link, ..) => self.leave(link),
                    step @ (Step::NegotiateToken(_)
                    | Step::Negotiate(_)
                    | Step::SocketToken(..)
                    | Step::Opening(..)) => step.ops().for_each(|op| self.abort(op)),
                }
                self.end(was_established(context.outage), CloseReason::Stopped);
            }
            State::Connected(mut session) if matches!(session.link, Link::Lost(_)) => {
                self.abort_refresh(&mut session);
                self.fail_pending(&CloseReason::Stopped);
                self.drop_link(session.link, true);
                self.end(true, CloseReason::Stopped);
            }
            State::Connected(session) => self.begin_stopping(session),
            State::Deciding(decision) => {
                self.abort(decision.op);
                self.end(!decision.outage.first, CloseReason::Stopped);
            }
            State::Waiting { outage } => self.end(!outage.first, CloseReason::Stopped),
        }
    }

    fn begin_stopping(&mut self, mut session: Box<Session>) {
        self.abort_refresh(&mut session);
        self.fail_pending(&CloseReason::Stopped);
        self.fail_parked(&CloseReason::Stopped);
        let protocol = self.config.protocol;
        self.outbox
            .write_control(|out| protocol.encode_close(out, None, false));
        self.timers.clear();
        self.timers.set(
            Timer::Close,
            Some(self.now.after(self.config.close_timeout)),
        );
        self.state = State::Stopping(session);
        self.hurry_post();
        if self.state.http_mut().is_some_and(|link| link.doomed) {
            // The server has forgotten the connection: there is nobody to say goodbye to.
            self.outbox.clear();
            return self.finish_stopping(false);
        }
        self.poll_again();
    }

    /// Our Close message was taken. The transport is ended at once, as the official clients do, and not only when the server
    /// acts on the message: hand-written ones do not.
    pub(super) fn end_transport(&mut self) {
        let State::Stopping(session) = &mut self.state else {
            return;
        };
        match &mut session.link {
            Link::WebSocket(socket) => {
                let (op, is_first) = (socket.op, !core::mem::replace(&mut socket.closed, true));
                if is_first {
                    self.close_socket(op);
                }
            }
            Link::Http(link) if link.is_polling() => self.finish_stopping(false),
            // The server ends its stream itself, if it knows how: who breaks it off at once looks like one who was lost.
            Link::Http(_) => {
                let soon = self.now.after(LAST_WORDS);
                let deadline = self.timers.get(Timer::Close).map(|late| late.min(soon));
                self.timers.set(Timer::Close, deadline);
            }
            Link::Lost(_) => {}
        }
    }

    /// The server has said its last word, or takes too long to. Long polling is then taken down by a request of its own, which
    /// is waited for: a program may end as soon as it hears that the connection is closed.
    pub(super) fn finish_stopping(&mut self, late: bool) {
        let State::Stopping(mut session) = core::mem::replace(&mut self.state, State::Disconnected)
        else {
            return;
        };
        let deleting = session
            .link
            .http_mut()
            .filter(|_| !late)
            .is_some_and(|link| {
                self.delete(link);
                link.delete.is_some()
            });
        if deleting {
            self.state = State::Stopping(session);
            return;
        }
        match session.link {
            // Its close frame had its time.
            Link::WebSocket(socket) if late && socket.closed => self.abort(socket.op),
            link @ (Link::WebSocket(_) | Link::Http(_) | Link::Lost(_)) => self.leave(link),
        }
        self.end(true, CloseReason::Stopped);
    }

    /// The server knows that long polling is over, or has forgotten the connection already
    /// ([TR-62](crate::spec::transports#tr-62)).
    pub(super) fn handle_deleted(&mut self) {
        if let Some(link) = self.state.http_mut() {
            link.delete = None;
            link.ended = true;
        }
        self.finish_stopping(false);
    }

    /// Gives up a transport that stands, and lets the server know: by a close frame, even behind a message that is still on its
    /// way, or by the `DELETE` of long polling, when nothing else of it is under way any more.
    pub(super) fn leave(&mut self, link: Link) {
        match link {
            // It got its close frame.
            Link::WebSocket(socket) if socket.closed => {}
            Link::WebSocket(socket) => self.close_socket(socket.op),
            Link::Lost(lost) => self.abort(lost.op),
            Link::Http(mut link) => {
                link.ops().for_each(|op| self.abort(op));
                link.receiving = None;
                // A request to delete that was given up with the others was the only one.
                if link.delete.is_none() {
                    self.delete(&mut link);
                }
            }
        }
    }

    fn close_socket(&mut self, op: OpId) {
        self.act(Action::Close { op, code: 1000 });
    }

    fn abort_refresh(&mut self, session: &mut Session) {
        if let Some(op) = core::mem::take(&mut session.refresh).op() {
            self.abort(op);
        }
    }

    pub(super) fn abort(&mut self, op: OpId) {
        self.act(Action::Abort { op });
    }

    /// Back to the beginning, with the last event of this life.
    pub(super) fn end(&mut self, was_established: bool, reason: CloseReason) {
        self.timers.clear();
        self.outbox.clear();
        self.incoming.clear();
        self.read_paused = false;
        self.state = State::Disconnected;
        self.fail_parked(&reason);
        self.tell(if was_established {
            Event::Closed { reason }
        } else {
            Event::StartFailed { reason }
        });
    }

    /// A Close message came ([CB-60](crate::spec::client_behaviour#cb-60), [CB-61](crate::spec::client_behaviour#cb-61)). What
    /// follows it in the same chunk is not read.
    pub(super) fn closed_by_server(&mut self, error: Option<&str>, allow_reconnect: bool) {
        self.incoming.clear();
        let reason = CloseReason::ClosedByServer {
            error: error.map(Into::into),
            allow_reconnect,
        };
        let State::Connected(mut session) =
            core::mem::replace(&mut self.state, State::Disconnected)
        else {
            return;
        };
        self.abort_refresh(&mut session);
        // On long polling the server waits for one more poll otherwise, and the official clients delete, too.
        self.leave(session.link);
        self.fail_pending(&reason);
        if allow_reconnect {
            self.reconnect_or_end(reason)
        } else {
            self.end(true, reason)
        }
    }

    /// An established connection broke. `abort` when the socket itself still stands.
    pub(super) fn connection_lost(&mut self, reason: CloseReason, abort: bool) {
        match core::mem::replace(&mut self.state, State::Disconnected) {
            State::Connected(mut session) => {
                let reason = reason.of_established();
                self.abort_refresh(&mut session);
                self.drop_link(session.link, abort);
                self.fail_pending(&reason);
                self.reconnect_or_end(reason);
            }
            State::Stopping(session) => {
                self.drop_link(session.link, abort);
                self.end(true, CloseReason::Stopped);
            }
            state @ (State::Disconnected
            | State::Connecting(_)
            | State::Deciding(_)
            | State::Waiting { .. }) => self.state = state,
        }
    }

    /// What is left of a transport. `abort` when it is we who give it up.
    pub(super) fn drop_link(&mut self, link: Link, abort: bool) {
        match link {
            Link::WebSocket(_) | Link::Lost(_) if !abort => {}
            link @ (Link::WebSocket(_) | Link::Http(_) | Link::Lost(_)) => self.leave(link),
        }
    }

    /// Takes the state out, leaving `Disconnected`, if it is the one wanted.
    pub(super) fn take_state_if(
        &mut self,
        is_wanted: impl FnOnce(&State) -> bool,
    ) -> Option<State> {
        is_wanted(&self.state).then(|| core::mem::replace(&mut self.state, State::Disconnected))
    }

    /// Takes the attempt out, leaving `Disconnected`, if the state is the one wanted.
    pub(super) fn take_attempt_if(
        &mut self,
        is_wanted: impl FnOnce(&State) -> bool,
    ) -> Option<Box<Attempt>> {
        match self.take_state_if(is_wanted)? {
            State::Connecting(attempt) => Some(attempt),
            State::Disconnected
            | State::Connected(_)
            | State::Deciding(_)
            | State::Waiting { .. }
            | State::Stopping(_) => None,
        }
    }
}

/// Whether the application has been told of a connection, so that it must hear of its end.
fn was_established(outage: Option<Outage>) -> bool {
    outage.is_some_and(|outage| !outage.first)
}
