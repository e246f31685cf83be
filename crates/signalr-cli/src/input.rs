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
