//! What the application says to the client without being asked.

use bytes::{Bytes, BytesMut};

use super::{ServerConnection, Timer};
use crate::codec::{EncodeError, HubArguments, InvocationHead, Protocol};
use crate::error::SendError;
use crate::outbox::Outbox;
use crate::time::Instant;

/// Messages.
impl ServerConnection {
    /// Calls a method of the client without waiting for an answer.
    ///
    /// # Errors
    /// When the connection is not open, too much waits to be sent, or an argument cannot be serialized.
    pub fn send<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        self.invocation(now, None, target, arguments)
    }

    /// Sends a whole message (invocation, stream item or completion) that was encoded before, for this connection's protocol:
    /// for messages to many connections, which share its bytes while nothing else waits.
    ///
    /// # Errors
    /// When the connection is not open or too much waits to be sent.
    pub fn send_frame(&mut self, now: Instant, frame: &Bytes) -> Result<(), SendError> {
        self.writing(now)?.write_frame(frame)
    }

    /// As [`send_frame`](Self::send_frame), but never refused for lack of room: for what must not be overtaken by the end of a
    /// call, which is never refused either. Whoever calls this bounds it.
    ///
    /// # Errors
    /// When the connection is not open.
    pub fn push_frame(&mut self, now: Instant, frame: &Bytes) -> Result<(), SendError> {
        self.writing(now)?.push_frame(frame);
        Ok(())
    }

    pub(super) fn invocation<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        id: Option<&str>,
        target: &str,
        arguments: &A,
    ) -> Result<(), SendError> {
        let head = InvocationHead {
            streaming: false,
            headers: &[],
            invocation_id: id,
            target,
            stream_ids: &[],
        };
        self.write(now, |protocol, out| {
            protocol.encode_invocation(out, head, arguments)
        })
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        encode: impl FnOnce(Protocol, &mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), SendError> {
        let protocol = self.protocol;
        self.writing(now)?.write(|out| encode(protocol, out))
    }

    /// Where messages are written while the connection is open.
    fn writing(&mut self, now: Instant) -> Result<&mut Outbox, SendError> {
        self.advance(now);
        if self.is_open() {
            Ok(&mut self.outbox)
        } else {
            Err(SendError::NotConnected)
        }
    }

    pub(super) fn keep_alive(&mut self) {
        // While a batch is under way the client sees traffic anyway, and a stuck one must not pile up pings.
        if self.outbox.is_idle() {
            let protocol = self.protocol;
            self.outbox.write_control(|out| protocol.encode_ping(out));
        }
        self.start(Timer::KeepAlive, self.config.keep_alive_interval);
    }
}
