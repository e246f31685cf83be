//! The task of one connection: it owns the machine, the requests and sockets under way, and the methods that run.

mod application;
mod calls;
mod ending;
mod orders;
mod presence;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::FuturesUnordered;
use signalr_proto::server::{CallId, DisconnectReason, Identity, Input, Output, ServerConnection};
use signalr_proto::{Instant, OpId, Payload};

use super::client_results::ClientResults;
use super::running::Pending;
use super::wires::Wires;
use super::{CallHandle, Connection};
use crate::application::Application;
use crate::error::HubError;
use crate::limit::ConnectionPermit;
use crate::shared::Shared;
use crate::telemetry::Counted;
use crate::upload::UploadSender;
use crate::user::User;
use presence::Presence;

/// Rounds in one turn before other tasks get theirs.
const ROUNDS_PER_TURN: usize = 32;

/// The task's timer. The clock decides whether a deadline has passed, never the timer.
#[derive(Default)]
struct Alarm {
    sleep: Option<(Instant, BoxFuture<'static, ()>)>,
}

/// A newer token that the application has to judge.
struct Applicant {
    op: OpId,
    identity: Identity,
    user: Option<User>,
    decision: BoxFuture<'static, Result<bool, HubError>>,
}

pub(crate) struct Task {
    presence: Presence,
    application: Arc<Application>,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    machine: Box<ServerConnection>,
    now: Instant,
    deadline: Option<Instant>,
    alarm: Alarm,
    wires: Wires,
    /// Methods that run, and streaming methods that have not given their stream yet.
    methods: FuturesUnordered<Pending>,
    /// Streams, which are only polled while there is room for their items.
    streams: FuturesUnordered<Pending>,
    /// Running calls that can be cancelled.
    handles: HashMap<CallId, Arc<CallHandle>>,
    uploads: HashMap<CallId, Arc<[UploadSender]>>,
    /// Where the arguments of a call lie until they are decoded.
    arguments: Vec<Payload>,
    client_results: ClientResults,
    greeting: Option<BoxFuture<'static, Result<(), HubError>>>,
    welcomed: bool,
    /// Who came with which request, until the machine has looked at it.
    newcomers: Vec<(OpId, Option<User>)>,
    applicants: Vec<Applicant>,
    /// The metrics know of it.
    counted: Option<Counted>,
    /// Messages of others may wait in the mailbox.
    frames_wait: bool,
    closed: Option<DisconnectReason>,
}

impl Task {
    pub(crate) fn new(
        application: &Arc<Application>,
        shared: &Arc<Shared>,
        connection: &Arc<Connection>,
        machine: Box<ServerConnection>,
        permits: Vec<ConnectionPermit>,
    ) -> Self {
        tracing::debug!(connection = &*connection.id, "connection opened");
        let close_timeout = shared.options.connection.close_timeout;
        Self {
            now: shared.clock.now(),
            presence: Presence {
                shared: Arc::clone(shared),
                connection: Arc::clone(connection),
                _permits: permits,
            },
            counted: None,
            application: Arc::clone(application),
            shared: Arc::clone(shared),
            connection: Arc::clone(connection),
            machine,
            deadline: None,
            alarm: Alarm::default(),
            wires: Wires::new(close_timeout),
            methods: FuturesUnordered::new(),
            streams: FuturesUnordered::new(),
            handles: HashMap::new(),
            uploads: HashMap::new(),
            arguments: Vec::new(),
            client_results: ClientResults::default(),
            greeting: None,
            welcomed: false,
            newcomers: Vec::new(),
            applicants: Vec::new(),
            frames_wait: false,
            closed: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        // The farewell takes more room than the life before it, so it gets its own when it comes.
        Box::pin(self.finish(reason)).await;
    }

    /// One turn: everything that can be done without waiting.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        self.connection.mailbox.register(cx.waker());
        self.now = self.shared.clock.now();
        self.wires.begin_turn();
        for _ in 0..ROUNDS_PER_TURN {
            let mut busy = self.take_orders();
            busy |= self.wires.poll(cx, &mut self.machine, self.now);
            busy |= self.poll_application(cx);
            busy |= self.take_frames();
            busy |= self.ask();
            busy |= self.pump(cx);
            self.notice_leaving();
            let stepped = self.poll_calls(cx);
            busy |= stepped;
            if let Some(reason) = self.closed.take() {
                return Poll::Ready(reason);
            }
            let settled = !busy || (!stepped && self.is_settled());
            if settled && !self.poll_alarm(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether a round in which something happened would be followed by one in which nothing does. Mostly it would: the machine
    /// has said that it waits, and so has the WebSocket.
    fn is_settled(&self) -> bool {
        self.greeting.is_none()
            && self.applicants.is_empty()
            && !self.frames_wait
            && !self.client_results.is_waiting()
            && !self.connection.mailbox.is_filled()
            && self.wires.is_settled(&self.machine)
    }

    /// Nobody need wait for a client that has left, although what it said before may still have to wait for its turn.
    fn notice_leaving(&mut self) {
        if !self.machine.is_open() && self.connection.protocol.get().is_some() {
            self.client_results = ClientResults::default();
            self.connection.aborted.cancel();
        }
    }

    /// Tells the machine when its deadline has passed, and sleeps until then otherwise.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(deadline) = self.deadline else {
                return false;
            };
            if deadline <= self.now {
                self.machine.handle_input(self.now, Input::Timeout);
                return true;
            }
            // A sleep that ends too early costs a look at the clock, and a new one for every message would cost more.
            match &mut self.alarm.sleep {
                Some((until, sleep)) if *until <= deadline => {
                    if *until > self.now {
                        return false;
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        return false;
                    }
                    self.alarm.sleep = None;
                    self.now = self.shared.clock.now();
                }
                _ => {
                    let mut sleep = self.shared.clock.sleep(deadline.since(self.now));
                    if sleep.as_mut().poll(cx).is_pending() {
                        self.alarm.sleep = Some((deadline, sleep));
                        return false;
                    }
                    self.now = self.shared.clock.now();
                }
            }
        }
    }

    /// Carries out what the machine wants, until it waits.
    fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        loop {
            match self.machine.poll_output() {
                Output::Action(action) => {
                    self.wires.perform(cx, action, &mut self.machine, self.now);
                }
                Output::Event(event) => self.tell(cx, event),
                Output::Wait(deadline) => {
                    self.newcomers.clear();
                    self.deadline = deadline.into_iter().chain(self.wires.deadline()).min();
                    return busy;
                }
            }
            busy = true;
        }
    }
}
