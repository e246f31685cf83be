//! The bytes of a fuzzer, read as a list of operations.

use bytes::Bytes;

/// Reads operations from bytes; an exhausted list gives zeros.
pub(crate) struct Bits<'a>(pub(crate) &'a [u8]);

impl Bits<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }

    /// A place in something of this length, if it has any.
    pub(crate) fn index(&mut self, length: usize) -> Option<usize> {
        let byte = usize::from(self.byte());
        byte.checked_rem(length)
    }
}

/// One of these, going round.
pub(crate) fn pick<T: Clone>(choices: &[T], which: impl Into<usize>) -> T {
    let picked = choices.iter().cycle().nth(which.into());
    picked.expect("there is a choice").clone()
}
