//! What the values of members are read as.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Member, Members, unescape};
use crate::codec::json::for_each_element_span;
use crate::codec::json::scanner::{Scanner, Span, Text};
use crate::codec::{DecodeError, DecodeErrorKind, Headers, Role};

impl Members<'_> {
    #[cold]
    pub(crate) const fn missing(&self, member: Member) -> DecodeError {
        DecodeError::new(
            DecodeErrorKind::Missing {
                member: member.name(),
            },
            self.frame.len(),
        )
    }

    #[cold]
    pub(crate) fn invalid(&self, member: Member, expected: &'static str) -> DecodeError {
        invalid(member, expected, self.position(member).unwrap_or_default())
    }

    /// Where the value of the member begins.
    pub(crate) fn position(&self, member: Member) -> Option<usize> {
        self.span(member).map(|span| span.start)
    }

    /// The value as it is.
    #[inline]
    pub(crate) fn raw(&self, member: Member) -> Option<Bytes> {
        self.span(member)
            .map(|span| self.frame.slice(span.start..span.end))
    }

    /// Where the array is, if the member is there.
    #[inline(always)]
    pub(crate) fn array(&self, member: Member) -> Result<Option<Span>, DecodeError> {
        match self.span(member) {
            Some(span) if self.frame.get(span.start) != Some(&b'[') => {
                Err(self.invalid(member, "an array"))
            }
            found => Ok(found),
        }
    }

    /// What lies there, as it is.
    #[inline(always)]
    pub(crate) fn bytes(&self, span: Span) -> Bytes {
        self.frame.slice(span.start..span.end)
    }

    #[inline]
    pub(crate) fn is_null(&self, member: Member) -> bool {
        self.span(member)
            .is_some_and(|span| self.slice(span) == b"null")
    }

    /// The string, which must be there.
    #[inline(always)]
    pub(crate) fn required_string(&self, member: Member) -> Result<ByteString, DecodeError> {
        self.string_at(member, self.required(member)?)
    }

    /// The string; null is as good as nothing.
    pub(crate) fn optional_string(
        &self,
        member: Member,
    ) -> Result<Option<ByteString>, DecodeError> {
        if self.is_null(member) {
            Ok(None)
        } else {
            self.string(member)
        }
    }

    /// The string, if the member is there.
    fn string(&self, member: Member) -> Result<Option<ByteString>, DecodeError> {
        self.span(member)
            .map(|span| self.string_at(member, span))
            .transpose()
    }

    /// The string, if the member is there and is not the empty string.
    #[inline(always)]
    pub(crate) fn string_not_empty(
        &self,
        member: Member,
    ) -> Result<Option<ByteString>, DecodeError> {
        match self.span(member) {
            Some(span) if self.slice(span) != b"\"\"" => Ok(Some(self.string_at(member, span)?)),
            _ => Ok(None),
        }
    }

    /// The string, which must be there and not be empty.
    #[inline(always)]
    pub(crate) fn required_string_not_empty(
        &self,
        member: Member,
    ) -> Result<ByteString, DecodeError> {
        let span = self.required(member)?;
        if self.slice(span) == b"\"\"" {
            return Err(self.invalid(member, "a string that is not empty"));
        }
        self.string_at(member, span)
    }

    #[inline(always)]
    fn string_at(&self, member: Member, span: Span) -> Result<ByteString, DecodeError> {
        let inside = Span {
            start: span.start.saturating_add(1),
            end: span.end.saturating_sub(1),
        };
        if self.frame.get(span.start) != Some(&b'"') {
            return Err(invalid(member, "a string", span.start));
        }
        let escaped = self.escapes && memchr::memchr(b'\\', self.slice(inside)).is_some();
        text(
            self.frame,
            Text {
                span: inside,
                escaped,
            },
        )
        .ok_or_else(|| invalid(member, "a string of Unicode characters", span.start))
    }

    /// The member as an integer literal, which must be there.
    #[inline(always)]
    fn integer(&self, member: Member) -> Result<Option<i64>, DecodeError> {
        let digits = self.slice(self.required(member)?);
        Ok(match digits {
            [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
            _ => core::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok()),
        })
    }

    #[inline(always)]
    pub(crate) fn int32(&self, member: Member) -> Result<i32, DecodeError> {
        let value = self
            .integer(member)?
            .and_then(|value| i32::try_from(value).ok());
        value.ok_or_else(|| self.invalid(member, "a 32-bit integer"))
    }

    /// A number from 0 to the largest 64-bit integer, which must be there.
    pub(crate) fn sequence_number(&self, member: Member) -> Result<u64, DecodeError> {
        let value = self
            .integer(member)?
            .and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.invalid(member, "an integer that is not negative"))
    }

    /// True or false; false when it is not there.
    pub(crate) fn flag(&self, member: Member) -> Result<bool, DecodeError> {
        match self.span(member).map(|span| self.slice(span)) {
            None | Some(b"false") => Ok(false),
            Some(b"true") => Ok(true),
            Some(_) => Err(self.invalid(member, "true or false")),
        }
    }

    /// The members of an object of strings. Those that are null are left out.
    #[inline]
    pub(crate) fn string_map(&self, member: Member) -> Result<Headers, DecodeError> {
        self.span(member).map_or_else(
            || Ok(Headers::new()),
            |span| self.string_map_at(member, span),
        )
    }

    #[cold]
    fn string_map_at(&self, member: Member, span: Span) -> Result<Headers, DecodeError> {
        let mut entries = Headers::new();
        if !self.slice(span).starts_with(b"{") {
            return Err(self.invalid(member, "an object"));
        }
        let frame = self.frame.slice(span.start..span.end);
        for_each_member(&frame, |scanner, name| {
            let value = scanner.value(2)?;
            match scanner.slice(value) {
                b"null" => {}
                [b'"', ..] => entries.push((
                    self.header(&frame, name)?,
                    self.header(&frame, inside(&frame, value))?,
                )),
                _ => return Err(self.invalid(member, "an object of strings")),
            }
            Ok(())
        })?;
        Ok(entries)
    }

    fn header(&self, frame: &Bytes, part: Text) -> Result<ByteString, DecodeError> {
        text(frame, part).ok_or_else(|| {
            self.invalid(
                Member::Headers,
                "an object of strings of Unicode characters",
            )
        })
    }

    /// The elements of an array of strings, which only servers let be empty.
    #[inline]
    pub(crate) fn string_list(
        &self,
        member: Member,
        role: Role,
    ) -> Result<Vec<ByteString>, DecodeError> {
        self.span(member).map_or_else(
            || Ok(Vec::new()),
            |span| self.string_list_at(member, role, span),
        )
    }

    #[cold]
    fn string_list_at(
        &self,
        member: Member,
        role: Role,
        span: Span,
    ) -> Result<Vec<ByteString>, DecodeError> {
        let mut list = Vec::new();
        if !self.slice(span).starts_with(b"[") {
            return Err(self.invalid(member, "an array"));
        }
        let frame = self.frame.slice(span.start..span.end);
        for_each_element_span(&frame, |scanner, value| {
            let id = match scanner.slice(value) {
                [b'"', ..] => text(&frame, inside(&frame, value)),
                _ => None,
            };
            let id = id.filter(|id| role == Role::Server || !id.is_empty());
            list.push(
                id.ok_or_else(|| self.invalid(member, "an array of strings that are not empty"))?,
            );
            Ok(())
        })?;
        Ok(list)
    }
}

