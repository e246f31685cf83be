//! .NET's `decimal` and `char`.

use std::fmt;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// `decimal`: a number in JSON, a string in MessagePack; 96 bits and up to 28 digits behind the point, which are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: u128,
    scale: u32,
}

const LARGEST: u128 = (1 << 96) - 1;
const MOST_DIGITS: i64 = 28;

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let magnitude = text.strip_prefix('-');
        let (number, exponent) = match magnitude.unwrap_or(text).split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (magnitude.unwrap_or(text), 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
        let mut scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        while scale < 0 && digits > 0 {
            digits = digits.checked_mul(10).filter(|digits| *digits <= LARGEST)?;
            scale += 1;
        }
        if digits == 0 {
            scale = scale.clamp(0, MOST_DIGITS);
        }
        while scale > MOST_DIGITS || digits > LARGEST {
            if digits == 0 {
                // Whatever was there is too small, however small it is.
                scale = MOST_DIGITS;
                break;
            }
            (digits, scale) = (
                rounded(digits),
                scale.checked_sub(1).filter(|scale| *scale >= 0)?,
            );
        }
        Some(Self {
            negative: magnitude.is_some() && digits > 0,
            digits,
            scale: u32::try_from(scale.max(0)).ok()?,
        })
    }
}

/// A tenth, half to even.
const fn rounded(digits: u128) -> u128 {
    let (tenth, rest) = (digits / 10, digits % 10);
    if rest > 5 || (rest == 5 && tenth % 2 == 1) {
        tenth + 1
    } else {
        tenth
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let unit = 10_u128.pow(self.scale);
        write!(f, "{}", self.digits / unit)?;
        if self.scale > 0 {
            let width = usize::try_from(self.scale).unwrap_or_default();
            write!(f, ".{:0width$}", self.digits % unit)?;
        }
        Ok(())
    }
}

/// JSON's numbers are taken and given as text: serde's are floating point.
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let number = RawValue::from_string(self.to_string()).map_err(S::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer)?.get().to_owned()
        } else {
            String::deserialize(deserializer)?
        };
        Self::read(&text).ok_or_else(|| D::Error::custom("no decimal"))
    }
}

/// `char`, a unit of UTF-16: a string of one in JSON, a number in MessagePack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Char(u16);

impl Serialize for Char {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&String::from_utf16_lossy(&[self.0]))
        } else {
            serializer.serialize_u16(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Char {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u16::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let mut units = text.encode_utf16();
        match (units.next(), units.next()) {
            (Some(unit), None) => Ok(Self(unit)),
            _ => Err(D::Error::custom("not one char")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits_and_their_limits() {
        let read = |text| Decimal::read(text).map(|decimal| decimal.to_string());
        for (given, expected) in [
            ("1.50", "1.50"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("-0.0", "0.0"),
            ("-1.5", "-1.5"),
            ("0e999999999999999999", "0"),
            ("1e-9000000000000000000", "0.0000000000000000000000000000"),
            (
                "79228162514264337593543950335",
                "79228162514264337593543950335",
            ),
            (
                "0.00000000000000000000000000001",
                "0.0000000000000000000000000000",
            ),
        ] {
            assert_eq!(read(given).as_deref(), Some(expected));
        }
        for wrong in [
            "1e30",
            "79228162514264337593543950336",
            "\"1.5\"",
            "null",
            "true",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
