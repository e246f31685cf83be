//! Stateful reconnect: how a connection outlives its WebSocket ([requirements](crate::spec::client_behaviour#stateful-reconnect)).

use super::ClientConnection;
use super::api::Event;
use super::link::{Link, Lost};
use super::session::{Session, Stateful};
use super::state::State;
use super::timer::Timer;
use crate::codec::frame::FrameDecoder;
use crate::error::{CloseReason, NegotiateError};
use crate::replay::Inbound;
use crate::transport::OpId;
use crate::transport::negotiate::{AccessToken, Offer};
use crate::transport::web_socket::WebSocket;

/// The limit of kept messages when the address alone asked for the feature.
const DEFAULT_BUFFER: usize = 100_000;

impl ClientConnection {
    /// The handshake of a stateful connection succeeded: from now on messages count.
    pub(super) fn begin_stateful(&mut self) -> Option<Box<Stateful>> {
        let limit = self.config.stateful_reconnect.unwrap_or(DEFAULT_BUFFER);
        self.outbox.enable_replay(limit);
        Some(Box::default())
    }

    /// The WebSocket is lost without a word. One other is opened at once in its place; nobody notices
    /// ([CB-82](crate::spec::client_behaviour#cb-82)). `false` when the connection is not of this kind.
    pub(super) fn begin_resume(&mut self, reason: &CloseReason) -> bool {
        let State::Connected(session) = &mut self.state else {
            return false;
        };
        if session.stateful.is_none() || !matches!(session.link, Link::WebSocket(_)) {
            return false;
        }
        // Half a message is said again as a whole.
        session.frames =
            FrameDecoder::new(self.config.protocol, self.config.limits.max_message_size);
        self.outbox.hold();
        let deadline = self.now.after(self.config.connect_timeout);
        self.timers.set(Timer::Connect, Some(deadline));
        self.tell(Event::Resuming {
            reason: reason.clone(),
        });
        self.prepare_resume(reason);
        true
    }

    fn prepare_resume(&mut self, reason: &CloseReason) {
        let asks = matches!(&self.state, State::Connected(session) if self.asks_for_token(&session.location));
        if asks {
            let op = self.ask_for_token();
            self.lose_link(op, false, reason);
        } else {
            self.reopen(None, reason);
        }
    }

    fn lose_link(&mut self, op: OpId, opening: bool, reason: &CloseReason) {
        if let State::Connected(session) = &mut self.state {
            session.link = Link::Lost(Box::new(Lost {
                op,
                opening,
                reason: reason.clone(),
            }));
        }
    }

    /// A WebSocket at the same address with the same id, without negotiation ([TR-87](crate::spec::transports#tr-87)).
    fn reopen(&mut self, token: Option<&AccessToken>, reason: &CloseReason) {
        let State::Connected(session) = core::mem::replace(&mut self.state, State::Disconnected)
        else {
            return;
        };
        let id = session.negotiated.as_deref().map(Offer::token);
        let op = self.request_socket(&session.location, id, token);
        self.state = State::Connected(session);
        match op {
            Some(op) => self.lose_link(op, true, reason),
            None => self.connection_lost(NegotiateError::RedirectUrl.into(), true),
        }
    }

    /// The token for the new socket.
    pub(super) fn resume_with(&mut self, token: Result<Option<AccessToken>, Box<str>>) {
        let Some(Link::Lost(lost)) = self.state.link() else {
            return;
        };
        let reason = lost.reason.clone();
        match token {
            Ok(token) => self.reopen(token.as_ref(), &reason),
            Err(_) => self.resume_failed(false),
        }
    }

    /// The new socket stands: Sequence goes first, then what the server may have missed ([HP-71](crate::spec::hub_protocol#hp-71),
    /// [HP-72](crate::spec::hub_protocol#hp-72)).
    pub(super) fn resume(&mut self, op: OpId) {
        let protocol = self.config.protocol;
        let State::Connected(session) = &mut self.state else {
            return;
        };
        let (Link::Lost(_), Some(stateful)) = (&session.link, &mut session.stateful) else {
            return;
        };
        stateful.inbound.resume();
        stateful.expects_sequence = true;
        session.link = Link::WebSocket(WebSocket::new(op));
        self.timers.set(Timer::Connect, None);
        self.outbox
            .resume(|out, id| protocol.encode_sequence(out, id));
        self.schedule_ack();
        self.spoke();
        self.stats.public.resumes += 1;
        self.tell(Event::Resumed);
    }

    /// There is one attempt only. The loss that came first is the reason ([CB-87](crate::spec::client_behaviour#cb-87),
    /// [TR-89](crate::spec::transports#tr-89)). `abort` when it is we who give up.
    pub(super) fn resume_failed(&mut self, abort: bool) {
        let reason = match self.state.link() {
            Some(Link::Lost(lost)) => lost.reason.clone(),
            Some(Link::WebSocket(_) | Link::Http(_)) | None => return,
        };
        self.connection_lost(reason, abort);
    }

    /// Counts a message, and tells whether it may be looked at: not if it is a repetition
    /// ([CB-85](crate::spec::client_behaviour#cb-85)), or comes before the Sequence that has to come first.
    pub(super) fn admit(&mut self, is_numbered: bool) -> bool {
        let Some(Session {
            stateful: Some(stateful),
            ..
        }) = self.state.session_mut()
        else {
            return true;
        };
        if !is_numbered {
            return true;
        }
        if stateful.expects_sequence {
            self.connection_lost(CloseReason::MissingSequence, true);
            return false;
        }
        let new = stateful.inbound.is_new();
        self.schedule_ack();
        new
    }

    pub(super) fn handle_sequence(&mut self, id: u64) {
        let Some(Session {
            stateful: Some(stateful),
            ..
        }) = self.state.session_mut()
        else {
            return;
        };
        stateful.expects_sequence = false;
        if let Err(error) = stateful.inbound.sequence(id) {
            self.connection_lost(CloseReason::Sequence(error), true);
        }
    }

    fn schedule_ack(&mut self) {
        let due = matches!(
            self.state.session(),
            Some(Session { stateful: Some(stateful), .. }) if stateful.inbound.is_ack_due()
        );
        if due && self.timers.get(Timer::Ack).is_none() {
            let deadline = self.now.after(Inbound::ACK_DELAY);
            self.timers.set(Timer::Ack, Some(deadline));
        }
    }

    pub(super) fn send_ack(&mut self) {
        let Some(Session {
            stateful: Some(stateful),
            ..
        }) = self.state.session_mut()
        else {
            return;
        };
        // Without a socket it is said when there is one again.
        if self.outbox.is_held() {
            return;
        }
        if let Some(id) = stateful.inbound.take_ack() {
            let protocol = self.config.protocol;
            self.write_control(|out| protocol.encode_ack(out, id));
        }
    }
}
