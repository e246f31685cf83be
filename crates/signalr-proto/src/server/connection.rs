//! One client's connection, from its handshake to its end.

use std::collections::VecDeque;

use bytes::Bytes;

use super::api::{DisconnectReason, ServerAction, ServerEvent, ServerInput, ServerOutput};
use super::config::ServerConfig;
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::HandshakeDecoder;
use crate::codec::{CompletionOutcome, Encode, HubArguments, InvocationHead, Protocol};
use crate::error::{EncodeError, SendError};
use crate::outbox::{Outbox, web_socket_message};
use crate::replay::Inbound;
use crate::time::Instant;
use crate::timers::{TimerName, Timers};
use crate::transport::{EndCause, OpId};

mod ending;
mod reading;
mod resuming;

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
    timers: Timers<7>,
    outbox: Outbox,
    /// Text until a protocol is agreed upon, as the answer to a failed handshake is.
    protocol: Protocol,
    outputs: VecDeque<ServerOutput>,
    incoming: VecDeque<Bytes>,
    incoming_bytes: usize,
    paused: bool,
    /// The client has pinged, so it can be expected to go on doing so.
    pings: bool,
    /// The WebSocket is lost, and the client may come back with another one.
    detached: Option<EndCause>,
    inbound: Inbound,
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
    Ack,
    Disconnect,
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
            detached: None,
            inbound: Inbound::default(),
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

    /// Received bytes that wait to be handed out. A driver may stop reading when there are many.
    #[must_use]
    pub const fn incoming_bytes(&self) -> usize {
        self.incoming_bytes
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
            self.timers
                .set(Timer::Send, Some(self.now.after(self.config.send_timeout)));
            return Some(ServerAction::Send {
                message: web_socket_message(self.protocol, batch),
            });
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
            State::Handshaking(_) | State::Greeting | State::Open(_) => {
                self.ended.is_none() && !self.is_detached()
            }
            State::Closing(_) | State::Closed => false,
        };
        if !reading || bytes.is_empty() {
            return;
        }
        self.incoming_bytes = self.incoming_bytes.saturating_add(bytes.len());
        self.incoming.push_back(bytes);
        let limit = self
            .config
            .limits
            .max_incoming_bytes
            .max(self.config.limits.max_message_size);
        // One piece of any size is read by the frame decoder, which has the limit for it.
        if self.incoming_bytes > limit && self.incoming.len() > 1 {
            self.fail(DisconnectReason::IncomingLimit {
                waiting: self.incoming_bytes,
                limit,
            });
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
            State::Handshaking(_) => self.over(DisconnectReason::HandshakeFailed {
                error: "the client left".into(),
            }),
            State::Greeting | State::Open(_) if self.can_resume() && !cause.is_orderly() => {
                self.detach(cause);
            }
            State::Greeting | State::Open(_) => self.give_up(cause),
            State::Closing(reason) => {
                let reason = reason.clone();
                self.over(reason);
            }
            State::Closed => {}
        }
    }

    /// What came before an orderly end is still handed out, when the application takes it.
    fn give_up(&mut self, cause: EndCause) {
        self.outbox.clear();
        self.timers.clear();
        self.detached = None;
        self.ended = Some(cause);
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
        let runs = self.pings
            && !self.paused
            && self.ended.is_none()
            && matches!(self.state, State::Open(_));
        self.timers.set(
            Timer::Client,
            runs.then(|| self.now.after(self.config.client_timeout_interval)),
        );
    }

    fn event(&mut self, event: ServerEvent) {
        self.outputs.push_back(ServerOutput::Event(event));
    }
}

/// Commands.
impl ServerConnection {
    /// The application has welcomed the client: what it sends is handed out from now on. Does nothing at any other time.
    pub fn accept(&mut self, now: Instant) {
        self.advance(now);
        if matches!(self.state, State::Greeting) {
            self.state = State::Open(FrameDecoder::new(
                self.protocol,
                self.config.limits.max_message_size,
            ));
        }
    }

    /// Calls a method of the client without waiting for an answer.
    ///
    /// # Errors
    /// When the connection is not open, too much waits to be sent, or an argument cannot be serialized.
    pub fn send<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        self.invocation(now, None, target, arguments)
    }

    /// Calls a method of the client, which answers with a [`ServerEvent::Completion`] of this `id`.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn ask<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        id: &str,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        self.invocation(now, Some(id), target, arguments)
    }

    /// Sends a whole message (invocation, stream item or completion) that was encoded before, for this connection's protocol:
    /// for messages to many connections.
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
    pub fn complete<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        id: &str,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), SendError> {
        self.write(now, |protocol, out| {
            protocol.encode_completion(out, &[], id, outcome)
        })
    }

    /// Sends an item of the stream that a call asked for.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn stream_item<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        id: &str,
        item: &T,
    ) -> Result<(), SendError> {
        self.write(now, |protocol, out| {
            protocol.encode_stream_item(out, &[], id, item)
        })
    }

    /// Sends a Close message after everything that waits, then closes the transport. `allow_reconnect` invites the client
    /// to come back. Does nothing once the connection is closing.
    pub fn close(&mut self, now: Instant, error: Option<&str>, allow_reconnect: bool) {
        self.advance(now);
        match self.state {
            State::Greeting | State::Open(_) => {
                self.say_goodbye(DisconnectReason::ClosedByServer, error, allow_reconnect)
            }
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

    fn invocation<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        id: Option<&str>,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        let head = InvocationHead {
            streaming: false,
            headers: &[],
            invocation_id: id,
            target,
            stream_ids: &[],
        };
        self.write(now, |protocol, out| {
            protocol.encode_invocation(out, head, arguments)
        })
    }

    fn write(
        &mut self,
        now: Instant,
        encode: impl FnOnce(Protocol, &mut bytes::BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), SendError> {
        self.advance(now);
        let protocol = self
            .protocol()
            .filter(|_| self.ended.is_none())
            .ok_or(SendError::NotConnected)?;
        self.outbox.write(|out| encode(protocol, out))
    }
}

/// Shows the state and sizes, and nothing that the client or the application said.
impl core::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let state = match self.state {
            State::Handshaking(_) => "Handshaking",
            State::Greeting | State::Open(_) if self.is_detached() => "Detached",
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
mod properties;
#[cfg(test)]
mod tests;
