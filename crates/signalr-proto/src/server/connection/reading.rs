//! What the client sends: handshake, frames, messages.

use bytes::Bytes;

use super::link::Link;
use super::state::Step;
use super::{ServerConnection, State, Timer};
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::{self, HandshakeRequest};
use crate::codec::{
    DecodeError, DecodeErrorKind, Headers, HubMessage, Invocation, Outcome, Protocol, Role,
};
use crate::limits::Limits;
use crate::server::calls::Routed;
use crate::server::{DisconnectReason, Event};
use crate::time::Instant;
use crate::transport::EndCause;

pub(super) const HANDSHAKE_CANCELED: &str = "Handshake was canceled.";
const HANDSHAKE_MALFORMED: &str = "An unexpected error occurred during connection handshake.";

const SECOND: core::time::Duration = core::time::Duration::from_secs(1);

impl ServerConnection {
    /// The application has welcomed the client: what it sends is handed out from now on. Does nothing at any other time.
    pub fn accept(&mut self, now: Instant) {
        self.advance(now);
        if matches!(self.state, State::Greeting(_)) {
            if let State::Greeting(frames) = core::mem::replace(&mut self.state, State::Closed) {
                self.state = State::Open(frames);
            }
        }
    }

    /// Bytes came from the client, and their turn.
    pub(super) fn received(&mut self, bytes: Bytes) {
        if self.has_room() {
            self.keep(bytes);
        }
    }

    /// Keeps bytes until they are read.
    pub(super) fn keep(&mut self, bytes: Bytes) {
        // A client that is still sending gets to the Close sooner when it is read on.
        if self.state.is_live() && !bytes.is_empty() {
            self.incoming.push(bytes);
            self.choked |= self.incoming.cost() > self.config.application_max_buffer_size;
        }
    }

    /// Whether the driver may hand in more. It does so only when it is asked, unless something is wrong with it; a single
    /// piece may have any size.
    pub(super) fn has_room(&mut self) -> bool {
        let limits = &self.config.limits;
        let wanted = self.config.application_max_buffer_size;
        let limit = limits.max_incoming_bytes.max(wanted);
        let waiting = self
            .incoming
            .bytes()
            .saturating_add(self.posts.early_bytes());
        if waiting > limit {
            self.fail(DisconnectReason::IncomingLimit { waiting, limit });
        }
        waiting <= limit
    }

    /// Reads one message, if there is one to read.
    pub(super) fn read(&mut self) -> Step {
        match self.state {
            State::Open(_) => self.read_open(),
            State::Greeting(_) => self.held_back(),
            State::Handshaking(_) => self.read_handshake(),
            State::Closing(_) | State::Closed => Step::Nothing,
        }
    }

    fn read_open(&mut self) -> Step {
        if self.paused {
            return self.held_back();
        }
        if let Some(step) = self.blame_nameless() {
            return step;
        }
        if let Some(event) = self.next_waiting() {
            return Step::Tell(event);
        }
        if self.is_blocked() {
            return self.held_back();
        }
        if let Some(message) = self.ahead.pop() {
            return self.read_message(message);
        }
        match self.next_frame() {
            Ok(Some(frame)) => self.read_frame(&frame),
            Ok(None) => self.no_more_bytes(),
            Err(error) => self.faulty(error),
        }
    }

    /// Whether the client has to wait: for a permit, for methods that take items, for room in which to answer it, or because it
    /// said too much.
    fn is_blocked(&self) -> bool {
        self.calls.blocks_reading(!self.client_results.is_empty())
            || self.outbox.is_full()
            || self.timers.get(Timer::Rate).is_some()
    }

