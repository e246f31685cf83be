//! The calls of one client as its application sees them.

use std::collections::{BTreeMap, BTreeSet};

use signalr_proto::codec::Invocation;
use signalr_proto::server::{CallId, Event, ServerConfig};

#[derive(Debug)]
struct RunningCall {
    id: Option<String>,
    /// Whether no stream can have the same id meanwhile.
    names: bool,
    /// Whether it holds one of the permits.
    permit: bool,
    /// How many streams it is.
    streams: usize,
    uploads: Vec<Upload>,
}

#[derive(Debug)]
struct Upload {
    /// Items that may still come unasked.
    credit: usize,
    ended: bool,
}

/// All that are running, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Calls {
    running: Vec<(CallId, RunningCall)>,
    all: Vec<CallId>,
    questions: BTreeSet<String>,
    /// For each id, calls that came in.
    came: BTreeMap<String, usize>,
    /// Something came into the middle of a message, so that the ids that came are not known.
    mangled: bool,
}

impl Calls {
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// One that is running, or was.
    pub(super) fn pick(&self, which: u8) -> Option<CallId> {
        let which = usize::from(which);
        let recent = self.running.len().checked_sub(1 + which % 8);
        let recent = recent.and_then(|index| self.running.get(index));
        let any = || self.all.get(which % self.all.len().max(1)).copied();
        recent.map(|(call, _)| *call).or_else(any)
    }

    pub(super) fn first(&self) -> Option<CallId> {
        self.running.first().map(|(call, _)| *call)
    }

    fn get(&mut self, call: CallId) -> Option<&mut RunningCall> {
        let mut running = self.running.iter_mut();
        running
            .find(|(running, _)| *running == call)
            .map(|(_, running)| running)
    }

    pub(super) fn hear(&mut self, config: &ServerConfig, event: &Event) {
        match event {
            Event::Invocation {
                call,
                streaming,
                invocation,
            } => self.begin(config, *call, *streaming, invocation),
            Event::Held { call, .. } => {
                assert!(!self.all.contains(call), "a name was used twice");
                self.all.push(*call);
            }
            Event::Cancel { call } => {
                assert!(self.get(*call).is_some(), "the end of a call that is over");
            }
            Event::StreamItem { call, upload, .. } => {
                let upload = self.upload(*call, *upload);
                assert!(!upload.ended, "an item after the end");
                let credit = upload.credit.checked_sub(1);
                upload.credit = credit.expect("the method has room for an item");
            }
            Event::UploadEnded { call, upload, .. } => {
                let upload = self.upload(*call, *upload);
                assert!(!upload.ended, "an upload ends twice");
                upload.ended = true;
            }
            Event::Completion {
                invocation_id: id, ..
            } => {
                assert!(self.questions.remove(&**id), "an answer to no question");
            }
            Event::UnknownCompletion { invocation_id: id } => {
                assert!(!self.questions.contains(&**id), "{id} is a question");
            }
            Event::Closed { .. } => {
                self.running.clear();
                self.questions.clear();
            }
            _ => {}
        }
    }

    fn begin(&mut self, config: &ServerConfig, call: CallId, streaming: bool, new: &Invocation) {
        assert!(!self.all.contains(&call), "a name was used twice");
        let uploads = new.stream_ids.len();
        let plain = !streaming && uploads == 0;
        let mut new = RunningCall {
            names: false,
            id: new.invocation_id.as_ref().map(ToString::to_string),
            permit: plain,
            streams: if plain { 0 } else { uploads.max(1) },
            uploads: (0..uploads)
                .map(|_| Upload {
                    credit: config.stream_buffer_capacity,
                    ended: false,
                })
                .collect(),
        };
        let named = |(_, call): &(CallId, RunningCall)| call.names && call.id == new.id;
        new.names = new.streams > 0 && new.id.is_some() && !self.running.iter().any(named);
        assert!(
            !streaming || new.names || new.id.is_none(),
            "the id is in use"
        );
        self.all.push(call);
        self.running.push((call, new));
        let permits = self.running.iter().filter(|(_, call)| call.permit).count();
        assert!(permits <= config.maximum_parallel_invocations);
        let streams: usize = self.running.iter().map(|(_, call)| call.streams).sum();
        assert!(streams <= config.maximum_streams);
    }

    fn upload(&mut self, call: CallId, upload: usize) -> &mut Upload {
        let call = self.get(call).expect("the call is running");
        call.uploads.get_mut(upload).expect("the call has it")
    }

    pub(super) fn end(&mut self, call: CallId) {
        self.running.retain(|(running, _)| *running != call);
    }

    pub(super) fn release(&mut self, call: CallId) {
        if let Some(call) = self.get(call) {
            call.permit = false;
        }
    }

    pub(super) fn credit(&mut self, config: &ServerConfig, call: CallId, upload: usize) {
        let upload = self.get(call).and_then(|call| call.uploads.get_mut(upload));
        if let Some(upload) = upload {
            upload.credit = (upload.credit + 1).min(config.stream_buffer_capacity);
        }
    }

    pub(super) fn ask(&mut self, id: String) {
        self.questions.insert(id);
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.questions.remove(id);
    }

    /// The client made a call under this id.
    pub(super) fn came(&mut self, id: &str) {
        *self.came.entry(id.to_owned()).or_default() += 1;
    }

    pub(super) fn mangle(&mut self) {
        self.mangled = true;
    }

    /// The client got the end of a call under this id.
    pub(super) fn answered(&mut self, id: &str) {
        if self.mangled {
            return;
        }
        let owed = self.came.get_mut(id).and_then(|owed| {
            *owed = owed.checked_sub(1)?;
            Some(())
        });
        owed.expect("no call is answered twice");
    }
}
