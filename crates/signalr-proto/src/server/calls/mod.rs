//! Which calls run on a connection, and which one waits for its turn.
//!
//! Plain calls (no stream in either direction) take one of a few permits; without one the next waits here, and nothing behind it
//! is to be read ([SB-22](crate::spec::server_behaviour#sb-22)). Calls with streams take none, but their streams are counted. A
//! plain call that waits for its client has given its permit back, and such calls are counted too, so that no kind of call can pile
//! up.

mod id;
mod uploads;

use std::collections::HashMap;

use bytestring::ByteString;

pub use self::id::CallId;
use self::uploads::Uploads;
pub(crate) use self::uploads::{Routed, UploadEvent};
use super::refusal::Refusal;
use crate::codec::{Invocation, Payload};

/// What an answer needs to know of its call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallInfo {
    /// `None` when the client wants no answer.
    pub(crate) invocation_id: Option<ByteString>,
    pub(crate) target: ByteString,
    pub(crate) streaming: bool,
}

/// What becomes of a call that came in.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    Run(CallId),
    /// It has to wait for another one's permit: see [`Calls::hold`].
    Wait,
    Refused(Refusal<'static>),
}

/// The table of calls. Places are used again, so that plain calls cost no allocation once as many have run at one time.
#[derive(Debug)]
pub(crate) struct Calls {
    places: Vec<Place>,
    free: Option<usize>,
    last_serial: u64,
    /// One at most, and its serial. A list keeps its room for the next one.
    held: Vec<(u64, Invocation)>,
    /// Plain calls that hold a permit, and how many may.
    plain: usize,
    permits: usize,
    /// Plain calls that gave theirs back.
    released: usize,
    streams: usize,
    /// Bounds `released` and `streams`, each by itself.
    max_streams: usize,
    capacity: usize,
    max_waiting_item_bytes: usize,
    /// Made for the first call with streams: most connections have none.
    streaming: Option<Box<Streaming>>,
}

/// What is kept of calls with streams.
#[derive(Debug)]
struct Streaming {
    /// The calls by their ids. A client chooses ids, so the map's own random keys keep it from choosing those that
    /// collide; nothing that is put out depends on them.
    ids: HashMap<ByteString, CallId>,
    uploads: Uploads,
}

/// The place of a call that waits: none.
const HELD: usize = usize::MAX;

/// Calls with streams for which an idle connection keeps room.
const FEW: usize = 16;

#[derive(Debug)]
enum Place {
    Free { next: Option<usize> },
    Taken(Running),
}

#[derive(Debug)]
struct Running {
    serial: u64,
    info: CallInfo,
    counts_as: CountsAs,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum CountsAs {
    Plain,
    /// Plain, and its permit was given back.
    Released,
    /// With this many streams.
    Streams(usize),
}

impl Calls {
    /// At most `permits` plain calls run at one time, and `max_streams` streams. Each upload may be `capacity` items ahead of its
    /// method, and items beyond that may take `max_waiting_item_bytes`.
    pub(crate) fn new(
        permits: usize,
        max_streams: usize,
        capacity: usize,
        max_waiting_item_bytes: usize,
    ) -> Self {
        Self {
            places: Vec::new(),
            free: None,
            last_serial: 0,
            held: Vec::new(),
            plain: 0,
            permits: permits.max(1),
            released: 0,
            streams: 0,
            max_streams,
            capacity,
            max_waiting_item_bytes,
            streaming: None,
        }
    }

    /// A call came in.
    pub(crate) fn begin(&mut self, streaming: bool, invocation: &Invocation) -> Begun {
        if !streaming && invocation.stream_ids.is_empty() {
            return self.begin_plain(invocation);
        }
        let id = invocation.invocation_id.as_ref().filter(|_| streaming);
        if let Some(id) = id.filter(|id| self.call_with_streams(id).is_some()) {
            let id = id.clone();
            return Begun::Refused(Refusal::InUse { id });
        }
        let streams = invocation.stream_ids.len().max(1);
        if streams > self.max_streams.saturating_sub(self.streams) {
            return Begun::Refused(Refusal::TooManyCalls);
        }
        self.streams = self.streams.saturating_add(streams);
        let call = self.place(streaming, invocation, CountsAs::Streams(streams));
        let (capacity, max_bytes) = (self.capacity, self.max_waiting_item_bytes);
        let streaming = self.streaming.get_or_insert_with(|| {
            Box::new(Streaming {
                ids: HashMap::new(),
                uploads: Uploads::new(capacity, max_bytes),
            })
        });
        streaming.uploads.begin(call, &invocation.stream_ids);
        // When two calls that are no streams have one id, the first is the one that can be cancelled by it.
        if let Some(id) = &invocation.invocation_id {
            streaming.ids.entry(id.clone()).or_insert(call);
        }
        Begun::Run(call)
    }

