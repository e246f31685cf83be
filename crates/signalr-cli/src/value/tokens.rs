//! JSON text cut into tokens, the grammar checked on the way.

use std::borrow::Cow;

use signalr_proto::codec::JsonText;
use signalr_proto::{DecodeError, DecodeErrorKind};

use super::Fault;

/// A piece of JSON. Strings and names keep their quotation marks and escapes, numbers their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    Name(&'a str),
    BeginArray,
    EndArray,
    BeginObject,
    EndObject,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Array,
    Object,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    Value,
    FirstElement,
    FirstName,
    Name,
    AfterValue,
}

/// The tokens of one JSON text. The grammar is the codec's; this follows the brackets, to a depth of the caller's choice.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: JsonText<'a>,
    levels: Vec<Level>,
    max_depth: usize,
    expect: Expect,
}

impl<'a> Tokens<'a> {
    pub(crate) const fn new(text: &'a str, max_depth: usize) -> Self {
        Self {
            text: JsonText::new(text),
            levels: Vec::new(),
            max_depth,
            expect: Expect::Value,
        }
    }

    /// Bytes before the next token, white space not counted.
    pub(crate) fn position(&mut self) -> usize {
        self.text.position()
    }

    /// The next token; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Fault> {
        loop {
            return match (self.expect, self.text.peek()) {
                (Expect::FirstElement, Some(b']')) | (Expect::FirstName, Some(b'}')) => {
                    Ok(Some(self.close()))
                }
                (Expect::Value | Expect::FirstElement, _) => self.value().map(Some),
                (Expect::FirstName | Expect::Name, _) => self.name().map(Some),
                (Expect::AfterValue, found) => match (self.levels.last(), found) {
                    (None, None) => Ok(None),
                    (None, Some(_)) => Err(self.fault("the end")),
                    (Some(level), Some(b',')) => {
                        self.expect = if matches!(level, Level::Array) {
                            Expect::Value
                        } else {
                            Expect::Name
                        };
                        self.text.take(b',');
                        continue;
                    }
                    (Some(Level::Array), Some(b']')) | (Some(Level::Object), Some(b'}')) => {
                        Ok(Some(self.close()))
                    }
                    (Some(Level::Array), _) => Err(self.fault("',' or ']'")),
                    (Some(Level::Object), _) => Err(self.fault("',' or '}'")),
                },
            };
        }
    }

    /// Passes a whole value and gives its text.
    pub(crate) fn raw_value(&mut self) -> Result<&'a str, Fault> {
        let start = self.position();
        let outside = self.levels.len();
        loop {
            let token = self.next()?;
            if token.is_none()
                || (self.levels.len() <= outside && !matches!(token, Some(Token::Name(_))))
            {
                return Ok(self.text.since(start));
            }
        }
    }

    fn fault(&mut self, expected: &str) -> Fault {
        Fault::new(self.position(), format!("expected {expected}"))
    }

    fn close(&mut self) -> Token<'a> {
        self.expect = Expect::AfterValue;
        match self.levels.pop() {
            Some(Level::Object) => {
                self.text.take(b'}');
                Token::EndObject
            }
            Some(Level::Array) | None => {
                self.text.take(b']');
                Token::EndArray
            }
        }
    }

    fn open(&mut self, level: Level, bracket: u8) -> Result<(), Fault> {
        if self.levels.len() >= self.max_depth {
            return Err(Fault::new(
                self.position(),
                format!("nesting deeper than {}", self.max_depth),
            ));
        }
        self.levels.push(level);
        self.text.take(bracket);
        Ok(())
    }

    fn value(&mut self) -> Result<Token<'a>, Fault> {
        self.expect = Expect::AfterValue;
        match self.text.peek() {
            Some(b'{') => {
                self.open(Level::Object, b'{')?;
                self.expect = Expect::FirstName;
                Ok(Token::BeginObject)
            }
            Some(b'[') => {
                self.open(Level::Array, b'[')?;
                self.expect = Expect::FirstElement;
                Ok(Token::BeginArray)
            }
            Some(b'"') => {
                let start = self.position();
                let raw = self.text.scalar().map_err(fault_of)?;
                check_pairs(raw, start)?;
                Ok(Token::String(raw))
            }
            Some(b'-' | b'0'..=b'9') => self.text.scalar().map(Token::Number).map_err(fault_of),
            _ => match self.text.scalar() {
                Ok("null") => Ok(Token::Null),
                Ok(word) => Ok(Token::Bool(word == "true")),
                Err(_) => Err(self.fault("a JSON value")),
            },
        }
    }

    fn name(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.position();
        let name = self.text.name().map_err(fault_of)?;
        check_pairs(name, start)?;
        self.expect = Expect::Value;
        Ok(Token::Name(name))
    }
}

