//! .NET's times, to 100 ns.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use signalr_proto::Timestamp;

/// What `DateTime` knows of its time zone. MessagePack has moments in UTC only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateTimeKind {
    Utc,
    /// The server's own, which is UTC here.
    Local,
    Unspecified,
}

/// `DateTime`: `"2020-01-02T03:04:05.678Z"` in JSON, a timestamp in MessagePack.
#[derive(Clone, Copy, Debug)]
pub(super) struct DateTime {
    moment: Timestamp,
    kind: DateTimeKind,
}

/// The first moment that .NET knows, in seconds since 1970.
const FIRST: i64 = -62_135_596_800;

impl Default for DateTime {
    fn default() -> Self {
        Self {
            moment: Timestamp::new(FIRST, 0).unwrap_or_default(),
            kind: DateTimeKind::Unspecified,
        }
    }
}

/// The moment of a text of ISO 8601 and how its zone was written; without a zone as if it were UTC.
fn read(text: &str) -> Option<(Timestamp, Zone)> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(at)?;
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    let moment = Timestamp::from_str(&format!("{date}T{clock}{seconds}Z")).ok()?;
    Some((ticks(moment), Zone::read(zone)?))
}

/// The moment without what .NET does not know of it.
fn ticks(moment: Timestamp) -> Timestamp {
    Timestamp::new(moment.seconds(), moment.nanoseconds() / 100 * 100).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    None,
    Utc,
    /// Minutes east of Greenwich.
    Offset(i16),
}

impl Zone {
    fn read(text: &str) -> Option<Self> {
        let sign = match text.chars().next() {
            None => return Some(Self::None),
            Some('Z') if text.len() == 1 => return Some(Self::Utc),
            Some('+') => 1,
            Some('-') => -1,
            Some(_) => return None,
        };
        let (hours, minutes) = text.get(1..)?.split_once(':')?;
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        fits.then(|| Self::Offset(sign * (hours * 60 + minutes)))
    }
}

fn earlier(moment: Timestamp, minutes: i16) -> Option<Timestamp> {
    Timestamp::new(
        moment.seconds().checked_sub(i64::from(minutes) * 60)?,
        moment.nanoseconds(),
    )
}

/// The date and the clock, without a zone.
fn plain(moment: Timestamp) -> String {
    let text = moment.to_string();
    text.strip_suffix('Z').unwrap_or(&text).to_owned()
}

impl FromStr for DateTime {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (moment, zone) = read(text).ok_or(())?;
        Ok(match zone {
            Zone::None => Self {
                moment,
                kind: DateTimeKind::Unspecified,
            },
            Zone::Utc => Self {
                moment,
                kind: DateTimeKind::Utc,
            },
            Zone::Offset(minutes) => Self {
                moment: earlier(moment, minutes).ok_or(())?,
                kind: DateTimeKind::Local,
            },
        })
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(self.moment))?;
        f.write_str(match self.kind {
            DateTimeKind::Utc => "Z",
            DateTimeKind::Local => "+00:00",
            DateTimeKind::Unspecified => "",
        })
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.moment.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return text.parse().map_err(|()| D::Error::custom("no DateTime"));
        }
        Ok(Self {
            moment: ticks(Timestamp::deserialize(deserializer)?),
            kind: DateTimeKind::Utc,
        })
    }
}

/// `DateTimeOffset`: `"2020-01-02T03:04:05+02:00"` in JSON, the local clock as a timestamp and the minutes in MessagePack.
#[derive(Clone, Copy, Debug)]
pub(super) struct DateTimeOffset {
    clock: Timestamp,
    minutes: i16,
}

impl Serialize for DateTimeOffset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.clock, self.minutes).serialize(serializer);
        }
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (self.minutes.abs() / 60, self.minutes.abs() % 60);
        serializer.collect_str(&format_args!(
            "{}{sign}{hours:02}:{minutes:02}",
            plain(self.clock)
        ))
    }
}

