//! Values of the test hubs that look different in the two protocols, as .NET writes them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use signalr_proto::{Payload, Protocol, Timestamp};
use signalr_server::HubError;

/// `byte[]`: base64 in JSON; in MessagePack `bin` when written, and `bin`, array or string when read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // In JSON the base64 is only passed on.
        if serializer.is_human_readable() {
            return String::from_utf8_lossy(&self.0).serialize(serializer);
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
            deserializer.deserialize_str(BlobVisitor)
        } else {
            deserializer.deserialize_any(BlobVisitor)
        }
    }
}

/// A GUID, lower-case when written.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Guid(String);

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let well_formed = text.len() == 36
            && text
                .chars()
                .all(|letter| letter.is_ascii_hexdigit() || letter == '-');
        if well_formed {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(D::Error::custom("not a GUID"))
        }
    }
}

/// An enum: its number in JSON, its name in MessagePack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Colour {
    #[default]
    Red,
    Green,
    Blue,
}

const COLOURS: [(Colour, i32, &str); 3] = [
    (Colour::Red, 0, "Red"),
    (Colour::Green, 5, "Green"),
    (Colour::Blue, 9, "Blue"),
];

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (_, number, name) = COLOURS
            .into_iter()
            .find(|(colour, ..)| colour == self)
            .unwrap_or_default();
        if serializer.is_human_readable() {
            serializer.serialize_i32(number)
        } else {
            serializer.serialize_str(name)
        }
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = if deserializer.is_human_readable() {
            let number = i32::deserialize(deserializer)?;
            COLOURS.into_iter().find(|(_, known, _)| *known == number)
        } else {
            let name = String::deserialize(deserializer)?;
            COLOURS.into_iter().find(|(.., known)| *known == name)
        };
        found
            .map(|(colour, ..)| colour)
            .ok_or_else(|| D::Error::custom("not a colour"))
    }
}

/// The record of many types. Its member names depend on the protocol.
macro_rules! dto {
    ($name:ident, $case:literal) => {
        #[derive(Debug, Default, Serialize, Deserialize)]
        #[serde(rename_all = $case, default)]
        struct $name {
            flag: bool,
            tiny: i8,
            number: i32,
            big: i64,
            unsigned: u64,
            single: f32,
            double: f64,
            text: Option<String>,
            bytes: Option<Blob>,
            when: When,
            id: Guid,
            colour: Colour,
            maybe: Option<i32>,
            names: Option<Vec<String>>,
            map: Option<BTreeMap<String, i32>>,
            child: Option<Box<$name>>,
        }
    };
}

dto!(JsonDto, "camelCase");
dto!(PackDto, "PascalCase");

/// A time; the epoch when absent.
#[derive(Debug, Serialize, Deserialize)]
struct When(Timestamp);

impl Default for When {
    fn default() -> Self {
        Self(std::time::SystemTime::UNIX_EPOCH.into())
    }
}

pub(crate) fn echo_dto(value: &Payload) -> Result<Payload, HubError> {
    let protocol = value.protocol();
    Ok(if protocol == Protocol::Json {
        Payload::from_value(protocol, &value.decode::<JsonDto>()?)?
    } else {
        Payload::from_value(protocol, &value.decode::<PackDto>()?)?
    })
}
