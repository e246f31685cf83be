//! What the client was asked and has not answered yet.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use signalr_proto::codec::Outcome;

/// The questions of one connection. Dropping one tells whoever asked that no answer comes.
#[derive(Default)]
pub(crate) struct Questions {
    asked: HashMap<ByteString, oneshot::Sender<Outcome>>,
    /// Those that wait until the client takes more.
    waiting: VecDeque<Question>,
}

pub(crate) struct Question {
    pub(crate) id: ByteString,
    pub(crate) frame: Bytes,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

impl Questions {
    pub(crate) fn wait(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn next_waiting(&mut self) -> Option<Question> {
        self.waiting.pop_front()
    }

    pub(crate) fn add(&mut self, id: ByteString, answer: oneshot::Sender<Outcome>) {
        self.asked.insert(id, answer);
    }

    pub(crate) fn answer(&mut self, id: &ByteString, outcome: Outcome) {
        if let Some(answer) = self.take(id) {
            // Whoever asked may have stopped waiting this very moment.
            let _ = answer.send(outcome);
        }
    }

    pub(crate) fn forget(&mut self, id: &ByteString) {
        self.waiting.retain(|question| question.id != *id);
        drop(self.take(id));
    }

    fn take(&mut self, id: &ByteString) -> Option<oneshot::Sender<Outcome>> {
        let answer = self.asked.remove(id);
        if self.asked.is_empty() {
            // An idle connection holds no room.
            self.asked = HashMap::new();
        }
        answer
    }
}
