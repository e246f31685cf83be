//! Timers, and how connections end.

use super::link::{Link, Poll};
use super::reading::HANDSHAKE_CANCELED;
use super::{ServerConnection, State, Timer, new_calls};
use crate::codec::{DecodeError, DecodeErrorKind};
use crate::server::{Action, DisconnectReason, Event, Failure};
use crate::time::Instant;
use crate::transport::EndCause;

const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";
const CLIENT_TIMEOUT: &str =
    "Client hasn't sent a message/ping within the configured ClientTimeoutInterval.";

/// Ways to end a connection.
impl ServerConnection {
    /// Turns the client away instead of [accepting](Self::accept) it, because of this failure. It is not invited to come back.
    /// Does nothing at any other time.
    pub fn reject(&mut self, now: Instant, failure: Failure<'_>) {
        self.advance(now);
        if matches!(self.state, State::Greeting(_)) {
            let text = failure.describe(CLOSED_WITH_ERROR, self.config.enable_detailed_errors);
            self.say_goodbye(DisconnectReason::Rejected, Some(&text), false);
        }
    }

    /// Sends a Close message after everything that waits, then ends the transport. `allow_reconnect` invites the client
    /// to come back. Does nothing once the connection is closing.
    pub fn close(&mut self, now: Instant, allow_reconnect: bool) {
        self.advance(now);
        self.leave(DisconnectReason::ClosedByServer, allow_reconnect);
    }

    /// Closes the connection because of the client's fault.
    pub fn close_for(&mut self, now: Instant, reason: DisconnectReason) {
        self.advance(now);
        self.fail(reason);
    }

    /// Ends the connection and its transport at once, without a word and without a way back
    /// ([SB-59](crate::spec::server_behaviour#sb-59)).
    pub fn abort(&mut self, now: Instant) {
        self.abort_for(now, DisconnectReason::ClosedByServer);
    }

    /// As [`abort`](Self::abort), for a reason that the driver has.
    pub fn abort_for(&mut self, now: Instant, reason: DisconnectReason) {
        self.advance(now);
        if !self.is_closed() {
            self.over(reason);
        }
    }

    /// The server has a reason to end the connection.
    fn leave(&mut self, reason: DisconnectReason, allow_reconnect: bool) {
        match (&self.state, &self.link) {
            (State::Greeting(_) | State::Open(_), _) => {
                self.say_goodbye(reason, None, allow_reconnect);
            }
            (State::Handshaking(_), Link::None) => self.over(reason),
            (State::Handshaking(_), _) => self.refuse_handshake(HANDSHAKE_CANCELED),
            (State::Closing(_) | State::Closed, _) => {}
        }
    }

    /// The client is at fault, and may try again.
    pub(super) fn fail(&mut self, reason: DisconnectReason) {
        match self.state {
            State::Greeting(_) | State::Open(_) => {
                let text = self.explain(&reason);
                self.say_goodbye(reason, Some(&text), true);
            }
            State::Handshaking(_) => self.over(reason),
            State::Closing(_) | State::Closed => {}
        }
    }

    /// What the client is told of its fault: with detailed errors in the official server's words, where it has some.
    fn explain(&self, reason: &DisconnectReason) -> String {
        if !self.config.enable_detailed_errors {
            return CLOSED_WITH_ERROR.to_owned();
        }
        let (kind, text) = if let DisconnectReason::ClientTimeout { .. } = reason {
            ("OperationCanceledException", CLIENT_TIMEOUT.to_owned())
        } else if let DisconnectReason::Protocol(error) = reason {
            ("InvalidDataException", explain_message(error))
        } else {
            ("InvalidDataException", reason.to_string())
        };
        format!("{CLOSED_WITH_ERROR} {kind}: {text}")
    }

    pub(super) fn say_goodbye(
        &mut self,
        reason: DisconnectReason,
        error: Option<&str>,
        allow_reconnect: bool,
    ) {
        let protocol = self.protocol;
        self.outbox
            .write_control(|out| protocol.encode_close(out, error, allow_reconnect));
        self.wind_up(reason);
    }

    /// Nothing is read any more, and nothing written but what already waits.
    pub(super) fn wind_up(&mut self, reason: DisconnectReason) {
        let disconnect = match self.link {
            Link::None | Link::Lost { .. } | Link::Over { .. } => return self.over(reason),
            Link::WebSocket { .. } | Link::Events { .. } => None,
            // Each further poll fetches a part of what waits, and the last one the end.
            Link::Polls(_) => self.timers.get(Timer::Disconnect),
        };
        let send = self.timers.get(Timer::Send);
        self.release_all();
        self.timers.set(Timer::Send, send);
        self.timers.set(Timer::Disconnect, disconnect);
        if !matches!(self.link, Link::Polls(_)) {
            self.start(Timer::Close, self.config.close_timeout);
        }
        self.state = State::Closing(reason);
    }

