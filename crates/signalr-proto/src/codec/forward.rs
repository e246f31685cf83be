//! Serializers that change one thing and leave the rest to another.

/// What a [`Serializer`](serde::Serializer) hands on to the one that its `inner` method gives: all but strings and the methods
/// that take a value of any type.
macro_rules! forward_serializer {
    ($inner:ty) => {
        type Ok = <$inner as ::serde::Serializer>::Ok;
        type Error = <$inner as ::serde::Serializer>::Error;
        type SerializeSeq = <$inner as ::serde::Serializer>::SerializeSeq;
        type SerializeTuple = <$inner as ::serde::Serializer>::SerializeTuple;
        type SerializeTupleStruct = <$inner as ::serde::Serializer>::SerializeTupleStruct;
        type SerializeTupleVariant = <$inner as ::serde::Serializer>::SerializeTupleVariant;
        type SerializeMap = <$inner as ::serde::Serializer>::SerializeMap;
        type SerializeStruct = <$inner as ::serde::Serializer>::SerializeStruct;
        type SerializeStructVariant = <$inner as ::serde::Serializer>::SerializeStructVariant;

        forward_serializer! { methods
            serialize_bool(v: bool) -> Ok;
            serialize_i8(v: i8) -> Ok;
            serialize_i16(v: i16) -> Ok;
            serialize_i32(v: i32) -> Ok;
            serialize_i64(v: i64) -> Ok;
            serialize_i128(v: i128) -> Ok;
            serialize_u8(v: u8) -> Ok;
            serialize_u16(v: u16) -> Ok;
            serialize_u32(v: u32) -> Ok;
            serialize_u64(v: u64) -> Ok;
            serialize_u128(v: u128) -> Ok;
            serialize_f32(v: f32) -> Ok;
            serialize_f64(v: f64) -> Ok;
            serialize_char(v: char) -> Ok;
            serialize_bytes(v: &[u8]) -> Ok;
            serialize_none() -> Ok;
            serialize_unit() -> Ok;
            serialize_unit_struct(name: &'static str) -> Ok;
            serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> Ok;
            serialize_seq(len: Option<usize>) -> SerializeSeq;
            serialize_tuple(len: usize) -> SerializeTuple;
            serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
            serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
                -> SerializeTupleVariant;
            serialize_map(len: Option<usize>) -> SerializeMap;
            serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
            serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
                -> SerializeStructVariant;
        }

        fn collect_seq<I>(self, items: I) -> Result<Self::Ok, Self::Error>
        where
            I: IntoIterator,
            I::Item: ::serde::Serialize,
        {
            self.inner().collect_seq(items)
        }

        fn collect_map<K, V, I>(self, entries: I) -> Result<Self::Ok, Self::Error>
        where
            K: ::serde::Serialize,
            V: ::serde::Serialize,
            I: IntoIterator<Item = (K, V)>,
        {
            self.inner().collect_map(entries)
        }

        fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<Self::Ok, Self::Error> {
            self.inner().collect_str(value)
        }
    };
    (methods $($name:ident($($argument:ident: $type:ty),*) -> $kind:ident;)+) => {$(
        fn $name(self, $($argument: $type),*) -> Result<Self::$kind, Self::Error> {
            self.inner().$name($($argument),*)
        }
    )+};
}

pub(super) use forward_serializer;
