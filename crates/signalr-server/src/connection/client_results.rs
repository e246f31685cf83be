//! Methods of the client that were called for their results, which it has not given yet.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use signalr_proto::codec::Outcome;

/// The client results that one connection waits for. Dropping one tells whoever asked that no answer comes.
#[derive(Default)]
pub(crate) struct ClientResults {
    awaited: HashMap<ByteString, oneshot::Sender<Outcome>>,
    /// Those that wait until the client takes more.
    waiting: VecDeque<ClientInvocation>,
}

pub(crate) struct ClientInvocation {
    pub(crate) id: ByteString,
    pub(crate) frame: Bytes,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

impl ClientResults {
    pub(crate) fn wait(&mut self, invocation: ClientInvocation) {
        self.waiting.push_back(invocation);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn next_waiting(&mut self) -> Option<ClientInvocation> {
        self.waiting.pop_front()
    }

    pub(crate) fn add(&mut self, id: ByteString, answer: oneshot::Sender<Outcome>) {
        self.awaited.insert(id, answer);
    }

    pub(crate) fn answer(&mut self, id: &ByteString, outcome: Outcome) {
        if let Some(answer) = self.take(id) {
            // Whoever asked may have stopped waiting this very moment.
            let _ = answer.send(outcome);
        }
    }

    pub(crate) fn forget(&mut self, id: &ByteString) {
        self.waiting.retain(|invocation| invocation.id != *id);
        drop(self.take(id));
    }

    fn take(&mut self, id: &ByteString) -> Option<oneshot::Sender<Outcome>> {
        let answer = self.awaited.remove(id);
        if self.awaited.is_empty() {
            // An idle connection holds no room.
            self.awaited = HashMap::new();
        }
        answer
    }
}
