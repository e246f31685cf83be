//! Calls of streams that lack their id. Nobody could be sent the items, so they break the protocol; but the official server looks
//! for the method and at the arguments first, and passes over calls for which either is not there
//! ([SB-16](crate::spec::server_behaviour#sb-16)).

use super::ServerConnection;
use super::queues::Nameless;
use super::state::Step;
use crate::codec::frame::FrameDecoder;
use crate::codec::{DecodeError, DecodeErrorKind, Invocation};
use crate::server::{DisconnectReason, Event};

impl ServerConnection {
    pub(super) fn begin_nameless(&mut self, invocation: Invocation) -> Step {
        let call = self.calls.hold(invocation.clone());
        let member = "invocationId";
        let error = DecodeError {
            kind: DecodeErrorKind::Missing { member },
            position: self.state.frames().map_or(0, FrameDecoder::frame_start),
        };
        self.nameless = Some(Box::new(Nameless { call, error }));
        Step::Tell(Event::Held { call, invocation })
    }

    /// Ends the connection for a call that the application has looked at and not refused.
    pub(super) fn blame_nameless(&mut self) -> Option<Step> {
        let Nameless { call, error } = *self.nameless.take()?;
        self.calls.end(call)?;
        self.fail(DisconnectReason::Protocol(error));
        Some(Step::Done)
    }
}
