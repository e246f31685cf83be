//! The one loop: feeds the protocol's machine and carries out what it decides, on any runtime.

mod dispatch;
mod inputs;
mod perform;
mod socket;
mod world;

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::{Abortable, abortable};
use futures_util::stream::FuturesUnordered;
use signalr_proto::client::{Action, ConnectionState, Event, Input, Output};
use signalr_proto::{CloseReason, Instant, OpId, TransportKind, WsMessage};

use crate::error::{RefreshError, RefreshErrorKind, StartErrorKind};
use crate::lifecycle::LifecycleEvent;
use crate::policy::TokenFuture;
use crate::shared::{Command, DriverState, Inner, RefreshAnswer, Shared};
use crate::transport::Transport;
use crate::upload::Pump;
use dispatch::Dispatcher;
use perform::{Done, Job, perform, sleep};
use socket::{Closing, Socket};
use world::World;

/// Rounds of the loop before other tasks of the executor get their turn.
const ROUNDS_PER_TURN: usize = 16;
/// Messages read in one round.
const MESSAGES_PER_ROUND: usize = 16;

/// What makes a connection move. Whoever builds a connection with
/// [`build_with`](crate::HubConnectionBuilder::build_with) runs it: on an executor, or by awaiting it beside something else.
///
/// It ends when the last handle of the connection is dropped. Dropping it ends the connection at once; nothing works on its
/// handles any more.
#[must_use = "a connection does nothing unless its driver runs"]
pub struct Driver<T> {
    transport: T,
    guard: Guard,
}

/// Tells the handles that nobody drives any more.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.driver_gone();
    }
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(shared: Arc<Shared>, transport: T) -> Self {
        Self {
            transport,
            guard: Guard(shared),
        }
    }

    /// Drives the connection until its last handle is gone. Spawns nothing, and is `Send` if the transport and its futures are.
    pub async fn run(self) {
        let Self { transport, guard } = self;
        let mut engine = Engine::new(Arc::clone(&guard.0), transport, perform::<T>, sleep::<T>);
        let mut world = World::new();
        poll_fn(|cx| engine.poll(cx, &mut world)).await;
        drop(engine);
        drop(guard);
    }
}

impl<T> core::fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// What came of looking at what handles did.
enum Attention {
    /// There may be something to carry out.
    Taken,
    /// Nothing yet: other tasks go first.
    Breathe,
    /// There is nothing, and whoever has something next wakes us.
    Idle,
}

/// The loop's state. `P` and `Z` make the transport's futures, whose types have no names.
struct Engine<T: Transport, P, O, Z, S> {
    shared: Arc<Shared>,
    transport: T,
    perform: P,
    sleep: Z,
    operations: Vec<(OpId, Pin<Box<O>>)>,
    tokens: Vec<(OpId, TokenFuture)>,
    bodies: Vec<(OpId, T::Body)>,
    socket: Option<Socket<T>>,
    closing: Option<Closing<T>>,
    /// The timer that runs, and when it fires. Later deadlines let it fire and look again.
    timer: Option<(Instant, Pin<Box<S>>)>,
    deadline: Option<Instant>,
    /// The time at the beginning of this turn. A clock read for every step would cost more than many of the steps.
    now: Instant,
    /// The next deadline of a single call.
    alarm: Option<Instant>,
    /// A message was sent, which the machine is told together with whatever comes next.
    sent: Option<OpId>,
    /// The machine was told something since its decisions were last taken.
    fed: bool,
    /// Something was begun, or may go on, that nobody would wake us for.
    unpolled: bool,
    dispatcher: Dispatcher<T>,
    pumps: FuturesUnordered<Abortable<Pump>>,
    read_paused: bool,
    /// Other tasks had a chance to add to what is about to be sent.
    breathed: bool,
    starting: Option<oneshot::Sender<Result<(), StartErrorKind>>>,
    stopping: Vec<oneshot::Sender<()>>,
    refreshing: Vec<RefreshAnswer>,
    /// Kept from turn to turn for their allocations.
    outputs: Vec<Output>,
    wakers: Vec<Waker>,
}

