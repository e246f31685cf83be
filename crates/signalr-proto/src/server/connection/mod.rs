//! One client's connection, from its first request to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use super::api::{Action, Arrival, Event, Ignored, Input, Misuse, Output, Port};
use super::calls::Calls;
use super::config::{ConnectionOptions, ServerConfig};
use super::identity::Identity;
use crate::codec::Protocol;
use crate::codec::handshake::HandshakeDecoder;
use crate::incoming::Incoming;
use crate::outbox::Outbox;
use crate::replay::Inbound;
use crate::time::Instant;
use crate::timers::Timers;
use crate::transport::OpId;
use crate::transport::negotiate::TransportKind;

mod calls;
mod client_results;
mod ending;
mod events;
mod link;
mod nameless;
mod polls;
mod posts;
mod queues;
mod reading;
mod refresh;
mod resuming;
mod state;
mod web_socket;
mod writing;

use link::{Link, Owner};
use queues::{Ahead, Applicants, AwaitedResults, Nameless, Posts};
use state::{State, Step, Timer};

/// The machine of one client's connection.
pub struct ServerConnection {
    config: Arc<ServerConfig>,
    state: State,
    link: Link,
    /// What the first transport was.
    transport: Option<TransportKind>,
    now: Instant,
    timers: Timers<{ Timer::COUNT }>,
    outbox: Outbox,
    /// Text until a protocol is agreed upon, as the answer to a failed handshake is.
    protocol: Protocol,
    /// What was decided and not yet polled.
    outputs: VecDeque<Output>,
    incoming: Incoming,
    /// More waits to be read than should, and no more is asked for until half of it is gone.
    choked: bool,
    paused: bool,
    /// The client has pinged, so it can be expected to go on doing so.
    pings: bool,
    posts: Posts,
    calls: Calls,
    /// In a box, as most connections never have one.
    nameless: Option<Box<Nameless>>,
    client_results: AwaitedResults,
    options: ConnectionOptions,
    /// Requests with a newer token, which the application has yet to judge.
    applicants: Applicants,
    inbound: Inbound,
    ahead: Ahead,
    /// When the present second began, and the messages in it: no pair, as there are many connections, and this takes less room.
    second: Instant,
    messages: u32,
    /// The latest arrival: nothing can have happened to one that comes after it.
    latest: OpId,
}

/// Getters.
impl ServerConnection {
    /// A connection without a transport, which one should [reach](Input::Arrived) within the disconnect timeout.
    #[must_use]
    pub fn new(
        config: impl Into<Arc<ServerConfig>>,
        options: ConnectionOptions,
        now: Instant,
    ) -> Self {
        let config = config.into();
        let mut connection = Self {
            state: State::Handshaking(HandshakeDecoder::new(config.max_handshake_size())),
            link: Link::None,
            transport: None,
            now,
            timers: Timers::new(),
            outbox: Outbox::new(config.limits.max_outgoing_bytes),
            protocol: Protocol::Json,
            outputs: VecDeque::new(),
            incoming: Incoming::default(),
            choked: false,
            paused: false,
            pings: false,
            posts: Posts::default(),
            calls: new_calls(&config),
            nameless: None,
            client_results: AwaitedResults::default(),
            options,
            applicants: Applicants::default(),
            inbound: Inbound::default(),
            ahead: Ahead::default(),
            second: now,
            messages: 0,
            latest: OpId::new(0),
            config,
        };
        connection.start(Timer::Disconnect, connection.config.disconnect_timeout);
        connection.watch_expiry();
        connection
    }

    /// A connection whose WebSocket stands already, or whatever carries bytes in its place: for drivers without HTTP.
    #[must_use]
    pub fn with_web_socket(config: impl Into<Arc<ServerConfig>>, op: OpId, now: Instant) -> Self {
        let mut connection = Self::new(config, ConnectionOptions::default(), now);
        connection.attach(None, Link::WebSocket { op });
        connection
    }

    /// The encoding the client chose; none before [`Event::Handshaken`], and none once the connection is closing.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self.state {
            State::Greeting(_) | State::Open(_) => Some(self.protocol),
            State::Handshaking(_) | State::Closing(_) | State::Closed => None,
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.protocol().is_some() && self.link.over().is_none()
    }

    /// Whether stream items and messages are taken now. When one was refused, [`Event::Writable`] tells of room.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.is_open() && !self.outbox.is_full()
    }

    /// Whether the last event has been put out or waits to be.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The transport, also when it is over; none before the first.
    #[must_use]
    pub const fn transport(&self) -> Option<TransportKind> {
        self.transport
    }

    /// Who the client is, if that is known.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.options.identity.as_ref()
    }

    /// What bytes are wanted of: the WebSocket, or the POST whose turn it is. While there is none, leave them where they are,
    /// so that the client has to wait.
    #[must_use]
    pub fn reading(&self) -> Option<OpId> {
        if self.choked {
            return None;
        }
        match self.link {
            _ if self.is_closed() || self.link.over().is_some() => None,
            Link::WebSocket { op } if self.posts.is_empty() => Some(op),
            Link::None | Link::WebSocket { .. } | Link::Events { .. } | Link::Polls(_) => {
                self.posts.wanted()
            }
            Link::Lost { .. } | Link::Over { .. } => None,
        }
    }
}