    /// Nothing is handed out now, and that is not the client's fault, so its timeout stands still. Later there may be more,
    /// even after the client has left, but not once the transport has failed.
    fn held_back(&mut self) -> Step {
        self.stop(Timer::Client);
        if self.outbox.awaits_ack() {
            if let step @ (Step::Done | Step::Tell(_)) = self.read_ahead() {
                return step;
            }
            // The client's silence means nothing now, so this is what finds a client that is not there.
            if self.link.web_socket().is_some() && self.timers.get(Timer::Unacknowledged).is_none()
            {
                self.start(Timer::Unacknowledged, self.config.send_timeout);
            }
        }
        match self.link.over() {
            None => Step::Nothing,
            Some(EndCause::Clean | EndCause::WebSocketClose { .. }) if self.has_unread() => {
                Step::Nothing
            }
            Some(_) => self.no_more_bytes(),
        }
    }

    fn has_unread(&self) -> bool {
        matches!(self.state, State::Open(_)) || self.paused || !self.incoming.is_empty()
    }

    /// Nothing is left to be read now. When the transport is over that is the end.
    fn no_more_bytes(&mut self) -> Step {
        if self.link.over().is_some() {
            self.end_of_stream();
            return Step::Done;
        }
        if self.pings && self.timers.get(Timer::Client).is_none() {
            self.watch_client();
        }
        Step::Nothing
    }

    /// The transport is over and everything was read that can be.
    pub(super) fn end_of_stream(&mut self) {
        let Link::Over { cause } = core::mem::replace(&mut self.link, Link::None) else {
            return;
        };
        let cut = self.state.frames().filter(|frames| frames.is_mid_frame());
        let cut = cut.map(|frames| DecodeError {
            kind: DecodeErrorKind::Truncated,
            position: frames.position(),
        });
        self.over(match (cause, cut) {
            (EndCause::Failed { detail }, _) => DisconnectReason::TransportFailed { detail },
            (EndCause::Refused { status } | EndCause::Redirected { status, .. }, _) => {
                DisconnectReason::TransportFailed {
                    detail: format!("refused with status {status}").into(),
                }
            }
            (EndCause::Clean | EndCause::WebSocketClose { .. }, Some(error)) => {
                DisconnectReason::Protocol(error)
            }
            (EndCause::Clean | EndCause::WebSocketClose { .. }, None) => {
                DisconnectReason::TransportEnded
            }
        });
    }

