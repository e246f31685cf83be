//! A MessagePack reader over bytes: heads of values, and how to pass whole values.
//!
//! Lengths and counts are checked against the bytes that are left before anything is done with them, and nested values are
//! passed by counting, without recursion and without allocating.

use crate::codec::{DecodeError, DecodeErrorKind};

/// The deepest nesting of a payload that is decoded.
pub(crate) const MAX_DEPTH: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadKind {
    Nil,
    Bool(bool),
    Integer(i128),
    Float,
    /// The length is that of the bytes that follow.
    String,
    Binary,
    Extension,
    /// The length is that of the elements that follow.
    Array,
    /// The length is that of the keys and values that follow: twice the number of entries.
    Map,
}

/// What a value begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: HeadKind,
    /// Bytes of a string, binary or extension; values in an array or map; 0 for others.
    pub(crate) length: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) const fn syntax(&self, expected: &'static str) -> DecodeError {
        DecodeError::new(DecodeErrorKind::Syntax { expected }, self.at)
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.get(self.at..)?.get(..length));
        let taken = taken.ok_or_else(|| self.syntax("more bytes"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied();
        let found = found.ok_or_else(|| self.syntax("more bytes"))?;
        self.at += N;
        Ok(found)
    }

    fn unsigned<const N: usize>(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.array::<N>()?;
        Ok(bytes
            .into_iter()
            .fold(0, |value, byte| value << 8 | u64::from(byte)))
    }

    /// Reads what a value begins with: for numbers and the like, this is all of it.
    pub(crate) fn head(&mut self) -> Result<Head, DecodeError> {
        let [marker] = self.array::<1>()?;
        let low = |mask: u8| u64::from(marker & mask);
        let (kind, length) = match marker {
            0x00..=0x7f => (HeadKind::Integer(i128::from(marker)), 0),
            0x80..=0x8f => (HeadKind::Map, low(15) * 2),
            0x90..=0x9f => (HeadKind::Array, low(15)),
            0xa0..=0xbf => (HeadKind::String, low(31)),
            0xc0 => (HeadKind::Nil, 0),
            0xc1 => return Err(self.syntax("a marker that is in use")),
            0xc2 | 0xc3 => (HeadKind::Bool(marker == 0xc3), 0),
            0xc4..=0xc9 | 0xd4..=0xdf => self.long_head(marker)?,
            0xca..=0xd3 => (self.number(marker)?, 0),
            0xe0..=0xff => (
                HeadKind::Integer(i128::from(i8::from_be_bytes([marker]))),
                0,
            ),
        };
        Ok(Head { kind, length })
    }

    fn long_head(&mut self, marker: u8) -> Result<(HeadKind, u64), DecodeError> {
        Ok(match marker {
            0xc4 => (HeadKind::Binary, self.unsigned::<1>()?),
            0xc5 => (HeadKind::Binary, self.unsigned::<2>()?),
            0xc6 => (HeadKind::Binary, self.unsigned::<4>()?),
            // The type of an extension counts as its first byte.
            0xc7 => (HeadKind::Extension, self.unsigned::<1>()? + 1),
            0xc8 => (HeadKind::Extension, self.unsigned::<2>()? + 1),
            0xc9 => (HeadKind::Extension, self.unsigned::<4>()? + 1),
            0xd4..=0xd8 => (HeadKind::Extension, (1 << (marker - 0xd4)) + 1),
            0xd9 => (HeadKind::String, self.unsigned::<1>()?),
            0xda => (HeadKind::String, self.unsigned::<2>()?),
            0xdb => (HeadKind::String, self.unsigned::<4>()?),
            0xdc => (HeadKind::Array, self.unsigned::<2>()?),
            0xdd => (HeadKind::Array, self.unsigned::<4>()?),
            0xde => (HeadKind::Map, self.unsigned::<2>()? * 2),
            _ => (HeadKind::Map, self.unsigned::<4>()? * 2),
        })
    }

    fn number(&mut self, marker: u8) -> Result<HeadKind, DecodeError> {
        Ok(HeadKind::Integer(match marker {
            0xca => return self.array::<4>().map(|_| HeadKind::Float),
            0xcb => return self.array::<8>().map(|_| HeadKind::Float),
            0xcc => self.unsigned::<1>()?.into(),
            0xcd => self.unsigned::<2>()?.into(),
            0xce => self.unsigned::<4>()?.into(),
            0xcf => self.unsigned::<8>()?.into(),
            0xd0 => i8::from_be_bytes(self.array()?).into(),
            0xd1 => i16::from_be_bytes(self.array()?).into(),
            0xd2 => i32::from_be_bytes(self.array()?).into(),
            _ => i64::from_be_bytes(self.array()?).into(),
        }))
    }

    /// The head of a container whose elements can all be there: each takes a byte at least.
    pub(crate) fn container(
        &mut self,
        kind: HeadKind,
        expected: &'static str,
    ) -> Result<u64, DecodeError> {
        let start = self.at;
        let head = self.head()?;
        if head.kind != kind {
            return Err(DecodeError::new(
                DecodeErrorKind::Syntax { expected },
                start,
            ));
        }
        if head.length > self.left() as u64 {
            return Err(self.syntax("as many elements as announced"));
        }
        Ok(head.length)
    }

    /// Passes a value of any depth, and tells how many containers it has.
    pub(crate) fn skip(&mut self) -> Result<u64, DecodeError> {
        let mut missing = 1_u64;
        let mut containers = 0;
        while missing > 0 {
            let head = self.head()?;
            missing -= 1;
            if matches!(head.kind, HeadKind::Array | HeadKind::Map) {
                missing = missing.saturating_add(head.length);
                containers += 1;
            } else {
                self.take(head.length)?;
            }
            if missing > self.left() as u64 {
                return Err(self.syntax("as many elements as announced"));
            }
        }
        Ok(containers)
    }

    /// Checks that the value, which was passed once already, nests no deeper than [`MAX_DEPTH`].
    fn check_depth(&mut self) -> Result<(), DecodeError> {
        let mut levels = [0_u64; MAX_DEPTH as usize];
        let mut depth = 0_usize;
        loop {
            let head = self.head()?;
            if matches!(head.kind, HeadKind::Array | HeadKind::Map) {
                let Some(level) = levels.get_mut(depth) else {
                    return Err(DecodeError::new(
                        DecodeErrorKind::TooDeep { limit: MAX_DEPTH },
                        self.at,
                    ));
                };
                *level = head.length;
                depth += 1;
            } else {
                self.take(head.length)?;
            }
            // Leaves the levels that are complete, and enters the next element of the one that is not.
            loop {
                let Some(level) = depth
                    .checked_sub(1)
                    .and_then(|innermost| levels.get_mut(innermost))
                else {
                    return Ok(());
                };
                if *level > 0 {
                    *level -= 1;
                    break;
                }
                depth -= 1;
            }
        }
    }
}