/// Inputs and outputs.
impl ServerConnection {
    /// Takes note of something that happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        let owner = input.op().map_or(Owner::Nobody, |op| self.owner(op));
        match (owner, input) {
            (_, Input::Timeout) => {}
            (_, Input::Arrived(arrival)) => self.arrived(arrival),
            (_, Input::ReadPaused) => self.paused = true,
            (_, Input::ReadResumed) => self.paused = false,
            (Owner::Socket, Input::Received { bytes, .. }) => self.received(bytes),
            (Owner::Socket, Input::Sent { op }) => self.sent(op),
            (Owner::Socket, Input::Ended { cause, .. }) => self.socket_ended(cause),
            (Owner::Stream, Input::Sent { op }) => self.chunk_taken(op),
            (Owner::Stream, Input::Ended { cause, .. }) => self.transport_ended(cause),
            (Owner::Poll, Input::Ended { .. }) => self.poll_left(),
            (Owner::Delivery, Input::Sent { op }) => self.delivered(op),
            (Owner::Delivery, Input::Ended { op, .. }) => self.not_delivered(op),
            (Owner::NextPoll, Input::Ended { .. }) => self.next_poll_left(),
            (Owner::Post, Input::Body { op, bytes, last }) => self.posted(op, bytes, last),
            (Owner::Post, Input::Ended { op, .. }) => self.post_left(op),
            (Owner::Applicant, Input::Ended { op, .. }) => self.applicants.remove(op),
            (owner, input) => self.ignore(owner, &input),
        }
    }

    /// Tells of an input that does not fit its operation. What is late is ignored in silence, as is all that comes when the
    /// connection is over.
    fn ignore(&mut self, owner: Owner, input: &Input) {
        let Some(op) = input.op() else { return };
        let arrived = op <= self.latest;
        if self.is_closed() || owner == Owner::Nobody && arrived {
            return;
        }
        let misuse = match owner {
            Owner::Nobody => Misuse::UnknownOp,
            Owner::Socket
            | Owner::Stream
            | Owner::Poll
            | Owner::Delivery
            | Owner::NextPoll
            | Owner::Post
            | Owner::Applicant => Misuse::Unexpected {
                input: input.name(),
            },
        };
        let event = Event::Ignored(Ignored::Misuse { op, misuse });
        // One that is repeated is told once, so that this queue has an end.
        if !matches!(self.outputs.back(), Some(Output::Event(last)) if *last == event) {
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        self.latest = self.latest.max(arrival.op);
        if self.is_closed() || self.link.over().is_some() {
            return self.respond(arrival.op, arrival.gone());
        }
        match arrival.port {
            Port::WebSocket => self.web_socket_arrived(arrival),
            Port::Events => self.events_arrived(arrival),
            Port::Poll => self.poll_arrived(arrival),
            Port::Post => self.post_arrived(&arrival),
            Port::Delete => self.delete_arrived(&arrival),
            Port::Refresh => self.refresh_arrived(arrival),
        }
    }

    /// Tells what to do next.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                if self.outputs.is_empty() {
                    // An idle connection holds no room for outputs.
                    self.outputs = VecDeque::new();
                }
                return output;
            }
            // Bytes come before timers: what was received in time counts, even when both are seen at once. And they come before
            // what is to be sent, so that calls that came together are answered together.
            match self.read() {
                Step::Tell(event) => return Output::Event(event),
                Step::Done => {}
                Step::Nothing => {
                    if let Some(action) = self.next_action() {
                        return Output::Action(action);
                    }
                    if !self.expire_one() {
                        return Output::Wait(self.timers.next());
                    }
                }
            }
        }
    }

    /// What the transport can do for the messages that wait, or for the end that waits behind them.
    fn next_action(&mut self) -> Option<Action> {
        match self.link {
            Link::WebSocket { op } => self.next_message(op),
            Link::Events { op, opening: false } => self.next_chunk(op),
            Link::Polls(_) => self.next_delivery(),
            Link::None | Link::Events { .. } | Link::Lost { .. } | Link::Over { .. } => None,
        }
    }

    /// `now` never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn start(&mut self, timer: Timer, duration: core::time::Duration) {
        self.timers.set(timer, Some(self.now.after(duration)));
    }

    fn stop(&mut self, timer: Timer) {
        self.timers.set(timer, None);
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn action(&mut self, action: Action) {
        self.outputs.push_back(Output::Action(action));
    }

    fn respond(&mut self, op: OpId, response: http::Response<bytes::Bytes>) {
        let response = Box::new(response);
        self.action(Action::Respond { op, response });
    }
}

fn new_calls(config: &ServerConfig) -> Calls {
    Calls::new(
        config.maximum_parallel_invocations,
        config.maximum_streams,
        config.stream_buffer_capacity,
        config.limits.max_incoming_bytes,
    )
}

/// Shows the state and sizes, and nothing that the client or the application said.
impl core::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerConnection")
            .field("state", &self.state.name())
            .field("transport", &self.transport())
            .field("protocol", &self.protocol)
            .field("outbox", &self.outbox)
            .field("incoming_bytes", &self.incoming.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

impl ServerConnection {
    fn owner(&self, op: OpId) -> Owner {
        let owner = self.link.owner(op);
        if owner != Owner::Nobody {
            owner
        } else if self.posts.holds(op) {
            Owner::Post
        } else if self.applicants.holds(op) {
            Owner::Applicant
        } else {
            Owner::Nobody
        }
    }
}
