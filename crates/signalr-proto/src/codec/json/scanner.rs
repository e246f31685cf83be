//! A JSON scanner: checks the grammar, finds where values begin and end, builds nothing.
//!
//! It works through nested values without recursion and without allocating. Strings are checked for control characters and
//! well-formed escapes only; whether they are UTF-8, and whether escaped surrogates pair up, is found out by who reads them.

use crate::codec::{DecodeError, DecodeErrorKind};

/// The deepest nesting accepted, the message's own object included, as in the official server.
pub(crate) const MAX_DEPTH: u32 = 64;

/// Where a value lies; `end` is 0 for no value at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The inside of a string: what lies between its quotation marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) span: Span,
    /// Whether it holds escapes.
    pub(crate) escaped: bool,
}

/// A position in the text.
///
/// The methods that nearly every value needs are inlined, and the others take the scanner by value: so the compiler can
/// keep the position in a register while a whole message is scanned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether there was a string with escapes.
    escapes: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self::new_at(bytes, 0)
    }

    pub(crate) const fn new_at(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            escapes: false,
        }
    }

    pub(crate) fn slice(self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    pub(crate) const fn position(self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_start(self) -> bool {
        self.at == 0
    }

    /// Whether a string with escapes was passed.
    pub(crate) const fn has_escapes(self) -> bool {
        self.escapes
    }

    /// What was not scanned yet.
    #[inline(always)]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on after bytes that the caller looked at.
    #[inline(always)]
    pub(crate) const fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// The next byte that is not white space, which becomes the current one.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            Some(_) => {
                self.at = self.after_white_space();
                self.current()
            }
            None => None,
        }
    }

    #[cold]
    fn after_white_space(self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at
            + rest
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
                .count()
    }

    /// Takes the next byte that is not white space if it is this one.
    #[inline(always)]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), DecodeError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.syntax(expected))
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.syntax("the end"))
        }
    }

    #[cold]
    #[inline(never)]
    const fn syntax(self, expected: &'static str) -> DecodeError {
        DecodeError::new(DecodeErrorKind::Syntax { expected }, self.at)
    }

    /// Passes a value that lies within `outer` levels of nesting.
    #[inline(always)]
    pub(crate) fn value(&mut self, outer: u32) -> Result<Span, DecodeError> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'[' | b'{') => *self = self.container(outer)?,
            other => self.scalar(other)?,
        }
        Ok(Span {
            start,
            end: self.at,
        })
    }

    /// Passes an array in which one comma too many stands between its elements or behind them. It lies within `outer` levels
    /// of nesting.
    #[cold]
    pub(crate) fn array_with_gap(&mut self, outer: u32) -> Result<Span, DecodeError> {
        let first = self.peek();
        let start = self.at;
        if first != Some(b'[') {
            return Err(self.syntax("an array"));
        }
        self.at += 1;
        let mut gaps = 0;
        loop {
            self.value(outer.saturating_add(1))?;
            let follows = self.take(b',');
            if follows && gaps == 0 && self.take(b',') {
                gaps += 1;
            }
            let may_end = !follows || gaps == 0;
            if may_end && self.take(b']') {
                let end = self.at;
                return Ok(Span { start, end });
            }
            if !follows {
                return Err(self.syntax("',' or ']'"));
            }
        }
    }

    /// Passes everything from an array or object on, whatever it is.
    #[cold]
    pub(crate) fn rest_from_container(&mut self) -> Option<Span> {
        let is_container = matches!(self.peek(), Some(b'[' | b'{'));
        let start = core::mem::replace(&mut self.at, self.bytes.len());
        is_container.then_some(Span {
            start,
            end: self.at,
        })
    }

    /// The position after an array or object.
    #[inline(always)]
    fn container(mut self, outer: u32) -> Result<Self, DecodeError> {
        let mut levels = Levels {
            depth: 0,
            outer,
            objects: 0,
        };
        loop {
            self.begin_value(&mut levels)?;
            if self.end_value(&mut levels)? {
                return Ok(self);
            }
        }
    }

    /// From the start of a value to the end of the first scalar or empty container in it.
    #[inline(always)]
    fn begin_value(&mut self, levels: &mut Levels) -> Result<(), DecodeError> {
        loop {
            let (object, close) = match self.peek() {
                Some(b'[') => (false, b']'),
                Some(b'{') => (true, b'}'),
                other => return self.scalar(other),
            };
            if !levels.push(object) {
                return Err(DecodeError::new(
                    DecodeErrorKind::TooDeep { limit: MAX_DEPTH },
                    self.at,
                ));
            }
            self.at += 1;
            if self.peek() == Some(close) {
                return Ok(());
            }
            if object {
                self.name()?;
            }
        }
    }

    /// After a value: closes what ends here. `false` when another value follows.
    #[inline(always)]
    fn end_value(&mut self, levels: &mut Levels) -> Result<bool, DecodeError> {
        while levels.depth > 0 {
            let object = levels.in_object();
            match (self.peek(), object) {
                (Some(b','), _) => {
                    self.at += 1;
                    if object {
                        self.name()?;
                    }
                    return Ok(false);
                }
                (Some(b']'), false) | (Some(b'}'), true) => {
                    self.at += 1;
                    levels.pop();
                }
                _ => return Err(self.syntax("',' or the end of the array or object")),
            }
        }
        Ok(true)
    }

    /// A member's name and the colon.
    #[inline(always)]
    pub(crate) fn name(&mut self) -> Result<Text, DecodeError> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a member name"));
        }
        let text = self.string()?;
        self.expect(b':', "':'")?;
        Ok(text)
    }

    #[inline(always)]
    pub(crate) fn scalar(&mut self, first: Option<u8>) -> Result<(), DecodeError> {
        match first {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                self.at = self.end_of_literal()?;
                Ok(())
            }
        }
    }

    fn end_of_literal(self) -> Result<usize, DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let literals: [&[u8]; 3] = [b"null", b"true", b"false"];
        let found = literals
            .into_iter()
            .find(|literal| rest.starts_with(literal));
        found
            .map(|literal| self.at + literal.len())
            .ok_or_else(|| self.syntax("a value"))
    }

    /// The current byte is the opening quotation mark.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Text, DecodeError> {
        self.at += 1;
        let start = self.at;
        self.at += plain_run(self.bytes.get(start..).unwrap_or_default());
        if self.current() == Some(b'"') {
            let span = Span {
                start,
                end: self.at,
            };
            self.at += 1;
            return Ok(Text {
                span,
                escaped: false,
            });
        }
        // Something else than the end came first: an escape, if all is well.
        self.at = self.end_of_string()?;
        self.escapes = true;
        Ok(Text {
            span: Span {
                start,
                end: self.at - 1,
            },
            escaped: true,
        })
    }

    /// From a special character inside a string to after its closing quotation mark.
    #[cold]
    fn end_of_string(mut self) -> Result<usize, DecodeError> {
        loop {
            match self.current() {
                Some(b'"') => return Ok(self.at + 1),
                Some(b'\\') => self.at += self.escape()?,
                Some(_) => return Err(self.syntax("no control character in a string")),
                None => return Err(self.syntax("the end of a string")),
            }
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
        }
    }

    /// The length of an escape sequence.
    fn escape(self) -> Result<usize, DecodeError> {
        match self
            .bytes
            .get(self.at.saturating_add(1)..)
            .unwrap_or_default()
        {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(2),
            [b'u', a, b, c, d, ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => Ok(6),
            _ => Err(self.syntax("an escape sequence")),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), DecodeError> {
        self.at += usize::from(self.current() == Some(b'-'));
        if self.current() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if !matches!(self.current(), Some(b',' | b']' | b'}')) {
            self.at = self.end_of_number()?;
        }
        Ok(())
    }

    /// From the end of the integer part to the end of the number.
    #[inline(never)]
    fn end_of_number(mut self) -> Result<usize, DecodeError> {
        if self.current() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.current(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.current(), Some(b'+' | b'-')));
            self.digits()?;
        }
        // Such as the second digit of `01`, or a letter. Without this the comma that is missing would be reported.
        match self.current() {
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                Err(self.syntax("the end of a number"))
            }
            _ => Ok(self.at),
        }
    }

    #[inline(always)]
    fn current(self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while matches!(self.current(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(self.syntax("a digit"))
        }
    }
}

