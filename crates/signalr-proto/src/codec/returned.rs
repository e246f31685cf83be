//! What the functions of applications return: a `Result` is an outcome and never a value.
//!
//! Serde serializes a `Result` as an enum, so that a function's `Err("no")` would reach the peer as the success
//! `{"Err":"no"}`. Rust cannot tell by types alone: an implementation for everything that serde can serialize covers the
//! `Result`s of which both sides can be serialized, and nothing can be taken out of it again. So it is told by what the value
//! says of itself: serde's implementation for `Result` announces a newtype variant `Ok` or `Err` of `Result`.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};

use super::forward::forward_serializer;

/// The `Err` of a `Result` of which serde knows both sides.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnedError {
    kind: &'static str,
    text: Box<str>,
    is_data: bool,
}

impl ReturnedError {
    /// The name of its type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// What it says: the text, if it is one, else the JSON of the error. Not meant for the peer unless the application
    /// says so.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text is the JSON of data, and no words that somebody chose. Data may hold whatever the peer has sent, so they
    /// are not for logs.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        self.is_data
    }

    fn of<E: Serialize + ?Sized>(error: &E) -> Self {
        let (text, is_data) = match serde_json::to_value(error) {
            Ok(serde_json::Value::String(text)) => (text, false),
            Ok(value) => (value.to_string(), true),
            Err(_) => (String::new(), true),
        };
        Self {
            kind: simple_name(core::any::type_name::<E>()),
            text: text.into(),
            is_data,
        }
    }
}

/// Its text may be secret.
impl fmt::Debug for ReturnedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnedError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// `Error` of `my::module::Error<T>`.
fn simple_name(name: &'static str) -> &'static str {
    let path = name.split('<').next().unwrap_or(name);
    let path = path.rsplit("::").next().unwrap_or(path);
    path.trim_start_matches('&')
}

const RESULT: &str = "Result";

/// The failure in a value, if it is one. A value that panics is none: it will do so again where it is written, and there a
/// driver is prepared for it.
pub(super) fn error_in<T: Serialize + ?Sized>(value: &T) -> Option<ReturnedError> {
    match catch_unwind(AssertUnwindSafe(|| value.serialize(Probe))) {
        Ok(Err(Seen::Failure(error))) => Some(error),
        Ok(Ok(()) | Err(Seen::Value)) | Err(_) => None,
    }
}

/// A value without the `Ok` around it.
pub(super) struct Unwrapped<'a, T: ?Sized>(pub(super) &'a T);

impl<T: Serialize + ?Sized> Serialize for Unwrapped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Unwrap(serializer))
    }
}

/// What a look at a value has shown. It is an error, so that nothing but the beginning of the value is serialized.
#[derive(Debug)]
enum Seen {
    Value,
    Failure(ReturnedError),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looked at")
    }
}

impl core::error::Error for Seen {}

impl ser::Error for Seen {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Value
    }
}

/// Looks at the beginning of a value.
struct Probe;

macro_rules! values {
    ($($name:ident($($type:ty),*);)+) => {$(
        fn $name(self, $(_: $type),*) -> Result<(), Seen> {
            Err(Seen::Value)
        }
    )+};
}

macro_rules! containers {
    ($($name:ident($($type:ty),*) -> $kind:ident;)+) => {$(
        fn $name(self, $(_: $type),*) -> Result<Self::$kind, Seen> {
            Err(Seen::Value)
        }
    )+};
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Seen;
    type SerializeSeq = Impossible<(), Seen>;
    type SerializeTuple = Impossible<(), Seen>;
    type SerializeTupleStruct = Impossible<(), Seen>;
    type SerializeTupleVariant = Impossible<(), Seen>;
    type SerializeMap = Impossible<(), Seen>;
    type SerializeStruct = Impossible<(), Seen>;
    type SerializeStructVariant = Impossible<(), Seen>;

    values! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    containers! {
        serialize_seq(Option<usize>) -> SerializeSeq;
        serialize_tuple(usize) -> SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Seen> {
        Err(Seen::Value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Seen> {
        Err(Seen::Value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Seen> {
        match (name, variant) {
            (RESULT, "Ok") => value.serialize(self),
            (RESULT, "Err") => Err(Seen::Failure(ReturnedError::of(value))),
            _ => Err(Seen::Value),
        }
    }

    /// Formatting would be for nothing.
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Seen> {
        Err(Seen::Value)
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// Hands everything on, but for the `Ok` of a `Result`.
struct Unwrap<S>(S);

impl<S> Unwrap<S> {
    fn inner(self) -> S {
        self.0
    }
}

impl<S: Serializer> Serializer for Unwrap<S> {
    forward_serializer!(S);

    fn serialize_str(self, text: &str) -> Result<S::Ok, S::Error> {
        self.0.serialize_str(text)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if (name, variant) == (RESULT, "Ok") {
            return value.serialize(self);
        }
        self.0
            .serialize_newtype_variant(name, index, variant, value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::BytesMut;

    use super::*;
    use crate::codec::{Encode, Payload, Protocol, Returned};

    fn json<T: Encode>(value: T) -> String {
        let mut out = BytesMut::new();
        match Returned::new(value) {
            Ok(value) => value.encode(Protocol::Json, &mut out).unwrap(),
            Err(error) => return format!("{}: {}", error.kind(), error.text()),
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[derive(Serialize)]
    enum Refusal {
        Busy { seconds: u32 },
    }

    #[derive(Serialize)]
    enum Outcome {
        Ok(i32),
        Err(i32),
    }

    #[test]
    fn results_are_outcomes_wherever_serde_knows_both_sides() {
        assert_eq!(json(Ok::<_, String>(7)), "7");
        assert_eq!(json(Ok::<_, String>(())), "null");
        assert_eq!(json(Err::<(), _>("no")), "str: no");
        assert_eq!(json(Err::<(), _>("no".to_owned())), "String: no");
        assert_eq!(
            json(Err::<(), _>(Refusal::Busy { seconds: 3 })),
            r#"Refusal: {"Busy":{"seconds":3}}"#
        );
        assert_eq!(json(Box::new(Err::<(), _>("no"))), "str: no");
        assert_eq!(json(Ok::<_, String>(Err::<(), _>("no"))), "str: no");
        assert_eq!(json(Ok::<_, String>(Ok::<_, String>([1]))), "[1]");
    }

    #[test]
    fn values_are_encoded_as_ever() {
        assert_eq!(json(Outcome::Ok(1)), r#"{"Ok":1}"#);
        assert_eq!(json(Outcome::Err(1)), r#"{"Err":1}"#);
        assert_eq!(
            json((1, "a", 2.5, 'x', None::<i32>)),
            r#"[1,"a",2.5,"x",null]"#
        );
        assert_eq!(json(BTreeMap::from([("a", 1)])), r#"{"a":1}"#);
        assert_eq!(json(format_args!("{}", 1)), r#""1""#);
        let raw = Payload::new(Protocol::Json, "[1]".into());
        assert_eq!(json(raw), "[1]");
    }

    #[test]
    fn message_pack_is_unwrapped_too() {
        let mut out = BytesMut::new();
        let value = Returned::new(Ok::<_, String>(i128::from(7_i32))).unwrap();
        value.encode(Protocol::MessagePack, &mut out).unwrap();
        let mut plain = BytesMut::new();
        7_i128.encode(Protocol::MessagePack, &mut plain).unwrap();
        assert_eq!(out, plain);
    }

    #[test]
    fn an_errors_words_are_not_in_its_debug_output() {
        let error = Returned::new(Err::<(), _>("secret")).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
