//! The record of many types. Its member names depend on the protocol.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::times::DateTime;
use super::values::{Blob, Colour, Guid};

/// A missing member is null or its type's default.
macro_rules! dto {
    ($name:ident, $child:ty, $case:literal) => {
        #[derive(Debug, Default, Serialize, Deserialize)]
        #[serde(rename_all = $case, default)]
        pub(super) struct $name {
            flag: bool,
            tiny: i8,
            number: i32,
            big: i64,
            unsigned: u64,
            single: f32,
            double: f64,
            text: Option<String>,
            bytes: Option<Blob>,
            when: DateTime,
            id: Guid,
            colour: Colour,
            maybe: Option<i32>,
            names: Option<Vec<Option<String>>>,
            map: Option<BTreeMap<String, i32>>,
            child: Option<Box<$child>>,
        }
    };
}

dto!(PackDto, ByName, "PascalCase");
dto!(JsonDto, AnyCase, "camelCase");

/// A record whose members may be written in any case.
#[derive(Debug, Serialize)]
pub(super) struct AnyCase(JsonDto);

impl<'de> Deserialize<'de> for AnyCase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        // Every name of the record is one word, so that its camel case is its lower case.
        let members = members
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        JsonDto::deserialize(Value::Object(members))
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// A record whose members have names: serde would take them by their places, too.
#[derive(Debug, Serialize)]
pub(super) struct ByName(PackDto);

impl<'de> Deserialize<'de> for ByName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByNameVisitor)
    }
}

struct ByNameVisitor;

impl<'de> Visitor<'de> for ByNameVisitor {
    type Value = ByName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<ByName, A::Error> {
        PackDto::deserialize(MapAccessDeserializer::new(members)).map(ByName)
    }
}

/// The record in the protocol that it came in.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Dto {
    Json(AnyCase),
    Pack(ByName),
}

impl<'de> Deserialize<'de> for Dto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            AnyCase::deserialize(deserializer).map(Self::Json)
        } else {
            ByName::deserialize(deserializer).map(Self::Pack)
        }
    }
}
