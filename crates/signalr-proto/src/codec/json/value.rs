//! Values of users' types to JSON text and back, by serde_json, but for two kinds of values: strings, which most arguments, results and
//! items are, and whose bytes serde_json looks at one by one; and `-0`, which it takes for no integer.

use core::fmt;
use std::io;

use bytes::buf::Writer;
use bytes::{BufMut as _, BytesMut};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::put_string;
use super::scanner::{MAX_DEPTH, plain_run};
use crate::codec::forward::forward_serializer;

/// Appends a value; what was written before a failure is the caller's to remove.
pub(crate) fn put_value<T: Serialize + ?Sized>(
    out: &mut BytesMut,
    value: &T,
) -> serde_json::Result<()> {
    let general = &mut None;
    value.serialize(Outermost { out, general })
}

type General<'a> = serde_json::Serializer<Writer<&'a mut BytesMut>, BoundedNesting>;

/// Writes a value that is a string in one piece.
struct Outermost<'a, 's> {
    out: &'a mut BytesMut,
    /// Where serde_json's serializer lies when it is needed.
    general: &'s mut Option<General<'a>>,
}

impl<'a, 's> Outermost<'a, 's> {
    fn inner(self) -> &'s mut General<'a> {
        let writer = self.out.writer();
        self.general
            .insert(General::with_formatter(writer, BoundedNesting(0)))
    }
}

impl<'a, 's> Serializer for Outermost<'a, 's> {
    forward_serializer!(&'s mut General<'a>);

    fn serialize_str(self, text: &str) -> serde_json::Result<()> {
        put_string(self.out, text);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> serde_json::Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> serde_json::Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> serde_json::Result<()> {
        self.inner()
            .serialize_newtype_variant(name, index, variant, value)
    }
}

/// Reads exactly one value.
pub(crate) fn take_value<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> serde_json::Result<T> {
    let mut plain = Plain::of(bytes);
    let is_plain = plain.is_some();
    let mut general = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Whole {
        plain: &mut plain,
        general: &mut general,
    })?;
    // What was taken was the whole of it.
    if !is_plain || plain.is_some() {
        general.end()?;
    }
    Ok(value)
}

/// A value that is read without serde_json, by those who ask for its type.
#[derive(Clone, Copy)]
enum Plain<'de> {
    Text(&'de str),
    /// `-0`. To serde_json it is a floating point number whatever is asked for; the official server reads it into signed integers.
    NegativeZero,
}

impl<'de> Plain<'de> {
    fn of(bytes: &'de [u8]) -> Option<Self> {
        let text = plain_string(bytes).map(Self::Text);
        text.or_else(|| (bytes.trim_ascii() == b"-0").then_some(Self::NegativeZero))
    }
}

/// The string that the text is, if there is nothing in it that would have to be replaced.
fn plain_string(bytes: &[u8]) -> Option<&str> {
    let inside = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if plain_run(inside) < inside.len() {
        return None;
    }
    core::str::from_utf8(inside).ok()
}

type GeneralReader<'de> = serde_json::Deserializer<serde_json::de::SliceRead<'de>>;

/// Reads a plain value in one piece.
struct Whole<'de, 's> {
    /// Until it is taken.
    plain: &'s mut Option<Plain<'de>>,
    general: &'s mut GeneralReader<'de>,
}

macro_rules! forward_deserializer {
    ($($name:ident($($argument:ident: $type:ty),*);)+) => {$(
        fn $name<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> serde_json::Result<V::Value> {
            self.general.$name($($argument,)* visitor)
        }
    )+};
}

