//! What holds for any bytes from a client, for tests and fuzzing alike: it panics when it does not hold.

use super::{FrameError, FrameReader, NO_TEXT, Read};

/// What a stream of bytes was read as: neighbouring pieces of data joined, since they are cut anywhere.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) said: Vec<Read>,
    pub(super) error: Option<FrameError>,
}

impl Heard {
    /// Reads the pieces one after the other.
    pub(super) fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut reader = FrameReader::default();
        let mut heard = Self::default();
        for piece in pieces {
            heard.take(&mut reader, piece);
        }
        heard
    }

    fn take(&mut self, reader: &mut FrameReader, piece: &[u8]) {
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        loop {
            match reader.read(&mut input) {
                Ok(Some(read)) => self.add(read),
                Ok(None) => {
                    assert!(input.is_empty(), "bytes were left over");
                    assert_eq!(self.error, None, "an error was forgotten");
                    return;
                }
                Err(error) => {
                    let first = *self.error.get_or_insert(error);
                    assert_eq!(first, error, "a second error");
                    return;
                }
            }
        }
    }

    fn add(&mut self, read: Read) {
        assert_eq!(self.error, None, "something after an error: {read:?}");
        let closed = matches!(self.said.last(), Some(Read::Close { .. }));
        assert!(!closed, "something after the close: {read:?}");
        match (self.said.last_mut(), read) {
            (Some(Read::Data(before)), Read::Data(more)) => {
                assert!(!more.is_empty(), "an empty piece");
                *before = [before.as_ref(), more.as_ref()].concat().into();
            }
            (_, read) => self.said.push(read),
        }
    }

    /// All data, whatever was between.
    pub(super) fn data(&self) -> Vec<u8> {
        let data = self.said.iter().map(|read| match read {
            Read::Data(bytes) => bytes.as_ref(),
            Read::Ping(_) | Read::Pong | Read::Close { .. } => &[],
        });
        data.collect::<Vec<_>>().concat()
    }
}

/// A byte that says how the stream is cut, then the stream: cuts make no difference.
pub(crate) fn check(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = Heard::of([stream]);
    assert!(whole.data().len() <= stream.len(), "more than was sent");
    let cut = Heard::of(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole.error, cut.error);
    if whole.error != Some(NO_TEXT) {
        assert!(whole == cut, "{:?} became {:?}", whole.said, cut.said);
        return;
    }
    // A piece is handed out when it may still become text, so less is handed out when the mistake comes with it.
    assert!(cut.data().starts_with(&whole.data()), "other data");
}
