//! What handles and the driver share: the protocol's machine behind a lock, and everybody who waits for it.
//!
//! The lock is held for as long as a message takes to be written or read, and never across an await. Wakers run after it was
//! released: they are collected first.

use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::future::AbortHandle;
use signalr_proto::client::{self, ClientConnection, ConnectionState, InvocationId};
use signalr_proto::{CloseReason, Instant, Payload, SendError};

use crate::error::{CallErrorKind, RefreshErrorKind, StartErrorKind};
use crate::handler::Registry;
#[cfg(feature = "net")]
use crate::launch::Launcher;
use crate::lifecycle::Listeners;
use crate::policy::{Decider, TokenProvider};
use crate::states::Watch;
use crate::upload::Upload;

/// Everything a connection is, apart from its runtime.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// The hub's address for errors: without its query.
    pub(crate) address: Box<str>,
    pub(crate) handlers: Registry,
    pub(crate) listeners: Listeners,
    pub(crate) token: Option<TokenProvider>,
    pub(crate) decider: Option<Decider>,
    pub(crate) start_decider: Option<Decider>,
    /// Calls of the server that may wait for slow handlers before reading stops.
    pub(crate) handler_queue: usize,
    #[cfg(feature = "net")]
    launcher: Mutex<Option<Launcher>>,
    handles: AtomicUsize,
}

/// The part behind the lock.
pub(crate) struct Inner {
    pub(crate) machine: ClientConnection,
    /// The time of the driver's last turn. Handles have no clock; the driver tells the machine the real time with every turn,
    /// from when what they did counts.
    pub(crate) now: Instant,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) driver: DriverState,
    /// A handle did something the driver has not looked at.
    pub(crate) dirty: bool,
    pub(crate) slots: HashMap<u64, Slot, BuildHasherDefault<IdHasher>>,
    pub(crate) sends: Sends,
    /// Uploads of calls that were just written, for the driver to pump.
    pub(crate) new_uploads: Vec<NewUpload>,
    /// Stops the pumps of a call; under 0 those of calls without an id.
    pub(crate) pumps: HashMap<u64, Vec<AbortHandle>, BuildHasherDefault<IdHasher>>,
    room: Vec<Waker>,
    /// Ends of connections and failed starts so far, and why the last one came.
    losses: (u64, Option<CloseReason>),
    pub(crate) watch: Watch,
    pub(crate) alarms: Alarms,
}

/// What only the driver can do, because it takes the true time.
pub(crate) enum Command {
    Start(oneshot::Sender<Result<(), StartErrorKind>>),
    Stop(oneshot::Sender<()>),
    RetryNow,
    Refresh(RefreshAnswer),
}

/// Who asked for a refresh of the access token hears how long the new one lives.
pub(crate) type RefreshAnswer = oneshot::Sender<Result<Option<Duration>, RefreshErrorKind>>;

/// Whether anybody drives.
pub(crate) enum DriverState {
    /// In the middle of a turn, or not polled for the first time yet: it looks at everything before it sleeps.
    Awake,
    Asleep(Waker),
    Gone,
}

pub(crate) struct NewUpload {
    pub(crate) owner: u64,
    pub(crate) stream: InvocationId,
    pub(crate) upload: Upload,
}

/// A call or stream that somebody waits for.
pub(crate) enum Slot {
    Call {
        waker: Option<Waker>,
        outcome: Option<Result<Option<Payload>, CallErrorKind>>,
    },
    Stream {
        waker: Option<Waker>,
        items: VecDeque<Payload>,
        /// Items that may wait; one more ends the stream.
        limit: usize,
        end: Option<Result<(), CallErrorKind>>,
    },
}

impl Slot {
    pub(crate) const CALL: Self = Self::Call {
        waker: None,
        outcome: None,
    };
    pub(crate) const STREAM: Self = Self::Stream {
        waker: None,
        items: VecDeque::new(),
        limit: usize::MAX,
        end: None,
    };