impl<'de> Deserialize<'de> for DateTimeOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let (clock, minutes) = Deserialize::deserialize(deserializer)?;
            return Ok(Self {
                clock: ticks(clock),
                minutes,
            });
        }
        let text = String::deserialize(deserializer)?;
        let (clock, zone) = read(&text).ok_or_else(|| D::Error::custom("no DateTimeOffset"))?;
        Ok(Self {
            clock,
            minutes: match zone {
                Zone::None | Zone::Utc => 0,
                Zone::Offset(minutes) => minutes,
            },
        })
    }
}

/// `TimeSpan` in units of 100 ns: `"1.02:03:04.5000000"` in JSON, the number in MessagePack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeSpan(i64);

const TICKS: i64 = 10_000_000;

impl FromStr for TimeSpan {
    type Err = ();

    /// Reads `d`, `[d.]h:m` or `[d.]h:m:s[.fffffff]`, with or without a minus.
    fn from_str(text: &str) -> Result<Self, ()> {
        let positive = text.strip_prefix('-');
        let ticks = magnitude(positive.unwrap_or(text)).ok_or(())?;
        let ticks = if positive.is_some() { -ticks } else { ticks };
        i64::try_from(ticks).map(Self).map_err(|_| ())
    }
}

/// A number of digits and nothing else, below a limit.
fn digits(text: &str, limit: i128) -> Option<i128> {
    let plain = !text.is_empty() && text.len() <= 8 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number < limit)
}

fn magnitude(text: &str) -> Option<i128> {
    const DAYS: i128 = 100_000_000;
    let Some((hours, rest)) = text.split_once(':') else {
        return Some(digits(text, DAYS)? * 24 * 60 * 60 * i128::from(TICKS));
    };
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.len() > 7 {
        return None;
    }
    let fraction = digits(&format!("{fraction:0<7}"), TICKS.into())?;
    let hours = digits(days, DAYS)? * 24 + digits(hours, 24)?;
    let seconds = (hours * 60 + digits(minutes, 60)?) * 60 + digits(seconds, 60)?;
    Some(seconds * i128::from(TICKS) + fraction)
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ticks, unit) = (self.0.unsigned_abs(), TICKS.unsigned_abs());
        let (seconds, fraction) = (ticks / unit, ticks % unit);
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if hours >= 24 {
            write!(f, "{}.", hours / 24)?;
        }
        write!(
            f,
            "{:02}:{:02}:{:02}",
            hours % 24,
            minutes % 60,
            seconds % 60
        )?;
        if fraction > 0 {
            write!(f, ".{fraction:07}")?;
        }
        Ok(())
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| D::Error::custom("no TimeSpan"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_read_and_written_as_dotnet_does() {
        for (given, expected) in [
            ("01:02:03", "01:02:03"),
            ("1:2:3", "01:02:03"),
            ("5", "5.00:00:00"),
            ("-00:00:01", "-00:00:01"),
            ("00:00:00.1", "00:00:00.1000000"),
            ("1.02:03:04.5000000", "1.02:03:04.5000000"),
            ("10675199.02:48:05.4775807", "10675199.02:48:05.4775807"),
        ] {
            assert_eq!(given.parse::<TimeSpan>().unwrap().to_string(), expected);
        }
        for wrong in [
            "25:00:00",
            "",
            "x",
            " 01:02:03",
            "10675199.02:48:05.4775808",
        ] {
            assert_eq!(wrong.parse::<TimeSpan>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn dates_keep_what_they_know_of_their_zone() {
        for (given, expected) in [
            ("2020-01-02T03:04:05.678Z", "2020-01-02T03:04:05.678Z"),
            ("2020-01-02T03:04:05", "2020-01-02T03:04:05"),
            ("2020-01-02", "2020-01-02T00:00:00"),
            ("2020-01-02T03:04:05+02:00", "2020-01-02T01:04:05+00:00"),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00"),
        ] {
            assert_eq!(given.parse::<DateTime>().unwrap().to_string(), expected);
        }
        assert_eq!(DateTime::default().to_string(), "0001-01-01T00:00:00");
        assert!("nonsense".parse::<DateTime>().is_err());
    }
}
