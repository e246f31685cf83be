//! What the server says, once there is a connection.

use bytes::Bytes;
use bytestring::ByteString;

use super::ClientConnection;
use super::api::{CallError, Event, Ignored, ReplyTo};
use super::connecting::{Attempt, Step};
use super::invocations::Match;
use super::link::{Link, Side};
use super::state::State;
use super::timer::Timer;
use crate::codec::{DecodeError, DecodeErrorKind, HubMessage, Invocation, Outcome, Payload, Role};
use crate::decimal::Digits;
use crate::error::CloseReason;
use crate::transport::{EndCause, OpId};

/// A message, read as far as its kind needs.
enum Received {
    /// The result of a call.
    Answer(u64, Payload),
    /// Any message; nothing for one of unknown type.
    Message(Option<HubMessage>),
}

impl ClientConnection {
    fn is_opening(&self) -> bool {
        matches!(&self.state, State::Connecting(attempt) if matches!(attempt.step, Step::Opening(..)))
    }

    /// Bytes of the stream, whatever transport brought them.
    pub(super) fn handle_bytes(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let shaking = |state: &State| matches!(state, State::Connecting(attempt) if matches!(attempt.step, Step::Handshaking(..)));
        match self.take_attempt_if(shaking) {
            Some(attempt) => self.handle_handshake_bytes(attempt, bytes),
            None => {
                self.listen();
                self.enqueue(bytes);
            }
        }
    }

    /// Anything received, even half a message, restarts the server timeout ([CB-10](crate::spec::client_behaviour#cb-10)); long
    /// polling has none ([CB-11](crate::spec::client_behaviour#cb-11)).
    pub(super) fn listen(&mut self) {
        let deadline =
            (self.keeps_alive && !self.read_paused && matches!(self.state, State::Connected(_)))
                .then(|| self.now.after(self.config.server_timeout));
        self.timers.set(Timer::Server, deadline);
    }

    pub(super) fn pause_reading(&mut self) {
        self.read_paused = true;
        self.timers.set(Timer::Server, None);
        let link = self.state.http_mut();
        if !link.is_some_and(|link| link.is_refused(Side::Receiving)) {
            self.timers.set(Timer::Poll, None);
        }
    }

    pub(super) fn resume_reading(&mut self) {
        self.read_paused = false;
        self.listen();
        if matches!(self.state, State::Connected(_)) {
            self.poll_again();
        }
    }

    pub(super) fn enqueue(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.stats.public.bytes_received += bytes.len() as u64;
        self.incoming.push(bytes);
        let (waiting, limit) = (self.incoming.bytes(), self.config.limits.max_incoming_bytes);
        // A single message may be larger than what may wait.
        if waiting > limit && self.incoming.is_piling_up() {
            self.incoming.clear();
            self.connection_lost(CloseReason::IncomingLimit { waiting, limit }, true);
        }
    }

    /// Reads waiting messages until one is worth an event.
    pub(super) fn next_message(&mut self) -> Option<Event> {
        while !self.incoming.is_empty() && self.outputs.is_empty() {
            match self.next_frame() {
                Ok(None) => return None,
                Ok(Some(received)) => {
                    self.stats.public.messages_received += 1;
                    let event = match received {
                        Received::Answer(number, result) => self.handle_answer(number, result),
                        Received::Message(message) => self.handle_message(message),
                    };
                    if event.is_some() {
                        return event;
                    }
                }
                Err(error) => self.connection_lost(CloseReason::Protocol(error), true),
            }
        }
        None
    }

    /// The next message, or nothing when the waiting bytes hold none.
    fn next_frame(&mut self) -> Result<Option<Received>, DecodeError> {
        let (State::Connected(session) | State::Stopping(session)) = &mut self.state else {
            self.incoming.clear();
            return Ok(None);
        };
        let frames = &mut session.frames;
        let Some(frame) = self.incoming.frame(|bytes| frames.decode(bytes))? else {
            return Ok(None);
        };
        let protocol = self.config.protocol;
        let frame = match protocol.read_answer(frame) {
            Ok((number, result)) => return Ok(Some(Received::Answer(number, result))),
            Err(frame) => frame,
        };
        protocol
            .decode(Role::Client, &frame)
            .map(|message| Some(Received::Message(message)))
            .map_err(|error| error.moved_by(frames.frame_start()))
    }

    fn handle_answer(&mut self, number: u64, result: Payload) -> Option<Event> {
        if matches!(self.state, State::Stopping(_)) || !self.admit(true) {
            return None;
        }
        let completed = self
            .invocations
            .complete_number(number, Outcome::Result(result));
        self.completed(completed, || Digits::new(number).as_str().into())
    }

    fn completed(
        &mut self,
        completed: Match<Result<Option<Payload>, CallError>>,
        id: impl FnOnce() -> ByteString,
    ) -> Option<Event> {
        match completed {
            Match::For(invocation_id, outcome) => {
                self.unpark(invocation_id);
                self.stats.answered(self.now, invocation_id);
                Some(Event::Completion {
                    invocation_id,
                    outcome,
                })
            }
            Match::Cancelled => None,
            Match::Unknown => Some(Event::Ignored(Ignored::Completion {
                invocation_id: id(),
            })),
        }
    }

