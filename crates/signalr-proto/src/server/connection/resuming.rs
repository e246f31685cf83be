//! Stateful reconnect: how a connection outlives its WebSocket (`transports`, section 11).

use bytes::Bytes;

use super::reading::pull;
use super::{ServerConnection, State, Timer};
use crate::codec::frame::FrameDecoder;
use crate::codec::{HubMessage, Role};
use crate::replay::Inbound;
use crate::server::{DisconnectReason, ServerAction, ServerEvent, ServerOutput};
use crate::time::Instant;
use crate::transport::EndCause;

/// Stateful reconnect.
impl ServerConnection {
    /// Whether another WebSocket of the same client may take the place of the present one, or of the one that was lost.
    #[must_use]
    pub const fn can_resume(&self) -> bool {
        self.outbox.is_replay_enabled() && self.is_open() && self.ended.is_none()
    }

    /// Whether the WebSocket is lost and the client may come back with another one.
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        self.detached.is_some()
    }

    /// Goes on with a new WebSocket of the same client. If there is still an old one, the client is not at its other end any
    /// more: close it, and report nothing about it from here on.
    ///
    /// `false` when the connection [cannot go on](Self::can_resume): refuse the new WebSocket with 404 then (`TR-91`).
    #[must_use = "a WebSocket that was not taken must be refused"]
    pub fn attach(&mut self, now: Instant) -> bool {
        self.advance(now);
        if !self.can_resume() {
            return false;
        }
        self.forget_unread();
        self.detached = None;
        self.timers.set(Timer::Send, None);
        self.timers.set(Timer::Disconnect, None);
        let protocol = self.protocol;
        self.outbox.hold();
        self.outbox
            .resume(|out, id| protocol.encode_sequence(out, id));
        self.inbound.resume();
        self.schedule_ack();
        self.event(ServerEvent::Resumed);
        true
    }

    /// Ends the connection and its transport at once, without a word and without a way back (`SB-59`).
    pub fn abort(&mut self, now: Instant) {
        self.advance(now);
        if !self.is_closed() {
            self.abort_with(DisconnectReason::ClosedByServer);
        }
    }

    /// The WebSocket is lost without a word. Everything else goes on for a while.
    pub(super) fn detach(&mut self, cause: EndCause) {
        if self.is_detached() {
            return;
        }
        self.outbox.hold();
        self.timers.set(Timer::Send, None);
        self.timers.set(
            Timer::Disconnect,
            Some(self.now.after(self.config.disconnect_timeout)),
        );
        self.detached = Some(cause.clone());
        self.event(ServerEvent::Detached { cause });
    }

    /// The client does not take what is sent, perhaps because it is elsewhere already.
    pub(super) fn send_timed_out(&mut self) {
        let timeout = self.config.send_timeout;
        if !self.can_resume() {
            return self.abort_with(DisconnectReason::SendTimeout { timeout });
        }
        self.outputs
            .push_back(ServerOutput::Action(ServerAction::Abort));
        self.detach(EndCause::Failed {
            detail: format!("the client took no data for {timeout:?}").into(),
        });
    }

    /// The client did not come back.
    pub(super) fn give_up_waiting(&mut self) {
        if let Some(cause) = self.detached.take() {
            self.give_up(cause);
        }
    }

    /// What the old WebSocket brought and nobody has looked at yet. The client will say it again, as it was not acknowledged;
    /// only Acks count, for not every client repeats those.
    fn forget_unread(&mut self) {
        while let Some(frame) = self.unread_frame() {
            if let Ok(Some(HubMessage::Ack { sequence_id })) =
                self.protocol.decode(Role::Server, &frame)
            {
                self.acknowledged(sequence_id);
            }
        }
        if let State::Open(decoder) = &mut self.state {
            *decoder = FrameDecoder::new(self.protocol, self.config.limits.max_message_size);
        }
        self.forget_incoming();
    }

    fn unread_frame(&mut self) -> Option<Bytes> {
        let State::Open(decoder) = &mut self.state else {
            return None;
        };
        let decode = |bytes: &mut Bytes| decoder.decode(bytes);
        pull(&mut self.incoming, &mut self.incoming_bytes, decode)
            .ok()
            .flatten()
    }

    pub(super) fn acknowledged(&mut self, sequence_id: u64) {
        if self.outbox.acknowledge(sequence_id) {
            self.event(ServerEvent::Writable);
        }
    }

    pub(super) fn sequence(&mut self, sequence_id: u64) {
        if !self.outbox.is_replay_enabled() {
            return;
        }
        if let Err(error) = self.inbound.sequence(sequence_id) {
            self.fail(DisconnectReason::Sequence(error));
        }
    }

    /// Whether a message was received before and is only said again. Counts it (`HP-74`).
    pub(super) fn is_repetition(&mut self, message: &HubMessage) -> bool {
        if !self.outbox.is_replay_enabled() || !message.is_numbered() {
            return false;
        }
        let new = self.inbound.is_new();
        self.schedule_ack();
        !new
    }

    fn schedule_ack(&mut self) {
        if self.inbound.is_ack_due() && self.timers.get(Timer::Ack).is_none() {
            self.timers
                .set(Timer::Ack, Some(self.now.after(Inbound::ACK_DELAY)));
        }
    }

    pub(super) fn send_ack(&mut self) {
        if let Some(id) = self.inbound.take_ack() {
            let protocol = self.protocol;
            self.outbox
                .write_control(|out| protocol.encode_ack(out, id));
        }
    }
}