    fn waker(&mut self) -> &mut Option<Waker> {
        match self {
            Self::Call { waker, .. } | Self::Stream { waker, .. } => waker,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        match self {
            Self::Call { outcome, .. } => outcome.is_none(),
            Self::Stream { end, .. } => end.is_none(),
        }
    }

    fn finish(&mut self, result: Result<Option<Payload>, CallErrorKind>) {
        match self {
            Self::Call { outcome, .. } => *outcome = Some(result),
            Self::Stream { end, .. } => *end = Some(result.map(|_| ())),
        }
    }
}

/// Sends that wait for their bytes to be handed to the transport, by the position where they end.
#[derive(Default)]
pub(crate) struct Sends {
    order: VecDeque<u64>,
    slots: HashMap<u64, SendSlot, BuildHasherDefault<IdHasher>>,
}

#[derive(Default)]
pub(crate) struct SendSlot {
    pub(crate) waker: Option<Waker>,
    pub(crate) outcome: Option<Result<(), CallErrorKind>>,
}

impl Sends {
    pub(crate) fn add(&mut self, position: u64) {
        self.order.push_back(position);
        self.slots.insert(position, SendSlot::default());
    }

    pub(crate) fn slot(&mut self, position: u64) -> Option<&mut SendSlot> {
        self.slots.get_mut(&position)
    }

    pub(crate) fn remove(&mut self, position: u64) {
        self.slots.remove(&position);
    }

    /// The transport took everything up to here.
    pub(crate) fn sent(&mut self, position: u64, wakers: &mut Vec<Waker>) {
        while let Some(first) = self
            .order
            .front()
            .copied()
            .filter(|first| *first <= position)
        {
            self.order.pop_front();
            self.finish(first, Ok(()), wakers);
        }
    }

    fn fail(&mut self, error: &CallErrorKind, wakers: &mut Vec<Waker>) {
        while let Some(first) = self.order.pop_front() {
            self.finish(first, Err(error.clone()), wakers);
        }
    }

    fn finish(
        &mut self,
        position: u64,
        outcome: Result<(), CallErrorKind>,
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(slot) = self.slots.get_mut(&position) {
            slot.outcome = Some(outcome);
            wakers.extend(slot.waker.take());
        }
    }
}

/// Deadlines of single calls. The driver's clock decides; the call's future is merely woken.
#[derive(Default)]
pub(crate) struct Alarms {
    last: u64,
    /// Set since the driver's last turn, which tells from when they count.
    new: Vec<(u64, Duration)>,
    deadlines: BTreeMap<(Instant, u64), ()>,
    states: HashMap<u64, Alarm, BuildHasherDefault<IdHasher>>,
}

enum Alarm {
    Set {
        deadline: Option<Instant>,
        waker: Option<Waker>,
    },
    Rung,
}

impl Alarms {
    pub(crate) fn set(&mut self, after: Duration) -> u64 {
        self.last += 1;
        self.new.push((self.last, after));
        self.states.insert(
            self.last,
            Alarm::Set {
                deadline: None,
                waker: None,
            },
        );
        self.last
    }

    /// Whether it rang; if not, `cx` is woken when it does.
    pub(crate) fn poll(&mut self, id: u64, cx: &Context<'_>) -> bool {
        match self.states.get_mut(&id) {
            Some(Alarm::Set { waker, .. }) => {
                remember(waker, cx);
                false
            }
            Some(Alarm::Rung) | None => true,
        }
    }

    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(Alarm::Set {
            deadline: Some(deadline),
            ..
        }) = self.states.remove(&id)
        {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Whether some do not count yet.
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines
            .first_key_value()
            .map(|((deadline, _), ())| *deadline)
    }

    /// Lets new alarms count from now and rings those that are due.
    pub(crate) fn advance(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        for (id, after) in self.new.drain(..) {
            if let Some(Alarm::Set { deadline, .. }) = self.states.get_mut(&id) {
                let due = now.after(after);
                *deadline = Some(due);
                self.deadlines.insert((due, id), ());
            }
        }
        while let Some(entry) = self
            .deadlines
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let ((_, id), ()) = entry.remove_entry();
            if let Some(Alarm::Set {
                waker: Some(waker), ..
            }) = self.states.insert(id, Alarm::Rung)
            {
                wakers.push(waker);
            }
        }
    }
}

