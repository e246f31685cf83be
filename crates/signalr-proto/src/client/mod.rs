//! The client's machine: from `start` to `Closed`, over and over if need be.
//!
//! Commands (`start`, `invoke`, …) and inputs may come in any number between polls; [`ClientConnection::poll_output`] then
//! gives everything there is to do, in one total order, until it says [`Output::Wait`]. See the crate's front page for the loop.

mod api;
mod attempt;
mod config;
mod handshake;
mod http;
mod invocations;
mod lifetime;
mod link;
mod parked;
mod receive;
mod refresh;
mod resume;
mod state;
mod stats;

pub use api::{
    Action, Call, CallError, CallOptions, ConnectionState, Event, Ignored, Input, InvocationId,
    Output, ReplyTo,
};
pub use config::{ClientConfig, OfflineQueue, ReconnectPolicy, RetryContext, WhileReconnecting};
pub use stats::Stats;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use ::http::Response;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::{CompletionOutcome, Encode, HubArguments, InvocationHead};
use crate::error::{SendError, UsageError};
use crate::outbox::Outbox;
use crate::time::Instant;
use crate::timers::Timers;
use crate::transport::negotiate::TransportKind;
use crate::transport::{OpId, OpIds};

use crate::incoming::Incoming;
use invocations::{IdText, Invocations, Kind};
use link::{Link, Part};
use parked::Parked;
use state::{State, Timer};
use stats::Counters;

/// What the server is told of an upload whose call was cancelled, in the official client's words.
const UPLOAD_CANCELLED: &str = "Stream canceled by client.";

/// A hub connection in the client's role. Same seed and same inputs give the same outputs, byte for byte.
pub struct ClientConnection {
    /// Shared with every other connection made from it.
    config: Arc<ClientConfig>,
    state: State,
    /// What was decided and not yet polled.
    outputs: VecDeque<Output>,
    outbox: Outbox,
    incoming: Incoming,
    invocations: Invocations,
    timers: Timers<10>,
    ops: OpIds,
    /// The state of the random numbers for jitter.
    random: u64,
    /// Counts established connections.
    epoch: u32,
    /// The latest time seen.
    now: Instant,
    read_paused: bool,
    /// Messages that wait for a connection or may have to be repeated on the next.
    parked: Option<Box<Parked>>,
    stats: Box<Counters>,
    /// Whether the transport needs pings and a server timeout.
    keeps_alive: bool,
}

/// Getters.
impl ClientConnection {
    /// A connection that is not started. `seed` feeds the jitter of reconnect delays. Whoever makes many connections from one
    /// configuration hands in clones of one `Arc` of it.
    #[must_use]
    pub fn new(config: impl Into<Arc<ClientConfig>>, seed: u64) -> Self {
        let config = config.into();
        let outbox = Outbox::new(config.limits.max_outgoing_bytes);
        Self {
            config,
            state: State::Disconnected,
            outputs: VecDeque::new(),
            outbox,
            incoming: Incoming::default(),
            invocations: Invocations::default(),
            timers: Timers::new(),
            ops: OpIds::default(),
            random: seed,
            epoch: 0,
            now: Instant::ZERO,
            read_paused: false,
            parked: None,
            stats: Box::default(),
            keeps_alive: true,
        }
    }

    /// What the connection was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The public state.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.state.public()
    }

    /// The public id of the connection; none while there is no connection, or when negotiation was skipped
    /// ([CB-78](crate::spec::client_behaviour#cb-78)).
    #[must_use]
    pub fn connection_id(&self) -> Option<&str> {
        self.state
            .session()
            .and_then(|session| session.grant.as_deref())
            .map(|offer| &*offer.connection_id)
    }

    /// The transport of the connection; none while there is no connection.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        self.state.session().map(|session| session.link.kind())
    }

    /// How far the stream of bytes was handed to the transport; see [`Call::position`].
    #[must_use]
    pub const fn sent_position(&self) -> u64 {
        self.outbox.taken()
    }

    /// Bytes that wait to be sent, those in flight included.
    #[must_use]
    pub fn outgoing_bytes(&self) -> usize {
        self.outbox.pending()
    }

    /// Received bytes that wait to be polled.
    #[must_use]
    pub fn incoming_bytes(&self) -> usize {
        self.incoming.bytes()
    }

    /// What has happened since the machine was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.public
    }

    /// Which timer the deadline of [`Output::Wait`] belongs to; for logs.
    #[must_use]
    pub fn wait_reason(&self) -> &'static str {
        let next = self.timers.next();
        Timer::ALL
            .into_iter()
            .find(|timer| next.is_some() && self.timers.get(*timer) == next)
            .map_or("nothing", Timer::name)
    }
}