impl<T, P, O, Z, S> Engine<T, P, O, Z, S>
where
    T: Transport,
    P: Fn(T, OpId, Job) -> O,
    O: Future<Output = Done<T>>,
    Z: Fn(T, Instant) -> S,
    S: Future<Output = ()>,
{
    fn new(shared: Arc<Shared>, transport: T, perform: P, sleep: Z) -> Self {
        let max_bytes = shared.lock().machine.config().limits.max_incoming_bytes;
        Self {
            dispatcher: Dispatcher::new(Arc::clone(&shared), transport.clone(), max_bytes),
            shared,
            transport,
            perform,
            sleep,
            operations: Vec::new(),
            tokens: Vec::new(),
            bodies: Vec::new(),
            socket: None,
            closing: None,
            timer: None,
            deadline: None,
            now: Instant::ZERO,
            alarm: None,
            sent: None,
            fed: false,
            unpolled: false,
            pumps: FuturesUnordered::new(),
            read_paused: false,
            breathed: false,
            starting: None,
            stopping: Vec::new(),
            refreshing: Vec::new(),
            outputs: Vec::new(),
            wakers: Vec::new(),
        }
    }

    fn poll(&mut self, cx: &Context<'_>, world: &mut World) -> Poll<()> {
        world.attach(cx.waker());
        self.look_at_the_clock();
        let inside = &mut Context::from_waker(world.waker());
        for _ in 0..ROUNDS_PER_TURN {
            if world.take() | core::mem::take(&mut self.unpolled) {
                self.unpolled |= self.poll_world(inside);
            }
            self.unpolled |= self.poll_timer(inside);
            match self.attend(cx) {
                Attention::Taken => {
                    self.carry_out(inside);
                    self.unpolled |= self.poll_write(inside);
                }
                Attention::Breathe => return Poll::Pending,
                Attention::Idle if self.is_finished() => return Poll::Ready(()),
                Attention::Idle => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks at everything that may have news. `false` when all of it will wake us for the next.
    fn poll_world(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = self.poll_operations(cx);
        busy |= self.poll_socket(cx);
        busy |= self.poll_tasks(cx);
        busy
    }

    /// Takes what handles asked for and what the machine has decided, or falls asleep when there is nothing.
    fn attend(&mut self, cx: &Context<'_>) -> Attention {
        let mut inner = self.shared.lock();
        let news = inner.dirty || self.fed || self.unpolled;
        if !news && self.sent.is_none() {
            inner.sleep(cx.waker());
            return Attention::Idle;
        }
        // When a call was just written while others are open, everybody else who is about to call does so first: one batch
        // instead of many. A single caller is not kept waiting.
        self.breathed = !self.breathed && inner.is_busy();
        if self.breathed {
            cx.waker().wake_by_ref();
            return Attention::Breathe;
        }
        wake_up(&mut inner, self.now, self.sent.take());
        if core::mem::take(&mut inner.dirty) && (inner.has_orders() || self.shared.is_orphaned()) {
            drop(inner);
            self.take_orders();
            inner = self.shared.lock();
        }
        self.fed = false;
        let deadline = settle(&mut inner, &mut self.outputs, &mut self.wakers);
        // Mostly nothing comes of a message that was sent, and looking again would find nothing.
        let over = !news && self.outputs.is_empty() && deadline == self.deadline;
        self.deadline = deadline;
        if !over {
            return Attention::Taken;
        }
        inner.sleep(cx.waker());
        drop(inner);
        self.wake();
        Attention::Idle
    }

    fn is_finished(&self) -> bool {
        self.shared.is_orphaned() && self.closing.is_none() && self.is_disconnected()
    }

    /// Whether the end of a socket that got its close frame is waited for.
    fn is_stopping(&self) -> bool {
        self.shared.lock().machine.state() == ConnectionState::Disconnecting
    }

    fn is_disconnected(&self) -> bool {
        self.shared.lock().machine.state() == ConnectionState::Disconnected
    }

    fn with_machine(&mut self, tell: impl FnOnce(&mut Inner, Instant)) {
        self.fed = true;
        let mut inner = self.shared.lock();
        wake_up(&mut inner, self.now, self.sent.take());
        tell(&mut inner, self.now);
    }

    fn input(&mut self, input: Input) {
        self.with_machine(|inner, now| inner.machine.handle_input(now, input));
    }

    /// Does what handles asked for beside calls, which are written already, and starts the pumps of new uploads.
    fn take_orders(&mut self) {
        let now = self.now;
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        while let Some(command) = inner.commands.pop_front() {
            self.obey(&mut inner, now, command);
        }
        if shared.is_orphaned() {
            inner.machine.stop(now);
        }
        inner.alarms.advance(now, &mut self.wakers);
        self.start_pumps(&mut inner);
        self.alarm = inner.alarms.next();
        drop(inner);
        self.wake();
    }

    fn obey(&mut self, inner: &mut Inner, now: Instant, command: Command) {
        match command {
            Command::Start(answer) => match inner.machine.start(now) {
                Ok(()) => {
                    tracing::info!(url = %inner.machine.config().url, "connecting");
                    self.starting = Some(answer);
                }
                Err(signalr_proto::UsageError::NotDisconnected) => {
                    drop(answer.send(Err(StartErrorKind::NotDisconnected)))
                }
                Err(error) => drop(answer.send(Err(StartErrorKind::Usage(error)))),
            },
            Command::Stop(answer) => {
                inner.machine.stop(now);
                self.stopping.push(answer);
            }
            Command::RetryNow => inner.machine.retry_now(now),
            Command::Refresh(answer) => match inner.machine.refresh_authentication(now) {
                Ok(()) => self.refreshing.push(answer),
                Err(error) => drop(answer.send(Err(RefreshErrorKind::Usage(error)))),
            },
        }
    }

    fn start_pumps(&mut self, inner: &mut Inner) {
        for new in core::mem::take(&mut inner.new_uploads) {
            let pump = Pump::new(Arc::clone(&self.shared), new.stream, new.upload);
            let (pump, stop) = abortable(pump);
            inner.pumps.entry(new.owner).or_default().push(stop);
            self.pumps.push(pump);
            self.unpolled = true;
        }
    }

    fn wake(&mut self) {
        if !self.wakers.is_empty() {
            self.wakers.drain(..).for_each(Waker::wake);
        }
    }
}

/// From the machine to the world.
impl<T, P, O, Z, S> Engine<T, P, O, Z, S>
where
    T: Transport,
    P: Fn(T, OpId, Job) -> O,
    O: Future<Output = Done<T>>,
    Z: Fn(T, Instant) -> S,
    S: Future<Output = ()>,
{
    /// Tells the machine something, and takes what it decides, in one go.
    fn consult(&mut self, tell: impl FnOnce(&mut Inner)) {
        let mut inner = self.shared.lock();
        wake_up(&mut inner, self.now, self.sent.take());
        tell(&mut inner);
        self.fed = false;
        self.deadline = settle(&mut inner, &mut self.outputs, &mut self.wakers);
    }

    /// Carries out what was taken, and what comes of that.
    fn carry_out(&mut self, cx: &mut Context<'_>) {
        loop {
            self.wake();
            if self.outputs.is_empty() {
                break;
            }
            let mut outputs = core::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::Action(action) => self.act(cx, action),
                    Output::Event(event) => self.report(cx, event),
                    Output::Wait(_) => {}
                }
            }
            self.outputs = outputs;
            if !self.fed {
                break;
            }
            self.consult(|_| {});
        }
        if self.closing.is_some() && !self.is_stopping() {
            let now = self.now;
            self.closing
                .iter_mut()
                .for_each(|closing| closing.linger(now));
        }
        if !self.stopping.is_empty() && self.is_disconnected() {
            for answer in self.stopping.drain(..) {
                // Nobody listens when the future of `stop` was dropped.
                let _ = answer.send(());
            }
        }
    }

    fn act(&mut self, cx: &mut Context<'_>, action: Action) {
        tracing::trace!(?action, "action");
        match action {
            Action::Request { op, request, body } => self.operate(
                op,
                Job::Request {
                    request: *request,
                    body,
                },
            ),
            Action::OpenWebSocket { op, request } => {
                self.operate(op, Job::OpenWebSocket { request: *request })
            }
            Action::Send { op, message } => self.send(cx, op, message),
            Action::GetAccessToken { op } => match &self.shared.token {
                Some(provider) => {
                    self.tokens.push((op, provider.ask()));
                    self.unpolled = true;
                }
                None => self.input(Input::AccessToken {
                    op,
                    token: Ok(None),
                }),
            },
            Action::NextRetryDelay { op, context } => {
                let decider = if context.is_first_start {
                    &self.shared.start_decider
                } else {
                    &self.shared.decider
                };
                let delay = decider
                    .as_ref()
                    .and_then(|decider| decider.decide(&context));
                self.input(Input::RetryDelay { op, delay });
            }
            Action::Abort { op } => self.abort(op),
            _ => tracing::error!("the machine asks for something this driver cannot do"),
        }
    }

    fn operate(&mut self, op: OpId, job: Job) {
        match &job {
            Job::Request { request, .. } => {
                tracing::debug!(%op, method = %request.method(), path = request.uri().path(), "request")
            }
            Job::OpenWebSocket { request } => {
                tracing::debug!(%op, path = request.uri().path(), "opening a WebSocket")
            }
        }
        self.unpolled = true;
        self.operations.push((
            op,
            Box::pin((self.perform)(self.transport.clone(), op, job)),
        ));
    }

    fn send(&mut self, cx: &mut Context<'_>, op: OpId, message: WsMessage) {
        let Some(mut socket) = self.socket.take_if(|socket| socket.op == op) else {
            return;
        };
        match message {
            WsMessage::Close(code) => {
                self.closing = Some(Closing::new(socket, code));
                // At once: the program may end as soon as it hears that the connection is closed.
                self.unpolled |= self.poll_closing(cx);
            }
            WsMessage::Text(_) | WsMessage::Binary(_) => {
                socket.send(message);
                self.socket = Some(socket);
            }
        }
    }

    fn abort(&mut self, op: OpId) {
        self.operations.retain(|(other, _)| *other != op);
        self.tokens.retain(|(other, _)| *other != op);
        self.bodies.retain(|(other, _)| *other != op);
        self.socket.take_if(|socket| socket.op == op);
        self.closing.take_if(|closing| closing.op() == op);
    }

    fn report(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Invocation {
                target,
                arguments,
                reply_to,
            } => {
                self.dispatcher.take(cx, target, arguments, reply_to);
                self.unpolled = true;
            }
            Event::Writable => {
                self.shared.lock().wake_for_room(&mut self.wakers);
                self.dispatcher.retry();
                self.unpolled = true;
                self.wake();
            }
            Event::Ignored(ignored) => tracing::debug!(?ignored, "a message has no effect"),
            Event::Connected {
                connection_id,
                transport,
            } => self.connected(connection_id, transport),
            Event::StartFailed { reason } => self.start_failed(reason),
            Event::Reconnecting { reason } => {
                tracing::info!(%reason, "connection lost, reconnecting");
                self.lose(&reason);
                self.tell(&LifecycleEvent::Reconnecting { reason });
            }
            Event::ReconnectAttempt {
                attempt,
                delay,
                reason,
            } => self.reconnect_attempt(attempt, delay, reason),
            Event::Reconnected {
                connection_id,
                transport,
            } => {
                tracing::info!(connection_id, transport = transport.name(), "reconnected");
                self.tell(&LifecycleEvent::Reconnected {
                    connection_id,
                    transport,
                });
            }
            Event::StartRetry {
                reason,
                delay,
                attempt,
            } => {
                tracing::info!(%reason, next_attempt = attempt, ?delay, "could not connect, trying again");
                self.tell(&LifecycleEvent::StartRetry {
                    reason,
                    delay,
                    attempt,
                });
            }
            Event::Fallback { from, to, reason } => {
                tracing::info!(from = from.name(), to = to.name(), %reason, "a transport did not start, trying the next");
                self.tell(&LifecycleEvent::Fallback { from, to, reason });
            }
            Event::Resuming { reason } => {
                tracing::info!(%reason, "WebSocket lost, resuming");
                self.tell(&LifecycleEvent::Resuming { reason });
            }
            Event::Resumed => {
                tracing::info!("resumed");
                self.tell(&LifecycleEvent::Resumed);
            }
            Event::AuthenticationRefreshed { lifetime } => {
                tracing::debug!(?lifetime, "authentication refreshed");
                self.refreshed(Ok(lifetime));
                self.tell(&LifecycleEvent::AuthenticationRefreshed { lifetime });
            }
            Event::AuthenticationRefreshFailed { error } => {
                tracing::warn!(%error, "authentication not refreshed");
                let kind = RefreshErrorKind::Failed(error);
                self.refreshed(Err(kind.clone()));
                let error = RefreshError::new(&self.shared.address, kind);
                self.tell(&LifecycleEvent::AuthenticationRefreshFailed { error });
            }
            Event::Closed { reason } => {
                if self.was_dropped(&reason) {
                    tracing::info!("connection closed: its last handle was dropped");
                } else if reason.is_clean() {
                    tracing::info!(%reason, "connection closed");
                } else {
                    tracing::warn!(%reason, "connection closed, giving up");
                }
                self.lose(&reason);
                self.tell(&LifecycleEvent::Closed { reason });
            }
            Event::Expired { messages } => {
                tracing::warn!(
                    messages,
                    "messages waited too long for a connection and were dropped"
                );
                self.tell(&LifecycleEvent::Expired { messages });
            }
            // Delivered where they are collected.
            Event::Completion { .. } | Event::StreamItem { .. } => {}
            _ => tracing::debug!("an event this driver does not know"),
        }
    }

    /// Whether nobody stopped the connection but its handles are gone.
    fn was_dropped(&self, reason: &CloseReason) -> bool {
        *reason == CloseReason::Stopped && self.stopping.is_empty() && self.shared.is_orphaned()
    }

    fn reconnect_attempt(&mut self, attempt: u32, delay: Duration, reason: CloseReason) {
        // Why the connection was lost is in the log already.
        if attempt > 1 {
            tracing::info!(%reason, next_attempt = attempt, ?delay, "could not reconnect, trying again");
        } else {
            tracing::info!(next_attempt = attempt, ?delay, "trying to reconnect");
        }
        self.tell(&LifecycleEvent::ReconnectAttempt {
            attempt,
            delay,
            reason,
        });
    }

    fn connected(&mut self, connection_id: Option<Box<str>>, transport: TransportKind) {
        tracing::info!(connection_id, transport = transport.name(), "connected");
        // First, so that the event is there for whoever waits for `start`: the connection may be over soon after.
        self.tell(&LifecycleEvent::Connected {
            connection_id,
            transport,
        });
        if let Some(answer) = self.starting.take() {
            // Nobody listens when the future of `start` was dropped; the connection stands all the same.
            let _ = answer.send(Ok(()));
        }
    }

    fn tell(&mut self, event: &LifecycleEvent) {
        self.shared.listeners.tell(event);
        self.dispatcher.check_callback();
    }

    fn refreshed(&mut self, outcome: Result<Option<Duration>, RefreshErrorKind>) {
        for answer in self.refreshing.drain(..) {
            // Nobody listens when the future was dropped.
            let _ = answer.send(outcome.clone());
        }
    }

    fn start_failed(&mut self, reason: CloseReason) {
        if self.was_dropped(&reason) {
            tracing::info!("gave up connecting: the last handle was dropped");
        } else if reason.is_clean() {
            tracing::info!(%reason, "could not connect");
        } else {
            tracing::warn!(%reason, "could not connect, giving up");
        }
        self.lose(&reason);
        // First, as in `connected`.
        self.tell(&LifecycleEvent::StartFailed {
            reason: reason.clone(),
        });
        if let Some(answer) = self.starting.take() {
            let _ = answer.send(Err(StartErrorKind::Failed(reason)));
        }
    }

    fn lose(&mut self, reason: &CloseReason) {
        self.refreshed(Err(RefreshErrorKind::ConnectionLost(reason.clone())));
        self.read_paused = false;
        // What could not be answered will not be.
        self.dispatcher.retry();
        self.unpolled = true;
    }
}