    fn call_with_streams(&self, id: &str) -> Option<CallId> {
        self.streaming.as_ref()?.ids.get(id).copied()
    }

    fn begin_plain(&mut self, invocation: &Invocation) -> Begun {
        if self.released >= self.max_streams.max(1) || self.is_holding() {
            Begun::Refused(Refusal::TooManyCalls)
        } else if self.plain >= self.permits {
            Begun::Wait
        } else {
            Begun::Run(self.run_plain(invocation))
        }
    }

    fn run_plain(&mut self, invocation: &Invocation) -> CallId {
        self.plain = self.plain.saturating_add(1);
        self.place(false, invocation, CountsAs::Plain)
    }

    /// Keeps a call that has to wait. There is one at most, as nothing behind it is to be read. Its name serves until its turn comes.
    pub(crate) fn hold(&mut self, invocation: Invocation) -> CallId {
        let serial = self.next_serial();
        self.held.reserve_exact(1);
        self.held.push((serial, invocation));
        CallId {
            index: HELD,
            serial,
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.last_serial = self.last_serial.wrapping_add(1);
        self.last_serial
    }

    /// Forgets the call that waits, if it is this one.
    fn end_held(&mut self, call: CallId) -> Option<CallInfo> {
        if self.held.last()?.0 != call.serial {
            return None;
        }
        let (_, invocation) = self.held.pop()?;
        Some(CallInfo {
            invocation_id: invocation.invocation_id,
            target: invocation.target,
            streaming: false,
        })
    }

    fn place(&mut self, streaming: bool, invocation: &Invocation, counts_as: CountsAs) -> CallId {
        let serial = self.next_serial();
        let running = Running {
            serial,
            info: CallInfo {
                invocation_id: invocation.invocation_id.clone(),
                target: invocation.target.clone(),
                streaming,
            },
            counts_as,
        };
        let free = self.free.and_then(|index| {
            let place = self.places.get_mut(index)?;
            Some((index, place))
        });
        let index = if let Some((index, place)) = free {
            if let Place::Free { next } = core::mem::replace(place, Place::Taken(running)) {
                self.free = next;
            }
            index
        } else {
            if self.places.is_empty() {
                // Most clients have one call at a time.
                self.places.reserve_exact(1);
            }
            self.places.push(Place::Taken(running));
            self.places.len().saturating_sub(1)
        };
        CallId { index, serial }
    }

    /// The call that waited for its turn, when its turn has come.
    pub(crate) fn next_held(&mut self) -> Option<(CallId, Invocation)> {
        if self.plain >= self.permits {
            return None;
        }
        let (_, invocation) = self.held.pop()?;
        Some((self.run_plain(&invocation), invocation))
    }

    /// Whether a call waits for its turn, and everything that was sent behind it too.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    fn running(&self, call: CallId) -> Option<&Running> {
        match self.places.get(call.index)? {
            Place::Taken(running) if running.serial == call.serial => Some(running),
            Place::Taken(_) | Place::Free { .. } => None,
        }
    }

    pub(crate) fn info(&self, call: CallId) -> Option<&CallInfo> {
        self.running(call).map(|running| &running.info)
    }