    fn handle_message(&mut self, message: Option<HubMessage>) -> Option<Event> {
        if matches!(self.state, State::Stopping(_)) {
            if matches!(message, Some(HubMessage::Close { .. })) {
                self.finish_stopping(false);
            }
            return None;
        }
        if !self.admit(message.as_ref().is_some_and(HubMessage::is_numbered)) {
            return None;
        }
        match message {
            None => Some(Event::Ignored(Ignored::UnknownType)),
            Some(HubMessage::Invocation(invocation)) => Some(self.invoked(invocation)),
            Some(HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            }) => match self.invocations.item(&invocation_id) {
                Match::For(invocation_id, Ok(())) => Some(Event::StreamItem {
                    invocation_id,
                    item,
                }),
                Match::For(invocation_id, Err((error, uploads))) => {
                    self.unpark(invocation_id);
                    self.cancel_uploads(&uploads);
                    Some(Event::Completion {
                        invocation_id,
                        outcome: Err(error),
                    })
                }
                Match::Cancelled => None,
                Match::Unknown => Some(Event::Ignored(Ignored::StreamItem { invocation_id })),
            },
            Some(HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            }) => {
                let completed = self.invocations.complete(&invocation_id, outcome);
                self.completed(completed, || invocation_id)
            }
            Some(HubMessage::Close {
                error,
                allow_reconnect,
            }) => {
                self.closed_by_server(error.as_deref(), allow_reconnect);
                None
            }
            Some(HubMessage::Ping) => {
                self.stats.public.pings_received += 1;
                None
            }
            // Without stateful reconnect these two mean nothing.
            Some(HubMessage::Ack { sequence_id }) => self
                .outbox
                .acknowledge(sequence_id)
                .then_some(Event::Writable),
            Some(HubMessage::Sequence { sequence_id }) => {
                self.handle_sequence(sequence_id);
                None
            }
            Some(HubMessage::StreamInvocation(_) | HubMessage::CancelInvocation { .. }) => {
                Some(Event::Ignored(Ignored::NotForClients))
            }
        }
    }

    fn invoked(&self, invocation: Invocation) -> Event {
        let reply_to = invocation.invocation_id.map(|id| ReplyTo {
            id,
            epoch: self.epoch,
        });
        Event::Invocation {
            target: invocation.target,
            arguments: invocation.arguments,
            reply_to,
        }
    }

    pub(super) fn handle_sent(&mut self, op: OpId) {
        if self.outbox.sent(op) {
            self.tell(Event::Writable);
        }
        if self.outbox.is_idle() {
            self.end_transport();
        }
    }

    /// The transport is over, by the peer or the network.
    pub(super) fn link_ended(&mut self, cause: EndCause) {
        match &self.state {
            State::Connecting(_) if self.is_opening() => self.opening_failed(cause.into(), false),
            State::Connecting(_) => {
                let reason = match cause {
                    EndCause::Clean
                    | EndCause::WebSocketClose {
                        code: 1000 | 1005 | 1006,
                        ..
                    } => CloseReason::HandshakeEnded,
                    cause @ (EndCause::WebSocketClose { .. }
                    | EndCause::Refused { .. }
                    | EndCause::Redirected { .. }
                    | EndCause::Failed { .. }) => cause.into(),
                };
                self.handshake_failed(reason, false)
            }
            State::Connected(session) if matches!(session.link, Link::Lost(_)) => {
                self.resume_failed(false)
            }
            State::Connected(_) | State::Stopping(_) => self.socket_ended(cause),
            State::Disconnected | State::Deciding(_) | State::Waiting { .. } => {}
        }
    }

    /// The transport did not start.
    pub(super) fn opening_failed(&mut self, reason: CloseReason, abort: bool) {
        if let Some(Attempt { step, context }) =
            self.take_step(|step| matches!(step, Step::Opening(..)))
        {
            if abort {
                step.ops().for_each(|op| self.abort(op));
            }
            if let Some(kind) = step.link().map(Link::kind) {
                self.transport_failed(context, kind, reason);
            }
        }
    }

    pub(super) fn handshake_failed(&mut self, reason: CloseReason, abort: bool) {
        if let Some(Attempt {
            step: Step::Handshaking(link, ..),
            context,
        }) = self.take_step(|step| matches!(step, Step::Handshaking(..)))
        {
            self.drop_link(link, abort);
            self.attempt_failed(context.outage, reason);
        }
    }

    /// What was received before the end still counts, a Close message most of all.
    fn socket_ended(&mut self, cause: EndCause) {
        self.drain_incoming();
        let mut reason = CloseReason::from(cause).of_established();
        if self.begin_resume(&reason) {
            return;
        }
        let Some(session) = self.state.session() else {
            return;
        };
        if session.frames.is_mid_frame() && reason == CloseReason::TransportEnded {
            reason = CloseReason::Protocol(DecodeError {
                kind: DecodeErrorKind::Truncated,
                position: session.frames.frame_start(),
            });
        }
        self.connection_lost(reason, false);
    }

    /// Reads everything that waits, into the queue of outputs.
    pub(super) fn drain_incoming(&mut self) {
        let mut earlier = core::mem::take(&mut self.outputs);
        while let Some(event) = self.next_message() {
            earlier.push_back(super::Output::Event(event));
        }
        earlier.append(&mut self.outputs);
        self.outputs = earlier;
    }
}