    /// The reason why the connection ends, once everything was sent.
    pub(super) fn farewell(&self) -> Option<DisconnectReason> {
        let reason = self.state.closing().filter(|_| self.outbox.is_idle());
        reason.cloned()
    }

    /// The transport is over. What came before an orderly end is still handed out, if the application takes it soon.
    pub(super) fn give_up(&mut self, cause: EndCause) {
        self.outbox.clear();
        self.timers.clear();
        self.refuse_posts(false);
        self.refuse_applicants();
        self.link = Link::Over { cause };
        self.start(Timer::Close, self.config.close_timeout);
    }

    pub(super) fn over(&mut self, reason: DisconnectReason) {
        self.state = State::Closed;
        self.drop_link();
        self.release_all();
        self.outbox.clear();
        self.event(Event::Closed { reason });
    }

    /// Forgets what the client has begun, and answers its requests.
    fn release_all(&mut self) {
        self.timers.clear();
        self.forget_incoming();
        self.ahead.clear();
        self.refuse_posts(true);
        self.refuse_applicants();
        self.client_results.clear();
        self.calls = new_calls(&self.config);
    }

    fn drop_link(&mut self) {
        match core::mem::replace(&mut self.link, Link::None) {
            Link::WebSocket { op } | Link::Events { op, .. } => {
                self.action(Action::Abort { op });
            }
            Link::Polls(poll) => {
                if let Poll::Delivering { op, .. } = poll {
                    self.action(Action::Abort { op });
                }
                self.dismiss(poll);
            }
            Link::None | Link::Lost { .. } | Link::Over { .. } => {}
        }
    }
}

fn explain_message(error: &DecodeError) -> String {
    if let DecodeErrorKind::TooLarge { limit, .. } = error.kind {
        return format!(
            "The maximum message size of {limit}B was exceeded. The message size can be configured in AddHubOptions."
        );
    }
    error.to_string()
}

/// Timers.
impl ServerConnection {
    /// Acts on one timer that has run out, if there is one.
    pub(super) fn expire_one(&mut self) -> bool {
        if self.timers.next().is_none_or(|next| next > self.now) {
            return false;
        }
        let Some(timer) = Timer::ALL
            .into_iter()
            .find(|timer| self.timers.take_expired(*timer, self.now))
        else {
            return false;
        };
        match timer {
            Timer::Handshake => self.refuse_handshake(HANDSHAKE_CANCELED),
            Timer::KeepAlive => self.keep_alive(),
            Timer::Client => self.fail(DisconnectReason::ClientTimeout {
                timeout: self.config.client_timeout_interval,
            }),
            Timer::Send | Timer::Unacknowledged => self.send_timed_out(),
            Timer::Close => self.close_timed_out(),
            Timer::Ack => self.send_ack(),
            Timer::Disconnect => self.disconnect(),
            Timer::Expiry => self.leave(DisconnectReason::AuthenticationExpired, true),
            Timer::Poll => self.poll_timed_out(),
            Timer::Body => self.post_too_slow(),
            // Its being set is what matters.
            Timer::Rate => {}
        }
        true
    }

    fn close_timed_out(&mut self) {
        match self.state.closing().cloned() {
            Some(reason) => self.over(reason),
            None => self.end_of_stream(),
        }
    }

    /// The client does not take what is sent or does not acknowledge it, perhaps because it is elsewhere already.
    fn send_timed_out(&mut self) {
        let timeout = self.config.send_timeout;
        let Some(op) = self.link.web_socket().filter(|_| self.can_resume()) else {
            return self.over_because(DisconnectReason::SendTimeout { timeout });
        };
        self.action(Action::Abort { op });
        self.detach(EndCause::Failed {
            detail: format!("the client took no data for {timeout:?}").into(),
        });
    }

    /// The client has had no transport for too long.
    fn disconnect(&mut self) {
        if let Link::Lost { cause } = &self.link {
            return self.give_up(cause.clone());
        }
        self.over_because(DisconnectReason::DisconnectTimeout {
            timeout: self.config.disconnect_timeout,
        });
    }

    /// Ends for this reason, unless the connection was about to end for another.
    fn over_because(&mut self, reason: DisconnectReason) {
        let reason = self.state.closing().cloned().unwrap_or(reason);
        self.over(reason);
    }
}
