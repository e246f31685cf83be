//! Received bytes that are not yet decoded. Messages are read when they are polled, so no queue of events builds up.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::DecodeError;

/// What keeping a chunk costs beside its bytes, about.
const CHUNK_COST: usize = 64;

/// Chunks in the order they came. The usual single one is held without an allocation.
#[derive(Default)]
pub(crate) struct Incoming {
    current: Bytes,
    later: VecDeque<Bytes>,
    later_bytes: usize,
}

impl Incoming {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.current.is_empty() && self.later.is_empty() {
            self.current = chunk;
        } else {
            self.later_bytes = self.later_bytes.saturating_add(chunk.len());
            self.later.push_back(chunk);
        }
    }

    /// Takes one frame from the chunks that wait. A decoder that gives none and leaves bytes wants no more of them.
    pub(crate) fn frame(
        &mut self,
        mut decode: impl FnMut(&mut Bytes) -> Result<Option<Bytes>, DecodeError>,
    ) -> Result<Option<Bytes>, DecodeError> {
        while let Some(chunk) = self.current() {
            let frame = decode(chunk)?;
            if frame.is_some() || !chunk.is_empty() {
                return Ok(frame);
            }
        }
        Ok(None)
    }

    /// The chunk to read on; none when all is read.
    fn current(&mut self) -> Option<&mut Bytes> {
        if self.current.is_empty() {
            // What is left of a chunk that was read holds its whole buffer, and that is often the transport's own.
            self.current = Bytes::new();
            self.current = self.later.pop_front()?;
            self.later_bytes -= self.current.len();
            if self.later.is_empty() {
                self.later = VecDeque::new();
            }
        }
        Some(&mut self.current)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.current.len().saturating_add(self.later_bytes)
    }

    /// The bytes, and what it costs to keep them in so many chunks.
    pub(crate) fn cost(&self) -> usize {
        let chunks = self.later.len().saturating_mul(CHUNK_COST);
        self.bytes().saturating_add(chunks)
    }

    /// Whether more than one chunk waits.
    pub(crate) fn is_piling_up(&self) -> bool {
        !self.later.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.later.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use bytes::Buf as _;

    use super::*;

    /// Bytes that tell when nobody holds them any more.
    struct Watched {
        _owner: Arc<()>,
    }

    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            b"text"
        }
    }

    fn watched() -> (Bytes, Weak<()>) {
        let owner = Arc::new(());
        let watch = Arc::downgrade(&owner);
        (Bytes::from_owner(Watched { _owner: owner }), watch)
    }

    #[test]
    fn a_chunk_that_was_read_is_let_go() {
        let mut incoming = Incoming::default();
        let (chunks, watches): (Vec<_>, Vec<_>) = (0..3).map(|_| watched()).unzip();
        for chunk in chunks {
            incoming.push(chunk);
        }
        for read in 0..3 {
            assert_eq!(incoming.current().map(|bytes| &**bytes), Some(&b"text"[..]));
            let held = watches.iter().filter(|watch| watch.strong_count() > 0);
            assert_eq!(held.count(), 3 - read);
            incoming.current().unwrap().advance(4);
        }
        assert_eq!(incoming.current(), None);
        assert!(watches.iter().all(|watch| watch.strong_count() == 0));
    }
}
