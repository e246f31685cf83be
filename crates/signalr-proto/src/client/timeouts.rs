//! The deadlines, and what comes of them.

use super::ClientConnection;
use super::connecting::{Attempt, Step};
use super::state::State;
use super::timer::Timer;
use crate::error::CloseReason;
use crate::time::Instant;

impl ClientConnection {
    /// The deadline that the next [`Wait`](super::Output::Wait) will carry.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
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
        if let Some(Attempt { step, context }) = self.take_step(|_| true) {
            step.ops().for_each(|op| self.abort(op));
            self.fall_back(context, reason);
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
}