fn fault_of(error: DecodeError) -> Fault {
    let offset = usize::try_from(error.position).unwrap_or(usize::MAX);
    if let DecodeErrorKind::Syntax { expected } = error.kind {
        return Fault::new(offset, format!("expected {expected}"));
    }
    Fault::new(offset, error.kind.to_string())
}

/// The codec leaves it to the reader of a text whether its escaped surrogates pair up; here everything is to be shown.
fn check_pairs(raw: &str, start: usize) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(found) = raw.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        let escape = raw.as_bytes().get(at + 1..).unwrap_or_default();
        let second = escape.get(5..).and_then(|low| low.strip_prefix(b"\\"));
        at += match (code_unit(escape), second.and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                return Err(Fault::new(
                    start.saturating_add(at),
                    "half a surrogate pair, which is no character",
                ));
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
    }
    Ok(())
}

/// The value of `uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    digits.iter().try_fold(0_u16, |value, digit| {
        Some(value << 4 | u16::from(super::hex::digit_value(*digit)?))
    })
}

/// The text of a string token.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') {
        // A token was checked when it was cut, so this does not fail.
        return Cow::Owned(serde_json::from_str(raw).unwrap_or_default());
    }
    Cow::Borrowed(
        raw.strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(raw),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut tokens = Tokens::new(text, 8);
        loop {
            match tokens.next() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    #[test]
    fn the_grammar_is_that_of_serde_json() {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\udc00\"",
            "\"",
            "\"\n\"",
            "0",
            "01",
            "-",
            "-1",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+0",
            "1E-0",
            "true",
            "tru",
            "false",
            "null",
            " ",
            "\t",
            "//",
            "NaN",
            "+1",
            "1a",
            "",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for text in [
                        format!("{a}{b}{c}"),
                        format!("[{a}{b}{c}]"),
                        format!("{{\"k\":{a}{b}{c}}}"),
                    ] {
                        assert_eq!(
                            accepts(&text),
                            serde_json::from_str::<serde_json::Value>(&text).is_ok(),
                            "{text}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nesting_over_the_limit_is_refused() {
        assert!(accepts("[[[[[[[[1]]]]]]]]"));
        assert!(!accepts("[[[[[[[[[1]]]]]]]]]"));
    }

    #[test]
    fn raw_values_are_cut_out_of_objects() {
        let mut tokens = Tokens::new(r#" {"a" : [1, {"b":2}] ,"c":3} "#, 8);
        assert_eq!(tokens.next(), Ok(Some(Token::BeginObject)));
        assert_eq!(tokens.next(), Ok(Some(Token::Name("\"a\""))));
        assert_eq!(tokens.raw_value(), Ok(r#"[1, {"b":2}]"#));
        assert_eq!(tokens.next(), Ok(Some(Token::Name("\"c\""))));
        assert_eq!(tokens.raw_value(), Ok("3"));
        assert_eq!(tokens.next(), Ok(Some(Token::EndObject)));
        assert_eq!(tokens.next(), Ok(None));
    }
}