/// Hands each member's name to `value`, which has to pass the value.
#[inline]
fn for_each_member<'a>(
    bytes: &'a [u8],
    mut value: impl FnMut(&mut Scanner<'a>, Text) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(bytes);
    scanner.expect(b'{', "an object")?;
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let name = scanner.name()?;
        value(&mut scanner, name)?;
        if !scanner.take(b',') {
            return scanner.expect(b'}', "',' or '}'");
        }
    }
}

const fn invalid(member: Member, expected: &'static str, position: usize) -> DecodeError {
    DecodeError::new(
        DecodeErrorKind::Invalid {
            member: member.name(),
            expected,
        },
        position,
    )
}

/// The inside of the string at `value`.
fn inside(frame: &Bytes, value: Span) -> Text {
    let span = Span {
        start: value.start.saturating_add(1),
        end: value.end.saturating_sub(1),
    };
    let escaped = frame
        .get(span.start..span.end)
        .is_some_and(|text| memchr::memchr(b'\\', text).is_some());
    Text { span, escaped }
}

/// A slice of the frame, or a new string when there are escapes to replace. `None` for what is not Unicode text.
#[inline(always)]
fn text(frame: &Bytes, text: Text) -> Option<ByteString> {
    let raw = frame.get(text.span.start..text.span.end)?;
    if text.escaped {
        return unescape(raw).map(ByteString::from);
    }
    ByteString::try_from(frame.slice(text.span.start..text.span.end)).ok()
}
