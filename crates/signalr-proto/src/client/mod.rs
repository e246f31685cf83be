//! The client's machine: from `start` to `Closed`, over and over if need be.
//!
//! Commands (`start`, `invoke`, …) and inputs may come in any number between polls; [`ClientConnection::poll_output`] then
//! gives everything there is to do, in one total order, until it says [`Output::Wait`]. See the crate's front page for the loop.

mod api;
mod attempt;
mod calls;
mod config;
mod connecting;
mod handshake;
mod http;
mod invocations;
mod lifetime;
mod link;
mod outage;
mod owner;
mod parked;
mod parking;
mod receive;
mod reconnect;
mod refresh;
mod resume;
mod session;
mod state;
mod stats;
mod timeouts;
mod timer;

pub use api::{
    Action, Call, CallError, CallOptions, ConnectionState, Event, Ignored, Input, InvocationId,
    Misuse, Output, ReplyTo,
};
pub use config::{ClientConfig, OfflineQueue, ReconnectPolicy, RetryContext, WhileReconnecting};
pub use stats::Stats;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use crate::error::{SendError, UsageError};
use crate::outbox::Outbox;
use crate::time::Instant;
use crate::timers::Timers;
use crate::transport::negotiate::TransportKind;
use crate::transport::{OpId, OpIds};

use crate::incoming::Incoming;
use connecting::usable;
use invocations::Invocations;
use link::Link;
use owner::Owner;
use parked::Parked;
use state::State;
use stats::Counters;
use timer::Timer;

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
            .and_then(|session| session.negotiated.as_deref())
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

    /// Takes in what happened. Answers to actions that were aborted are ignored; what cannot have been meant is told by
    /// [`Ignored::Misuse`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.settle_parked(Duration::ZERO);
        self.advance(now);
        let owner = input.op().map_or(Owner::Nobody, |op| self.state.owner(op));
        match (owner, input) {
            (_, Input::Timeout) => self.handle_timeout(),
            (_, Input::ReadPaused) => self.pause_reading(),
            (_, Input::ReadResumed) => self.resume_reading(),
            (Owner::AttemptToken, Input::AccessToken { token, .. }) => {
                self.attempt_token(usable(token))
            }
            (Owner::Negotiation, Input::Response { response, .. }) => self.negotiated(&response),
            (Owner::AttemptToken | Owner::Negotiation, Input::Ended { cause, .. }) => {
                self.attempt_ended(cause)
            }
            (Owner::Opening, Input::Opened { .. }) => self.link_opened(),
            (Owner::Socket, Input::Received { bytes, .. }) => self.handle_bytes(bytes),
            (Owner::Socket, Input::Sent { op }) => self.handle_sent(op),
            (Owner::Opening | Owner::Socket | Owner::Reopening, Input::Ended { cause, .. }) => {
                self.link_ended(cause)
            }
            (Owner::ResumeToken, Input::AccessToken { token, .. }) => {
                self.resume_with(usable(token))
            }
            (Owner::ResumeToken, Input::Ended { .. }) => self.resume_failed(false),
            (Owner::Reopening, Input::Opened { op }) => self.resume(op),
            (Owner::Head, Input::Response { op, response }) => self.head_came(op, &response),
            (Owner::Body, Input::Chunk { op, bytes }) => self.chunk_came(op, bytes),
            (Owner::Head | Owner::Body, Input::Ended { cause, .. }) => self.receiving_ended(cause),
            (Owner::Post, Input::Response { op, response }) => {
                self.posted(op, response.status(), response.headers())
            }
            (Owner::Post, Input::Ended { cause, .. }) => self.post_ended(cause),
            (Owner::Delete, Input::Response { .. } | Input::Ended { .. }) => self.handle_deleted(),
            (Owner::RenewalToken, Input::AccessToken { token, .. }) => {
                self.renew_token(usable(token))
            }
            (Owner::RenewalToken, Input::Ended { .. }) => {
                self.renew_token(Err("the provider gave no answer".into()))
            }
            (Owner::RefreshToken, Input::AccessToken { token, .. }) => {
                self.refresh_with(usable(token))
            }
            (Owner::Refresh, Input::Response { response, .. }) => self.refreshed(&response),
            (Owner::RefreshToken | Owner::Refresh, Input::Ended { cause, .. }) => {
                self.refresh_ended(&cause)
            }
            (Owner::Policy, Input::RetryDelay { delay, .. }) => self.policy_decided(delay),
            (Owner::Policy, Input::Ended { .. }) => self.policy_decided(None),
            (owner, input) => self.ignore(owner, &input),
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
        self.stats.handing_over(size, self.now);
    }

    /// Tells of an input that does not fit its operation. What is late is ignored in silence, as is all that comes when the
    /// connection is over.
    fn ignore(&mut self, owner: Owner, input: &Input) {
        let Some(op) = input.op() else { return };
        let given = op <= self.ops.last();
        if matches!(self.state, State::Disconnected) || owner == Owner::Nobody && given {
            return;
        }
        let misuse = match (owner, input) {
            (Owner::Nobody, _) => Misuse::UnknownOp,
            (Owner::Opening | Owner::Reopening, Input::Received { .. } | Input::Sent { .. }) => {
                Misuse::NotOpened
            }
            (Owner::Head, Input::Chunk { .. }) => Misuse::NoHead,
            (_, _) => Misuse::Unexpected {
                input: input.name(),
            },
        };
        self.misused(op, misuse);
    }

    fn misused(&mut self, op: OpId, misuse: Misuse) {
        let event = Event::Ignored(Ignored::Misuse { op, misuse });
        // One that is repeated is told once, so that this queue has an end.
        if !matches!(self.outputs.back(), Some(Output::Event(last)) if *last == event) {
            self.tell(event);
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
