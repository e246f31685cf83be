//! The second pass over a JSON value that is to be sent: reserved members become what they stand for.

use std::borrow::Cow;

use signalr_proto::Timestamp;

use super::survey::{Note, survey};
use super::tokens::{Token, Tokens, unescape};
use super::{Fault, Reserved, hex};

/// The deepest nesting of text: a MessagePack map takes three levels when it is written as `$map`.
pub(crate) const MAX_TEXT_DEPTH: usize = 800;

type Outcome = Result<(), Cow<'static, str>>;

/// Where values go. Errors are phrases.
pub(crate) trait Sink {
    fn null(&mut self);
    fn bool(&mut self, value: bool);
    /// A number in its JSON spelling.
    fn number(&mut self, spelling: &str) -> Outcome;
    /// A string in its JSON spelling.
    fn string(&mut self, raw: &str) -> Outcome;
    fn float32(&mut self, value: f32) -> Outcome;
    fn float64(&mut self, value: f64) -> Outcome;
    fn binary(&mut self, bytes: &[u8]) -> Outcome;
    fn timestamp(&mut self, moment: Timestamp) -> Outcome;
    fn extension(&mut self, kind: i8, body: &[u8]) -> Outcome;
    fn begin_array(&mut self, count: usize) -> Outcome;
    fn begin_map(&mut self, count: usize) -> Outcome;
    /// Comes before each element and each key.
    fn separate(&mut self, index: usize);
    /// Comes between a key and its value.
    fn after_key(&mut self);
    fn end_array(&mut self);
    fn end_map(&mut self);
    /// Whether all keys must be strings.
    fn string_keys_only(&self) -> bool;
}

/// Feeds a JSON text to a sink.
pub(crate) fn interpret(text: &str, sink: &mut impl Sink) -> Result<(), Fault> {
    let notes = survey(text, MAX_TEXT_DEPTH)?;
    let mut walk = Walk {
        tokens: Tokens::new(text, MAX_TEXT_DEPTH),
        notes: notes.iter(),
        sink,
    };
    walk.value()
}

struct Walk<'a, 'n, S> {
    tokens: Tokens<'a>,
    notes: std::slice::Iter<'n, Note>,
    sink: &'n mut S,
}