    /// Forgets a call with its permit, its id and its uploads.
    pub(crate) fn end(&mut self, call: CallId) -> Option<CallInfo> {
        if call.index == HELD {
            return self.end_held(call);
        }
        self.running(call)?;
        let free = Place::Free { next: self.free };
        let place = core::mem::replace(self.places.get_mut(call.index)?, free);
        self.free = Some(call.index);
        let Place::Taken(Running {
            info, counts_as, ..
        }) = place
        else {
            return None;
        };
        match counts_as {
            CountsAs::Plain => self.plain = self.plain.saturating_sub(1),
            CountsAs::Released => self.released = self.released.saturating_sub(1),
            CountsAs::Streams(streams) => {
                self.streams = self.streams.saturating_sub(streams);
                self.end_streams(call, &info);
            }
        }
        Some(info)
    }

    fn end_streams(&mut self, call: CallId, info: &CallInfo) {
        let Some(streaming) = &mut self.streaming else {
            return;
        };
        streaming.uploads.end(call);
        if let Some(id) = &info.invocation_id {
            if streaming.ids.get(id) == Some(&call) {
                streaming.ids.remove(id);
            }
        }
        // An idle connection does not keep the room of a busy one.
        if self.streams == 0 && streaming.ids.capacity() > FEW {
            self.streaming = None;
        }
    }

    /// The method waits for its client, whose answer may be behind another call: its permit goes back, once.
    pub(crate) fn release(&mut self, call: CallId) {
        let Some(Place::Taken(running)) = self.places.get_mut(call.index) else {
            return;
        };
        if running.serial == call.serial && running.counts_as == CountsAs::Plain {
            running.counts_as = CountsAs::Released;
            self.plain = self.plain.saturating_sub(1);
            self.released = self.released.saturating_add(1);
        }
    }

    /// The call that the client cancels: the one with streams, or else the oldest plain one. It runs on until its end.
    pub(crate) fn cancel(&self, invocation_id: &str) -> Option<CallId> {
        self.call_with_streams(invocation_id)
            .or_else(|| self.oldest_plain(invocation_id))
    }

    fn oldest_plain(&self, invocation_id: &str) -> Option<CallId> {
        if self.plain == 0 && self.released == 0 {
            return None;
        }
        let calls = self.places.iter().enumerate().filter_map(|(index, place)| {
            let Place::Taken(running) = place else {
                return None;
            };
            let serial = running.serial;
            (running.is_plain() && running.info.invocation_id.as_deref() == Some(invocation_id))
                .then_some(CallId { index, serial })
        });
        calls.min_by_key(|call| call.serial)
    }

    /// An item of an upload came.
    pub(crate) fn item(&mut self, stream_id: &str, item: Payload) -> Routed {
        match &mut self.streaming {
            Some(streaming) => streaming.uploads.item(stream_id, item),
            None => Routed::Nobody,
        }
    }

    /// The client ended an upload; [`Routed::Nobody`] when the id names none.
    pub(crate) fn upload_ended(&mut self, stream_id: &str, error: Option<Box<str>>) -> Routed {
        match &mut self.streaming {
            Some(streaming) => streaming.uploads.ended(stream_id, error),
            None => Routed::Nobody,
        }
    }

    /// The method has taken so many items of its upload.
    pub(crate) fn credit(&mut self, call: CallId, upload: usize, items: usize) {
        if let Some(streaming) = &mut self.streaming {
            streaming.uploads.credit(call, upload, items);
        }
    }

    /// The method waits for an item of its upload and has taken all before it.
    pub(crate) fn hungry(&mut self, call: CallId, upload: usize) {
        if let Some(streaming) = &mut self.streaming {
            streaming.uploads.hungry(call, upload);
        }
    }

    /// What became of uploads through credit. To be asked before anything else is read.
    pub(crate) fn next_upload_event(&mut self) -> Option<UploadEvent> {
        self.streaming.as_mut()?.uploads.next_event()
    }

    /// Whether the client is to wait: for a permit, or until a method takes items. Not for items while a method waits for
    /// something that may be behind them, be it an item of another upload or, if `answer_awaited`, the answer to a question.
    pub(crate) fn blocks_reading(&self, answer_awaited: bool) -> bool {
        let streaming = self.streaming.as_ref();
        self.is_holding()
            || streaming.is_some_and(|streaming| streaming.uploads.blocks_reading(answer_awaited))
    }
}

impl Running {
    const fn is_plain(&self) -> bool {
        matches!(self.counts_as, CountsAs::Plain | CountsAs::Released)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
