//! What the client was asked and has not answered yet.

use std::collections::HashMap;

use bytestring::ByteString;
use futures_channel::oneshot;
use signalr_proto::codec::Outcome;

/// The questions of one connection. Dropping one tells whoever asked that no answer comes.
#[derive(Default)]
pub(crate) struct Questions(Option<Box<HashMap<ByteString, oneshot::Sender<Outcome>>>>);

impl Questions {
    pub(crate) fn add(&mut self, id: ByteString, answer: oneshot::Sender<Outcome>) {
        self.0.get_or_insert_default().insert(id, answer);
    }

    pub(crate) fn answer(&mut self, id: &ByteString, outcome: Outcome) {
        if let Some(answer) = self.take(id) {
            // Whoever asked may have stopped waiting this very moment.
            let _ = answer.send(outcome);
        }
    }

    pub(crate) fn take(&mut self, id: &ByteString) -> Option<oneshot::Sender<Outcome>> {
        let questions = self.0.as_mut()?;
        let answer = questions.remove(id);
        if questions.is_empty() {
            self.0 = None;
        }
        answer
    }
}
