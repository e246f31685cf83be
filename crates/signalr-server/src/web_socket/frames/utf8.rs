//! Text that comes in pieces.

use core::str::from_utf8;

/// Checks text that is cut anywhere, also within a character.
#[derive(Default)]
pub(super) struct Utf8Check {
    /// The beginning of a character.
    begun: [u8; 4],
    length: usize,
}

impl Utf8Check {
    /// More of the text.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> Result<(), ()> {
        while self.length > 0 {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.complete(*byte)?;
        }
        self.whole(piece)
    }

    /// The text ends here.
    pub(super) const fn finish(&self) -> Result<(), ()> {
        if self.length == 0 { Ok(()) } else { Err(()) }
    }

    /// One more byte of the character that was cut.
    fn complete(&mut self, byte: u8) -> Result<(), ()> {
        *self.begun.get_mut(self.length).ok_or(())? = byte;
        self.length += 1;
        match from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
            Ok(_) => self.length = 0,
            Err(error) if error.error_len().is_some() => return Err(()),
            Err(_) => {}
        }
        Ok(())
    }

    /// Text that begins with a character.
    fn whole(&mut self, piece: &[u8]) -> Result<(), ()> {
        let Err(error) = from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(());
        }
        let begun = piece.get(error.valid_up_to()..).unwrap_or_default();
        for (kept, byte) in self.begun.iter_mut().zip(begun) {
            *kept = *byte;
        }
        self.length = begun.len();
        Ok(())
    }
}