impl<'a, S: Sink> Walk<'a, '_, S> {
    fn value(&mut self) -> Result<(), Fault> {
        let start = self.tokens.position();
        let outcome = match self.token()? {
            Token::Null => {
                self.sink.null();
                Ok(())
            }
            Token::Bool(value) => {
                self.sink.bool(value);
                Ok(())
            }
            Token::Number(spelling) => self.sink.number(spelling),
            Token::String(raw) => self.sink.string(raw),
            Token::BeginArray => return self.array(start),
            Token::BeginObject => return self.object(start),
            Token::Name(_) | Token::EndArray | Token::EndObject => Err("expected a value".into()),
        };
        outcome.map_err(|what| Fault::new(start, what))
    }

    fn token(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.tokens.position();
        self.tokens
            .next()?
            .ok_or_else(|| Fault::new(start, "expected a value"))
    }

    /// What was noted about the array or object that opens here.
    fn note(&mut self) -> Note {
        self.notes.next().copied().unwrap_or_default()
    }

    fn array(&mut self, start: usize) -> Result<(), Fault> {
        let count = self.note().count;
        self.sink
            .begin_array(count)
            .map_err(|what| Fault::new(start, what))?;
        for index in 0..count {
            self.sink.separate(index);
            self.value()?;
        }
        self.token()?;
        self.sink.end_array();
        Ok(())
    }

    fn object(&mut self, start: usize) -> Result<(), Fault> {
        let note = self.note();
        if let Some(reserved) = note.reserved {
            return self.reserved(reserved);
        }
        self.sink
            .begin_map(note.count)
            .map_err(|what| Fault::new(start, what))?;
        for index in 0..note.count {
            self.sink.separate(index);
            if let Token::Name(raw) = self.token()? {
                self.sink
                    .string(raw)
                    .map_err(|what| Fault::new(start, what))?;
            }
            self.sink.after_key();
            self.value()?;
        }
        self.token()?;
        self.sink.end_map();
        Ok(())
    }

    fn reserved(&mut self, reserved: Reserved) -> Result<(), Fault> {
        self.token()?;
        let start = self.tokens.position();
        match reserved {
            Reserved::Bin => self.text(
                start,
                "$bin must be a string of hexadecimal digits",
                |text, sink| Some(sink.binary(&hex::from_hex(text)?)),
            )?,
            Reserved::Timestamp => self.text(
                start,
                "$timestamp must be a date and time of RFC 3339",
                |text, sink| Some(sink.timestamp(text.parse().ok()?)),
            )?,
            Reserved::Ext => self.extension(start)?,
            Reserved::F32 => self.float(
                start,
                "$f32 must be a number that 32 bits hold, \"NaN\", \"Infinity\" or \"-Infinity\"",
                |value, sink| sink.float32(value),
            )?,
            Reserved::F64 => self.float(
                start,
                "$f64 must be a number that 64 bits hold, \"NaN\", \"Infinity\" or \"-Infinity\"",
                |value, sink| sink.float64(value),
            )?,
            Reserved::Map => self.pairs(start)?,
        }
        self.token().map(drop)
    }

    fn text(
        &mut self,
        start: usize,
        rule: &'static str,
        put: impl FnOnce(&str, &mut S) -> Option<Outcome>,
    ) -> Result<(), Fault> {
        let outcome = if let Token::String(raw) = self.token()? {
            put(&unescape(raw), self.sink)
        } else {
            None
        };
        outcome
            .unwrap_or_else(|| Err(rule.into()))
            .map_err(|what| Fault::new(start, what))
    }

    fn float<F: Float>(
        &mut self,
        start: usize,
        rule: &'static str,
        put: impl FnOnce(F, &mut S) -> Outcome,
    ) -> Result<(), Fault> {
        let token = self.token()?;
        let value = if let Token::Number(spelling) = token {
            spelling.parse().ok().filter(|value: &F| value.is_finite())
        } else if let Token::String(raw) = token {
            F::odd(&unescape(raw))
        } else {
            None
        };
        let outcome = value.map_or_else(|| Err(rule.into()), |value| put(value, self.sink));
        outcome.map_err(|what| Fault::new(start, what))
    }

    fn extension(&mut self, start: usize) -> Result<(), Fault> {
        const RULE: &str = "$ext must be [type from -128 to 127, string of hexadecimal digits]";
        let wrong = || Fault::new(start, RULE);
        if self.token()? != Token::BeginArray || self.note().count != 2 {
            return Err(wrong());
        }
        let Token::Number(kind) = self.token()? else {
            return Err(wrong());
        };
        let kind = kind.parse::<i8>().map_err(|_| wrong())?;
        self.text(start, RULE, |text, sink| {
            Some(sink.extension(kind, &hex::from_hex(text)?))
        })?;
        self.token().map(drop)
    }

    fn pairs(&mut self, start: usize) -> Result<(), Fault> {
        let wrong = |at| Fault::new(at, "$map must be an array of [key, value] pairs");
        if self.token()? != Token::BeginArray {
            return Err(wrong(start));
        }
        let count = self.note().count;
        self.sink
            .begin_map(count)
            .map_err(|what| Fault::new(start, what))?;
        for index in 0..count {
            let at = self.tokens.position();
            if self.token()? != Token::BeginArray || self.note().count != 2 {
                return Err(wrong(at));
            }
            self.sink.separate(index);
            self.key()?;
            self.sink.after_key();
            self.value()?;
            self.token()?;
        }
        self.sink.end_map();
        self.token().map(drop)
    }

    fn key(&mut self) -> Result<(), Fault> {
        let start = self.tokens.position();
        let is_string = matches!(self.tokens.clone().next()?, Some(Token::String(_)));
        if self.sink.string_keys_only() && !is_string {
            return Err(Fault::new(
                start,
                "JSON has no form for a key that is not a string",
            ));
        }
        self.value()
    }
}

/// The two widths of floats.
trait Float: std::str::FromStr + Copy {
    fn is_finite(&self) -> bool;
    /// The values that JSON has no numbers for.
    fn odd(name: &str) -> Option<Self>;
}

impl Float for f32 {
    fn is_finite(&self) -> bool {
        Self::is_finite(*self)
    }

    fn odd(name: &str) -> Option<Self> {
        match name {
            "NaN" => Some(Self::NAN),
            "Infinity" => Some(Self::INFINITY),
            "-Infinity" => Some(Self::NEG_INFINITY),
            _ => None,
        }
    }
}

impl Float for f64 {
    fn is_finite(&self) -> bool {
        Self::is_finite(*self)
    }

    fn odd(name: &str) -> Option<Self> {
        f32::odd(name).map(Self::from)
    }
}
