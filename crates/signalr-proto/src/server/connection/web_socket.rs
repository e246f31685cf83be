//! A WebSocket as the transport ([requirements](crate::spec::transports#websockets)).

use http::StatusCode;

use super::link::Link;
use super::{ServerConnection, State, Timer};
use crate::server::answers::{self, text};
use crate::server::{Action, Arrival, Event};
use crate::transport::{EndCause, OpId};

impl ServerConnection {
    pub(super) fn web_socket_arrived(&mut self, arrival: Arrival) {
        let op = arrival.op;
        match self.link {
            Link::None => {
                self.attach(arrival.identity, Link::WebSocket { op });
                self.action(Action::Accept { op });
            }
            Link::WebSocket { .. } | Link::Lost { .. } if self.options.stateful_reconnect => {
                self.web_socket_returned(arrival);
            }
            Link::WebSocket { .. } => self.respond(op, text(StatusCode::CONFLICT, "")),
            Link::Events { .. } | Link::Polls(_) | Link::Lost { .. } | Link::Over { .. } => {
                self.respond(op, answers::other_transport());
            }
        }
    }

    /// The first transport: the handshake must follow.
    pub(super) fn attach(&mut self, identity: Option<super::Identity>, link: Link) {
        self.transport = link.transport();
        self.link = link;
        self.stop(Timer::Disconnect);
        self.start(Timer::Handshake, self.config.handshake_timeout);
        if identity.is_some() {
            self.options.identity = identity;
            self.watch_expiry();
        }
    }

    /// The next message for the WebSocket, or its end.
    pub(super) fn next_message(&mut self, op: OpId) -> Option<Action> {
        if let Some(bytes) = self.outbox.next_batch(op) {
            self.start(Timer::Send, self.config.send_timeout);
            let format = self.protocol.transfer_format();
            return Some(Action::Send { op, bytes, format });
        }
        let reason = self.farewell()?;
        self.link = Link::None;
        self.over(reason);
        Some(Action::Close { op, code: 1000 })
    }

    pub(super) fn sent(&mut self, op: OpId) {
        let writable = self.outbox.sent(op);
        self.stop(Timer::Send);
        if writable && self.is_open() {
            self.event(Event::Writable);
        }
    }

    pub(super) fn socket_ended(&mut self, cause: EndCause) {
        if self.can_resume() && !cause.is_orderly() {
            self.detach(cause);
        } else {
            self.transport_ended(cause);
        }
    }

    /// The transport is over, without a way back.
    pub(super) fn transport_ended(&mut self, cause: EndCause) {
        match &self.state {
            State::Handshaking(_) => {
                self.link = Link::None;
                self.over(crate::server::DisconnectReason::HandshakeFailed {
                    error: "the client left".into(),
                });
            }
            State::Greeting(_) | State::Open(_) => self.give_up(cause),
            State::Closing(reason) => {
                let reason = reason.clone();
                self.link = Link::None;
                self.over(reason);
            }
            State::Closed => {}
        }
    }
}
