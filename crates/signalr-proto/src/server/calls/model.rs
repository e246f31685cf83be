//! The table against a model that keeps everything in lists.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::codec::{Arguments, Protocol};

const PERMITS: usize = 2;
const MAX_STREAMS: usize = 4;
const CAPACITY: usize = 2;
const MAX_WAITING: usize = 400;

#[derive(Clone, Debug)]
enum Step {
    Begin {
        streaming: bool,
        id: u8,
        streams: Vec<u8>,
    },
    End(usize),
    Release(usize),
    Cancel(u8),
    NextHeld,
    EndHeld,
    Item(u8, usize),
    UploadEnded(u8, bool),
    Credit(usize, usize, usize),
    Hungry(usize, usize),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 0_usize..12;
    let upload = || 0_usize..3;
    prop_oneof![
        6 => (any::<bool>(), 0_u8..5, proptest::collection::vec(0_u8..4, 0..3)).prop_map(
            |(streaming, id, streams)| Step::Begin { streaming, id, streams }
        ),
        3 => call().prop_map(Step::End),
        2 => call().prop_map(Step::Release),
        1 => (0_u8..5).prop_map(Step::Cancel),
        3 => Just(Step::NextHeld),
        1 => Just(Step::EndHeld),
        12 => (0_u8..4, 0_usize..120).prop_map(|(stream, size)| Step::Item(stream, size)),
        3 => (0_u8..4, any::<bool>()).prop_map(|(stream, failed)| Step::UploadEnded(stream, failed)),
        5 => (call(), upload(), 1_usize..4).prop_map(|(call, upload, items)| {
            Step::Credit(call, upload, items)
        }),
        3 => (call(), upload()).prop_map(|(call, upload)| Step::Hungry(call, upload)),
        5 => Just(Step::Poll),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    Item(usize),
    End(bool),
}

#[derive(Debug)]
struct ModelUpload {
    name: String,
    /// Whether the name is still its own.
    open: bool,
    told: bool,
    credit: usize,
    waiting: VecDeque<Said>,
    hungry: bool,
}

impl ModelUpload {
    fn is_ready(&self) -> bool {
        match self.waiting.front() {
            Some(Said::Item(_)) => self.credit > 0,
            Some(Said::End(_)) => true,
            None => false,
        }
    }

    /// The method gets what is next.
    fn take(&mut self) -> Said {
        let said = self.waiting.pop_front().unwrap();
        self.hungry = false;
        match said {
            Said::Item(_) => self.credit -= 1,
            Said::End(_) => self.told = true,
        }
        said
    }
}

#[derive(Debug)]
struct ModelCall {
    call: CallId,
    id: String,
    /// Whether its id is in use because of it.
    names: bool,
    plain: bool,
    released: bool,
    uploads: Vec<ModelUpload>,
}

#[derive(Default)]
struct Model {
    running: Vec<ModelCall>,
    held: Option<(CallId, String)>,
    /// Every call there ever was.
    all: Vec<CallId>,
}

impl Model {
    fn permits_left(&self) -> bool {
        let taken = self
            .running
            .iter()
            .filter(|call| call.plain && !call.released);
        taken.count() < PERMITS
    }

    fn released(&self) -> usize {
        self.running.iter().filter(|call| call.released).count()
    }

    fn streams(&self) -> usize {
        let calls = self.running.iter().filter(|call| !call.plain);
        calls.map(|call| call.uploads.len().max(1)).sum()
    }

    fn uploads(&self) -> impl Iterator<Item = &ModelUpload> {
        self.running.iter().flat_map(|call| &call.uploads)
    }

    fn uploads_mut(&mut self) -> impl Iterator<Item = &mut ModelUpload> {
        self.running.iter_mut().flat_map(|call| &mut call.uploads)
    }

    fn open(&mut self, name: &str) -> Option<&mut ModelUpload> {
        self.uploads_mut()
            .find(|upload| upload.open && upload.name == name)
    }

    fn waiting_items(&self) -> Vec<usize> {
        let all = self.uploads().flat_map(|upload| &upload.waiting);
        all.filter_map(|said| match said {
            Said::Item(size) => Some(*size),
            Said::End(_) => None,
        })
        .collect()
    }

    /// The call by its age, also one that is over.
    fn nth(&self, n: usize) -> Option<CallId> {
        let back = n.checked_add(1)?;
        self.all
            .len()
            .checked_sub(back)
            .map(|index| self.all[index])
    }

    /// The call with streams that has the id.
    fn named(&self, id: &str) -> Option<&ModelCall> {
        self.running.iter().find(|call| call.names && call.id == id)
    }

    fn get(&mut self, call: CallId) -> Option<&mut ModelCall> {
        self.running.iter_mut().find(|running| running.call == call)
    }

