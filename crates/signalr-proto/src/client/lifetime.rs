//! How connections end, and how they come back.

use core::time::Duration;

use super::ClientConnection;
use super::api::{Action, Event};
use super::config::{ReconnectPolicy, RetryContext};
use super::http::LAST_WORDS;
use super::link::Link;
use super::state::{Attempt, Decision, Outage, Session, State, Step, Timer};
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
                let Attempt { step, course } = *attempt;
                match step {
                    Step::Handshaking(link, ..) => self.leave(link),
                    step @ (Step::NegotiateToken(_)
                    | Step::Negotiate(_)
                    | Step::SocketToken(..)
                    | Step::Opening(..)) => step.ops().for_each(|op| self.abort(op)),
                }
                self.end(was_established(course.outage), CloseReason::Stopped);
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
    fn end(&mut self, was_established: bool, reason: CloseReason) {
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

    fn reconnect_or_end(&mut self, reason: CloseReason) {
        let outage = Outage {
            since: self.now,
            failed: 0,
            announced: false,
            first: false,
        };
        self.timers.clear();
        self.outbox.clear();
        self.consult(outage, reason);
    }

    /// An attempt came to nothing. The first start is repeated on request only ([CB-76](crate::spec::client_behaviour#cb-76)).
    pub(super) fn attempt_failed(&mut self, outage: Option<Outage>, reason: CloseReason) {
        self.timers.clear();
        self.outbox.clear();
        let outage = outage.unwrap_or(Outage {
            since: self.now,
            failed: 0,
            announced: false,
            first: true,
        });
        self.consult(
            Outage {
                failed: outage.failed.saturating_add(1),
                ..outage
            },
            reason,
        );
    }

    fn consult(&mut self, outage: Outage, reason: CloseReason) {
        // The first start's own failure is the first thing its policy hears of.
        let (policy, retries) = if outage.first {
            (&self.config.retry_start, outage.failed.saturating_sub(1))
        } else {
            (&self.config.reconnect, outage.failed)
        };
        let delay = match policy {
            ReconnectPolicy::Never => None,
            ReconnectPolicy::Delays(delays) => usize::try_from(retries)
                .ok()
                .and_then(|index| delays.get(index).copied()),
            ReconnectPolicy::Backoff {
                first,
                max,
                max_attempts,
            } => {
                let (first, max) = (*first, *max);
                let gives_up = max_attempts.is_some_and(|attempts| retries >= attempts);
                (!gives_up).then(|| self.jittered(first, max, retries))
            }
            ReconnectPolicy::Ask => return self.ask_policy(outage, retries, reason),
        };
        self.decide(outage, reason, delay);
    }

    fn ask_policy(&mut self, outage: Outage, retries: u32, reason: CloseReason) {
        let op = self.ops.next();
        let context = RetryContext {
            previous_retry_count: retries,
            elapsed: outage.elapsed(self.now),
            reason: reason.clone(),
            is_first_start: outage.first,
        };
        self.act(Action::NextRetryDelay { op, context });
        self.state = State::Deciding(Box::new(Decision { op, outage, reason }));
    }

    /// The application's policy has decided.
    pub(super) fn policy_decided(&mut self, delay: Option<Duration>) {
        let state = self.take_state_if(|state| matches!(state, State::Deciding(_)));
        if let Some(State::Deciding(decision)) = state {
            self.decide(decision.outage, decision.reason, delay);
        }
    }

    fn decide(&mut self, outage: Outage, reason: CloseReason, delay: Option<Duration>) {
        let Some(delay) = delay else {
            return self.give_up(outage, reason);
        };
        let next = outage.failed.saturating_add(1);
        if outage.first {
            self.tell(Event::StartRetry {
                reason,
                delay,
                attempt: next,
            });
        } else {
            if !outage.announced {
                let reason = reason.clone();
                self.tell(Event::Reconnecting { reason });
            }
            self.tell(Event::ReconnectAttempt {
                attempt: next,
                delay,
                reason,
            });
        }
        self.timers.set(Timer::Retry, Some(self.now.after(delay)));
        self.state = State::Waiting {
            outage: Outage {
                announced: true,
                ..outage
            },
        };
    }

    /// Without a single attempt the loss itself is the reason ([CB-71](crate::spec::client_behaviour#cb-71)).
    fn give_up(&mut self, outage: Outage, reason: CloseReason) {
        let reason = match outage.failed {
            0 => reason,
            1 if outage.first => reason,
            attempts => CloseReason::RetriesExhausted {
                attempts,
                elapsed: outage.elapsed(self.now),
                last: Box::new(reason),
            },
        };
        self.end(!outage.first, reason);
    }

    /// Does not wait any longer for the next attempt to connect. In any other state nothing happens.
    pub fn retry_now(&mut self, now: Instant) {
        self.advance(now);
        self.retry();
    }

    fn jittered(&mut self, first: Duration, max: Duration, failed: u32) -> Duration {
        let bound = first
            .saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX))
            .min(max);
        let half = bound / 2;
        half.saturating_add(half.mul_f64(self.random_fraction()))
    }

    /// A number from 0 up to 1, by SplitMix64 (Steele, Lea and Flood, 2014).
    fn random_fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    pub(super) fn handle_timeout(&mut self) {
        for timer in Timer::ALL {
            if self.timers.take_expired(timer, self.now) {
                self.handle_timer(timer);
            }
        }
    }

    fn handle_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Connect if matches!(self.state, State::Connected(_)) => self.resume_failed(true),
            Timer::Connect => self.attempt_timed_out(CloseReason::ConnectTimeout {
                timeout: self.config.connect_timeout,
            }),
            Timer::Handshake => self.attempt_timed_out(CloseReason::HandshakeTimeout {
                timeout: self.config.handshake_timeout,
            }),
            Timer::Server => self.connection_lost(
                CloseReason::ServerTimeout {
                    timeout: self.config.server_timeout,
                },
                true,
            ),
            Timer::Ping => self.ping(),
            Timer::Retry => self.retry(),
            Timer::Close => self.finish_stopping(true),
            Timer::Poll => self.poll_timed_out(),
            Timer::Post => self.post_timed_out(),
            Timer::Refresh => self.refresh_timer(),
            Timer::Ack => self.send_ack(),
        }
    }

    fn attempt_timed_out(&mut self, reason: CloseReason) {
        let opening = |step: &Step| matches!(step, Step::Opening(..) | Step::Handshaking(..));
        if matches!(&self.state, State::Connecting(attempt) if opening(&attempt.step)) {
            return self.link_failed(reason);
        }
        if let Some(Attempt { step, course }) = self.take_step(|_| true) {
            step.ops().for_each(|op| self.abort(op));
            self.course_failed(course, reason);
        }
    }

    /// Pings keep every transport alive but long polling, which keeps itself alive ([CB-11](crate::spec::client_behaviour#cb-11)).
    pub(super) fn begin_keep_alive(&mut self) {
        self.keeps_alive = !self.state.is_polling();
        self.listen();
        if self.keeps_alive {
            self.send_ping();
        } else {
            self.arm_poll();
        }
    }

    /// A ping, unless something waits to be sent anyway: behind a stuck transport, or without one, pings must not pile up.
    fn ping(&mut self) {
        if self.outbox.has_waiting() || self.outbox.is_held() {
            return self.put_ping_off();
        }
        self.send_ping();
    }

    fn send_ping(&mut self) {
        self.stats.public.pings_sent += 1;
        let protocol = self.config.protocol;
        self.write_control(|out| protocol.encode_ping(out));
    }

    fn retry(&mut self) {
        if let State::Waiting { outage } = self.state {
            self.begin_attempt(Some(outage));
        }
    }

    /// Takes the state out, leaving `Disconnected`, if it is the one wanted.
    fn take_state_if(&mut self, is_wanted: impl FnOnce(&State) -> bool) -> Option<State> {
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

    /// The deadline that the next [`Wait`](super::Output::Wait) will carry.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }
}

/// Whether the application has been told of a connection, so that it must hear of its end.
fn was_established(outage: Option<Outage>) -> bool {
    outage.is_some_and(|outage| !outage.first)
}
