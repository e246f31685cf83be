//! A MessagePack payload as JSON.

use bytes::Bytes;
use signalr_proto::{Payload, Protocol, Timestamp};

use super::msgpack_reader::{Head, Reader};
use super::{Fault, Reserved, float_text, hex, odd_float_name, put_string};

/// Appends the one value in `bytes` as JSON; values that JSON lacks as told in [`Reserved`].
pub(crate) fn put_json(out: &mut Vec<u8>, bytes: &[u8], max_depth: usize) -> Result<(), Fault> {
    let pairs = survey(bytes, max_depth)?;
    Writer {
        reader: Reader::new(bytes),
        pairs: pairs.iter(),
        out,
    }
    .value()
}

/// A level of nesting that is not complete.
struct Level {
    /// Values that are still to come; in a map, an even number before each key.
    left: u64,
    /// For a map, its place among all maps and whether it has only one pair.
    map: Option<(usize, bool)>,
}

/// Checks the value. For each map, in the order in which they open, whether it must be written as `$map`: when a key is no
/// string, or when it would look like one of the [`Reserved`] forms.
fn survey(bytes: &[u8], max_depth: usize) -> Result<Vec<bool>, Fault> {
    let mut reader = Reader::new(bytes);
    let mut pairs = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    loop {
        let start = reader.position();
        let head = reader.head()?;
        check_text(&reader, head)?;
        note_key(&levels, &mut pairs, head);
        if let Some(level) = levels.last_mut() {
            level.left -= 1;
        }
        match head {
            Head::Array(count) => levels.push(Level {
                left: count,
                map: None,
            }),
            Head::Map(count) => {
                levels.push(Level {
                    left: count.saturating_mul(2),
                    map: Some((pairs.len(), count == 1)),
                });
                pairs.push(false);
            }
            Head::Nil
            | Head::Bool(_)
            | Head::Unsigned(_)
            | Head::Signed(_)
            | Head::F32(_)
            | Head::F64(_)
            | Head::String(_)
            | Head::Binary(_)
            | Head::Extension(..) => {}
        }
        if levels.len() > max_depth {
            return Err(Fault::new(start, "nesting deeper than 256"));
        }
        while levels.last().is_some_and(|level| level.left == 0) {
            levels.pop();
        }
        if levels.is_empty() {
            return finished(&reader, pairs);
        }
    }
}

fn finished(reader: &Reader<'_>, pairs: Vec<bool>) -> Result<Vec<bool>, Fault> {
    if reader.left() == 0 {
        Ok(pairs)
    } else {
        Err(Fault::new(
            reader.position(),
            "bytes after the end of the value",
        ))
    }
}

fn check_text(reader: &Reader<'_>, head: Head<'_>) -> Result<(), Fault> {
    let Head::String(text) = head else {
        return Ok(());
    };
    let start = reader.position().saturating_sub(text.len());
    let checked = std::str::from_utf8(text);
    checked.map(drop).map_err(|error| {
        Fault::new(
            start.saturating_add(error.valid_up_to()),
            "a string that is not UTF-8",
        )
    })
}

fn note_key(levels: &[Level], pairs: &mut [bool], head: Head<'_>) {
    let Some(Level {
        left,
        map: Some((map, single)),
    }) = levels.last()
    else {
        return;
    };
    let is_key = left % 2 == 0;
    let (Some(flag), true) = (pairs.get_mut(*map), is_key) else {
        return;
    };
    *flag |= if let Head::String(text) = head {
        *single && is_reserved(text)
    } else {
        true
    };
}

fn is_reserved(key: &[u8]) -> bool {
    std::str::from_utf8(key).is_ok_and(|key| Reserved::from_name(key).is_some())
}

struct Writer<'a, 'o> {
    reader: Reader<'a>,
    pairs: std::slice::Iter<'o, bool>,
    out: &'o mut Vec<u8>,
}

impl Writer<'_, '_> {
    fn value(&mut self) -> Result<(), Fault> {
        let start = self.reader.position();
        match self.reader.head()? {
            Head::Nil => self.out.extend(b"null"),
            Head::Bool(value) => self.out.extend(if value { &b"true"[..] } else { b"false" }),
            Head::Unsigned(value) => self.out.extend(value.to_string().as_bytes()),
            Head::Signed(value) => self.out.extend(value.to_string().as_bytes()),
            Head::F32(value) => self.float(value.into(), "$f32"),
            Head::F64(value) => self.float(value, "$f64"),
            Head::String(text) => put_string(self.out, &String::from_utf8_lossy(text)),
            Head::Binary(bytes) => {
                self.out.extend(b"{\"$bin\":\"");
                hex::put_hex(self.out, bytes);
                self.out.extend(b"\"}");
            }
            Head::Extension(kind, body) => self.extension(start, kind, body),
            Head::Array(count) => return self.array(count),
            Head::Map(count) => return self.map(count),
        }
        Ok(())
    }

