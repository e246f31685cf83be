//! The name of a called method, kept for what may go wrong.

/// Bytes that need no memory of their own. Names of methods are hardly ever longer.
const SHORT: usize = 30;

/// A name. Short ones cost no allocation, since hardly any is ever asked for.
#[derive(Clone)]
pub(super) enum Name {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

impl Name {
    pub(super) fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short { length, bytes }
            }
            _ => Self::Long(name.into()),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Short { length, bytes } => {
                let written = bytes.get(..usize::from(*length)).unwrap_or_default();
                core::str::from_utf8(written).unwrap_or_default()
            }
            Self::Long(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_lengths_are_kept() {
        for length in 0..40 {
            for letter in ["a", "ä", "名"] {
                let name = letter.repeat(length);
                assert_eq!(Name::new(&name).as_str(), name);
            }
        }
        assert!(size_of::<Name>() <= 32);
    }
}
