//! What both roles remember for a stateful reconnect: messages the peer may not have, and how many came from it
//! ([requirements](crate::spec::hub_protocol#stateful-reconnect)).
//!
//! Each direction numbers its messages of types 1 to 5 from 1 on. The numbers are not on the wire: an Ack names the last
//! message received, and a Sequence, the first message on a new socket, names the one that follows it.

use core::ops::Range;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::codec::HubMessage;
use crate::error::SequenceError;

/// Messages for which an idle connection keeps room.
const SMALL: usize = 8;

/// Outbound: the messages that were not acknowledged yet, as they stood in their batches.
pub(crate) struct Unacknowledged {
    limit: usize,
    /// Frames that a transport was given, oldest first.
    sent: VecDeque<Bytes>,
    /// The number of the first of `sent`, or of the next message when there is none.
    first: u64,
    /// Where the frames lie among the bytes that wait to be sent.
    waiting: VecDeque<Range<usize>>,
    /// The size of all frames in `sent` and `waiting`.
    bytes: usize,
    /// Bytes at the front of the waiting ones that only say again what was sent before.
    repeated: usize,
    held: bool,
    overdraft: Overdraft,
}

/// One message beyond the limit may follow a resume. Peers that do not acknowledge messages a second time would never make
/// room otherwise, if their Ack was lost with the old socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdraft {
    Refused,
    Granted,
    /// Not to be granted again before something was acknowledged.
    Used,
}

impl Unacknowledged {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            sent: VecDeque::new(),
            first: 1,
            waiting: VecDeque::new(),
            bytes: 0,
            repeated: 0,
            held: false,
            overdraft: Overdraft::Refused,
        }
    }

    /// The size of all unacknowledged frames.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) const fn is_held(&self) -> bool {
        self.held
    }

    /// Whether another message may be written ([CB-83](crate::spec::client_behaviour#cb-83)).
    pub(crate) fn admits(&self) -> bool {
        self.bytes <= self.limit || self.overdraft == Overdraft::Granted
    }

    /// Whether those who were turned away should come back.
    pub(crate) fn invites(&self) -> bool {
        self.bytes < self.limit || self.bytes == 0 || self.overdraft == Overdraft::Granted
    }

    /// A frame was written to this place among the bytes that wait.
    pub(crate) fn wrote(&mut self, place: Range<usize>) {
        if place.is_empty() {
            return;
        }
        if self.bytes > self.limit && self.overdraft == Overdraft::Granted {
            self.overdraft = Overdraft::Used;
        }
        self.bytes += place.len();
        self.waiting.push_back(place);
    }

    /// The bytes that waited go to the transport as `batch`.
    pub(crate) fn keep(&mut self, batch: &Bytes) {
        self.repeated = 0;
        let frames = self.waiting.drain(..).map(|place| batch.slice(place));
        self.sent.extend(frames);
    }

    /// The peer has every message up to this one. What was never sent cannot be acknowledged
    /// ([HP-75](crate::spec::hub_protocol#hp-75)).
    pub(crate) fn acknowledge(&mut self, id: u64) {
        let count = id.saturating_sub(self.first.saturating_sub(1));
        let Some(count) = usize::try_from(count)
            .ok()
            .filter(|count| (1..=self.sent.len()).contains(count))
        else {
            return;
        };
        let freed: usize = self.sent.drain(..count).map(|frame| frame.len()).sum();
        self.first += count as u64;
        self.bytes -= freed;
        self.overdraft = Overdraft::Refused;
        if self.bytes == 0 {
            // An idle connection does not keep the room of a busy one.
            self.sent.shrink_to(SMALL);
            self.waiting.shrink_to(SMALL);
        }
    }

    /// The transport is lost. Tells how many of the waiting bytes are not needed, because they were a repetition.
    pub(crate) fn hold(&mut self) -> usize {
        self.held = true;
        let repeated = core::mem::take(&mut self.repeated);
        self.shift(|place| place.start - repeated..place.end - repeated);
        repeated
    }

    /// There is a new transport: what must go before the bytes that wait.
    pub(crate) fn resume(&mut self, encode_sequence: impl FnOnce(&mut BytesMut, u64)) -> BytesMut {
        let mut front = BytesMut::with_capacity(self.bytes.saturating_add(64));
        encode_sequence(&mut front, self.first);
        for frame in &self.sent {
            front.extend_from_slice(frame);
        }
        let repeated = front.len();
        self.shift(|place| place.start + repeated..place.end + repeated);
        self.repeated = repeated;
        self.held = false;
        if self.overdraft == Overdraft::Refused {
            self.overdraft = Overdraft::Granted;
        }
        front
    }

    fn shift(&mut self, by: impl Fn(&Range<usize>) -> Range<usize>) {
        for place in &mut self.waiting {
            *place = by(place);
        }
    }
}

