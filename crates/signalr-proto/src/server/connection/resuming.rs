//! Stateful reconnect: how a connection outlives its WebSocket ([requirements](crate::spec::server_behaviour#stateful-reconnect)).

use bytes::Bytes;
use http::StatusCode;

use super::link::Link;
use super::state::Step;
use super::{ServerConnection, Timer};
use crate::codec::HubMessage;
use crate::replay::Inbound;
use crate::server::answers::text;
use crate::server::{Action, Arrival, DisconnectReason, Event};
use crate::transport::{EndCause, OpId};

/// Stateful reconnect.
impl ServerConnection {
    /// Whether another WebSocket of the same client may take the place of the present one, or of the one that was lost.
    #[must_use]
    pub const fn can_resume(&self) -> bool {
        self.outbox.is_replay_enabled()
            && self.is_open()
            && matches!(self.link, Link::WebSocket { .. } | Link::Lost { .. })
    }

    /// Whether the WebSocket is lost and the client may come back with another one.
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        matches!(self.link, Link::Lost { .. })
    }

    /// Another WebSocket of the same client came.
    pub(super) fn web_socket_returned(&mut self, arrival: Arrival) {
        if self.can_resume() && self.must_apply(&arrival) {
            return self.apply(arrival);
        }
        self.follow_expiry(&arrival);
        self.resume(arrival.op);
    }

    /// Goes on with a new WebSocket of the same client. If there is still an old one, the client is not at its other end any
    /// more ([TR-92](crate::spec::transports#tr-92)).
    pub(super) fn resume(&mut self, op: OpId) {
        if !self.can_resume() {
            return self.respond(op, text(StatusCode::NO_CONTENT, ""));
        }
        if let Link::WebSocket { op } = self.link {
            self.action(if self.outbox.is_in_flight() {
                Action::Abort { op }
            } else {
                Action::Close { op, code: 1000 }
            });
        }
        self.forget_unread();
        self.link = Link::WebSocket { op };
        self.stop(Timer::Send);
        self.stop(Timer::Unacknowledged);
        self.stop(Timer::Disconnect);
        let protocol = self.protocol;
        self.outbox.hold();
        self.outbox
            .resume(|out, id| protocol.encode_sequence(out, id));
        self.inbound.resume();
        self.schedule_ack();
        self.action(Action::Accept { op });
        self.event(Event::Resumed);
    }

    /// The WebSocket is lost without a word. Everything else goes on for a while.
    pub(super) fn detach(&mut self, cause: EndCause) {
        self.outbox.hold();
        self.stop(Timer::Send);
        self.stop(Timer::Unacknowledged);
        self.start(Timer::Disconnect, self.config.disconnect_timeout);
        self.link = Link::Lost {
            cause: cause.clone(),
        };
        self.event(Event::Detached { cause });
    }

    /// What the old WebSocket brought and nobody has looked at yet. The client will say it again, as it was not acknowledged;
    /// only Acks count, for not every client repeats those.
    fn forget_unread(&mut self) {
        while let Ok(Some(frame)) = self.next_frame() {
            if let Ok(Some(HubMessage::Ack { sequence_id })) = self.decode(&frame) {
                self.acknowledged(sequence_id);
            }
        }
        let frames = self.frames(0);
        if let Some(old) = self.state.frames_mut() {
            *old = frames;
        }
        self.forget_incoming();
    }

    /// Reads one message in search of an Ack, without which neither answers nor other messages can be written, so that what
    /// stands before it is not waited for in vain.
    pub(super) fn read_ahead(&mut self) -> Step {
        match self.next_frame() {
            Ok(Some(frame)) => self.note_ahead(&frame),
            Ok(None) => return Step::Nothing,
            Err(error) => self.fail(DisconnectReason::Protocol(error)),
        }
        Step::Done
    }

    fn note_ahead(&mut self, frame: &Bytes) {
        match self.decode(frame) {
            Ok(Some(HubMessage::Ack { sequence_id })) => self.acknowledged(sequence_id),
            Ok(Some(HubMessage::Sequence { sequence_id })) => self.sequence(sequence_id),
            Ok(Some(message)) if self.is_repetition(&message) => {}
            Ok(Some(message)) => self.put_ahead(message, frame.len()),
            Ok(None) => {}
            Err(error) => self.fail(DisconnectReason::Protocol(error)),
        }
        self.count_message();
    }

    fn put_ahead(&mut self, message: HubMessage, size: usize) {
        let (waiting, limit) = (self.ahead.bytes, self.config.limits.max_incoming_bytes);
        if waiting > limit {
            // Whoever waits for room would wait for ever.
            return self.fail(DisconnectReason::Unacknowledged { waiting, limit });
        }
        self.ahead.push(message, size);
    }

    pub(super) fn acknowledged(&mut self, sequence_id: u64) {
        self.stop(Timer::Unacknowledged);
        if self.outbox.acknowledge(sequence_id) {
            self.event(Event::Writable);
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

    /// Whether a message was received before and is only said again. Counts it ([HP-74](crate::spec::hub_protocol#hp-74)).
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
            self.start(Timer::Ack, Inbound::ACK_DELAY);
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
