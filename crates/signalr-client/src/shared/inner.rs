//! What stands behind the lock: the machine, and who waits for what.

use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use futures_channel::oneshot;
use futures_util::future::AbortHandle;
use signalr_proto::client::{self, ClientConnection, ConnectionState, InvocationId};
use signalr_proto::{CloseReason, Instant, Payload, SendError};

use super::alarms::Alarms;
use super::sends::Sends;
use super::slots::{IdHasher, Slot};
use super::watch::Watch;
use crate::error::{CallErrorKind, RefreshErrorKind, StartErrorKind};
use crate::upload::Upload;

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

impl Inner {
    pub(super) fn new(machine: ClientConnection) -> Self {
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
        !self.room.is_empty() || !self.sends.is_empty() || self.slots.values().any(Slot::is_open)
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
    pub(super) fn abandon(&mut self, wakers: &mut Vec<Waker>) {
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