/// Checks that the bytes are one value.
pub(crate) fn check_value(bytes: &[u8]) -> Result<u64, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let containers = cursor.skip()?;
    if cursor.left() == 0 {
        Ok(containers)
    } else {
        Err(cursor.syntax("the end"))
    }
}

/// Checks that the bytes are one value which nests no deeper than [`MAX_DEPTH`].
pub(crate) fn check_depth(bytes: &[u8]) -> Result<(), DecodeError> {
    // So many containers are needed for nesting that deep, and most values have fewer.
    if check_value(bytes)? > u64::from(MAX_DEPTH) {
        Cursor::new(bytes).check_depth()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        [[0x91].repeat(depth), vec![0xc0]].concat()
    }

    #[test]
    fn every_marker_is_passed_by_its_length() {
        let cases: &[(&[u8], usize)] = &[
            (&[0x00], 0),
            (&[0x7f], 0),
            (&[0xff], 0),
            (&[0xc0], 0),
            (&[0xc2], 0),
            (&[0xc3], 0),
            (&[0xcc], 1),
            (&[0xcd], 2),
            (&[0xce], 4),
            (&[0xcf], 8),
            (&[0xd0], 1),
            (&[0xd1], 2),
            (&[0xd2], 4),
            (&[0xd3], 8),
            (&[0xca], 4),
            (&[0xcb], 8),
            (&[0xd4], 2),
            (&[0xd5], 3),
            (&[0xd6], 5),
            (&[0xd7], 9),
            (&[0xd8], 17),
            (&[0xc7, 3], 4),
            (&[0xc8, 0, 3], 4),
            (&[0xc9, 0, 0, 0, 3], 4),
            (&[0xc4, 3], 3),
            (&[0xc5, 0, 3], 3),
            (&[0xc6, 0, 0, 0, 3], 3),
            (&[0xa3], 3),
            (&[0xd9, 3], 3),
            (&[0xda, 0, 3], 3),
            (&[0xdb, 0, 0, 0, 3], 3),
            (&[0x92], 2),
            (&[0xdc, 0, 2], 2),
            (&[0xdd, 0, 0, 0, 2], 2),
            (&[0x81], 2),
            (&[0xde, 0, 1], 2),
            (&[0xdf, 0, 0, 0, 1], 2),
        ];
        for (head, data) in cases {
            let whole = [head.to_vec(), vec![1; *data]].concat();
            assert!(check_value(&whole).is_ok(), "{whole:x?}");
            for cut in 0..whole.len() {
                assert!(check_value(&whole[..cut]).is_err(), "{:x?}", &whole[..cut]);
            }
            assert!(check_value(&[whole, vec![1]].concat()).is_err());
        }
        assert!(check_value(&[0xc1]).is_err());
    }

    #[test]
    fn nesting_is_accepted_to_the_limit_and_not_beyond() {
        assert!(check_depth(&nested(256)).is_ok());
        assert_eq!(
            check_depth(&nested(257)).unwrap_err().kind,
            DecodeErrorKind::TooDeep { limit: 256 }
        );
        assert!(check_value(&nested(100_000)).is_ok());
    }

    #[test]
    fn many_containers_side_by_side_are_not_deep() {
        let flat = [vec![0xdc, 0x10, 0x00], [0x91, 0x01].repeat(0x1000)].concat();
        assert!(check_depth(&flat).is_ok());
        let maps = [vec![0xdc, 0x10, 0x00], [0x81, 0x01, 0x90].repeat(0x1000)].concat();
        assert!(check_depth(&maps).is_ok());
    }

    #[test]
    fn counts_beyond_the_bytes_that_are_left_are_refused() {
        for bomb in [
            [0xdd, 0xff, 0xff, 0xff, 0xff],
            [0xdf, 0xff, 0xff, 0xff, 0xff],
            [0xdb, 0xff, 0xff, 0xff, 0xff],
            [0xc9, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(check_value(&bomb).is_err());
        }
    }
}
