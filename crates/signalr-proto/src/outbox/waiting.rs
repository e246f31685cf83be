//! The bytes that wait to be sent.

use bytes::{Buf as _, Bytes, BytesMut};

/// Messages one behind the other.
pub(super) enum Waiting {
    Written(BytesMut),
    /// A single one that was encoded elsewhere stays where it is: when a message goes to many connections, those that are behind
    /// hold it together.
    Shared(Bytes),
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Self::Shared(Bytes::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Written(buffer) => buffer.len(),
            Self::Shared(frame) => frame.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where more is written. A new buffer has room for `size` bytes.
    pub(super) fn buffer(&mut self, size: usize) -> &mut BytesMut {
        match self {
            Self::Written(buffer) => buffer,
            Self::Shared(frame) => {
                let mut buffer = BytesMut::with_capacity(size.max(frame.len()));
                buffer.extend_from_slice(frame);
                *self = Self::Written(buffer);
                self.buffer(size)
            }
        }
    }

    /// Adds a message. A new buffer, if that is what it takes, has room for `size` bytes.
    pub(super) fn push(&mut self, frame: &Bytes, size: usize) {
        if self.is_empty() {
            *self = Self::Shared(frame.clone());
        } else {
            self.buffer(size).extend_from_slice(frame);
        }
    }

    /// All of it. It goes whole: to split a buffer would cost an allocation for the two parts to share, and often it is just
    /// full.
    pub(super) fn take(&mut self) -> Bytes {
        match core::mem::replace(self, Self::new()) {
            Self::Written(buffer) => buffer.freeze(),
            Self::Shared(frame) => frame,
        }
    }

    /// The first so many are not needed.
    pub(super) fn skip(&mut self, count: usize) {
        match self {
            Self::Written(buffer) => buffer.advance(count),
            Self::Shared(frame) => frame.advance(count),
        }
    }

    /// Puts bytes in front.
    pub(super) fn prepend(&mut self, mut front: BytesMut) {
        front.extend_from_slice(&self.take());
        *self = Self::Written(front);
    }

    /// An empty place holds no buffer, however much went through it.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}