/// Which of the open levels are objects: one bit each, the innermost lowest. `MAX_DEPTH` bits are enough.
struct Levels {
    depth: u32,
    outer: u32,
    objects: u64,
}

impl Levels {
    const fn push(&mut self, object: bool) -> bool {
        if self.depth.saturating_add(self.outer) >= MAX_DEPTH {
            return false;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | object as u64;
        true
    }

    const fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

/// How many bytes come before the first quotation mark, backslash or control character.
///
/// Thirty-two at a time while there is none, since compilers make a few instructions of that; then eight at a time to find it.
#[inline(always)]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk::<32>() {
        let special = chunk.iter().fold(0, |special, byte| {
            special | u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\')
        });
        if special != 0 {
            break;
        }
        rest = tail;
    }
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return bytes.len() - rest.len() + (special.trailing_zeros() / 8) as usize;
        }
        rest = tail;
    }
    let plain = rest
        .iter()
        .take_while(|byte| !matches!(byte, b'"' | b'\\' | ..=0x1f))
        .count();
    bytes.len() - rest.len() + plain
}

/// Sets the high bit of the lowest byte that is special, and maybe of higher ones.
///
/// Subtracting makes the high bit of a byte come up when the byte was smaller than what was subtracted; borrowing can only
/// disturb bytes above the first that is special. Exchanging `"` (0x22) with the space puts it next to the control characters,
/// so that one subtraction finds them all.
#[inline(always)]
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let quote_or_control = (word ^ (0x02 * ONES)).wrapping_sub(0x21 * ONES);
    let backslash = (word ^ (b'\\' as u64 * ONES)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.value(0).and_then(|_| scanner.end()).is_ok()
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
            "1e+9",
            "1E-2",
            "true",
            "tru",
            "false",
            "null",
            "nul",
            " ",
            "\t",
            "//",
            "NaN",
            "+1",
            "1a",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for text in [
                        format!("{a}{b}{c}"),
                        format!("[{a}{b}{c}]"),
                        format!("{{\"k\":{a}{b}{c}}}"),
                    ] {
                        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
                        assert_eq!(accepts(&text), expected, "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte_wherever_it_is() {
        for special in (0..0x20).chain([b'"', b'\\']) {
            for length in 0..40 {
                for after in [special, b'!', 0x7f, 0xff, b'#', b'[', b']', 0x20] {
                    let mut bytes: Vec<u8> = (0..length)
                        .map(|i| [b'x', 0x20, 0x80, 0xff, b'!', b']'][i % 6])
                        .collect();
                    assert_eq!(plain_run(&bytes), length);
                    bytes.extend([
                        special, after, after, after, after, after, after, after, after,
                    ]);
                    assert_eq!(plain_run(&bytes), length);
                }
            }
        }
    }

    #[test]
    fn nesting_is_accepted_to_the_limit_and_not_beyond() {
        let nested = |depth: usize| {
            format!(
                "{}{}",
                "[{\"a\":".repeat(depth / 2) + &"[".repeat(depth % 2),
                "]".repeat(depth % 2) + &"}]".repeat(depth / 2)
            )
        };
        for depth in [63, 64] {
            assert!(accepts(&nested(depth).replace(":}", ":0}")), "{depth}");
        }
        let text = nested(65);
        let error = Scanner::new(text.as_bytes()).value(0).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TooDeep { limit: 64 });
    }
}