macro_rules! signed_integers {
    ($($name:ident)+) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
            if matches!(self.plain, Some(Plain::NegativeZero)) {
                *self.plain = None;
                return visitor.visit_i64(0);
            }
            self.general.$name(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for Whole<'de, '_> {
    type Error = serde_json::Error;

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        if let Some(Plain::Text(text)) = *self.plain {
            *self.plain = None;
            return visitor.visit_borrowed_str(text);
        }
        self.general.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        match self.plain {
            Some(_) => visitor.visit_some(self),
            None => self.general.deserialize_option(visitor),
        }
    }

    signed_integers! {
        deserialize_i8
        deserialize_i16
        deserialize_i32
        deserialize_i64
    }

    forward_deserializer! {
        deserialize_any();
        deserialize_bool();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }
}

/// Arrays and objects in which a value may stand, the list of arguments and the message itself taken off: what every reader of JSON
/// messages takes.
const MAX_JSON_NESTING: u32 = MAX_DEPTH - 2;

/// Compact JSON, of which no receiver says that it is nested too deeply: it would end its connection, and a value that came in
/// MessagePack from somebody else may be nested more deeply.
struct BoundedNesting(u32);

impl BoundedNesting {
    fn enter(&mut self) -> io::Result<()> {
        self.0 = self.0.saturating_add(1);
        if self.0 > MAX_JSON_NESTING {
            return Err(io::Error::other(format!(
                "the value nests more than {MAX_JSON_NESTING} arrays and objects"
            )));
        }
        Ok(())
    }

    const fn leave(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

impl serde_json::ser::Formatter for BoundedNesting {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave();
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave();
        writer.write_all(b"}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serializer;
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn put<T: Serialize + ?Sized>(value: &T) -> String {
        let mut out = BytesMut::from("before");
        put_value(&mut out, value).unwrap();
        let text = String::from_utf8(out.to_vec()).unwrap();
        text.strip_prefix("before").unwrap().to_owned()
    }

    #[track_caller]
    fn same<T: Serialize + ?Sized>(value: &T) {
        assert_eq!(put(value), serde_json::to_string(value).unwrap());
    }

    #[derive(Serialize)]
    struct Name<'a>(&'a str);

    #[derive(Serialize)]
    enum Shape {
        Nothing,
        Text(&'static str),
        Pair(u8, &'static str),
        Named { a: Option<Name<'static>> },
    }

    struct Formatted;

    impl Serialize for Formatted {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{}\"{}", 1, 2))
        }
    }

    #[test]
    fn the_text_is_serde_jsons() {
        for length in 0..70_usize {
            for special in (0..0x20_u8).chain([b'"', b'\\', 0x7f, b'/']) {
                let mut text = "\u{e9}x".repeat(length);
                text.push(char::from(special));
                text.push_str(&"y".repeat(70 - length));
                same(&text);
                same(&Some(Name(&text)));
            }
        }
        same("");
        same(&Some(Some("a")));
        same(&None::<&str>);
        same(&'\u{0}');
        same(&(1, "a\n", -2.5, f64::NAN, i128::MIN, u128::MAX, true, ()));
        same(&[Shape::Nothing, Shape::Text("\\"), Shape::Pair(1, "\t")]);
        same(&Shape::Nothing);
        same(&Shape::Text("\\"));
        same(&Shape::Pair(1, "\t"));
        same(&Shape::Named {
            a: Some(Name("\u{1}")),
        });
        same(&BTreeMap::from([("a\"", "b\"")]));
        same(&Formatted);
        same(&json!({"a": [1, {"b": "c"}]}));
        same(&RawValue::from_string("[1, 2]".into()).unwrap());
        same(serde_bytes::Bytes::new(b"ab"));
    }

    /// What is read and what is refused are serde_json's.
    #[track_caller]
    fn reads_alike<T: for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(text: &[u8]) {
        let read = take_value::<T>(text).map_err(drop);
        assert_eq!(read, serde_json::from_slice(text).map_err(drop));
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Name(String);
        #[derive(Debug, Deserialize, PartialEq)]
        struct Named {
            a: String,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        enum Colour {
            Red,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(untagged)]
        enum Either {
            Number(i32),
            Text(String),
        }
        let long = format!("\"{}\u{e9}\"", "x".repeat(100));
        let texts: [&[u8]; 22] = [
            b"\"\"",
            b"\"Red\"",
            b"\"r\"",
            b"\"a\\nb\\u00e9\"",
            b"\"a\nb\"",
            b"\"\xff\"",
            b"\"a",
            b"\"",
            b"",
            b"\"a\" ",
            b" \"a\"",
            b"\"a\"b\"",
            b"\"a\\\"",
            b"null",
            b"null1",
            b"1",
            b"-0",
            b"[\"a\"]",
            b"[\"a\"]]",
            b"{\"a\":\"b\"}",
            b"{\"Red\":null}",
            long.as_bytes(),
        ];
        for text in texts {
            reads_alike::<String>(text);
            reads_alike::<Box<str>>(text);
            reads_alike::<Option<String>>(text);
            reads_alike::<Option<Option<String>>>(text);
            reads_alike::<char>(text);
            if text != b"-0" {
                reads_alike::<i32>(text);
            }
            reads_alike::<()>(text);
            reads_alike::<Name>(text);
            reads_alike::<Named>(text);
            reads_alike::<Option<Colour>>(text);
            reads_alike::<Either>(text);
            reads_alike::<Vec<String>>(text);
            reads_alike::<(String,)>(text);
            reads_alike::<serde_json::Value>(text);
            reads_alike::<serde::de::IgnoredAny>(text);
            reads_alike::<serde_bytes::ByteBuf>(text);
            reads_alike::<BTreeMap<String, String>>(text);
            reads_alike::<std::net::IpAddr>(text);
            let raw = take_value::<Box<RawValue>>(text).map(|raw| raw.get().to_owned());
            let theirs = serde_json::from_slice::<Box<RawValue>>(text);
            let theirs = theirs.map(|raw| raw.get().to_owned());
            assert_eq!(raw.map_err(drop), theirs.map_err(drop));
            let borrowed = take_value::<&str>(text).map_err(drop);
            assert_eq!(borrowed, serde_json::from_slice(text).map_err(drop));
        }
    }

    /// As the official server reads integers.
    #[test]
    fn minus_zero_is_a_signed_integer_and_fractions_and_exponents_are_none() {
        fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
            take_value(text.as_bytes()).ok()
        }
        for text in ["-0", " -0 "] {
            assert_eq!(read::<i8>(text), Some(0));
            assert_eq!(read::<i16>(text), Some(0));
            assert_eq!(read::<i32>(text), Some(0));
            assert_eq!(read::<i64>(text), Some(0));
            assert_eq!(read::<i128>(text), Some(0));
            assert_eq!(read::<isize>(text), Some(0));
            assert_eq!(read::<Option<i32>>(text), Some(Some(0)));
            assert_eq!(read::<u32>(text), None);
            assert_eq!(read::<Option<u64>>(text), None);
            assert_eq!(read::<String>(text), None);
            assert!(read::<f64>(text).unwrap().is_sign_negative());
            assert!(read::<Option<f32>>(text).flatten().is_some());
            assert_eq!(read::<serde_json::Value>(text), Some(json!(-0.0)));
        }
        for text in ["-0.0", "-0e0", "1.0", "1e2", "-0 1", "-0-0", "--0", "-00"] {
            assert_eq!(read::<i64>(text), None, "{text}");
        }
        assert_eq!(read::<i64>("9007199254740993"), Some(9_007_199_254_740_993));
    }

    #[test]
    fn values_that_no_reader_would_take_are_not_written() {
        fn nested(depth: u32) -> serde_json::Value {
            (1..depth).fold(json!([]), |inner, level| {
                if level % 2 == 0 {
                    json!([1, [], {}, inner])
                } else {
                    json!({ "a": inner, "b": 1 })
                }
            })
        }
        let written = |depth| put_value(&mut BytesMut::new(), &nested(depth));
        assert!(written(62).is_ok());
        let error = written(63).unwrap_err().to_string();
        assert!(error.contains("nests more than 62"), "{error}");
    }
}
