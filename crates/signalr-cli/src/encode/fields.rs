//! The members of one line.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use signalr_proto::codec::Headers;
use signalr_proto::{Arguments, Payload, Protocol};

use crate::decode::{JSON_DEPTH, MSGPACK_DEPTH};
use crate::value::Fault;
use crate::value::interpret::{MAX_TEXT_DEPTH, interpret};
use crate::value::json_sink::JsonSink;
use crate::value::msgpack_sink::MsgPackSink;
use crate::value::tokens::{Token, Tokens, unescape};

/// A member: its value as it is written, and where in the line that is.
struct Field<'a> {
    name: Cow<'a, str>,
    raw: &'a str,
    offset: usize,
}

impl Field<'_> {
    fn wrong(&self, rule: &str) -> Fault {
        Fault::new(self.offset, format!("'{}' must be {rule}", self.name))
    }

    /// The value as a string; `None` when it is anything else.
    fn text(&self) -> Option<Cow<'_, str>> {
        self.raw.starts_with('"').then(|| unescape(self.raw))
    }
}

/// The members that were not asked for yet.
pub(super) struct Fields<'a> {
    fields: Vec<Field<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(line: &'a str) -> Result<Self, Fault> {
        let mut tokens = Tokens::new(line, MAX_TEXT_DEPTH);
        let start = tokens.position();
        if tokens.next()? != Some(Token::BeginObject) {
            return Err(Fault::new(start, "expected a JSON object"));
        }
        let mut fields: Vec<Field<'_>> = Vec::new();
        loop {
            let at = tokens.position();
            let Some(Token::Name(name)) = tokens.next()? else {
                break;
            };
            let name = unescape(name);
            if fields.iter().any(|field| field.name == name) {
                return Err(Fault::new(at, format!("a second member '{name}'")));
            }
            let offset = tokens.position();
            fields.push(Field {
                name,
                raw: tokens.raw_value()?,
                offset,
            });
        }
        tokens.next()?;
        Ok(Self { fields })
    }

    fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let index = self.fields.iter().position(|field| field.name == name)?;
        Some(self.fields.swap_remove(index))
    }

    /// As [`Self::take`], but a member that is null counts as absent.
    fn take_some(&mut self, name: &str) -> Option<Field<'a>> {
        self.take(name).filter(|field| field.raw != "null")
    }

    fn required(&mut self, name: &str) -> Result<Field<'a>, Fault> {
        self.take(name)
            .ok_or_else(|| Fault::new(0, format!("the member '{name}' is missing")))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Fails when a member is left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let unknown = self.fields.into_iter().min_by_key(|field| field.offset);
        unknown.map_or(Ok(()), |field| {
            Err(Fault::new(
                field.offset,
                format!("the member '{}' does not belong here", field.name),
            ))
        })
    }

    /// One of a few words, with its place.
    pub(super) fn word(&mut self, name: &str) -> Result<(String, usize), Fault> {
        let field = self.required(name)?;
        let word = field
            .text()
            .ok_or_else(|| field.wrong("a string"))?
            .into_owned();
        Ok((word, field.offset))
    }

    pub(super) fn string(&mut self, name: &str) -> Result<ByteString, Fault> {
        let field = self.required(name)?;
        Ok(field
            .text()
            .ok_or_else(|| field.wrong("a string"))?
            .into_owned()
            .into())
    }

    pub(super) fn not_empty(&mut self, name: &str) -> Result<ByteString, Fault> {
        let field = self.required(name)?;
        let text = field.text().filter(|text| !text.is_empty());
        Ok(text
            .ok_or_else(|| field.wrong("a string that is not empty"))?
            .into_owned()
            .into())
    }

    /// A string that is not empty; null is as good as nothing.
    pub(super) fn optional_id(&mut self, name: &str) -> Result<Option<ByteString>, Fault> {
        let Some(field) = self.take_some(name) else {
            return Ok(None);
        };
        let text = field.text().filter(|text| !text.is_empty());
        Ok(Some(
            text.ok_or_else(|| field.wrong("null or a string that is not empty"))?
                .into_owned()
                .into(),
        ))
    }

    pub(super) fn optional_string(&mut self, name: &str) -> Result<Option<ByteString>, Fault> {
        let Some(field) = self.take_some(name) else {
            return Ok(None);
        };
        Ok(Some(
            field
                .text()
                .ok_or_else(|| field.wrong("null or a string"))?
                .into_owned()
                .into(),
        ))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        let Some(field) = self.take(name) else {
            return Ok(false);
        };
        field.raw.parse().map_err(|_| field.wrong("true or false"))
    }

    /// An integer from 0 to `max`.
    pub(super) fn number(&mut self, name: &str, max: u64) -> Result<u64, Fault> {
        let field = self.required(name)?;
        let number = field.raw.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| field.wrong(&format!("an integer from 0 to {max}")))
    }

    pub(super) fn headers(&mut self) -> Result<Headers, Fault> {
        let mut headers = Headers::new();
        let Some(field) = self.take("headers") else {
            return Ok(headers);
        };
        let wrong = || field.wrong("an object of strings");
        let mut tokens = Tokens::new(field.raw, 1);
        let checked = tokens.next().map_err(|_| wrong())?;
        if checked != Some(Token::BeginObject) {
            return Err(wrong());
        }
        while let Some(Token::Name(name)) = tokens.next().map_err(|_| wrong())? {
            let Ok(Some(Token::String(value))) = tokens.next() else {
                return Err(wrong());
            };
            headers.push((
                unescape(name).into_owned().into(),
                unescape(value).into_owned().into(),
            ));
        }
        Ok(headers)
    }

    pub(super) fn ids(&mut self, name: &str) -> Result<Vec<ByteString>, Fault> {
        let mut ids = Vec::new();
        let Some(field) = self.take(name) else {
            return Ok(ids);
        };
        let listed: Vec<String> =
            serde_json::from_str(field.raw).map_err(|_| field.wrong("an array of strings"))?;
        for id in listed {
            if id.is_empty() {
                return Err(field.wrong("an array of strings that are not empty"));
            }
            ids.push(id.into());
        }
        Ok(ids)
    }

    pub(super) fn arguments(&mut self, protocol: Protocol) -> Result<Arguments, Fault> {
        let Some(field) = self.take("arguments") else {
            return Ok(Arguments::empty(protocol));
        };
        if !field.raw.starts_with('[') {
            return Err(field.wrong("an array"));
        }
        Ok(Arguments::new(protocol, converted(&field, protocol, 1)?))
    }

    pub(super) fn payload(&mut self, name: &str, protocol: Protocol) -> Result<Payload, Fault> {
        let field = self.required(name)?;
        Ok(Payload::new(protocol, converted(&field, protocol, 0)?))
    }
}

fn converted(field: &Field<'_>, protocol: Protocol, extra_levels: usize) -> Result<Bytes, Fault> {
    let mut out = Vec::new();
    let done = match protocol {
        Protocol::MessagePack => interpret(
            field.raw,
            &mut MsgPackSink::new(&mut out, MSGPACK_DEPTH.saturating_add(extra_levels)),
        ),
        Protocol::Json | _ => interpret(field.raw, &mut JsonSink::new(&mut out, JSON_DEPTH)),
    };
    done.map_err(|fault| fault.moved_by(field.offset))?;
    Ok(out.into())
}
