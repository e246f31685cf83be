//! What waits to be sent: one batch in flight, everything else joined into the next (`TR-37`).

use bytes::{Bytes, BytesMut};

use crate::codec::{Protocol, TransferFormat};
use crate::error::{EncodeError, SendError};
use crate::transport::{OpId, WsMessage};

/// Encoded messages on their way to the transport. Both roles write through it.
pub(crate) struct Outbox {
    waiting: BytesMut,
    in_flight: Option<(OpId, usize)>,
    limit: usize,
    /// The size of the last batch: room for as much is made at once when the next begins.
    last_batch: usize,
    /// Somebody was turned away with `Full` and wants to hear of room.
    turned_away: bool,
    /// Bytes ever written, and ever taken by the transport: a message is gone when `taken` passes where it ended.
    written: u64,
    taken: u64,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: BytesMut::new(),
            in_flight: None,
            limit,
            last_batch: 0,
            turned_away: false,
            written: 0,
            taken: 0,
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

    /// Appends a message of the application, or refuses it while too much waits.
    pub(crate) fn write(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), SendError> {
        let waiting = self.pending();
        if waiting >= self.limit && waiting > 0 {
            self.turned_away = true;
            return Err(SendError::Full {
                waiting,
                limit: self.limit,
            });
        }
        let before = self.make_room();
        let mut whole = Whole {
            buffer: &mut self.waiting,
            before,
        };
        encode(whole.buffer)?;
        whole.before = whole.buffer.len();
        drop(whole);
        self.written += (self.waiting.len() - before) as u64;
        Ok(())
    }

    fn make_room(&mut self) -> usize {
        if self.waiting.is_empty() {
            self.waiting.reserve(self.last_batch.min(self.limit));
        }
        self.waiting.len()
    }

    /// Appends a message of the protocol itself (ping, close, ack, handshake): never refused.
    pub(crate) fn write_control(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.make_room();
        encode(&mut self.waiting);
        self.written += (self.waiting.len() - before) as u64;
    }

    /// The next batch, when none is in flight.
    pub(crate) fn next_batch(&mut self, op: OpId) -> Option<Bytes> {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return None;
        }
        let batch = self.waiting.split().freeze();
        self.last_batch = batch.len();
        self.in_flight = Some((op, batch.len()));
        Some(batch)
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
        let Some((_, size)) = self.in_flight.take_if(|(current, _)| *current == op) else {
            return false;
        };
        self.taken += size as u64;
        if self.waiting.is_empty() {
            // An idle connection holds no buffer, however large its last batch was.
            self.waiting = BytesMut::new();
        }
        let writable = self.turned_away && self.pending() < self.limit.div_ceil(2);
        if writable {
            self.turned_away = false;
        }
        writable
    }

    /// Forgets everything: the connection is gone.
    pub(crate) fn clear(&mut self) {
        let limit = self.limit;
        let written = self.written;
        *self = Self {
            written,
            taken: written,
            ..Self::new(limit)
        };
    }
}

/// Takes back half a message when the encoding of a value fails or panics.
struct Whole<'a> {
    buffer: &'a mut BytesMut,
    before: usize,
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

/// A batch as the WebSocket message of its protocol: text for JSON and binary for MessagePack, the handshake included
/// (`TR-35`, `HP-21`).
pub(crate) fn web_socket_message(protocol: Protocol, batch: Bytes) -> WsMessage {
    match protocol.transfer_format() {
        TransferFormat::Text => WsMessage::Text(batch),
        TransferFormat::Binary => WsMessage::Binary(batch),
    }
}