/// Keeps the waker of `cx`, cloning it only when it is another one.
pub(crate) fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Ids here are numbers we count ourselves, so nobody can choose colliding ones.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing spreads consecutive numbers over all bits.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Inner {
    fn new(machine: ClientConnection) -> Self {
        Self {
            machine,
            now: Instant::ZERO,
            commands: VecDeque::new(),
            driver: DriverState::Awake,
            dirty: false,
            slots: HashMap::default(),
            sends: Sends::default(),
            new_uploads: Vec::new(),
            pumps: HashMap::default(),
            room: Vec::new(),
            losses: (0, None),
            watch: Watch::default(),
            alarms: Alarms::default(),
        }
    }

    /// The driver sleeps until this waker is used.
    pub(crate) fn sleep(&mut self, waker: &Waker) {
        self.driver = DriverState::Asleep(waker.clone());
    }

    /// Marks that there is something for the driver, and gives what wakes it if it sleeps; to be woken without the lock.
    #[must_use]
    pub(crate) fn touch(&mut self) -> Option<Waker> {
        self.dirty = true;
        if !matches!(self.driver, DriverState::Asleep(_)) {
            return None;
        }
        match core::mem::replace(&mut self.driver, DriverState::Awake) {
            DriverState::Asleep(waker) => Some(waker),
            DriverState::Awake | DriverState::Gone => None,
        }
    }

    /// Whether there is more for the driver than calls, which were written by those who made them.
    pub(crate) fn has_orders(&self) -> bool {
        !self.commands.is_empty() || !self.new_uploads.is_empty() || self.alarms.has_new()
    }

    /// Whether a call was just written while others are open.
    pub(crate) fn is_busy(&self) -> bool {
        self.dirty && self.slots.len() > 1
    }

    /// Whether a call waits for its answer, or a message for the transport to take it.
    pub(crate) fn waits_for_server(&self) -> bool {
        !self.room.is_empty()
            || !self.sends.order.is_empty()
            || self.slots.values().any(Slot::is_open)
    }

    /// `cx` is woken when there is room for more messages, and when the connection is lost.
    pub(crate) fn wait_for_room(&mut self, cx: &Context<'_>) {
        if !self.room.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.room.push(cx.waker().clone());
        }
    }

    pub(crate) fn wake_for_room(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.room);
    }

    pub(crate) fn complete(
        &mut self,
        id: InvocationId,
        outcome: Result<Option<Payload>, client::CallError>,
        wakers: &mut Vec<Waker>,
    ) {
        self.stop_pumps(id.number());
        if let Some(slot) = self.slots.get_mut(&id.number()) {
            slot.finish(outcome.map_err(CallErrorKind::from));
            wakers.extend(slot.waker().take());
        }
    }

    /// Lets no more items of a stream wait.
    pub(crate) fn bound(&mut self, id: InvocationId, max_waiting: usize) {
        if let Some(Slot::Stream { limit, .. }) = self.slots.get_mut(&id.number()) {
            *limit = max_waiting;
        }
    }

    pub(crate) fn item(&mut self, id: InvocationId, item: Payload, wakers: &mut Vec<Waker>) {
        let Some(Slot::Stream {
            waker,
            items,
            limit,
            end,
        }) = self.slots.get_mut(&id.number())
        else {
            return;
        };
        wakers.extend(waker.take());
        if items.len() < *limit {
            items.push_back(item);
            return;
        }
        *end = Some(Err(CallErrorKind::StreamOverflow { limit: *limit }));
        self.cancel(id);
    }

    /// Nobody waits for this call any more. Tells the server if it is still open.
    pub(crate) fn forget(&mut self, id: InvocationId) -> Option<Waker> {
        let open = self
            .slots
            .remove(&id.number())
            .is_some_and(|slot| slot.is_open());
        if !open {
            return None;
        }
        self.cancel(id);
        self.touch()
    }

    /// Tells the server that nobody wants this call any more.
    fn cancel(&mut self, id: InvocationId) {
        self.stop_pumps(id.number());
        let now = self.now;
        self.machine.cancel(now, id);
    }

    fn stop_pumps(&mut self, owner: u64) {
        if self.pumps.is_empty() && self.new_uploads.is_empty() {
            return;
        }
        self.new_uploads.retain(|upload| upload.owner != owner);
        for pump in self.pumps.remove(&owner).into_iter().flatten() {
            pump.abort();
        }
    }

    /// The connection is gone: calls were completed by the machine; the rest is told here.
    pub(crate) fn lose(&mut self, reason: &CloseReason, wakers: &mut Vec<Waker>) {
        self.losses = (self.losses.0 + 1, Some(reason.clone()));
        self.sends
            .fail(&CallErrorKind::ConnectionLost(reason.clone()), wakers);
        self.wake_for_room(wakers);
        self.new_uploads.clear();
        self.pumps
            .drain()
            .for_each(|(_, pumps)| pumps.iter().for_each(AbortHandle::abort));
    }

    /// The driver is gone: nobody else will ever answer.
    fn abandon(&mut self, wakers: &mut Vec<Waker>) {
        self.driver = DriverState::Gone;
        self.watch.end(wakers);
        self.commands.clear();
        for slot in self.slots.values_mut().filter(|slot| slot.is_open()) {
            slot.finish(Err(CallErrorKind::DriverGone));
            wakers.extend(slot.waker().take());
        }
        self.sends.fail(&CallErrorKind::DriverGone, wakers);
        self.wake_for_room(wakers);
    }

    /// How many connections have ended, for those who wait: see [`loss_since`](Self::loss_since).
    pub(crate) const fn losses(&self) -> u64 {
        self.losses.0
    }

    /// Why nobody can send what has waited since then, if that is why.
    pub(crate) fn loss_since(&self, losses: u64) -> Option<CallErrorKind> {
        if self.is_abandoned() {
            return Some(CallErrorKind::DriverGone);
        }
        let reason = self.losses.1.clone().filter(|_| self.losses.0 > losses);
        reason.map(CallErrorKind::ConnectionLost)
    }

    /// Whether nobody drives any more, which the machine knows nothing of: nothing will ever happen here again.
    pub(crate) const fn is_abandoned(&self) -> bool {
        matches!(self.driver, DriverState::Gone)
    }

    /// What the connection is doing; without a driver it is over, whatever the machine was about to do.
    pub(crate) fn state(&self) -> ConnectionState {
        if self.is_abandoned() {
            ConnectionState::Disconnected
        } else {
            self.machine.state()
        }
    }

    /// Why a call was refused.
    pub(crate) fn refusal(&self, error: SendError) -> CallErrorKind {
        if self.is_abandoned() {
            CallErrorKind::DriverGone
        } else {
            error.into()
        }
    }
}

