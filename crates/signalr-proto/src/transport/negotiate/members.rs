//! How answers are read: JSON objects of members that may all be missing.

use core::time::Duration;

/// Makes a struct of optional members that is read from a JSON object. Unknown members are skipped at any depth
/// ([TR-7](crate::spec::transports#tr-7)), and of one that is there twice the last counts, as everywhere in this protocol; what
/// serde derives refuses that.
macro_rules! members {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$about:meta])* $member:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$meta])*
        #[derive(Default)]
        struct $name {
            $($(#[$about])* $member: Option<$kind>,)*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut all = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            match &*key {
                                $($key => all.$member = map.next_value()?,)*
                                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(all)
                    }
                }

                deserializer.deserialize_map(Reader)
            }
        }
    };
}

pub(super) use members;

/// A lifetime as the server writes it: whole seconds; none when there are none.
pub(super) fn lifetime(seconds: Option<i64>) -> Option<Duration> {
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}