    /// Takes one frame from the pieces that wait.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(frames) = self.state.frames_mut() else {
            return Ok(None);
        };
        let frame = self.incoming.frame(|bytes| frames.decode(bytes));
        if self.choked || !self.posts.is_empty() {
            self.make_way();
        }
        frame
    }

    /// Something was read: there may be room for more.
    fn make_way(&mut self) {
        self.choked &= self.incoming.cost() > self.config.application_max_buffer_size / 2;
        self.settle_posts();
    }

    fn read_frame(&mut self, frame: &Bytes) -> Step {
        let step = match self.decode(frame) {
            Ok(Some(message)) if self.is_repetition(&message) => Step::Done,
            Ok(Some(message)) => self.read_message(message),
            // Types from the future mean nothing (`SB-11`).
            Ok(None) => Step::Done,
            Err(error) => return self.faulty(error),
        };
        self.count_message();
        if self.pings {
            self.watch_client();
        }
        step
    }

    fn faulty(&mut self, error: DecodeError) -> Step {
        self.fail(DisconnectReason::Protocol(error));
        Step::Done
    }

    /// Decodes a frame, with the position of what is wrong in the whole stream.
    pub(super) fn decode(&self, frame: &Bytes) -> Result<Option<HubMessage>, DecodeError> {
        let mut decoded = self.protocol.decode(Role::Server, frame);
        if decoded.is_err() {
            let nameless = self.protocol.decode_nameless(frame);
            decoded = nameless.map_or(decoded, |message| Ok(Some(message)));
        }
        let fault = match &decoded {
            Ok(Some(message)) => check(&self.config.limits, message).err(),
            Ok(None) => None,
            Err(error) => Some(*error),
        };
        fault.map_or(decoded, |error| {
            let start = self.state.frames().map_or(0, FrameDecoder::frame_start);
            Err(error.moved_by(start))
        })
    }

    fn read_message(&mut self, message: HubMessage) -> Step {
        match message {
            HubMessage::Invocation(invocation) => self.begin(false, invocation),
            HubMessage::StreamInvocation(invocation) => self.begin(true, invocation),
            HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            } => self.calls.item(&invocation_id, item).into(),
            HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            } => self.completed(invocation_id, outcome),
            HubMessage::CancelInvocation { invocation_id, .. } => self
                .calls
                .cancel(&invocation_id)
                .map_or(Step::Done, |call| Step::Tell(Event::Cancel { call })),
            HubMessage::Ping => {
                self.pings = true;
                Step::Done
            }
            HubMessage::Close { error, .. } => {
                let error = error.map(|error| (*error).into());
                self.say_goodbye(DisconnectReason::ClosedByClient { error }, None, false);
                Step::Done
            }
            HubMessage::Ack { sequence_id } => {
                self.acknowledged(sequence_id);
                Step::Done
            }
            HubMessage::Sequence { sequence_id } => {
                self.sequence(sequence_id);
                Step::Done
            }
        }
    }

    /// The end of an upload, or the answer to a question.
    fn completed(&mut self, id: bytestring::ByteString, outcome: Outcome) -> Step {
        let error = match &outcome {
            Outcome::Error(error) => Some((**error).into()),
            // The end of an upload has no value.
            Outcome::Void | Outcome::Result(_) => None,
        };
        match self.calls.upload_ended(&id, error) {
            Routed::Nobody => Step::Tell(self.answered(id, outcome)),
            routed @ (Routed::Now(_) | Routed::Later) => routed.into(),
        }
    }

    /// The client was heard of.
    fn watch_client(&mut self) {
        let watched = matches!(self.state, State::Open(_)) && self.link.is_kept_alive();
        self.timers.set(
            Timer::Client,
            watched.then(|| self.now.after(self.config.client_timeout_interval)),
        );
    }

    /// Counts a message against those that a client may send in a second.
    pub(super) fn count_message(&mut self) {
        // Nothing is waited for after the last message.
        let most = self.config.max_messages_per_second;
        let Some(most) = most.filter(|_| self.state.is_live()) else {
            return;
        };
        if self.now.since(self.second) >= SECOND {
            (self.second, self.messages) = (self.now, 0);
        }
        self.messages = self.messages.saturating_add(1);
        if self.messages >= most {
            let next = self.second.after(SECOND);
            self.timers.set(Timer::Rate, Some(next));
        }
    }

    pub(super) fn forget_incoming(&mut self) {
        self.incoming.clear();
        self.choked = false;
    }
}

/// The handshake.
impl ServerConnection {
    fn read_handshake(&mut self) -> Step {
        let State::Handshaking(decoder) = &mut self.state else {
            return Step::Nothing;
        };
        if matches!(self.link, Link::None) {
            return Step::Nothing;
        }
        let record = self.incoming.frame(|bytes| decoder.decode(bytes));
        let position = decoder.position();
        self.make_way();
        match record {
            Ok(Some(record)) => match self.agree(&record) {
                Ok(request) => self.shake_hands(request, position),
                Err(error) => self.refuse_handshake(&error),
            },
            Ok(None) => return Step::Nothing,
            Err(_) => self.refuse_handshake(HANDSHAKE_CANCELED),
        }
        Step::Done
    }

    /// The protocol to speak and its version, or the words of the refusal ([SB-3](crate::spec::server_behaviour#sb-3)).
    fn agree(&self, record: &Bytes) -> Result<(Protocol, i32), String> {
        let HandshakeRequest {
            protocol: name,
            version,
        } = handshake::decode_request(record).map_err(|_| HANDSHAKE_MALFORMED.to_owned())?;
        let protocol =
            Protocol::from_name(&name).filter(|protocol| self.config.protocols.contains(protocol));
        let protocol =
            protocol.ok_or_else(|| format!("The protocol '{name}' is not supported."))?;
        if version > Protocol::VERSION {
            return Err(format!(
                "The server does not support version {version} of the '{name}' protocol."
            ));
        }
        let format = protocol.transfer_format();
        if self
            .transport
            .is_some_and(|transport| !transport.formats().contains(&format))
        {
            return Err(format!(
                "Cannot use the '{name}' protocol on the current transport. The transport does not support '{}' transfer format.",
                format.name()
            ));
        }
        Ok((protocol, version))
    }