/// Commands.
impl ClientConnection {
    /// Begins to connect. Ends in [`Event::Connected`] or [`Event::StartFailed`].
    ///
    /// # Errors
    /// [`UsageError::NotDisconnected`] in any other state, without effect ([CB-1](crate::spec::client_behaviour#cb-1)); what
    /// [`ClientConfig::validate`] finds.
    pub fn start(&mut self, now: Instant) -> Result<(), UsageError> {
        if !matches!(self.state, State::Disconnected) {
            return Err(UsageError::NotDisconnected);
        }
        self.config.validate()?;
        self.advance(now);
        self.begin_attempt(None);
        Ok(())
    }

    /// Calls a method and expects one answer, as [`Event::Completion`].
    ///
    /// On the wire: `{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn invoke<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call_with(
            now,
            Some(Kind::Call),
            target,
            arguments,
            CallOptions::default(),
        )
    }

    /// [`invoke`](Self::invoke) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn invoke_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call_with(now, Some(Kind::Call), target, arguments, options)
    }

    /// Calls a method and expects a stream: [`Event::StreamItem`]s, then [`Event::Completion`].
    ///
    /// On the wire: `{"type":4,"invocationId":"1","target":"Count","arguments":[10]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn stream<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call_with(
            now,
            Some(Kind::Stream),
            target,
            arguments,
            CallOptions::default(),
        )
    }

    /// [`stream`](Self::stream) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn stream_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call_with(now, Some(Kind::Stream), target, arguments, options)
    }

    /// Calls a method without expecting an answer.
    ///
    /// On the wire: `{"type":1,"target":"Send","arguments":["hello"]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written.
    pub fn send<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call_with(now, None, target, arguments, CallOptions::default())
    }

    /// [`send`](Self::send) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn send_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call_with(now, None, target, arguments, options)
    }

    /// Writes a call to the connection that there is.
    fn call<A: HubArguments + ?Sized>(
        &mut self,
        kind: Option<Kind>,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        if target.is_empty() {
            return Err(SendError::EmptyTarget);
        }
        let streams = arguments.stream_count();
        let mut call =
            self.invocations
                .next(kind, streams, self.config.limits.max_pending_invocations)?;
        let id = IdText::new(call.id());
        let stream_ids: Vec<ByteString> = call.streams().map(|id| id.to_string().into()).collect();
        let head = InvocationHead {
            streaming: kind == Some(Kind::Stream),
            headers: &[],
            invocation_id: kind.is_some().then(|| id.as_str()),
            target,
            stream_ids: &stream_ids,
        };
        let protocol = self.config.protocol;
        self.outbox
            .write(|out| protocol.encode_invocation(out, head, arguments))?;
        self.invocations.begin(&call, kind);
        self.spoke();
        call.position = self.outbox.written();
        Ok(call)
    }

    /// Sends an item of an upload stream.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the stream is over, also because its call is; see [`SendError`].
    pub fn send_item<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        stream: InvocationId,
        item: &T,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if !self.invocations.is_upload_open(stream) {
            return Err(SendError::UnknownId);
        }
        let protocol = self.config.protocol;
        self.outbox.write(|out| {
            protocol.encode_stream_item(out, &[], IdText::new(stream).as_str(), item)
        })?;
        self.spoke();
        Ok(())
    }

    /// Ends an upload stream, well or with an error.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the stream is over, also because its call is; see [`SendError`].
    pub fn end_stream(
        &mut self,
        now: Instant,
        stream: InvocationId,
        error: Option<&str>,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if !self.invocations.is_upload_open(stream) {
            return Err(SendError::UnknownId);
        }
        let outcome = error.map_or(CompletionOutcome::void(), CompletionOutcome::error);
        let protocol = self.config.protocol;
        self.outbox.write(|out| {
            protocol.encode_completion(out, &[], IdText::new(stream).as_str(), outcome)
        })?;
        self.invocations.end_upload(stream);
        self.spoke();
        Ok(())
    }

    /// Answers a call of the server.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the connection it came on is gone ([CB-55](crate::spec::client_behaviour#cb-55)); the question
    /// comes back with the error, so that it can be answered later (after [`SendError::Full`]) or in other words (after
    /// [`SendError::Encode`]).
    pub fn complete<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        reply_to: ReplyTo,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), (SendError, ReplyTo)> {
        self.try_complete(now, &reply_to, outcome)
            .map_err(|error| (error, reply_to))
    }

    fn try_complete<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        reply_to: &ReplyTo,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if reply_to.epoch != self.epoch {
            return Err(SendError::UnknownId);
        }
        let protocol = self.config.protocol;
        self.outbox
            .write(|out| protocol.encode_completion(out, &[], &reply_to.id, outcome))?;
        self.spoke();
        Ok(())
    }

    /// Gives up a call or stream: no event for it follows, its uploads are over, and the server is told of both if it can be.
    pub fn cancel(&mut self, now: Instant, id: InvocationId) {
        self.advance(now);
        self.outputs.retain(|output| !output.is_about(id));
        self.unpark(id);
        let Some(uploads) = self.invocations.cancel(id) else {
            return;
        };
        if matches!(self.state, State::Connected(_)) {
            let protocol = self.config.protocol;
            self.outbox.write_always(|out| {
                protocol.encode_cancel_invocation(out, &[], IdText::new(id).as_str())
            });
            self.spoke();
        }
        self.cancel_uploads(&uploads);
    }

    /// Nobody feeds these streams any more, and a method that reads from one would wait for ever
    /// ([CB-41](crate::spec::client_behaviour#cb-41)).
    fn cancel_uploads(&mut self, uploads: &[InvocationId]) {
        if !matches!(self.state, State::Connected(_)) {
            return;
        }
        let protocol = self.config.protocol;
        for upload in uploads {
            let outcome = CompletionOutcome::<()>::Error(UPLOAD_CANCELLED);
            // A text can always be written.
            let written = self.outbox.write_regardless(|out| {
                protocol.encode_completion(out, &[], IdText::new(*upload).as_str(), outcome)
            });
            if written.is_ok() {
                self.spoke();
            }
        }
    }

    fn active(&mut self, now: Instant) -> Result<(), SendError> {
        self.advance(now);
        if matches!(self.state, State::Connected(_)) {
            Ok(())
        } else {
            Err(SendError::NotConnected)
        }
    }

    /// Something was written: the next ping can wait ([CB-12](crate::spec::client_behaviour#cb-12)).
    fn spoke(&mut self) {
        self.stats.public.messages_sent += 1;
        self.put_ping_off();
    }

    fn put_ping_off(&mut self) {
        let deadline = self
            .keeps_alive
            .then(|| self.now.after(self.config.keep_alive_interval));
        self.timers.set(Timer::Ping, deadline);
    }

    /// Time never goes backwards here, whatever the driver's clock does.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn write_control(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        self.outbox.write_control(encode);
        self.spoke();
    }
}

