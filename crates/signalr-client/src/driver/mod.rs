//! The one loop: feeds the protocol's machine and carries out what it decides, on any runtime.

mod actions;
mod dispatch;
mod inputs;
mod orders;
mod perform;
mod pump;
mod report;
mod settle;
mod socket;
mod turn;
mod world;

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::Abortable;
use futures_util::stream::FuturesUnordered;
use signalr_proto::client::{ConnectionState, Input, Output};
use signalr_proto::{Instant, OpId};

use crate::error::StartErrorKind;
use crate::policy::TokenFuture;
use crate::shared::{Inner, RefreshAnswer, Shared};
use crate::transport::Transport;
use dispatch::Dispatcher;
use perform::{Futures, perform, sleep};
use pump::Pump;
use settle::{settle, wake_up};
use socket::{Closing, Socket};
use turn::{Next, Turn};
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
        let mut engine = Engine::new(Arc::clone(&guard.0), transport, (perform::<T>, sleep::<T>));
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

/// The loop's state.
struct Engine<T: Transport, F: Futures<T>> {
    shared: Arc<Shared>,
    transport: T,
    futures: F,
    operations: Vec<(OpId, Pin<Box<F::Operation>>)>,
    tokens: Vec<(OpId, TokenFuture)>,
    bodies: Vec<(OpId, T::Body)>,
    socket: Option<Socket<T>>,
    closing: Option<Closing<T>>,
    /// The timer that runs, and when it fires. Later deadlines let it fire and look again.
    timer: Option<(Instant, Pin<Box<F::Sleep>>)>,
    deadline: Option<Instant>,
    /// The time at the beginning of this turn. A clock read for every step would cost more than many of the steps.
    now: Instant,
    /// The next deadline of a single call.
    alarm: Option<Instant>,
    turn: Turn,
    dispatcher: Dispatcher<T>,
    pumps: FuturesUnordered<Abortable<Pump>>,
    read_paused: bool,
    starting: Option<oneshot::Sender<Result<(), StartErrorKind>>>,
    stopping: Vec<oneshot::Sender<()>>,
    refreshing: Vec<RefreshAnswer>,
    /// Kept from turn to turn for their allocations.
    outputs: Vec<Output>,
    wakers: Vec<Waker>,
}

impl<T: Transport, F: Futures<T>> Engine<T, F> {
    fn new(shared: Arc<Shared>, transport: T, futures: F) -> Self {
        let max_bytes = shared.lock().machine.config().limits.max_incoming_bytes;
        Self {
            dispatcher: Dispatcher::new(Arc::clone(&shared), transport.clone(), max_bytes),
            shared,
            transport,
            futures,
            operations: Vec::new(),
            tokens: Vec::new(),
            bodies: Vec::new(),
            socket: None,
            closing: None,
            timer: None,
            deadline: None,
            now: Instant::ZERO,
            alarm: None,
            turn: Turn::default(),
            pumps: FuturesUnordered::new(),
            read_paused: false,
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
            if self.turn.asks(world) {
                self.poll_world(inside);
            }
            self.poll_timer(inside);
            match self.attend(cx) {
                Next::GoOn { .. } => {
                    self.carry_out(inside);
                    self.poll_write(inside);
                }
                Next::Sleep if self.is_finished() => return Poll::Ready(()),
                Next::Sleep => return Poll::Pending,
                Next::Yield => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks at everything that may have news.
    fn poll_world(&mut self, cx: &mut Context<'_>) {
        self.poll_operations(cx);
        self.poll_socket(cx);
        self.poll_tasks(cx);
    }

    /// Takes what handles asked for and what the machine has decided, if there is anything. Whoever is told to sleep sleeps already,
    /// as far as handles are concerned.
    fn attend(&mut self, cx: &Context<'_>) -> Next {
        let mut inner = self.shared.lock();
        let next = self.turn.decide(&inner);
        let Next::GoOn { news } = next else {
            if matches!(next, Next::Sleep) {
                inner.sleep(cx.waker());
            }
            return next;
        };
        wake_up(&mut inner, self.now, self.turn.take_sent());
        if core::mem::take(&mut inner.dirty) && (inner.has_orders() || self.shared.is_orphaned()) {
            drop(inner);
            self.take_orders();
            inner = self.shared.lock();
        }
        self.turn.settled();
        let deadline = settle(&mut inner, &mut self.outputs, &mut self.wakers);
        let nothing = self.outputs.is_empty() && deadline == self.deadline;
        self.deadline = deadline;
        if news || !nothing {
            return next;
        }
        inner.sleep(cx.waker());
        drop(inner);
        self.wake();
        Next::Sleep
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
        self.turn.told();
        let mut inner = self.shared.lock();
        wake_up(&mut inner, self.now, self.turn.take_sent());
        tell(&mut inner, self.now);
    }

    fn input(&mut self, input: Input) {
        self.with_machine(|inner, now| inner.machine.handle_input(now, input));
    }

    fn wake(&mut self) {
        if !self.wakers.is_empty() {
            self.wakers.drain(..).for_each(Waker::wake);
        }
    }
}
