//! One client's connection, from its handshake to its end.

use std::collections::VecDeque;

use bytes::Bytes;

use super::api::{DisconnectReason, ServerAction, ServerEvent, ServerInput, ServerOutput};
use super::config::ServerConfig;
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::{self, HandshakeDecoder, HandshakeRequest};
use crate::codec::{CompletionOutcome, Encode, HubArguments, HubMessage, InvocationHead, Protocol, Role};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError, SendError};
use crate::outbox::{Outbox, web_socket_message};
use crate::time::Instant;
use crate::timers::{TimerName, Timers};
use crate::transport::{EndCause, OpId};

const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";
const HANDSHAKE_CANCELED: &str = "Handshake was canceled.";
const HANDSHAKE_MALFORMED: &str = "An unexpected error occurred during connection handshake.";

/// There is one socket, so one name for what is in flight on it is enough.
const SOCKET: OpId = OpId(0);

/// The machine of one client's connection.
pub struct ServerConnection {
    config: ServerConfig,
    state: State,
    now: Instant,
    timers: Timers<5>,
    outbox: Outbox,
    /// Text until a protocol is agreed upon, as the answer to a failed handshake is.
    protocol: Protocol,
    outputs: VecDeque<ServerOutput>,
    incoming: VecDeque<Bytes>,
    incoming_bytes: usize,
    paused: bool,
    /// The client has pinged, so it can be expected to go on doing so.
    pings: bool,
    /// The transport is over; what it brought before may still be read.
    ended: Option<EndCause>,
}

enum State {
    Handshaking(HandshakeDecoder),
    Greeting,
    Open(FrameDecoder),
    Closing(DisconnectReason),
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    Handshake,
    KeepAlive,
    Client,
    Send,
    Close,
}

impl TimerName for Timer {
    fn index(self) -> usize {
        self as usize
    }
}

/// Getters.
impl ServerConnection {
    /// A connection whose transport has just attached.
    #[must_use]
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        let mut timers = Timers::new();
        timers.set(Timer::Handshake, Some(now.after(config.handshake_timeout)));
        Self {
            state: State::Handshaking(HandshakeDecoder::new(config.max_handshake_size())),
            outbox: Outbox::new(config.limits.max_outgoing_bytes),
            config,
            now,
            timers,
            protocol: Protocol::Json,
            outputs: VecDeque::new(),
            incoming: VecDeque::new(),
            incoming_bytes: 0,
            paused: false,
            pings: false,
            ended: None,
        }
    }

    /// The encoding the client chose; none before [`ServerEvent::Handshaken`].
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self.state {
            State::Greeting | State::Open(_) => Some(self.protocol),
            State::Handshaking(_) | State::Closing(_) | State::Closed => None,
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.protocol().is_some()
    }

    /// Whether the last event has been put out or waits to be.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

/// Inputs and outputs.
impl ServerConnection {
    /// Takes note of something that happened.
    pub fn handle_input(&mut self, now: Instant, input: ServerInput) {
        self.advance(now);
        match input {
            ServerInput::Timeout => {}
            ServerInput::Received { bytes } => self.received(bytes),
            ServerInput::Sent => self.sent(),
            ServerInput::Ended { cause } => self.transport_ended(cause),
            ServerInput::ReadPaused => self.pause(),
            ServerInput::ReadResumed => self.resume(),
        }
    }

