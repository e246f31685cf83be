//! Readers of JSON and MessagePack as plain as can be, to tell in what way a message is unusual.

use std::collections::BTreeMap;

/// A JSON value. Of members that come twice the last is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    /// In UTF-16, which may be malformed.
    Text(Vec<u16>),
    List(Vec<Self>),
    Object(BTreeMap<Vec<u16>, Self>),
}

impl Json {
    /// The value at the start of the text, and where it ends.
    pub(crate) fn read(text: &str) -> Option<(Self, usize)> {
        let mut at = 0;
        let value = Self::value(text.as_bytes(), &mut at)?;
        Some((value, at))
    }

    fn value(text: &[u8], at: &mut usize) -> Option<Self> {
        space(text, at);
        for (word, value) in [
            ("null", Self::Null),
            ("true", Self::Bool(true)),
            ("false", Self::Bool(false)),
        ] {
            if text[*at..].starts_with(word.as_bytes()) {
                *at += word.len();
                return Some(value);
            }
        }
        match text.get(*at)? {
            b'"' => Self::text(text, at).map(Self::Text),
            b'[' => {
                let mut list = Vec::new();
                items(text, at, b']', |text, at| {
                    list.push(Self::value(text, at)?);
                    Some(())
                })?;
                Some(Self::List(list))
            }
            b'{' => {
                let mut members = BTreeMap::new();
                items(text, at, b'}', |text, at| {
                    space(text, at);
                    let name = Self::text(text, at)?;
                    take(text, at, b':')?;
                    members.insert(name, Self::value(text, at)?);
                    Some(())
                })?;
                Some(Self::Object(members))
            }
            _ => Self::number(text, at),
        }
    }

    fn number(text: &[u8], at: &mut usize) -> Option<Self> {
        let start = *at;
        let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
        let digits = |at: &mut usize| {
            let start = *at;
            while is(*at, b"0123456789") {
                *at += 1;
            }
            (*at > start).then_some(())
        };
        *at += usize::from(is(*at, b"-"));
        if is(*at, b"0") {
            *at += 1;
        } else {
            digits(at)?;
        }
        if is(*at, b".") {
            *at += 1;
            digits(at)?;
        }
        if is(*at, b"eE") {
            *at += 1;
            *at += usize::from(is(*at, b"+-"));
            digits(at)?;
        }
        Some(Self::Number(
            String::from_utf8(text[start..*at].to_vec()).unwrap(),
        ))
    }