    fn begin(&mut self, call: CallId, id: &str, plain: bool, streams: &[String]) {
        let names = !plain && self.named(id).is_none();
        self.all.push(call);
        self.running.push(ModelCall {
            names,
            call,
            id: id.to_owned(),
            plain,
            released: false,
            uploads: Vec::new(),
        });
        for name in streams {
            if let Some(old) = self.open(name) {
                old.open = false;
                old.waiting.push_back(Said::End(true));
            }
            self.get(call).unwrap().uploads.push(ModelUpload {
                name: name.clone(),
                open: true,
                told: false,
                credit: CAPACITY,
                waiting: VecDeque::new(),
                hungry: false,
            });
        }
    }
}

fn said(event: &UploadEvent) -> (CallId, usize, Said) {
    match event {
        UploadEvent::Item { call, upload, item } => {
            (*call, *upload, Said::Item(item.as_bytes().len()))
        }
        UploadEvent::Ended {
            call,
            upload,
            error,
        } => (*call, *upload, Said::End(error.is_some())),
    }
}

struct Both {
    calls: Calls,
    model: Model,
}

impl Both {
    fn step(&mut self, step: Step) {
        match step {
            Step::Begin {
                streaming,
                id,
                streams,
            } => self.begin(streaming, &id.to_string(), &streams),
            Step::End(n) => self.end(n),
            Step::Release(n) => self.release(n),
            Step::Cancel(id) => self.cancel(&id.to_string()),
            Step::NextHeld => self.next_held(),
            Step::EndHeld => self.end_held(),
            Step::Item(stream, size) => self.item(&format!("u{stream}"), size),
            Step::UploadEnded(stream, failed) => self.ended(&format!("u{stream}"), failed),
            Step::Credit(n, upload, items) => self.credit(n, upload, items),
            Step::Hungry(n, upload) => self.hungry(n, upload),
            Step::Poll => self.poll(),
        }
        self.agree();
    }

    fn begin(&mut self, streaming: bool, id: &str, streams: &[u8]) {
        let streams: Vec<String> = streams.iter().map(|name| format!("u{name}")).collect();
        let invocation = Invocation {
            headers: Vec::new(),
            invocation_id: Some(id.into()),
            target: "T".into(),
            arguments: Arguments::empty(Protocol::Json),
            stream_ids: streams.iter().map(|name| name.as_str().into()).collect(),
        };
        let plain = !streaming && streams.is_empty();
        let in_use = streaming && self.model.named(id).is_some();
        let too_many = if plain {
            self.model.released() >= MAX_STREAMS || self.model.held.is_some()
        } else {
            self.model.streams() + streams.len().max(1) > MAX_STREAMS
        };
        match self.calls.begin(streaming, &invocation) {
            Begun::Refused(Refusal::InUse { .. }) => assert!(in_use),
            Begun::Refused(_) => assert!(too_many && !in_use),
            Begun::Wait => {
                let call = self.calls.hold(invocation);
                assert!(plain && !too_many && !self.model.permits_left());
                assert!(!self.model.all.contains(&call) && self.calls.info(call).is_none());
                self.model.held = Some((call, id.to_owned()));
            }
            Begun::Run(call) => {
                assert!(!in_use && !too_many && (!plain || self.model.permits_left()));
                self.model.begin(call, id, plain, &streams);
            }
        }
    }

    fn end(&mut self, n: usize) {
        let Some(call) = self.model.nth(n) else {
            return;
        };
        let info = self.calls.end(call);
        let known = self.model.get(call).map(|known| known.id.clone());
        assert_eq!(
            info.and_then(|info| info.invocation_id).as_deref(),
            known.as_deref()
        );
        self.model.running.retain(|running| running.call != call);
    }

    fn release(&mut self, n: usize) {
        let Some(call) = self.model.nth(n) else {
            return;
        };
        self.calls.release(call);
        if let Some(known) = self.model.get(call).filter(|known| known.plain) {
            known.released = true;
        }
    }

    fn cancel(&mut self, id: &str) {
        let plain = self
            .model
            .running
            .iter()
            .find(|call| call.plain && call.id == id);
        let expected = self.model.named(id).or(plain).map(|known| known.call);
        assert_eq!(self.calls.cancel(id), expected);
    }

    fn next_held(&mut self) {
        let turn = self
            .model
            .permits_left()
            .then(|| self.model.held.take())
            .flatten();
        let next = self.calls.next_held();
        assert_eq!(next.is_some(), turn.is_some());
        if let (Some((call, _)), Some((waited, id))) = (next, turn) {
            assert_eq!(self.calls.end(waited), None, "it has another name now");
            self.model.begin(call, &id, true, &[]);
        }
    }