    /// Tells what to do next.
    pub fn poll_output(&mut self) -> ServerOutput {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if let Some(action) = self.next_action() {
                return ServerOutput::Action(action);
            }
            // Bytes come before timers: what was received in time counts, even when both are seen at once.
            if !self.read_one() && !self.expire_one() {
                return ServerOutput::Wait(self.timers.next());
            }
        }
    }

    fn next_action(&mut self) -> Option<ServerAction> {
        if let Some(batch) = self.outbox.next_batch(SOCKET) {
            self.timers.set(Timer::Send, Some(self.now.after(self.config.send_timeout)));
            return Some(ServerAction::Send { message: web_socket_message(self.protocol, batch) });
        }
        if let State::Closing(reason) = &self.state {
            if self.outbox.is_idle() {
                let reason = reason.clone();
                self.over(reason);
                return Some(ServerAction::Close { code: 1000 });
            }
        }
        None
    }

    /// `now` never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn received(&mut self, bytes: Bytes) {
        let reading = match self.state {
            State::Handshaking(_) | State::Greeting | State::Open(_) => self.ended.is_none(),
            State::Closing(_) | State::Closed => false,
        };
        if !reading || bytes.is_empty() {
            return;
        }
        self.incoming_bytes = self.incoming_bytes.saturating_add(bytes.len());
        self.incoming.push_back(bytes);
        let limit = self.config.limits.max_incoming_bytes.max(self.config.limits.max_message_size);
        // One piece of any size is read by the frame decoder, which has the limit for it.
        if self.incoming_bytes > limit && self.incoming.len() > 1 {
            self.fail(DisconnectReason::IncomingLimit { waiting: self.incoming_bytes, limit });
        }
    }

    fn sent(&mut self) {
        let writable = self.outbox.sent(SOCKET);
        self.timers.set(Timer::Send, None);
        if writable && self.is_open() {
            self.event(ServerEvent::Writable);
        }
    }

    fn transport_ended(&mut self, cause: EndCause) {
        match &self.state {
            State::Handshaking(_) => self.over(DisconnectReason::HandshakeFailed { error: "the client left".into() }),
            // What came before the end is still handed out, as far as the application takes it now.
            State::Greeting | State::Open(_) => {
                self.outbox.clear();
                self.timers.clear();
                self.ended.get_or_insert(cause);
            }
            State::Closing(reason) => {
                let reason = reason.clone();
                self.over(reason);
            }
            State::Closed => {}
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        self.timers.set(Timer::Client, None);
    }

    fn resume(&mut self) {
        self.paused = false;
        self.restart_client_timeout();
    }

    fn restart_client_timeout(&mut self) {
        let runs = self.pings && !self.paused && self.ended.is_none() && matches!(self.state, State::Open(_));
        self.timers.set(Timer::Client, runs.then(|| self.now.after(self.config.client_timeout_interval)));
    }

    fn event(&mut self, event: ServerEvent) {
        self.outputs.push_back(ServerOutput::Event(event));
    }
}

/// Reading.
impl ServerConnection {
    /// Reads one message, if there is one to read. `false` when there is not.
    fn read_one(&mut self) -> bool {
        match &mut self.state {
            State::Handshaking(decoder) => match pull(&mut self.incoming, &mut self.incoming_bytes, |bytes| decoder.decode(bytes)) {
                Ok(None) => false,
                Ok(Some(record)) => {
                    self.read_handshake(&record);
                    true
                }
                Err(_) => {
                    self.refuse_handshake(HANDSHAKE_CANCELED);
                    true
                }
            },
            State::Open(decoder) if !self.paused => {
                match pull(&mut self.incoming, &mut self.incoming_bytes, |bytes| decoder.decode(bytes)) {
                    Ok(None) => self.no_more_bytes(),
                    Ok(Some(frame)) => {
                        self.read_frame(&frame);
                        true
                    }
                    Err(error) => {
                        self.fail(DisconnectReason::Protocol(error));
                        true
                    }
                }
            }
            State::Greeting | State::Open(_) => self.no_more_bytes(),
            State::Closing(_) | State::Closed => false,
        }
    }

    /// Nothing can be read now. When the transport is over that is the end.
    fn no_more_bytes(&mut self) -> bool {
        let Some(cause) = self.ended.take() else { return false };
        let mid_frame = matches!(&self.state, State::Open(decoder) if decoder.is_mid_frame());
        self.over(match cause {
            EndCause::Clean | EndCause::WebSocketClose { .. } if mid_frame => {
                DisconnectReason::Protocol(DecodeError::new(DecodeErrorKind::Truncated, 0))
            }
            EndCause::Clean | EndCause::WebSocketClose { .. } => DisconnectReason::TransportEnded,
            EndCause::Refused { status } => DisconnectReason::TransportFailed { detail: format!("refused with status {status}").into() },
            EndCause::Failed { detail } => DisconnectReason::TransportFailed { detail },
        });
        true
    }

    fn read_handshake(&mut self, record: &Bytes) {
        let agreed = handshake::decode_request(record)
            .map_err(|_| HANDSHAKE_MALFORMED.to_owned())
            .and_then(|request| self.agree(&request));
        match agreed {
            Ok(protocol) => self.shake_hands(protocol),
            Err(error) => self.refuse_handshake(&error),
        }
    }

    /// The protocol to speak, or the words of the refusal (`SB-3`).
    fn agree(&self, request: &HandshakeRequest) -> Result<Protocol, String> {
        let name = &request.protocol;
        let protocol = Protocol::from_name(name).filter(|protocol| self.config.protocols.contains(protocol));
        let protocol = protocol.ok_or_else(|| format!("The protocol '{name}' is not supported."))?;
        if request.version > Protocol::VERSION {
            return Err(format!("The server does not support version {} of the '{name}' protocol.", request.version));
        }
        Ok(protocol)
    }

    fn shake_hands(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.state = State::Greeting;
        self.timers.set(Timer::Handshake, None);
        self.timers.set(Timer::KeepAlive, Some(self.now.after(self.config.keep_alive_interval)));
        self.outbox.write_control(|out| handshake::encode_response(out, None));
        self.event(ServerEvent::Handshaken { protocol });
    }

