//! Arguments, items and results between their wire formats and the JSON that people read and write.
//!
//! Values are never built as trees. A first pass checks a value and notes what the second must know ahead of time (how many
//! elements an array has, whether a map can be an object); the second writes. So memory stays close to the size of the text.
//!
//! JSON lacks some values of MessagePack. They are written as objects with one reserved member: see [`Reserved`]. An object
//! of the user's own that looks like one is written as `{"$map":[[name, value]]}`, so that nothing is ambiguous.

pub(crate) mod compact;
pub(crate) mod hex;
pub(crate) mod interpret;
pub(crate) mod json_sink;
pub(crate) mod msgpack_reader;
pub(crate) mod msgpack_sink;
pub(crate) mod msgpack_text;
pub(crate) mod survey;
pub(crate) mod tokens;

use std::borrow::Cow;

/// What is wrong with a value, and where: bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) what: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn new(offset: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            offset,
            what: what.into(),
        }
    }

    /// The same fault, seen from the start of something larger.
    pub(crate) fn moved_by(mut self, offset: usize) -> Self {
        self.offset = self.offset.saturating_add(offset);
        self
    }
}

/// The names that make an object with this one member stand for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// `{"$bin":"00ff"}`: bytes.
    Bin,
    /// `{"$timestamp":"2020-01-02T03:04:05.678Z"}`: extension -1.
    Timestamp,
    /// `{"$ext":[5,"00ff"]}`: any other extension.
    Ext,
    /// `{"$f32":1.5}`: a float of 32 bits; also `"NaN"`, `"Infinity"`, `"-Infinity"`.
    F32,
    /// `{"$f64":1.5}`: a float of 64 bits.
    F64,
    /// `{"$map":[[1,"a"]]}`: a map whose keys need not be texts.
    Map,
}

impl Reserved {
    const ALL: [(&'static str, Self); 6] = [
        ("$bin", Self::Bin),
        ("$timestamp", Self::Timestamp),
        ("$ext", Self::Ext),
        ("$f32", Self::F32),
        ("$f64", Self::F64),
        ("$map", Self::Map),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find_map(|(reserved, kind)| (reserved == name).then_some(kind))
    }
}

/// Appends a JSON string.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        // Cannot happen: a vector takes every byte.
        out.truncate(start);
    }
}

/// A float as JSON, always with a point or an exponent; `None` for those that JSON lacks.
pub(crate) fn float_text(value: f64) -> Option<String> {
    value.is_finite().then(|| format!("{value:?}"))
}

/// How floats that JSON lacks are spelled.
pub(crate) const fn odd_float_name(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
