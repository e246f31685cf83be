//! JSON text cut into tokens, the grammar checked on the way.

use std::borrow::Cow;

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

/// The tokens of one JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    levels: Vec<Level>,
    max_depth: usize,
    expect: Expect,
}

impl<'a> Tokens<'a> {
    pub(crate) const fn new(text: &'a str, max_depth: usize) -> Self {
        Self {
            text,
            at: 0,
            levels: Vec::new(),
            max_depth,
            expect: Expect::Value,
        }
    }

    /// Bytes before the next token, white space not counted.
    pub(crate) fn position(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    /// The next token; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Fault> {
        loop {
            self.skip_space();
            return match (self.expect, self.current()) {
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
                        self.at += 1;
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
                return Ok(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }

    fn fault(&self, expected: &str) -> Fault {
        Fault::new(self.at, format!("expected {expected}"))
    }

    fn current(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.current(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn close(&mut self) -> Token<'a> {
        self.at += 1;
        self.expect = Expect::AfterValue;
        match self.levels.pop() {
            Some(Level::Object) => Token::EndObject,
            Some(Level::Array) | None => Token::EndArray,
        }
    }

    fn open(&mut self, level: Level) -> Result<(), Fault> {
        if self.levels.len() >= self.max_depth {
            return Err(Fault::new(
                self.at,
                format!("nesting deeper than {}", self.max_depth),
            ));
        }
        self.levels.push(level);
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        self.expect = Expect::AfterValue;
        match self.current() {
            Some(b'{') => {
                self.open(Level::Object)?;
                self.expect = Expect::FirstName;
                Ok(Token::BeginObject)
            }
            Some(b'[') => {
                self.open(Level::Array)?;
                self.expect = Expect::FirstElement;
                Ok(Token::BeginArray)
            }
            Some(b'"') => self.string().map(Token::String),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Token::Number(self.since(start)))
            }
            _ => self.literal(),
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn literal(&mut self) -> Result<Token<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (spelling, token) in [
            ("null", Token::Null),
            ("true", Token::Bool(true)),
            ("false", Token::Bool(false)),
        ] {
            if rest.starts_with(spelling) {
                self.at += spelling.len();
                return Ok(token);
            }
        }
        Err(self.fault("a JSON value"))
    }

    fn name(&mut self) -> Result<Token<'a>, Fault> {
        if self.current() != Some(b'"') {
            return Err(self.fault("a member name"));
        }
        let name = self.string()?;
        self.skip_space();
        if self.current() != Some(b':') {
            return Err(self.fault("':'"));
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Token::Name(name))
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.at += usize::from(self.current() == Some(b'-'));
        if self.current() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.current() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.current(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.current(), Some(b'+' | b'-')));
            self.digits()?;
        }
        if matches!(
            self.current(),
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
        ) {
            return Err(self.fault("the end of a number"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.current(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(self.fault("a digit"))
        }
    }

    fn string(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.current() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.since(start));
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.fault("no control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let length = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match (
                code_unit(rest),
                rest.get(5..)
                    .and_then(|low| low.strip_prefix(b"\\"))
                    .and_then(code_unit),
            ) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    return Err(Fault::new(
                        self.at,
                        "half a surrogate pair, which is no character",
                    ));
                }
                (Some(_), _) => 6,
                (None, _) => return Err(self.fault("an escape sequence")),
            },
            _ => return Err(self.fault("an escape sequence")),
        };
        self.at += length;
        Ok(())
    }
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
