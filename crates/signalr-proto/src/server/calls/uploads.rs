//! The upload streams of running calls: which items go to the method at once, and which wait for it.

use core::mem;
use std::collections::{HashMap, VecDeque};

use bytestring::ByteString;

use super::id::CallId;
use crate::codec::Payload;

/// What an item that waits costs beside its bytes.
const ITEM_COST: usize = 64;

const REPLACED: &str = "The client began another stream with the same id.";

/// Something for the method that reads an upload. `upload` counts the uploads of its call.
#[derive(Debug, PartialEq)]
pub(crate) enum UploadEvent {
    Item {
        call: CallId,
        upload: usize,
        item: Payload,
    },
    Ended {
        call: CallId,
        upload: usize,
        error: Option<Box<str>>,
    },
}

/// Where an item or the end of an upload went.
#[derive(Debug, PartialEq)]
pub(crate) enum Routed {
    /// To its method.
    Now(UploadEvent),
    /// Behind the items that wait for their method: see [`next_upload_event`](super::Calls::next_upload_event).
    Later,
    /// There is no such upload, or nobody reads it any more.
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    call: CallId,
    upload: usize,
}

#[derive(Debug)]
pub(super) struct Uploads {
    capacity: usize,
    max_waiting_bytes: usize,
    /// The open ones by their ids.
    ids: HashMap<ByteString, Key>,
    calls: HashMap<CallId, Vec<Upload>>,
    /// Those that may have an event; each at most once.
    ready: VecDeque<Key>,
    waiting: Waiting,
    hungry: usize,
}

#[derive(Debug)]
struct Upload {
    id: ByteString,
    /// Items the method can take before it says so.
    credit: usize,
    waiting: VecDeque<Payload>,
    end: End,
    /// The method waits for an item.
    hungry: bool,
    /// It is among those that may have an event.
    queued: bool,
}

#[derive(Debug)]
enum End {
    /// More items may come.
    Open,
    /// The end is behind the items that wait.
    Coming(Option<Box<str>>),
    Told,
}

/// Items of all uploads that wait for credit.
#[derive(Debug, Default)]
struct Waiting {
    items: usize,
    bytes: usize,
}

impl Uploads {
    pub(super) fn new(capacity: usize, max_waiting_bytes: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            max_waiting_bytes,
            ids: HashMap::new(),
            calls: HashMap::new(),
            ready: VecDeque::new(),
            waiting: Waiting::default(),
            hungry: 0,
        }
    }

    /// Expects the uploads of a call. An id that is in use goes over to the new upload, and the old one has ended.
    pub(super) fn begin(&mut self, call: CallId, ids: &[ByteString]) {
        if ids.is_empty() {
            return;
        }
        let uploads = ids.iter().map(|id| Upload::new(id.clone(), self.capacity));
        self.calls.insert(call, uploads.collect());
        for (upload, id) in ids.iter().enumerate() {
            if let Some(old) = self.ids.insert(id.clone(), Key { call, upload }) {
                self.close(old, Some(REPLACED.into()));
            }
        }
    }

    /// Forgets the uploads of a call: nobody reads them any more.
    pub(super) fn end(&mut self, call: CallId) {
        for (upload, mut gone) in (0..).zip(self.calls.remove(&call).into_iter().flatten()) {
            if self.ids.get(&gone.id) == Some(&Key { call, upload }) {
                self.ids.remove(&gone.id);
            }
            for item in gone.waiting.drain(..) {
                self.waiting.remove(&item);
            }
            self.hungry = self.hungry.saturating_sub(usize::from(gone.hungry));
        }
    }

    pub(super) fn item(&mut self, id: &str, item: Payload) -> Routed {
        let Some((key, upload)) = find(&self.ids, &mut self.calls, id) else {
            return Routed::Nobody;
        };
        if upload.credit > 0 && upload.waiting.is_empty() {
            upload.credit -= 1;
            self.hungry = self.hungry.saturating_sub(upload.sate());
            return Routed::Now(key.item(item));
        }
        if !self.waiting.has_room(&item, self.max_waiting_bytes) {
            return self.ended(id, Some(overfull(self.max_waiting_bytes)));
        }
        self.waiting.add(&item);
        upload.waiting.push_back(item);
        Routed::Later
    }

    pub(super) fn ended(&mut self, id: &str, error: Option<Box<str>>) -> Routed {
        let Some((key, upload)) = find(&self.ids, &mut self.calls, id) else {
            return Routed::Nobody;
        };
        self.ids.remove(id);
        if upload.waiting.is_empty() {
            upload.end = End::Told;
            self.hungry = self.hungry.saturating_sub(upload.sate());
            return Routed::Now(key.ended(error));
        }
        upload.end = End::Coming(error);
        Routed::Later
    }

    pub(super) fn credit(&mut self, call: CallId, upload: usize, items: usize) {
        let key = Key { call, upload };
        if let Some(upload) = get(&mut self.calls, key) {
            upload.credit = upload.credit.saturating_add(items).min(self.capacity);
            self.queue(key);
        }
    }

    pub(super) fn hungry(&mut self, call: CallId, upload: usize) {
        let Some(upload) = get(&mut self.calls, Key { call, upload }) else {
            return;
        };
        if !upload.hungry && !matches!(upload.end, End::Told) {
            upload.hungry = true;
            self.hungry = self.hungry.saturating_add(1);
        }
    }

    pub(super) fn next_event(&mut self) -> Option<UploadEvent> {
        while let Some(&key) = self.ready.front() {
            if let Some(upload) = get(&mut self.calls, key) {
                if let Some(event) = upload.next_event(key) {
                    self.hungry = self.hungry.saturating_sub(upload.sate());
                    if let UploadEvent::Item { item, .. } = &event {
                        self.waiting.remove(item);
                    }
                    return Some(event);
                }
                upload.queued = false;
            }
            self.ready.pop_front();
        }
        None
    }

    pub(super) const fn blocks_reading(&self, answer_awaited: bool) -> bool {
        self.waiting.items > 0 && self.hungry == 0 && !answer_awaited
    }

    /// Ends an upload whose id is another's by now.
    fn close(&mut self, key: Key, error: Option<Box<str>>) {
        if let Some(upload) = get(&mut self.calls, key) {
            upload.end = End::Coming(error);
            self.queue(key);
        }
    }

    fn queue(&mut self, key: Key) {
        if let Some(upload) = get(&mut self.calls, key).filter(|upload| !upload.queued) {
            upload.queued = true;
            self.ready.push_back(key);
        }
    }
}