    fn refuse_handshake(&mut self, error: &str) {
        self.outbox.write_control(|out| handshake::encode_response(out, Some(error)));
        self.wind_up(DisconnectReason::HandshakeFailed { error: error.into() });
    }

    fn read_frame(&mut self, frame: &Bytes) {
        match self.protocol.decode(Role::Server, frame) {
            Ok(message) => {
                self.read_message(message);
                self.restart_client_timeout();
            }
            Err(error) => self.fail(DisconnectReason::Protocol(error)),
        }
    }

    fn read_message(&mut self, message: Option<HubMessage>) {
        let event = match message {
            Some(HubMessage::Invocation(invocation)) => ServerEvent::Invocation { streaming: false, invocation },
            Some(HubMessage::StreamInvocation(invocation)) => ServerEvent::Invocation { streaming: true, invocation },
            Some(HubMessage::StreamItem { invocation_id, item, .. }) => ServerEvent::StreamItem { stream_id: invocation_id, item },
            Some(HubMessage::Completion { invocation_id, outcome, .. }) => ServerEvent::Completion { id: invocation_id, outcome },
            Some(HubMessage::CancelInvocation { invocation_id, .. }) => ServerEvent::Cancel { invocation_id },
            Some(HubMessage::Ping) => {
                self.pings = true;
                return;
            }
            Some(HubMessage::Close { error, .. }) => {
                let error = error.map(|error| (*error).into());
                return self.say_goodbye(DisconnectReason::ClosedByClient { error }, None, false);
            }
            // Acknowledgements mean nothing without stateful reconnect, and types from the future nothing at all (`SB-11`).
            Some(HubMessage::Ack { .. } | HubMessage::Sequence { .. }) | None => return,
        };
        self.event(event);
    }
}

/// Takes one frame from the pieces that wait.
fn pull<T>(
    incoming: &mut VecDeque<Bytes>,
    incoming_bytes: &mut usize,
    mut decode: impl FnMut(&mut Bytes) -> Result<Option<T>, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    while let Some(piece) = incoming.front_mut() {
        let before = piece.len();
        let frame = decode(piece);
        let left = piece.len();
        *incoming_bytes = incoming_bytes.saturating_sub(before.saturating_sub(left));
        if left == 0 {
            incoming.pop_front();
        }
        match frame {
            // A decoder that wants more has used up the piece, so the loop ends.
            Ok(None) if left == 0 => {}
            done => return done,
        }
    }
    Ok(None)
}

/// Commands.
impl ServerConnection {
    /// The application has welcomed the client: what it sends is handed out from now on. Does nothing at any other time.
    pub fn accept(&mut self, now: Instant) {
        self.advance(now);
        if matches!(self.state, State::Greeting) {
            self.state = State::Open(FrameDecoder::new(self.protocol, self.config.limits.max_message_size));
        }
    }

    /// Calls a method of the client without waiting for an answer.
    ///
    /// # Errors
    /// When the connection is not open, too much waits to be sent, or an argument cannot be serialized.
    pub fn send<A: HubArguments + ?Sized>(&mut self, now: Instant, target: &str, arguments: &A) -> Result<(), SendError> {
        self.invocation(now, None, target, arguments)
    }

    /// Calls a method of the client, which answers with a [`ServerEvent::Completion`] of this `id`.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn ask<A: HubArguments + ?Sized>(&mut self, now: Instant, id: &str, target: &str, arguments: &A) -> Result<(), SendError> {
        self.invocation(now, Some(id), target, arguments)
    }

    /// Sends a whole frame that was encoded before, for this connection's protocol: for messages to many connections.
    ///
    /// # Errors
    /// When the connection is not open or too much waits to be sent.
    pub fn send_frame(&mut self, now: Instant, frame: &[u8]) -> Result<(), SendError> {
        self.write(now, |_, out| {
            out.extend_from_slice(frame);
            Ok(())
        })
    }

    /// Answers a call, or ends the stream that a call asked for.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn complete<T: Encode + ?Sized>(&mut self, now: Instant, id: &str, outcome: CompletionOutcome<'_, T>) -> Result<(), SendError> {
        self.write(now, |protocol, out| protocol.encode_completion(out, &[], id, outcome))
    }

    /// Sends an item of the stream that a call asked for.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn stream_item<T: Encode + ?Sized>(&mut self, now: Instant, id: &str, item: &T) -> Result<(), SendError> {
        self.write(now, |protocol, out| protocol.encode_stream_item(out, &[], id, item))
    }

    /// Sends a Close message after everything that waits, then closes the transport. `allow_reconnect` invites the client
    /// to come back. Does nothing once the connection is closing.
    pub fn close(&mut self, now: Instant, error: Option<&str>, allow_reconnect: bool) {
        self.advance(now);
        match self.state {
            State::Greeting | State::Open(_) => self.say_goodbye(DisconnectReason::ClosedByServer, error, allow_reconnect),
            State::Handshaking(_) => self.refuse_handshake(HANDSHAKE_CANCELED),
            State::Closing(_) | State::Closed => {}
        }
    }

    /// Closes the connection because of the client's fault.
    pub fn close_for(&mut self, now: Instant, reason: DisconnectReason) {
        self.advance(now);
        match self.state {
            State::Greeting | State::Open(_) => self.fail(reason),
            State::Handshaking(_) | State::Closing(_) | State::Closed => {}
        }
    }

    fn invocation<A: HubArguments + ?Sized>(&mut self, now: Instant, id: Option<&str>, target: &str, arguments: &A) -> Result<(), SendError> {
        let head = InvocationHead { streaming: false, headers: &[], invocation_id: id, target, stream_ids: &[] };
        self.write(now, |protocol, out| protocol.encode_invocation(out, head, arguments))
    }

    fn write(
        &mut self,
        now: Instant,
        encode: impl FnOnce(Protocol, &mut bytes::BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), SendError> {
        self.advance(now);
        let protocol = self.protocol().filter(|_| self.ended.is_none()).ok_or(SendError::NotConnected)?;
        self.outbox.write(|out| encode(protocol, out))
    }
}