    fn shake_hands(&mut self, (protocol, version): (Protocol, i32), position: u64) {
        // Version 2 says that the client knows Ack and Sequence (`SB-54`, `TR-93`).
        if self.options.stateful_reconnect
            && version >= 2
            && matches!(self.link, Link::WebSocket { .. })
        {
            self.outbox
                .enable_replay(self.config.stateful_reconnect_buffer_size);
        }
        self.protocol = protocol;
        self.state = State::Greeting(self.frames(position));
        self.stop(Timer::Handshake);
        if self.link.is_kept_alive() {
            self.start(Timer::KeepAlive, self.config.keep_alive_interval);
        }
        self.outbox
            .write_control(|out| handshake::encode_response(out, None));
        self.event(Event::Handshaken { protocol });
    }

    /// A decoder for messages that begin at this position of the stream.
    pub(super) fn frames(&self, position: u64) -> FrameDecoder {
        let limit = self.config.limits.max_message_size;
        FrameDecoder::with_frame_limit(self.protocol, limit, position)
    }

    pub(super) fn refuse_handshake(&mut self, error: &str) {
        self.outbox
            .write_control(|out| handshake::encode_response(out, Some(error)));
        self.wind_up(DisconnectReason::HandshakeFailed {
            error: error.into(),
        });
    }
}

/// Whether no part of the message is larger than it may be.
fn check(limits: &Limits, message: &HubMessage) -> Result<(), DecodeError> {
    let (headers, id) = match message {
        HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation) => {
            check_invocation(limits, invocation)?;
            (&invocation.headers, invocation.invocation_id.as_deref())
        }
        HubMessage::StreamItem {
            headers,
            invocation_id,
            ..
        }
        | HubMessage::Completion {
            headers,
            invocation_id,
            ..
        }
        | HubMessage::CancelInvocation {
            headers,
            invocation_id,
        } => (headers, Some(&**invocation_id)),
        HubMessage::Ping
        | HubMessage::Close { .. }
        | HubMessage::Ack { .. }
        | HubMessage::Sequence { .. } => return Ok(()),
    };
    check_length("invocationId", id.unwrap_or_default(), limits.max_id_length)?;
    check_headers(headers, limits)
}

fn check_invocation(limits: &Limits, invocation: &Invocation) -> Result<(), DecodeError> {
    check_length("target", &invocation.target, limits.max_target_length)?;
    check_count(
        "stream ids",
        invocation.stream_ids.len(),
        limits.max_stream_ids,
    )?;
    invocation
        .stream_ids
        .iter()
        .try_for_each(|id| check_length("streamIds", id, limits.max_id_length))
}

fn check_headers(headers: &Headers, limits: &Limits) -> Result<(), DecodeError> {
    check_count("headers", headers.len(), limits.max_headers)?;
    let sizes = headers
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()));
    let size = sizes.fold(0, usize::saturating_add);
    check_size("headers", size, limits.max_headers_size)
}

fn check_length(member: &'static str, text: &str, limit: usize) -> Result<(), DecodeError> {
    check_size(member, text.len(), limit)
}

fn check_size(member: &'static str, size: usize, limit: usize) -> Result<(), DecodeError> {
    if size <= limit {
        return Ok(());
    }
    let (size, limit) = (size as u64, limit as u64);
    let kind = DecodeErrorKind::TooLong {
        member,
        size,
        limit,
    };
    Err(DecodeError::new(kind, 0))
}

fn check_count(members: &'static str, count: usize, limit: usize) -> Result<(), DecodeError> {
    if count <= limit {
        return Ok(());
    }
    let (count, limit) = (count as u64, limit as u64);
    let kind = DecodeErrorKind::TooMany {
        members,
        count,
        limit,
    };
    Err(DecodeError::new(kind, 0))
}
