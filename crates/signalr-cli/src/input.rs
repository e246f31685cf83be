//! Where input comes from.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;
use crate::value::hex::digit_value;

/// The file, or standard input when there is none or its name is `-`.
pub(crate) fn open(file: Option<&Path>) -> Result<Box<dyn Read>, Failure> {
    match file {
        None => Ok(Box::new(io::stdin().lock())),
        Some(path) if path.as_os_str() == "-" => Ok(Box::new(io::stdin().lock())),
        Some(path) => {
            let opened = File::open(path).map_err(|error| {
                Failure::failed(format!("cannot open {}: {error}", path.display()))
            })?;
            Ok(Box::new(opened))
        }
    }
}

/// What to say when reading fails.
pub(crate) fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read the input: {error}"))
}

/// The byte order mark that some editors and shells put in front of text in UTF-8. It is no part of the text.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What was read as text, without a byte order mark; else what is wrong with it.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is text in UTF-16: save it as UTF-8");
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Passes over a byte order mark at the beginning. Takes no more bytes than it needs to see whether there is one.
pub(crate) fn skip_mark<R: Read>(mut input: R) -> io::Result<io::Chain<io::Cursor<Vec<u8>>, R>> {
    let mut begun = Vec::new();
    while begun.len() < MARK.len() && MARK.starts_with(&begun) {
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => begun.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if begun == MARK {
        begun.clear();
    }
    Ok(io::Cursor::new(begun).chain(input))
}

/// Bytes written as hexadecimal digits; white space does not count.
#[derive(Debug)]
pub(crate) struct HexReader<R> {
    text: R,
    read: u64,
    high: Option<u8>,
}

impl<R> HexReader<R> {
    pub(crate) const fn new(text: R) -> Self {
        Self {
            text,
            read: 0,
            high: None,
        }
    }

    /// Takes a character; a byte when it completes one.
    fn push(&mut self, character: u8) -> io::Result<Option<u8>> {
        self.read += 1;
        if character.is_ascii_whitespace() {
            return Ok(None);
        }
        let Some(digit) = digit_value(character) else {
            return Err(malformed(format!(
                "character {} is no hexadecimal digit",
                self.read
            )));
        };
        let Some(high) = self.high.take() else {
            self.high = Some(digit);
            return Ok(None);
        };
        Ok(Some(high << 4 | digit))
    }
}

fn malformed(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

impl<R: Read> Read for HexReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut text = [0; 8192];
        loop {
            // Each byte takes two characters, so all that are completed fit.
            let most = buffer.len().min(text.len());
            let length = self.text.read(text.get_mut(..most).unwrap_or_default())?;
            if length == 0 {
                return if self.high.is_some() {
                    Err(malformed("an odd number of hexadecimal digits"))
                } else {
                    Ok(0)
                };
            }
            let mut written = 0;
            for character in text.iter().take(length) {
                if let (Some(byte), Some(slot)) = (self.push(*character)?, buffer.get_mut(written))
                {
                    *slot = byte;
                    written += 1;
                }
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time and fails when it is asked for more than there is to be.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (first, rest) = self.0.split_first().ok_or(io::ErrorKind::WouldBlock)?;
            self.0 = rest;
            buffer.fill(*first);
            Ok(1)
        }
    }

    #[test]
    fn a_mark_is_passed_over_and_no_byte_is_waited_for_in_vain() {
        for (text, first) in [
            (&b"\xef\xbb\xbfx"[..], b'x'),
            (b"x", b'x'),
            (b"\xefx", 0xef),
            (b"\xef\xbbx", 0xef),
        ] {
            let mut input = skip_mark(Slow(text)).unwrap();
            let mut byte = [0];
            assert_eq!(input.read(&mut byte).unwrap(), 1);
            assert_eq!(byte, [first], "{text:?}");
        }
        let mut rest = Vec::new();
        skip_mark(&b"\xef\xbb"[..])
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
        assert_eq!(rest, b"\xef\xbb");
    }

    #[test]
    fn text_is_utf_8_without_its_mark() {
        assert_eq!(
            text(b"\xef\xbb\xbf\xef\xbb\xbfx".to_vec()),
            Ok("\u{feff}x".to_owned())
        );
        assert_eq!(text(b"x".to_vec()), Ok("x".to_owned()));
        assert!(
            text(b"\xff\xfex\0".to_vec())
                .unwrap_err()
                .contains("UTF-16")
        );
        assert!(text(b"\xff".to_vec()).unwrap_err().contains("UTF-8"));
    }
}