/// Timers and the end.
impl ServerConnection {
    /// Acts on one timer that has run out, if there is one.
    fn expire_one(&mut self) -> bool {
        const ALL: [Timer; 5] = [Timer::Handshake, Timer::Send, Timer::Close, Timer::Client, Timer::KeepAlive];
        let Some(timer) = ALL.into_iter().find(|timer| self.timers.take_expired(*timer, self.now)) else { return false };
        match timer {
            Timer::Handshake => self.refuse_handshake(HANDSHAKE_CANCELED),
            Timer::KeepAlive => self.keep_alive(),
            Timer::Client => self.fail(DisconnectReason::ClientTimeout { timeout: self.config.client_timeout_interval }),
            Timer::Send => self.abort(DisconnectReason::SendTimeout { timeout: self.config.send_timeout }),
            Timer::Close => self.give_up_closing(),
        }
        true
    }

    fn keep_alive(&mut self) {
        // While a batch is under way the client sees traffic anyway, and a stuck one must not pile up pings.
        if self.outbox.is_idle() {
            let protocol = self.protocol;
            self.outbox.write_control(|out| protocol.encode_ping(out));
        }
        self.timers.set(Timer::KeepAlive, Some(self.now.after(self.config.keep_alive_interval)));
    }

    /// The client is at fault, and may try again.
    fn fail(&mut self, reason: DisconnectReason) {
        self.say_goodbye(reason, Some(CLOSED_WITH_ERROR), true);
    }

    fn say_goodbye(&mut self, reason: DisconnectReason, error: Option<&str>, allow_reconnect: bool) {
        let protocol = self.protocol;
        self.outbox.write_control(|out| protocol.encode_close(out, error, allow_reconnect));
        self.wind_up(reason);
    }

    /// Nothing is read any more, and nothing written but what already waits.
    fn wind_up(&mut self, reason: DisconnectReason) {
        self.forget_incoming();
        if self.ended.is_some() {
            return self.over(reason);
        }
        let send = self.timers.get(Timer::Send);
        self.timers.clear();
        self.timers.set(Timer::Send, send);
        self.timers.set(Timer::Close, Some(self.now.after(self.config.close_timeout)));
        self.state = State::Closing(reason);
    }

    fn give_up_closing(&mut self) {
        if let State::Closing(reason) = &self.state {
            let reason = reason.clone();
            self.abort(reason);
        }
    }

    fn abort(&mut self, reason: DisconnectReason) {
        self.outputs.push_back(ServerOutput::Action(ServerAction::Abort));
        self.over(reason);
    }

    fn over(&mut self, reason: DisconnectReason) {
        self.forget_incoming();
        self.outbox.clear();
        self.timers.clear();
        self.ended = None;
        self.state = State::Closed;
        self.event(ServerEvent::Closed { reason });
    }

    fn forget_incoming(&mut self) {
        self.incoming.clear();
        self.incoming_bytes = 0;
    }
}

/// Shows the state and sizes, and nothing that the client or the application said.
impl core::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let state = match self.state {
            State::Handshaking(_) => "Handshaking",
            State::Greeting => "Greeting",
            State::Open(_) => "Open",
            State::Closing(_) => "Closing",
            State::Closed => "Closed",
        };
        f.debug_struct("ServerConnection")
            .field("state", &state)
            .field("protocol", &self.protocol)
            .field("outbox", &self.outbox)
            .field("incoming_bytes", &self.incoming_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
