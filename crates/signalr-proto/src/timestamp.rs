//! A moment in time in the forms of both protocols.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What rmp-serde calls a newtype that stands for an extension.
const EXTENSION: &str = "_ExtStruct";
/// The extension type of timestamps.
const TYPE: i8 = -1;
const NANOS: u32 = 1_000_000_000;
/// The first second of year 1.
const FIRST: i64 = -62_135_596_800;
/// The last second of year 9999.
const LAST: i64 = 253_402_300_799;
const NO_YEAR: &str = "a year before 1 or after 9999";

/// A moment in time, to the nanosecond, as .NET's `DateTime` and JavaScript's `Date` travel.
///
/// In JSON an RFC 3339 text such as `"2020-01-02T03:04:05.678Z"`; any offset is read, UTC is written. In MessagePack the
/// timestamp extension (type -1); all three widths are read, the shortest is written.
///
/// `Display` gives the JSON form. Years before 1 or after 9999, which .NET does not know, have none: they are shown as `@` and the
/// seconds since 1970, and fail to serialize and to be read in either encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

/// Why a text is no [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date and time of RFC 3339")]
#[non_exhaustive]
pub struct ParseTimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self {
        seconds: 0,
        nanoseconds: 0,
    };

    /// So many seconds after (or before) 1970 began in UTC, and so many nanoseconds later. `None` from 10⁹ nanoseconds on.
    #[must_use]
    pub const fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        if nanoseconds < NANOS {
            Some(Self {
                seconds,
                nanoseconds,
            })
        } else {
            None
        }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after the whole second.
    #[must_use]
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// The moment as the system tells time, or `None` when it cannot.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let second = if self.seconds < 0 {
            UNIX_EPOCH.checked_sub(whole)
        } else {
            UNIX_EPOCH.checked_add(whole)
        };
        second?.checked_add(Duration::from_nanos(u64::from(self.nanoseconds)))
    }

    /// The same, if its year is one that travels.
    fn in_calendar(self) -> Option<Self> {
        (FIRST..=LAST).contains(&self.seconds).then_some(self)
    }

    fn rfc3339(self) -> Option<String> {
        self.in_calendar()?;
        let date = OffsetDateTime::from_unix_timestamp(self.seconds).ok()?;
        date.replace_nanosecond(self.nanoseconds)
            .ok()?
            .format(&Rfc3339)
            .ok()
    }

    /// The body of the extension in its shortest form, and its length.
    fn to_extension(self) -> ([u8; 12], usize) {
        let mut body = [0; 12];
        let used = match (u32::try_from(self.seconds), self.nanoseconds) {
            (Ok(seconds), 0) => fill(&mut body, &[&seconds.to_be_bytes()]),
            // 34 bits for the seconds.
            _ if (0..1 << 34).contains(&self.seconds) => {
                let packed = u64::from(self.nanoseconds) << 34 | self.seconds.unsigned_abs();
                fill(&mut body, &[&packed.to_be_bytes()])
            }
            _ => fill(
                &mut body,
                &[&self.nanoseconds.to_be_bytes(), &self.seconds.to_be_bytes()],
            ),
        };
        (body, used)
    }

    fn from_extension(body: &[u8]) -> Option<Self> {
        if let Ok(seconds) = <[u8; 4]>::try_from(body) {
            return Self::new(u32::from_be_bytes(seconds).into(), 0);
        }
        if let Ok(packed) = <[u8; 8]>::try_from(body) {
            let packed = u64::from_be_bytes(packed);
            return Self::new(
                i64::try_from(packed & ((1 << 34) - 1)).ok()?,
                u32::try_from(packed >> 34).ok()?,
            );
        }
        let (nanoseconds, seconds) = body.split_first_chunk::<4>()?;
        Self::new(
            i64::from_be_bytes(seconds.try_into().ok()?),
            u32::from_be_bytes(*nanoseconds),
        )
    }
}

fn fill(body: &mut [u8; 12], parts: &[&[u8]]) -> usize {
    let bytes = parts.iter().copied().flatten();
    body.iter_mut()
        .zip(bytes)
        .map(|(slot, byte)| *slot = *byte)
        .count()
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let (length, past) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (after, false),
            Err(error) => (error.duration(), true),
        };
        let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        match (past, length.subsec_nanos()) {
            (false, nanoseconds) => Self {
                seconds,
                nanoseconds,
            },
            (true, 0) => Self {
                seconds: -seconds,
                nanoseconds: 0,
            },
            (true, nanoseconds) => Self {
                seconds: -seconds - 1,
                nanoseconds: NANOS - nanoseconds,
            },
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(&text),
            None if self.nanoseconds == 0 => write!(f, "@{}", self.seconds),
            None => write!(f, "@{}+{}ns", self.seconds, self.nanoseconds),
        }
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let date = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| ParseTimestampError)?;
        Self::new(date.unix_timestamp(), date.nanosecond())
            .and_then(Self::in_calendar)
            .ok_or(ParseTimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let no_year = || S::Error::custom(NO_YEAR);
        if serializer.is_human_readable() {
            return serializer.serialize_str(&self.rfc3339().ok_or_else(no_year)?);
        }
        let (body, used) = self.in_calendar().ok_or_else(no_year)?.to_extension();
        serializer.serialize_newtype_struct(
            EXTENSION,
            &(TYPE, Body(body.get(..used).unwrap_or_default())),
        )
    }
}

/// Bytes that serialize as bytes, not as a list.
struct Body<'a>(&'a [u8]);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TimestampVisitor)
        } else {
            deserializer.deserialize_newtype_struct(EXTENSION, TimestampVisitor)
        }
    }
}

struct TimestampVisitor;

impl<'de> Visitor<'de> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date and time")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse()
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Timestamp, A::Error> {
        let kind: Option<i8> = parts.next_element()?;
        let body: Option<ExtensionBody> = parts.next_element()?;
        match (kind, body) {
            (Some(TYPE), Some(ExtensionBody(Some(timestamp)))) => timestamp
                .in_calendar()
                .ok_or_else(|| A::Error::custom(NO_YEAR)),
            _ => Err(A::Error::custom("expected the timestamp extension")),
        }
    }
}

/// The body of an extension; `None` when no timestamp looks like this.
struct ExtensionBody(Option<Timestamp>);

impl<'de> Deserialize<'de> for ExtensionBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BodyVisitor)
    }
}

struct BodyVisitor;

impl Visitor<'_> for BodyVisitor {
    type Value = ExtensionBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a timestamp")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<ExtensionBody, E> {
        Ok(ExtensionBody(Timestamp::from_extension(bytes)))
    }
}