fn get(calls: &mut HashMap<CallId, Vec<Upload>>, key: Key) -> Option<&mut Upload> {
    calls.get_mut(&key.call)?.get_mut(key.upload)
}

fn find<'a>(
    ids: &HashMap<ByteString, Key>,
    calls: &'a mut HashMap<CallId, Vec<Upload>>,
    id: &str,
) -> Option<(Key, &'a mut Upload)> {
    let key = *ids.get(id)?;
    Some((key, get(calls, key)?))
}

fn overfull(limit: usize) -> Box<str> {
    format!("Items that wait for their turn exceed the limit of {limit} bytes.").into()
}

impl Key {
    const fn item(self, item: Payload) -> UploadEvent {
        let Self { call, upload } = self;
        UploadEvent::Item { call, upload, item }
    }

    const fn ended(self, error: Option<Box<str>>) -> UploadEvent {
        let Self { call, upload } = self;
        UploadEvent::Ended {
            call,
            upload,
            error,
        }
    }
}

impl Upload {
    const fn new(id: ByteString, credit: usize) -> Self {
        Self {
            id,
            credit,
            waiting: VecDeque::new(),
            end: End::Open,
            hungry: false,
            queued: false,
        }
    }

    /// The method has got something. How many hungry ones there are less.
    fn sate(&mut self) -> usize {
        usize::from(mem::take(&mut self.hungry))
    }

    fn next_event(&mut self, key: Key) -> Option<UploadEvent> {
        if self.waiting.is_empty() {
            return match mem::replace(&mut self.end, End::Told) {
                End::Coming(error) => Some(key.ended(error)),
                end @ (End::Open | End::Told) => {
                    self.end = end;
                    None
                }
            };
        }
        self.credit = self.credit.checked_sub(1)?;
        self.waiting.pop_front().map(|item| key.item(item))
    }
}

impl Waiting {
    /// One item of any size may wait.
    fn has_room(&self, item: &Payload, limit: usize) -> bool {
        self.items == 0 || self.bytes.saturating_add(cost(item)) <= limit
    }

    fn add(&mut self, item: &Payload) {
        self.items = self.items.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost(item));
    }

    fn remove(&mut self, item: &Payload) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(cost(item));
    }
}

fn cost(item: &Payload) -> usize {
    item.as_bytes().len().saturating_add(ITEM_COST)
}

#[cfg(test)]
impl Uploads {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.calls.is_empty()
            && self.waiting.items == 0
            && self.waiting.bytes == 0
            && self.hungry == 0
    }
}