    fn end_held(&mut self) {
        if let Some((call, id)) = self.model.held.take() {
            let info = self.calls.end(call).expect("it waits");
            assert_eq!(info.invocation_id.as_deref(), Some(&*id));
            assert_eq!(self.calls.end(call), None);
        }
    }

    fn item(&mut self, name: &str, size: usize) {
        let waiting = self.model.waiting_items();
        let bytes: usize = waiting.iter().map(|size| size + 64).sum();
        let fits = waiting.is_empty() || bytes + size + 64 <= MAX_WAITING;
        let bytes = Bytes::from(vec![b'1'; size]);
        let routed = self.calls.item(name, Payload::new(Protocol::Json, bytes));
        let Some(upload) = self.model.open(name) else {
            return assert_eq!(routed, Routed::Nobody);
        };
        let waits = !upload.waiting.is_empty() || upload.credit == 0;
        if waits && !fits {
            upload.waiting.push_back(Said::End(true));
            upload.open = false;
        } else {
            upload.waiting.push_back(Said::Item(size));
        }
        self.routed(name, &routed);
    }

    fn ended(&mut self, name: &str, failed: bool) {
        let routed = self.calls.upload_ended(name, failed.then(|| "no".into()));
        let Some(upload) = self.model.open(name) else {
            return assert_eq!(routed, Routed::Nobody);
        };
        upload.waiting.push_back(Said::End(failed));
        upload.open = false;
        self.routed(name, &routed);
    }

    /// What just came is handed out at once if it can be, and nothing waits before it.
    fn routed(&mut self, name: &str, routed: &Routed) {
        match routed {
            Routed::Nobody => panic!("{name} is an upload"),
            Routed::Now(event) => {
                let (call, upload, said) = said(event);
                let upload = &mut self.model.get(call).unwrap().uploads[upload];
                assert!(upload.name == name && upload.waiting.len() == 1 && upload.is_ready());
                assert_eq!(upload.take(), said);
            }
            Routed::Later => {
                let mut named = self.model.uploads().filter(|upload| upload.name == name);
                assert!(named.any(|upload| upload.waiting.len() > 1 || !upload.is_ready()));
            }
        }
    }

    fn credit(&mut self, n: usize, upload: usize, items: usize) {
        let Some(call) = self.model.nth(n) else {
            return;
        };
        self.calls.credit(call, upload, items);
        let known = self
            .model
            .get(call)
            .and_then(|call| call.uploads.get_mut(upload));
        if let Some(upload) = known {
            upload.credit = (upload.credit + items).min(CAPACITY);
        }
    }

    fn hungry(&mut self, n: usize, upload: usize) {
        let Some(call) = self.model.nth(n) else {
            return;
        };
        self.calls.hungry(call, upload);
        let known = self
            .model
            .get(call)
            .and_then(|call| call.uploads.get_mut(upload));
        if let Some(upload) = known.filter(|upload| !upload.told) {
            upload.hungry = true;
        }
    }

    fn poll(&mut self) {
        let Some(event) = self.calls.next_upload_event() else {
            return assert!(!self.model.uploads().any(ModelUpload::is_ready));
        };
        let (call, upload, said) = said(&event);
        let upload = &mut self.model.get(call).unwrap().uploads[upload];
        assert!(upload.is_ready());
        assert_eq!(upload.take(), said);
    }

    fn agree(&self) {
        let held = self.model.held.is_some();
        assert_eq!(self.calls.is_holding(), held);
        let waits = !self.model.waiting_items().is_empty();
        let hungry = self.model.uploads().any(|upload| upload.hungry);
        assert_eq!(self.calls.blocks_reading(true), held);
        assert_eq!(self.calls.blocks_reading(false), held || (waits && !hungry));
        for call in &self.model.all {
            let known = self.model.running.iter().find(|known| known.call == *call);
            let info = self.calls.info(*call);
            assert_eq!(
                info.and_then(|info| info.invocation_id.as_deref()),
                known.map(|known| &*known.id)
            );
        }
        let most = PERMITS + 2 * MAX_STREAMS + PERMITS;
        assert!(self.calls.places.len() <= most, "places are not used again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_table_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..150)) {
        let calls = Calls::new(PERMITS, MAX_STREAMS, CAPACITY, MAX_WAITING);
        let model = Model::default();
        let mut both = Both { calls, model };
        for step in steps {
            both.step(step);
        }
        // Nothing is left behind when all calls are over.
        for call in both.model.all.clone() {
            both.calls.end(call);
        }
        if let Some(streaming) = &both.calls.streaming {
            prop_assert!(streaming.ids.is_empty() && streaming.uploads.is_empty());
        }
    }
}
