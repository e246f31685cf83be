//! What a server says, in the words of either protocol.

use bytes::BytesMut;
use signalr_proto::Protocol;
use signalr_proto::codec::{CompletionOutcome, InvocationHead};

use super::Script;

/// Writes messages in a protocol.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to it")]
pub struct Words(pub Protocol);

impl Words {
    /// In the protocol of this client.
    #[must_use]
    pub fn of(script: &Script) -> Self {
        Self(script.client.config().protocol)
    }

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }

    /// A call without arguments.
    ///
    /// # Panics
    /// Never: nothing in it can fail to be written.
    #[must_use]
    pub fn invocation(self, id: Option<&str>, target: &str) -> Vec<u8> {
        let head = InvocationHead {
            streaming: false,
            headers: &[],
            invocation_id: id,
            target,
            stream_ids: &[],
        };
        Self::written(|out| {
            let written = self.0.encode_invocation(out, head, &());
            written.expect("there are no arguments");
        })
    }

    /// The end of a call, with the result 5.
    ///
    /// # Panics
    /// Never: nothing in it can fail to be written.
    #[must_use]
    pub fn completion(self, id: &str) -> Vec<u8> {
        let outcome = CompletionOutcome::Result(&5);
        Self::written(|out| {
            let written = self.0.encode_completion(out, &[], id, outcome);
            written.expect("a number can be written");
        })
    }

    /// An acknowledgement.
    #[must_use]
    pub fn ack(self, id: u64) -> Vec<u8> {
        Self::written(|out| self.0.encode_ack(out, id))
    }

    /// The number of the message that follows.
    #[must_use]
    pub fn sequence(self, id: u64) -> Vec<u8> {
        Self::written(|out| self.0.encode_sequence(out, id))
    }

    /// A sign of life.
    #[must_use]
    pub fn ping(self) -> Vec<u8> {
        Self::written(|out| self.0.encode_ping(out))
    }

    /// The last message.
    #[must_use]
    pub fn close(self) -> Vec<u8> {
        Self::written(|out| self.0.encode_close(out, None, false))
    }
}