/// What comes first whenever the driver looks behind the lock.
fn wake_up(inner: &mut Inner, now: Instant, sent: Option<OpId>) {
    inner.now = now;
    inner.driver = DriverState::Awake;
    if inner.dirty {
        // What handles did counts from now on, and not from the last input: so before the next one.
        inner.machine.catch_up(now);
    }
    if let Some(op) = sent {
        inner.machine.handle_input(now, Input::Sent { op });
    }
}

/// Takes everything the machine has decided, tells it to those who wait for it, and gives the next deadline.
fn settle(
    inner: &mut Inner,
    outputs: &mut Vec<Output>,
    wakers: &mut Vec<Waker>,
) -> Option<Instant> {
    let deadline = collect(inner, outputs, wakers);
    let position = inner.machine.sent_position();
    inner.sends.sent(position, wakers);
    let state = inner.machine.state();
    inner.watch.update(state, wakers);
    deadline
}

/// Takes the machine's outputs, and tells its next deadline. Answers to calls are delivered right here, under the lock, without
/// another list.
fn collect(
    inner: &mut Inner,
    outputs: &mut Vec<Output>,
    wakers: &mut Vec<Waker>,
) -> Option<Instant> {
    loop {
        match inner.machine.poll_output() {
            Output::Wait(deadline) => return deadline,
            Output::Event(Event::Completion {
                invocation_id,
                outcome,
            }) => {
                tracing::trace!(
                    id = invocation_id.number(),
                    ok = outcome.is_ok(),
                    "completed"
                );
                inner.complete(invocation_id, outcome, wakers);
            }
            Output::Event(Event::StreamItem {
                invocation_id,
                item,
            }) => {
                tracing::trace!(
                    id = invocation_id.number(),
                    size = item.as_bytes().len(),
                    "item"
                );
                inner.item(invocation_id, item, wakers);
            }
            output @ (Output::Event(_) | Output::Action(_)) => {
                if let Output::Event(
                    Event::Reconnecting { reason }
                    | Event::Closed { reason }
                    | Event::StartFailed { reason },
                ) = &output
                {
                    // Before anything is told of what the next connection takes.
                    inner.lose(reason, wakers);
                }
                outputs.push(output);
            }
        }
    }
}