/// Inputs and outputs.
impl ClientConnection {
    /// Tells the time and nothing else. For drivers whose callers have no clock and give their commands the time of the last
    /// input: what they commanded since counts from now on.
    pub fn catch_up(&mut self, now: Instant) {
        self.settle_parked(now.since(self.now));
        self.advance(now);
    }

    /// Takes in what happened. Answers to actions that were aborted are ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.settle_parked(Duration::ZERO);
        self.advance(now);
        match input {
            Input::Timeout => self.handle_timeout(),
            Input::Response { op, response } => self.handle_response(op, &response),
            Input::Chunk { op, bytes } => self.handle_chunk(op, bytes),
            Input::Opened { op } => self.handle_opened(op),
            Input::Received { op, bytes } => self.handle_received(op, bytes),
            // Posts are answered, and count as sent then.
            Input::Sent { op } if self.state.part(op) == Some(Part::Socket) => self.handle_sent(op),
            Input::Sent { .. } => {}
            Input::Ended { op, cause } => self.handle_ended(op, cause),
            Input::AccessToken { op, token } => self.handle_access_token(op, token),
            Input::RetryDelay { op, delay } => self.handle_retry_delay(op, delay),
            Input::ReadPaused => self.pause_reading(),
            Input::ReadResumed => self.resume_reading(),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if let Some(event) = self.next_message() {
                return Output::Event(event);
            }
            // Reading a message may have decided something, such as the end of the connection.
            if self.outputs.is_empty() {
                // Decisions are rare, so an idle connection does not keep the room they took.
                if self.outputs.capacity() > 0 {
                    self.outputs = VecDeque::new();
                }
                return self
                    .next_batch()
                    .map_or_else(|| Output::Wait(self.timers.next()), Output::Action);
            }
        }
    }

    fn next_batch(&mut self) -> Option<Action> {
        let Link::WebSocket(socket) = self.state.open_link_mut()? else {
            return self.next_post();
        };
        let op = socket.op;
        let bytes = self.outbox.next_batch(op)?;
        self.handing_over(bytes.len());
        let format = self.config.protocol.transfer_format();
        Some(Action::Send { op, bytes, format })
    }

    /// Everything that was written goes to the transport.
    fn handing_over(&mut self, size: usize) {
        let latest = self.invocations.latest();
        self.stats.handing_over(size, self.now, latest);
    }

    fn handle_response(&mut self, op: OpId, response: &Response<Bytes>) {
        if !self.handle_negotiated(op, response) && !self.handle_refreshed(op, response) {
            self.handle_link_response(op, response.status(), response.headers());
        }
    }

    fn handle_opened(&mut self, op: OpId) {
        if self.state.part(op) == Some(Part::Socket) {
            self.link_opened();
            self.resume(op);
        }
    }

    fn act(&mut self, action: Action) {
        self.outputs.push_back(Output::Action(action));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Shows the state and sizes, and nothing that a peer or the application said.
impl core::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientConnection")
            .field("url", &self.config.url)
            .field("state", &self.state())
            .field("outbox", &self.outbox)
            .field("incoming_bytes", &self.incoming.bytes())
            .finish_non_exhaustive()
    }
}