/// Inbound: how many messages were received, and which one the peer says again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inbound {
    /// The number of the last new message.
    received: u64,
    /// The number of the last message, which may be a repetition.
    current: u64,
    /// The peer should be told of `received`.
    ack_due: bool,
}

impl Inbound {
    /// How long the first message that is not acknowledged may wait for its Ack, and others with it
    /// ([CB-84](crate::spec::client_behaviour#cb-84)).
    pub(crate) const ACK_DELAY: core::time::Duration = core::time::Duration::from_secs(1);

    /// Counts a message of types 1 to 5. Tells whether it is new; a repetition must be dropped
    /// ([HP-74](crate::spec::hub_protocol#hp-74)).
    pub(crate) const fn is_new(&mut self) -> bool {
        self.current = self.current.saturating_add(1);
        let new = self.current > self.received;
        if new {
            self.received = self.current;
        }
        // The last repetition tells that the peer did not hear of it.
        self.ack_due |= self.current == self.received;
        new
    }

    /// A Sequence was received: the peer's next message has this number.
    ///
    /// The official programs compare with the message they expect next on this socket. That is too strict: when a second
    /// socket is lost while messages are repeated on it, the peer may have heard meanwhile that none of them is missing.
    ///
    /// # Errors
    /// When messages are missing before that number, or there is none like it ([HP-73](crate::spec::hub_protocol#hp-73),
    /// [CB-86](crate::spec::client_behaviour#cb-86)).
    pub(crate) const fn sequence(&mut self, id: u64) -> Result<(), SequenceError> {
        if id > self.received.saturating_add(1) {
            return Err(SequenceError::Ahead);
        }
        let Some(before) = id.checked_sub(1) else {
            return Err(SequenceError::Zero);
        };
        self.current = before;
        Ok(())
    }

    /// There is a new transport. An Ack may have been lost with the old one.
    pub(crate) const fn resume(&mut self) {
        self.ack_due = self.received > 0;
    }

    /// Whether an Ack should follow within [`ACK_DELAY`](Self::ACK_DELAY).
    pub(crate) const fn is_ack_due(&self) -> bool {
        self.ack_due
    }

    /// The number to acknowledge, if the peer has not been told of it.
    pub(crate) const fn take_ack(&mut self) -> Option<u64> {
        if core::mem::replace(&mut self.ack_due, false) {
            Some(self.received)
        } else {
            None
        }
    }
}

impl HubMessage {
    /// Whether the message is one that is numbered, kept and acknowledged ([HP-70](crate::spec::hub_protocol#hp-70)).
    pub(crate) const fn is_numbered(&self) -> bool {
        match self {
            Self::Invocation(_)
            | Self::StreamInvocation(_)
            | Self::StreamItem { .. }
            | Self::Completion { .. }
            | Self::CancelInvocation { .. } => true,
            Self::Ping | Self::Close { .. } | Self::Ack { .. } | Self::Sequence { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
