//! Results and items of any type, as JSON.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use signalr_proto::{Arguments, Protocol};

use crate::decode::{JSON_DEPTH, MSGPACK_DEPTH};
use crate::value::compact::put_compact;
use crate::value::msgpack_text::put_json;
use crate::value::{Fault, Reserved, float_text, hex, odd_float_name, put_string};

/// A value as one line of JSON, in the forms of `decode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown(pub(crate) String);

/// The text of an absent or null value.
pub(crate) fn or_null(value: Option<Shown>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.0)
}

/// An argument list as one line of JSON.
pub(crate) fn arguments_text(arguments: &Arguments) -> Result<String, Fault> {
    let mut out = Vec::new();
    match arguments.protocol() {
        Protocol::MessagePack => put_json(
            &mut out,
            arguments.as_bytes(),
            MSGPACK_DEPTH.saturating_add(1),
        )?,
        Protocol::Json | _ => put_compact(&mut out, arguments.as_bytes(), JSON_DEPTH)?,
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_any(MsgPackVisitor);
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let mut out = Vec::new();
        put_compact(&mut out, raw.get().as_bytes(), JSON_DEPTH).map_err(de::Error::custom)?;
        Ok(text(out))
    }
}

fn text(out: Vec<u8>) -> Shown {
    Shown(String::from_utf8(out).unwrap_or_default())
}

struct MsgPackVisitor;

impl<'de> Visitor<'de> for MsgPackVisitor {
    type Value = Shown;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Shown, E> {
        Ok(Shown("null".to_owned()))
    }

    fn visit_none<E: de::Error>(self) -> Result<Shown, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shown, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Shown, E> {
        Ok(Shown(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Shown, E> {
        Ok(Shown(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Shown, E> {
        Ok(Shown(value.to_string()))
    }

    fn visit_f32<E: de::Error>(self, value: f32) -> Result<Shown, E> {
        Ok(float(value.into(), "$f32"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Shown, E> {
        Ok(float(value, "$f64"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Shown, E> {
        let mut out = Vec::new();
        put_string(&mut out, value);
        Ok(text(out))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Shown, E> {
        let mut out = b"{\"$bin\":\"".to_vec();
        hex::put_hex(&mut out, value);
        out.extend(b"\"}");
        Ok(text(out))
    }

    /// An extension: its type and its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Shown, D::Error> {
        deserializer.deserialize_tuple(2, ExtensionVisitor)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shown, A::Error> {
        let mut out = String::from("[");
        while let Some(Shown(element)) = elements.next_element()? {
            separated(&mut out, &element);
        }
        out.push(']');
        Ok(Shown(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shown, A::Error> {
        let mut pairs: Vec<(Shown, Shown)> = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(map(&pairs))
    }
}

fn separated(out: &mut String, text: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(text);
}

fn float(value: f64, name: &str) -> Shown {
    Shown(
        float_text(value)
            .unwrap_or_else(|| format!("{{\"{name}\":\"{}\"}}", odd_float_name(value))),
    )
}

fn map(pairs: &[(Shown, Shown)]) -> Shown {
    let looks_reserved = match pairs {
        [(Shown(key), _)] => key
            .strip_prefix('"')
            .and_then(|key| key.strip_suffix('"'))
            .is_some_and(|key| Reserved::from_name(key).is_some()),
        _ => false,
    };
    if looks_reserved || pairs.iter().any(|(key, _)| !key.0.starts_with('"')) {
        let mut list = String::from("[");
        for (key, value) in pairs {
            separated(&mut list, &format!("[{},{}]", key.0, value.0));
        }
        return Shown(format!("{{\"$map\":{list}]}}"));
    }
    let mut out = String::from("{");
    for (key, value) in pairs {
        separated(&mut out, &format!("{}:{}", key.0, value.0));
    }
    out.push('}');
    Shown(out)
}

struct ExtensionVisitor;

impl<'de> Visitor<'de> for ExtensionVisitor {
    type Value = Shown;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an extension")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Shown, A::Error> {
        let kind: i8 = parts
            .next_element()?
            .ok_or_else(|| de::Error::custom("an extension without a type"))?;
        let ExtensionBody(body) = parts
            .next_element()?
            .ok_or_else(|| de::Error::custom("an extension without a body"))?;
        // Written out again so that there is one place that knows how extensions look.
        let mut bytes = vec![0xc9];
        bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(body);
        let mut out = Vec::new();
        put_json(&mut out, &bytes, 1).map_err(de::Error::custom)?;
        Ok(text(out))
    }
}

struct ExtensionBody(Vec<u8>);

impl<'de> Deserialize<'de> for ExtensionBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;

        impl Visitor<'_> for Body {
            type Value = ExtensionBody;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<ExtensionBody, E> {
                Ok(ExtensionBody(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Body)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use signalr_proto::Payload;

    use super::*;

    fn shown(protocol: Protocol, bytes: &'static [u8]) -> String {
        Payload::new(protocol, Bytes::from_static(bytes))
            .decode::<Shown>()
            .unwrap()
            .0
    }

    #[test]
    fn json_keeps_its_spelling() {
        assert_eq!(
            shown(
                Protocol::Json,
                b" { \"a\" : [1.0, 123456789012345678901234567890] } "
            ),
            r#"{"a":[1.0,123456789012345678901234567890]}"#
        );
    }

    #[test]
    fn messagepack_looks_as_decode_prints_it() {
        let cases: [&'static [u8]; 14] = [
            &[0xc0],
            &[0xc3],
            &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[0xca, 0x42, 0x28, 0, 0],
            &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
            &[0xa3, b'a', b'"', b'b'],
            &[0xc4, 2, 0, 255],
            &[0xd6, 0xff, 0, 0, 0, 1],
            &[0xd4, 5, 9],
            &[0x92, 0x90, 0x80],
            &[0x82, 0xa1, b'a', 1, 2, 3],
            &[0x81, 0xa4, b'$', b'b', b'i', b'n', 1],
            &[0x82, 0xa1, b'a', 1, 0xa1, b'b', 2],
        ];
        for bytes in cases {
            let mut expected = Vec::new();
            put_json(&mut expected, bytes, 9).unwrap();
            assert_eq!(
                shown(Protocol::MessagePack, bytes).as_bytes(),
                expected,
                "{bytes:x?}"
            );
        }
    }
}
