//! What waits to be sent: one batch in flight, everything else joined into the next ([TR-37](crate::spec::transports#tr-37)).

mod waiting;

use bytes::{Bytes, BytesMut};

use crate::codec::EncodeError;
use crate::error::SendError;
use crate::replay::Unacknowledged;
use crate::transport::OpId;
use waiting::Waiting;

/// Encoded messages on their way to the transport. Both roles write through it.
///
/// With stateful reconnect ([`enable_replay`](Self::enable_replay)) messages are kept until they are acknowledged, as slices
/// of the batches they went out in. A lost transport is then [`hold`](Self::hold), and a new one [`resume`](Self::resume).
pub(crate) struct Outbox {
    waiting: Waiting,
    in_flight: Option<(OpId, usize)>,
    limit: usize,
    /// The size of the last batch: room for as much is made at once when the next begins.
    last_batch: usize,
    /// Somebody was turned away with `Full` and wants to hear of room.
    turned_away: bool,
    /// Bytes ever written, and ever taken by the transport: a message is gone when `taken` passes where it ended.
    /// What is said again on a new transport counts once.
    written: u64,
    taken: u64,
    /// With stateful reconnect only.
    replay: Option<Box<Unacknowledged>>,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: Waiting::new(),
            in_flight: None,
            limit,
            last_batch: 0,
            turned_away: false,
            written: 0,
            taken: 0,
            replay: None,
        }
    }

    /// Bytes that wait, those in flight included.
    pub(crate) fn pending(&self) -> usize {
        self.waiting.len() + self.in_flight.map_or(0, |(_, size)| size)
    }

    /// The stream position behind all that was written; compare with [`taken`](Self::taken).
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The stream position up to which the transport took bytes.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Keeps every message from now on until it is acknowledged. While more than `limit` bytes of them are kept, [`write`]
    /// refuses others.
    ///
    /// [`write`]: Self::write
    pub(crate) fn enable_replay(&mut self, limit: usize) {
        self.replay = Some(Box::new(Unacknowledged::new(limit)));
    }

    /// Whether messages are kept until they are acknowledged.
    pub(crate) const fn is_replay_enabled(&self) -> bool {
        self.replay.is_some()
    }

    /// Appends a message of the application (types 1 to 5), or refuses it while too much waits.
    pub(crate) fn write(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), SendError> {
        self.admit()?;
        Ok(self.write_regardless(encode)?)
    }

    /// The same for a message that is encoded already. If nothing waits, it is not copied.
    pub(crate) fn write_frame(&mut self, frame: &Bytes) -> Result<(), SendError> {
        self.admit()?;
        self.push_frame(frame);
        Ok(())
    }

    /// The same, never refused.
    pub(crate) fn push_frame(&mut self, frame: &Bytes) {
        let before = self.waiting.len();
        self.waiting.push(frame, self.room());
        self.wrote_message(before);
    }

    /// Turns a message away while too much waits.
    fn admit(&mut self) -> Result<(), SendError> {
        let Some((waiting, limit)) = self.excess() else {
            return Ok(());
        };
        self.turned_away = true;
        Err(SendError::Full { waiting, limit })
    }

    /// Appends a message of types 1 to 5 that is owed, such as the answer to a call: never refused for lack of room.
    pub(crate) fn write_regardless(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut whole = Whole::new(self.buffer());
        let before = whole.before;
        encode(whole.buffer)?;
        whole.before = whole.buffer.len();
        drop(whole);
        self.wrote_message(before);
        Ok(())
    }

    /// Appends a message of types 1 to 5 that the machine itself has to say: never refused.
    pub(crate) fn write_always(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.waiting.len();
        encode(self.buffer());
        self.wrote_message(before);
    }

    /// Appends a message of the protocol itself (ping, close, ack, handshake): never refused, and not kept.
    ///
    /// Without a transport ([`hold`](Self::hold)) it is dropped, as such a message speaks of the moment.
    pub(crate) fn write_control(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        if self.is_held() {
            return;
        }
        let before = self.waiting.len();
        encode(self.buffer());
        self.written += (self.waiting.len() - before) as u64;
    }

    /// Leaves out a position of the stream: somebody's message waits elsewhere, and counts as taken at once.
    pub(crate) fn skip(&mut self) {
        self.written += 1;
        if self.is_idle() {
            self.taken = self.written;
        }
    }

    /// Whether [`write`](Self::write) refuses another message.
    pub(crate) fn is_full(&self) -> bool {
        self.excess().is_some()
    }

    /// Whether only an acknowledgement makes room for another message.
    pub(crate) fn awaits_ack(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| !replay.admits())
    }

    /// The bytes that are too many for another message, and their limit.
    fn excess(&self) -> Option<(usize, usize)> {
        let waiting = self.pending();
        if waiting >= self.limit && waiting > 0 {
            return Some((waiting, self.limit));
        }
        let replay = self.replay.as_ref()?;
        (!replay.admits()).then(|| (replay.bytes(), replay.limit()))
    }

    fn buffer(&mut self) -> &mut BytesMut {
        let room = self.room();
        self.waiting.buffer(room)
    }

    /// What a new buffer should have room for.
    fn room(&self) -> usize {
        self.last_batch.min(self.limit)
    }

    fn wrote_message(&mut self, before: usize) {
        let end = self.waiting.len();
        self.written += (end - before) as u64;
        if let Some(replay) = &mut self.replay {
            replay.wrote(before..end);
        }
    }

    /// The next batch, when none is in flight and there is a transport.
    pub(crate) fn next_batch(&mut self, op: OpId) -> Option<Bytes> {
        if self.in_flight.is_some() || self.waiting.is_empty() || self.is_held() {
            return None;
        }
        let batch = self.waiting.take();
        self.last_batch = batch.len();
        self.in_flight = Some((op, batch.len()));
        if let Some(replay) = &mut self.replay {
            replay.keep(&batch);
        }
        Some(batch)
    }

    /// The transport did not take the batch `op`, which goes out again as part of the next one. Without replay only.
    pub(crate) fn take_back(&mut self, op: OpId, batch: &[u8]) {
        if self
            .in_flight
            .take_if(|(current, _)| *current == op)
            .is_some()
        {
            self.waiting.prepend(BytesMut::from(batch));
        }
    }

    /// The peer has the messages up to this number. Tells whether somebody who was turned away should try again.
    pub(crate) fn acknowledge(&mut self, id: u64) -> bool {
        if let Some(replay) = &mut self.replay {
            replay.acknowledge(id);
        }
        self.invites()
    }

    /// The transport is lost, and what was in flight with it. Messages are still taken, but no batch is given until
    /// [`resume`](Self::resume). Does nothing without replay.
    pub(crate) fn hold(&mut self) {
        if let Some(replay) = &mut self.replay {
            self.in_flight = None;
            self.waiting.skip(replay.hold());
        }
    }

    /// Whether the transport is lost.
    pub(crate) fn is_held(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.is_held())
    }

    /// There is a new transport: the next batch begins with a Sequence (`encode_sequence` is told its number), then come
    /// the unacknowledged messages byte for byte, then what was written meanwhile ([HP-71](crate::spec::hub_protocol#hp-71),
    /// [HP-72](crate::spec::hub_protocol#hp-72), [CB-89](crate::spec::client_behaviour#cb-89)). Does nothing unless
    /// [held](Self::hold).
    pub(crate) fn resume(&mut self, encode_sequence: impl FnOnce(&mut BytesMut, u64)) {
        if let Some(replay) = self.replay.as_mut().filter(|replay| replay.is_held()) {
            self.waiting.prepend(replay.resume(encode_sequence));
        }
    }

    /// Whether a batch is under way.
    pub(crate) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether something waits behind the batch in flight.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.waiting.is_empty()
    }

    /// The transport took the batch `op`. Tells whether somebody who was turned away should try again.
    pub(crate) fn sent(&mut self, op: OpId) -> bool {
        if self
            .in_flight
            .take_if(|(current, _)| *current == op)
            .is_none()
        {
            return false;
        }
        // Behind a batch in flight waits nothing that was said before.
        self.taken = self.written.saturating_sub(self.waiting.len() as u64);
        self.waiting.shrink();
        self.invites()
    }

    fn invites(&mut self) -> bool {
        let writable = self.turned_away
            && self.pending() <= self.limit / 2
            && self.replay.as_ref().is_none_or(|replay| replay.invites());
        if writable {
            self.turned_away = false;
        }
        writable
    }

    /// Forgets everything, replay included: the connection is gone. What was not taken by now never will be, so the position
    /// stays where it is until something later is taken.
    pub(crate) fn clear(&mut self) {
        let limit = self.limit;
        let (written, taken) = (self.written, self.taken);
        *self = Self {
            written,
            taken,
            ..Self::new(limit)
        };
    }
}

