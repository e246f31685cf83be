//! Timers, and how connections end.

use super::{CLOSED_WITH_ERROR, HANDSHAKE_CANCELED, ServerConnection, State, Timer};
use crate::server::{DisconnectReason, ServerAction, ServerEvent, ServerOutput};

impl ServerConnection {
    /// Acts on one timer that has run out, if there is one.
    pub(super) fn expire_one(&mut self) -> bool {
        const ALL: [Timer; 7] = [
            Timer::Handshake,
            Timer::Send,
            Timer::Close,
            Timer::Client,
            Timer::Disconnect,
            Timer::KeepAlive,
            Timer::Ack,
        ];
        let Some(timer) = ALL
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
            Timer::Send => self.send_timed_out(),
            Timer::Close => self.give_up_closing(),
            Timer::Ack => self.send_ack(),
            Timer::Disconnect => self.give_up_waiting(),
        }
        true
    }

    fn keep_alive(&mut self) {
        // While a batch is under way the client sees traffic anyway, and a stuck one must not pile up pings.
        if self.outbox.is_idle() {
            let protocol = self.protocol;
            self.outbox.write_control(|out| protocol.encode_ping(out));
        }
        self.timers.set(
            Timer::KeepAlive,
            Some(self.now.after(self.config.keep_alive_interval)),
        );
    }

    /// The client is at fault, and may try again.
    pub(super) fn fail(&mut self, reason: DisconnectReason) {
        self.say_goodbye(reason, Some(CLOSED_WITH_ERROR), true);
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
        self.forget_incoming();
        if self.ended.is_some() || self.is_detached() {
            return self.over(reason);
        }
        let send = self.timers.get(Timer::Send);
        self.timers.clear();
        self.timers.set(Timer::Send, send);
        self.timers.set(
            Timer::Close,
            Some(self.now.after(self.config.close_timeout)),
        );
        self.state = State::Closing(reason);
    }

    fn give_up_closing(&mut self) {
        if let State::Closing(reason) = &self.state {
            let reason = reason.clone();
            self.abort_with(reason);
        }
    }

    pub(super) fn abort_with(&mut self, reason: DisconnectReason) {
        self.outputs
            .push_back(ServerOutput::Action(ServerAction::Abort));
        self.over(reason);
    }

    pub(super) fn over(&mut self, reason: DisconnectReason) {
        self.forget_incoming();
        self.outbox.clear();
        self.timers.clear();
        self.ended = None;
        self.detached = None;
        self.state = State::Closed;
        self.event(ServerEvent::Closed { reason });
    }

    pub(super) fn forget_incoming(&mut self) {
        self.incoming.clear();
        self.incoming_bytes = 0;
    }
}
