//! Values of the test hubs that look different in the two protocols, as .NET writes them.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `byte[]`: base64 in JSON; in MessagePack `bin` when written, and `bin`, array or string when read.
#[derive(Clone, Debug, Default)]
pub(super) struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&to_base64(&self.0));
        }
        serializer.serialize_bytes(&self.0)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(bytes.to_vec()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Blob, E> {
        Ok(Blob(text.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = items.next_element()? {
            bytes.push(byte);
        }
        Ok(Blob(bytes))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            from_base64(&text)
                .map(Self)
                .ok_or_else(|| D::Error::custom("not base64"))
        } else {
            deserializer.deserialize_any(BlobVisitor)
        }
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize);
            let padded = place > chunk.len();
            text.push(if padded {
                '='
            } else {
                letter.copied().map_or('=', char::from)
            });
        }
    }
    text
}

/// White space is passed over; the padding has to be there.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = text
        .bytes()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    let padding = letters
        .iter()
        .rev()
        .take_while(|letter| **letter == b'=')
        .count();
    if letters.len() % 4 != 0 || padding > 2 {
        return None;
    }
    let mut bytes = Vec::new();
    for group in letters.chunks(4) {
        let mut bits = 0_u32;
        for letter in group {
            let value = LETTERS.iter().position(|known| known == letter);
            // Padding inside the text is found by its length below.
            let value = value.or_else(|| (*letter == b'=').then_some(0))?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        bytes.extend_from_slice(bits.to_be_bytes().get(1..)?);
    }
    bytes.truncate(bytes.len() - padding);
    (letters.iter().filter(|letter| **letter == b'=').count() == padding).then_some(bytes)
}

/// A GUID, lower-case when written.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Guid(String);

impl Default for Guid {
    fn default() -> Self {
        Self("00000000-0000-0000-0000-000000000000".to_owned())
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let dash = |at| [8, 13, 18, 23].contains(&at);
        let fits = |(at, letter): (usize, u8)| {
            if dash(at) {
                letter == b'-'
            } else {
                letter.is_ascii_hexdigit()
            }
        };
        if text.len() == 36 && text.bytes().enumerate().all(fits) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(D::Error::custom("not a GUID"))
        }
    }
}

/// An enum: its number in JSON, its name in MessagePack. A number without a name is as good as any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Colour(i32);

const COLOURS: [(i32, &str); 3] = [(0, "Red"), (5, "Green"), (9, "Blue")];

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_i32(self.0);
        }
        match COLOURS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => serializer.serialize_str(name),
            None => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return i32::deserialize(deserializer).map(Self);
        }
        let name = String::deserialize(deserializer)?;
        let known = COLOURS.iter().find(|(_, known)| *known == name);
        known
            .map(|(number, _)| *number)
            .or_else(|| name.parse().ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a colour"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_both_ways() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"\0", "AA=="),
            (b"\0\x01", "AAE="),
            (b"\0\x01\x02", "AAEC"),
            (b"\xff\xfe\xfd\xfc", "//79/A=="),
        ] {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
        assert_eq!(from_base64("A A E C").as_deref(), Some(&b"\0\x01\x02"[..]));
        for wrong in ["!!", "AAE", "A=AA", "===="] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }
}
