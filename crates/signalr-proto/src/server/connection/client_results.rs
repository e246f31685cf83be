//! Calls of the client's methods that it has to answer ([requirements](crate::spec::server_behaviour#questions-to-clients)).

use bytes::Bytes;
use bytestring::ByteString;

use super::{ServerConnection, State};
use crate::codec::{HubArguments, Outcome};
use crate::error::SendError;
use crate::server::Event;
use crate::time::Instant;

/// Calls of the client for their results.
impl ServerConnection {
    /// Calls a method of the client, which answers with a [`Event::Completion`] of this `invocation_id`.
    ///
    /// # Errors
    /// As for [`send`](Self::send), and before the client is [accepted](Self::accept): [`SendError::NotWelcomed`].
    pub fn invoke<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        invocation_id: &str,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        self.may_invoke(now)?;
        self.invocation(now, Some(invocation_id), target, arguments)?;
        self.client_results.0.insert(invocation_id.into());
        Ok(())
    }

    /// Sends a whole invocation with this `invocation_id` that was encoded before, for this connection's protocol: see
    /// [`invoke`](Self::invoke).
    ///
    /// # Errors
    /// As for [`invoke`](Self::invoke).
    pub fn invoke_frame(
        &mut self,
        now: Instant,
        invocation_id: &str,
        frame: &Bytes,
    ) -> Result<(), SendError> {
        self.may_invoke(now)?;
        self.send_frame(now, frame)?;
        self.client_results.0.insert(invocation_id.into());
        Ok(())
    }

    /// Nobody waits for the answer to this question any more: if it comes it is a [`Event::UnknownCompletion`].
    pub fn forget_result(&mut self, now: Instant, invocation_id: &str) {
        self.advance(now);
        self.client_results.0.remove(invocation_id);
    }

    fn may_invoke(&mut self, now: Instant) -> Result<(), SendError> {
        self.advance(now);
        match self.state {
            State::Greeting(_) if self.is_open() => Err(SendError::NotWelcomed),
            State::Handshaking(_)
            | State::Greeting(_)
            | State::Open(_)
            | State::Closing(_)
            | State::Closed => Ok(()),
        }
    }

    pub(super) fn answered(&mut self, invocation_id: ByteString, outcome: Outcome) -> Event {
        if self.client_results.0.remove(&*invocation_id) {
            Event::Completion {
                invocation_id,
                outcome,
            }
        } else {
            Event::UnknownCompletion { invocation_id }
        }
    }
}