impl Shared {
    pub(crate) fn new(
        machine: ClientConnection,
        token: Option<TokenProvider>,
        [decider, start_decider]: [Option<Decider>; 2],
        handler_queue: usize,
        ignore_case: bool,
    ) -> Self {
        Self {
            address: machine.config().url.to_string().into(),
            inner: Mutex::new(Inner::new(machine)),
            handlers: Registry::new(ignore_case),
            listeners: Listeners::default(),
            token,
            decider,
            start_decider,
            handler_queue,
            #[cfg(feature = "net")]
            launcher: Mutex::new(None),
            handles: AtomicUsize::new(0),
        }
    }

    /// A panic in a value's `Serialize` must not take the connection along, so poison is ignored.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a command to the driver. Without one the command is dropped, and whoever waits for its answer hears that.
    pub(crate) fn command(&self, command: Command) {
        let waker = {
            let mut inner = self.lock();
            if inner.is_abandoned() {
                return;
            }
            inner.commands.push_back(command);
            inner.touch()
        };
        wake(waker);
    }

    /// Whether all handles are gone.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.handles.load(Ordering::Acquire) == 0
    }

    /// The driver was dropped or has ended.
    pub(crate) fn driver_gone(&self) {
        let mut wakers = Vec::new();
        self.lock().abandon(&mut wakers);
        self.listeners.end();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Drivers that runtimes run.
#[cfg(feature = "net")]
impl Shared {
    fn launcher(&self) -> MutexGuard<'_, Option<Launcher>> {
        self.launcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_launcher(&self, launcher: Launcher) {
        *self.launcher() = Some(launcher);
    }

    /// Spawns the driver if that is still to be done.
    pub(crate) fn launch(&self) -> Result<(), StartErrorKind> {
        let mut launcher = self.launcher();
        if let Some(waiting) = launcher.as_mut() {
            waiting
                .launch()
                .map_err(|error| StartErrorKind::NoRuntime {
                    detail: error.to_string().into(),
                })?;
            *launcher = None;
        }
        Ok(())
    }

    /// Whether the driver was ever started, as far as is known here.
    pub(crate) fn is_launched(&self) -> bool {
        self.launcher().is_none()
    }

    /// A driver that never ran holds the connection, and the connection holds it: breaks the circle.
    fn forget_driver(&self) {
        let driver = self.launcher().take();
        drop(driver);
    }
}

/// Drivers are the application's to run.
#[cfg(not(feature = "net"))]
#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "with the feature `net` it is otherwise"
)]
impl Shared {
    pub(crate) const fn launch(&self) -> Result<(), StartErrorKind> {
        Ok(())
    }

    pub(crate) const fn is_launched(&self) -> bool {
        true
    }

    const fn forget_driver(&self) {}
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Counts handles; the last one to go stops the connection.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let waker = self.shared.lock().touch();
        wake(waker);
        self.shared.forget_driver();
    }
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