    fn text(text: &[u8], at: &mut usize) -> Option<Vec<u16>> {
        let from = text.get(*at..)?;
        let inside = std::str::from_utf8(from.strip_prefix(b"\"")?).unwrap();
        let mut units = Vec::new();
        let mut letters = inside.char_indices();
        while let Some((index, letter)) = letters.next() {
            match letter {
                '"' => {
                    *at += index + 2;
                    return Some(units);
                }
                '\\' => units.push(match letters.next()?.1 {
                    letter @ ('"' | '\\' | '/') => letter as u16,
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    'u' => {
                        let digits: String = letters.by_ref().take(4).map(|(_, l)| l).collect();
                        let hex = digits.len() == 4 && !digits.starts_with('+');
                        u16::from_str_radix(&digits, 16).ok().filter(|_| hex)?
                    }
                    _ => return None,
                }),
                '\0'..='\u{1f}' => return None,
                letter => units.extend(letter.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        None
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(&name.encode_utf16().collect::<Vec<_>>()),
            _ => None,
        }
    }

    /// The deepest nesting.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether any text in it is no Unicode text.
    pub(crate) fn has_half_letters(&self) -> bool {
        let is_half = |units: &[u16]| String::from_utf16(units).is_err();
        match self {
            Self::Text(text) => is_half(text),
            Self::List(list) => list.iter().any(Self::has_half_letters),
            Self::Object(map) => map
                .iter()
                .any(|(name, value)| is_half(name) || value.has_half_letters()),
            _ => false,
        }
    }

    /// Whether any number in it is too large for a double.
    pub(crate) fn has_infinity(&self) -> bool {
        match self {
            Self::Number(digits) => digits.parse::<f64>().unwrap().is_infinite(),
            Self::List(list) => list.iter().any(Self::has_infinity),
            Self::Object(map) => map.values().any(Self::has_infinity),
            _ => false,
        }
    }
}

fn space(text: &[u8], at: &mut usize) {
    while matches!(text.get(*at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        *at += 1;
    }
}

fn take(text: &[u8], at: &mut usize, byte: u8) -> Option<()> {
    space(text, at);
    (text.get(*at) == Some(&byte)).then(|| *at += 1)
}

/// From an opening bracket to after the closing one.
fn items(
    text: &[u8],
    at: &mut usize,
    close: u8,
    mut item: impl FnMut(&[u8], &mut usize) -> Option<()>,
) -> Option<()> {
    *at += 1;
    if take(text, at, close).is_some() {
        return Some(());
    }
    loop {
        item(text, at)?;
        if take(text, at, close).is_some() {
            return Some(());
        }
        take(text, at, b',')?;
    }
}

/// A MessagePack value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packed {
    Nil,
    Bool(bool),
    Integer(i128),
    Float,
    Text(Vec<u8>),
    Bytes,
    Extension(i8, usize),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

/// The array of a message, as far as it can be read.
#[derive(Debug)]
pub(crate) struct Body {
    /// How many elements it announces.
    pub(crate) count: usize,
    /// Fewer than announced when the next one is malformed.
    pub(crate) elements: Vec<Packed>,
    /// Where the last of them ends.
    pub(crate) end: usize,
}

impl Body {
    /// `None` for what is no array or announces more elements than there are bytes.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let mut rest = frame;
        let count = match number(&mut rest, 1)? {
            marker @ 0x90..=0x9f => marker & 15,
            0xdc => number(&mut rest, 2)?,
            0xdd => number(&mut rest, 4)?,
            _ => return None,
        };
        let count = usize::try_from(count).unwrap();
        if count > rest.len() {
            return None;
        }
        let mut body = Self {
            count,
            elements: Vec::new(),
            end: frame.len() - rest.len(),
        };
        while body.elements.len() < count {
            let Some(element) = Packed::read(&mut rest) else {
                break;
            };
            body.elements.push(element);
            body.end = frame.len() - rest.len();
        }
        Some(body)
    }
}

fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8], width: usize) -> Option<u64> {
    let bytes = bytes(rest, width)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

impl Packed {
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let marker = number(rest, 1)? as u8;
        // Markers of lengths of 1, 2 and 4 bytes stand next to each other.
        let length = |rest: &mut &[u8], first: u8| {
            number(rest, 1 << (marker - first)).map(|length| length as usize)
        };
        Some(match marker {
            0x00..=0x7f => Self::Integer(marker.into()),
            0x80..=0x8f => Self::map(rest, usize::from(marker & 15))?,
            0x90..=0x9f => Self::list(rest, usize::from(marker & 15))?,
            0xa0..=0xbf => Self::Text(bytes(rest, usize::from(marker & 31))?.to_vec()),
            0xc0 => Self::Nil,
            0xc1 => return None,
            0xc2 | 0xc3 => Self::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = length(rest, 0xc4)?;
                bytes(rest, length)?;
                Self::Bytes
            }
            0xc7..=0xc9 => {
                let length = length(rest, 0xc7)?;
                Self::extension(rest, length)?
            }
            0xca | 0xcb => {
                bytes(rest, 4 << (marker - 0xca))?;
                Self::Float
            }
            0xcc..=0xcf => Self::Integer(number(rest, 1 << (marker - 0xcc))?.into()),
            0xd0..=0xd3 => {
                let width = 1 << (marker - 0xd0);
                let shift = 64 - 8 * width;
                let value = number(rest, width)? << shift;
                Self::Integer((value as i64 >> shift).into())
            }
            0xd4..=0xd8 => Self::extension(rest, 1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = length(rest, 0xd9)?;
                Self::Text(bytes(rest, length)?.to_vec())
            }
            0xdc | 0xdd => {
                let count = number(rest, 2 << (marker - 0xdc))?;
                Self::list(rest, count as usize)?
            }
            0xde | 0xdf => {
                let count = number(rest, 2 << (marker - 0xde))?;
                Self::map(rest, count as usize)?
            }
            0xe0..=0xff => Self::Integer((marker as i8).into()),
        })
    }

    fn extension(rest: &mut &[u8], length: usize) -> Option<Self> {
        let kind = number(rest, 1)? as i8;
        bytes(rest, length)?;
        Some(Self::Extension(kind, length))
    }

    fn list(rest: &mut &[u8], count: usize) -> Option<Self> {
        (0..count)
            .map(|_| Self::read(rest))
            .collect::<Option<_>>()
            .map(Self::List)
    }

    fn map(rest: &mut &[u8], count: usize) -> Option<Self> {
        (0..count)
            .map(|_| Some((Self::read(rest)?, Self::read(rest)?)))
            .collect::<Option<_>>()
            .map(Self::Map)
    }

    /// Whether it is a text, and not the empty one.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self, Self::Text(text) if !text.is_empty())
    }

    /// Whether it or anything in it is such a value.
    pub(crate) fn any(&self, is: &impl Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::List(list) => list.iter().any(|element| element.any(is)),
                Self::Map(map) => map.iter().any(|(key, value)| key.any(is) || value.any(is)),
                _ => false,
            }
    }

    /// The deepest nesting.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => {
                1 + map
                    .iter()
                    .map(|(key, value)| key.depth().max(value.depth()))
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
}