/// Takes back half a message when the encoding of a value fails or panics.
struct Whole<'a> {
    buffer: &'a mut BytesMut,
    before: usize,
}

impl<'a> Whole<'a> {
    fn new(buffer: &'a mut BytesMut) -> Self {
        let before = buffer.len();
        Self { buffer, before }
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.before);
    }
}

/// Shows sizes only: the bytes are payloads.
impl core::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outbox")
            .field("pending", &self.pending())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: OpId = OpId(1);

    fn outbox(texts: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::new(100);
        for text in texts {
            outbox.push_frame(&Bytes::from_static(text.as_bytes()));
        }
        outbox
    }

    #[test]
    fn a_message_that_is_alone_is_not_copied() {
        let frame = Bytes::from(vec![b'a'; 10]);
        let mut outbox = outbox(&[]);
        outbox.write_frame(&frame).unwrap();
        let batch = outbox.next_batch(OP).unwrap();
        assert_eq!(batch.as_ptr(), frame.as_ptr());
        outbox.sent(OP);
        assert_eq!((outbox.written(), outbox.taken()), (10, 10));
    }

    #[test]
    fn messages_join_in_the_order_in_which_they_were_written() {
        let mut outbox = outbox(&["a", "b"]);
        outbox.write_control(|out| out.extend_from_slice(b"c"));
        outbox.push_frame(&Bytes::from_static(b"d"));
        assert_eq!(outbox.next_batch(OP).unwrap(), "abcd");
        outbox.push_frame(&Bytes::from_static(b"e"));
        assert_eq!(outbox.pending(), 5);
        outbox.take_back(OP, b"abcd");
        assert_eq!(outbox.next_batch(OP).unwrap(), "abcde");
    }

    #[test]
    fn a_value_that_cannot_be_encoded_leaves_what_was_shared() {
        let mut outbox = outbox(&["a"]);
        let failed = outbox.write_regardless(|out| {
            out.extend_from_slice(b"half");
            Err(EncodeError::RawPayload)
        });
        assert!(failed.is_err());
        assert_eq!(outbox.next_batch(OP).unwrap(), "a");
    }

    #[test]
    fn a_shared_message_is_refused_like_another_while_too_much_waits() {
        let mut outbox = outbox(&["a"]);
        outbox.push_frame(&vec![b'b'; 100].into());
        let refused = outbox.write_frame(&Bytes::from_static(b"c"));
        assert_eq!(
            refused,
            Err(SendError::Full {
                waiting: 101,
                limit: 100
            })
        );
        outbox.next_batch(OP);
        assert!(outbox.sent(OP), "there is room again");
    }
}