    fn float(&mut self, value: f64, name: &str) {
        let text = float_text(value)
            .unwrap_or_else(|| format!("{{\"{name}\":\"{}\"}}", odd_float_name(value)));
        self.out.extend(text.as_bytes());
    }

    fn extension(&mut self, start: usize, kind: i8, body: &[u8]) {
        if let Some(text) = (kind == -1)
            .then(|| timestamp(self.reader.since(start)))
            .flatten()
        {
            self.out.extend(b"{\"$timestamp\":");
            self.out.extend(text.as_bytes());
            self.out.push(b'}');
            return;
        }
        self.out.extend(format!("{{\"$ext\":[{kind},\"").as_bytes());
        hex::put_hex(self.out, body);
        self.out.extend(b"\"]}");
    }

    fn array(&mut self, count: u64) -> Result<(), Fault> {
        self.out.push(b'[');
        for index in 0..count {
            self.separate(index);
            self.value()?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, count: u64) -> Result<(), Fault> {
        let in_pairs = self.pairs.next().copied().unwrap_or_default();
        let (begin, between, after, end): (&[u8], _, &[u8], &[u8]) = if in_pairs {
            (b"{\"$map\":[", b',', b"]", b"]}")
        } else {
            (b"{", b':', b"", b"}")
        };
        self.out.extend(begin);
        for index in 0..count {
            self.separate(index);
            if in_pairs {
                self.out.push(b'[');
            }
            self.value()?;
            self.out.push(between);
            self.value()?;
            self.out.extend(after);
        }
        self.out.extend(end);
        Ok(())
    }

    fn separate(&mut self, index: u64) {
        if index > 0 {
            self.out.push(b',');
        }
    }
}

/// The JSON string of a timestamp; `None` for what is none, and for years that RFC 3339 lacks.
fn timestamp(bytes: &[u8]) -> Option<String> {
    let moment = Payload::new(Protocol::MessagePack, Bytes::copy_from_slice(bytes))
        .decode::<Timestamp>()
        .ok()?;
    serde_json::to_string(&moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        put_json(&mut out, bytes, 256).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_that_json_lacks_have_forms_of_their_own() {
        assert_eq!(json(&[0xc4, 2, 0, 255]), r#"{"$bin":"00ff"}"#);
        assert_eq!(json(&[0xd4, 5, 9]), r#"{"$ext":[5,"09"]}"#);
        assert_eq!(
            json(&[0xd6, 0xff, 0, 0, 0, 1]),
            r#"{"$timestamp":"1970-01-01T00:00:01Z"}"#
        );
        assert_eq!(json(&[0xd4, 0xff, 9]), r#"{"$ext":[-1,"09"]}"#);
        assert_eq!(json(&[0xca, 0x7f, 0xc0, 0, 0]), r#"{"$f32":"NaN"}"#);
        assert_eq!(
            json(&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0]),
            r#"{"$f64":"-Infinity"}"#
        );
        assert_eq!(
            json(&[0x82, 1, 2, 0xa1, b'a', 3]),
            r#"{"$map":[[1,2],["a",3]]}"#
        );
        assert_eq!(
            json(&[0x81, 0xa4, b'$', b'b', b'i', b'n', 3]),
            r#"{"$map":[["$bin",3]]}"#
        );
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(
            json(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
            u64::MAX.to_string()
        );
        assert_eq!(
            json(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            i64::MIN.to_string()
        );
        assert_eq!(json(&[0xca, 0x42, 0x28, 0, 0]), "42.0");
        assert_eq!(json(&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]), "1.0");
        assert_eq!(json(&[0xcc, 1]), "1");
        assert_eq!(json(&[0xff]), "-1");
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_place() {
        let fault = |bytes: &[u8]| put_json(&mut Vec::new(), bytes, 2).unwrap_err().offset;
        assert_eq!(fault(&[0x92, 1]), 1);
        assert_eq!(fault(&[0x92, 0xa2, b'a', 0xff, 1]), 3);
        assert_eq!(fault(&[0x91, 0xc1]), 1);
        assert_eq!(fault(&[0x91, 0x91, 0x91, 1]), 2);
        assert_eq!(fault(&[0xdf, 255, 255, 255, 255]), 5);
        assert_eq!(fault(&[1, 2]), 1);
    }
}
