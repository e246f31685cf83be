//! MessagePack, head by head.

use super::Fault;

/// What a value begins with; for all but arrays and maps this is the whole value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    String(&'a [u8]),
    Binary(&'a [u8]),
    Extension(i8, &'a [u8]),
    /// So many values follow.
    Array(u64),
    /// So many pairs follow.
    Map(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The bytes since an earlier position.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn ends_early(&self) -> Fault {
        Fault::new(self.at, "a value that ends too early")
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied();
        let found = found.ok_or_else(|| self.ends_early())?;
        self.at += N;
        Ok(found)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let found = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.get(self.at..)?.get(..length));
        let found = found.ok_or_else(|| self.ends_early())?;
        self.at += found.len();
        Ok(found)
    }

    fn unsigned<const N: usize>(&mut self) -> Result<u64, Fault> {
        Ok(self
            .array::<N>()?
            .into_iter()
            .fold(0, |value, byte| value << 8 | u64::from(byte)))
    }

    pub(crate) fn head(&mut self) -> Result<Head<'a>, Fault> {
        let start = self.at;
        let [marker] = self.array::<1>()?;
        let low = |mask: u8| u64::from(marker & mask);
        match marker {
            0x00..=0x7f => Ok(Head::Unsigned(marker.into())),
            0x80..=0x8f => self.counted(low(15), 2, Head::Map),
            0x90..=0x9f => self.counted(low(15), 1, Head::Array),
            0xa0..=0xbf => self.take(low(31)).map(Head::String),
            0xc0 => Ok(Head::Nil),
            0xc1 => Err(Fault::new(
                start,
                "the byte c1, which MessagePack does not use",
            )),
            0xc2 | 0xc3 => Ok(Head::Bool(marker == 0xc3)),
            0xc4..=0xc9 | 0xd4..=0xdf => self.long(marker),
            0xca..=0xd3 => self.number(marker),
            0xe0..=0xff => Ok(Head::Signed(i8::from_be_bytes([marker]).into())),
        }
    }

    fn number(&mut self, marker: u8) -> Result<Head<'a>, Fault> {
        Ok(match marker {
            0xca => Head::F32(f32::from_be_bytes(self.array()?)),
            0xcb => Head::F64(f64::from_be_bytes(self.array()?)),
            0xcc => Head::Unsigned(self.unsigned::<1>()?),
            0xcd => Head::Unsigned(self.unsigned::<2>()?),
            0xce => Head::Unsigned(self.unsigned::<4>()?),
            0xcf => Head::Unsigned(self.unsigned::<8>()?),
            0xd0 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            _ => Head::Signed(i64::from_be_bytes(self.array()?)),
        })
    }

    /// Values whose length follows the marker, or for fixed extensions is in it.
    fn long(&mut self, marker: u8) -> Result<Head<'a>, Fault> {
        let length = match marker {
            0xc4 | 0xc7 | 0xd9 => self.unsigned::<1>()?,
            0xc5 | 0xc8 | 0xda | 0xdc | 0xde => self.unsigned::<2>()?,
            0xd4..=0xd8 => 1 << (marker - 0xd4),
            _ => self.unsigned::<4>()?,
        };
        match marker {
            0xc4..=0xc6 => self.take(length).map(Head::Binary),
            0xd9..=0xdb => self.take(length).map(Head::String),
            0xdc | 0xdd => self.counted(length, 1, Head::Array),
            0xde | 0xdf => self.counted(length, 2, Head::Map),
            _ => {
                let [kind] = self.array()?;
                Ok(Head::Extension(
                    i8::from_be_bytes([kind]),
                    self.take(length)?,
                ))
            }
        }
    }

    /// Each element takes a byte at least, so a count beyond the bytes that are left is wrong.
    fn counted(
        &self,
        count: u64,
        values: u64,
        head: fn(u64) -> Head<'a>,
    ) -> Result<Head<'a>, Fault> {
        let left = self.left() as u64;
        if count.saturating_mul(values) > left {
            return Err(Fault::new(
                self.at,
                format!("{count} elements announced where {left} bytes are left"),
            ));
        }
        Ok(head(count))
    }
}
