//! The members of a message's object, found in one pass.

use bytes::Bytes;
use bytestring::ByteString;

use super::scanner::{Scanner, Span, Text};
use crate::codec::{DecodeError, DecodeErrorKind, Headers, Role};

/// The members that have a meaning, in messages and in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Type,
    Headers,
    InvocationId,
    Target,
    Arguments,
    StreamIds,
    Item,
    Error,
    Result,
    AllowReconnect,
    SequenceId,
    Protocol,
    Version,
}

impl Member {
    const ALL: [Self; 13] = [
        Self::Type,
        Self::Headers,
        Self::InvocationId,
        Self::Target,
        Self::Arguments,
        Self::StreamIds,
        Self::Item,
        Self::Error,
        Self::Result,
        Self::AllowReconnect,
        Self::SequenceId,
        Self::Protocol,
        Self::Version,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Headers => "headers",
            Self::InvocationId => "invocationId",
            Self::Target => "target",
            Self::Arguments => "arguments",
            Self::StreamIds => "streamIds",
            Self::Item => "item",
            Self::Error => "error",
            Self::Result => "result",
            Self::AllowReconnect => "allowReconnect",
            Self::SequenceId => "sequenceId",
            Self::Protocol => "protocol",
            Self::Version => "version",
        }
    }

    /// The member of that name, if it has a meaning.
    fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|member| member.name().as_bytes() == name)
    }

    /// The member that begins here, and the length of its name with quotation marks and colon.
    ///
    /// Nearly every name that comes is one of these without escapes and white space. To find them by comparing a few words
    /// is what makes decoding fast; [`from_name`](Self::from_name) serves the others.
    #[inline(always)]
    fn at_start_of(text: &[u8]) -> Option<(Self, usize)> {
        macro_rules! first_of {
            ($($name:literal => $member:ident),+) => {
                $(if text.starts_with($name) { Some((Self::$member, $name.len())) } else)+ { None }
            };
        }
        match text.get(1)? {
            b't' => first_of!(b"\"type\":" => Type, b"\"target\":" => Target),
            b'a' => first_of!(b"\"arguments\":" => Arguments),
            b'i' => first_of!(b"\"invocationId\":" => InvocationId, b"\"item\":" => Item),
            b'r' => first_of!(b"\"result\":" => Result),
            b'e' => first_of!(b"\"error\":" => Error),
            b's' => first_of!(b"\"streamIds\":" => StreamIds, b"\"sequenceId\":" => SequenceId),
            _ => None,
        }
    }
}

/// Where the value of each member is. Of members that come twice, the last counts.
pub(crate) struct Members<'a> {
    frame: &'a Bytes,
    spans: [Place; Member::ALL.len()],
    /// Whether any string has escapes, known names aside.
    escapes: bool,
}

/// A [`Span`] in one word: writing and reading it in one go keeps the processor from waiting for itself.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    const NONE: Self = Self(0);
    /// Offsets have to fit half a word.
    const MAX_FRAME: u64 = u32::MAX as u64;

    #[inline(always)]
    const fn new(span: Span) -> Self {
        Self((span.start as u64) << 32 | span.end as u64)
    }

    #[inline(always)]
    const fn span(self) -> Option<Span> {
        if self.0 == 0 {
            None
        } else {
            Some(Span {
                start: (self.0 >> 32) as usize,
                end: (self.0 & Self::MAX_FRAME) as usize,
            })
        }
    }
}

impl<'a> Members<'a> {
    /// No members yet: see [`read`](Self::read).
    pub(crate) const fn new(frame: &'a Bytes) -> Self {
        Self {
            frame,
            spans: [Place::NONE; Member::ALL.len()],
            escapes: false,
        }
    }

    /// Skips `{"type":1,`, with which most messages begin.
    #[inline(always)]
    fn after_type(&mut self) -> Scanner<'a> {
        const BEFORE: &[u8] = b"{\"type\":";
        const AFTER: usize = BEFORE.len() + 1;
        if self.frame.starts_with(BEFORE)
            && matches!(
                self.frame.get(BEFORE.len()..=AFTER),
                Some([b'0'..=b'9', b','])
            )
        {
            self.set(
                Member::Type,
                Span {
                    start: BEFORE.len(),
                    end: AFTER,
                },
            );
            return Scanner::new_at(self.frame, AFTER + 1);
        }
        Scanner::new(self.frame)
    }

    /// Reads the object at the start of the frame; what follows it is ignored, as in the official server.
    #[inline(always)]
    pub(crate) fn read(&mut self, role: Role) -> Result<(), DecodeError> {
        check_size(self.frame)?;
        let mut scanner = self.after_type();
        if scanner.is_at_start() {
            scanner.expect(b'{', "an object")?;
            if scanner.take(b'}') {
                return Ok(());
            }
        }
        loop {
            let member = member(&mut scanner)?;
            let span = match scanner.value(1) {
                Ok(span) => span,
                Err(error) => match self.tolerate(role, member, &mut scanner, error)? {
                    Tolerated::Value(span) => span,
                    Tolerated::Rest => return Ok(()),
                },
            };
            if let Some(member) = member {
                self.set(member, span);
            }
            if !scanner.take(b',') {
                self.escapes = scanner.has_escapes();
                return scanner.expect(b'}', "',' or '}'");
            }
        }
    }
}

/// A malformed value that does not disturb what is around it.
enum Tolerated {
    Value(Span),
    /// There is nothing around it: it takes the rest of the frame.
    Rest,
}

impl<'a> Members<'a> {
    /// Passes what a server holds against a call or an upload only. By then its name has to be known, or else the message is
    /// as broken to the official server as to us.
    #[cold]
    fn tolerate(
        &mut self,
        role: Role,
        member: Option<Member>,
        scanner: &mut Scanner<'a>,
        error: DecodeError,
    ) -> Result<Tolerated, DecodeError> {
        let tolerated = match (role, member) {
            (Role::Server, Some(Member::Arguments)) if self.names(Member::Target) => {
                scanner.array_with_gap(1).ok().map(Tolerated::Value)
            }
            (Role::Server, Some(Member::Item)) if self.names(Member::InvocationId) => {
                scanner.rest_from_container().map(|item| {
                    self.set(Member::Item, item);
                    self.escapes = true;
                    Tolerated::Rest
                })
            }
            _ => None,
        };
        tolerated.ok_or(error)
    }

    /// Whether the member is there already, and no empty string.
    fn names(&self, member: Member) -> bool {
        self.span(member)
            .is_some_and(|span| self.slice(span) != b"\"\"")
    }
}

#[inline]
fn check_size(frame: &Bytes) -> Result<(), DecodeError> {
    let size = frame.len() as u64;
    if size == 0 {
        return Err(DecodeError::new(DecodeErrorKind::Empty, 0));
    }
    let limit = Place::MAX_FRAME;
    if size > limit {
        Err(DecodeError::new(
            DecodeErrorKind::TooLarge { size, limit },
            0,
        ))
    } else {
        Ok(())
    }
}

/// Passes a member's name and the colon.
#[inline(always)]
fn member(scanner: &mut Scanner<'_>) -> Result<Option<Member>, DecodeError> {
    if let Some((member, length)) = Member::at_start_of(scanner.rest()) {
        scanner.skip(length);
        return Ok(Some(member));
    }
    let name = scanner.name()?;
    Ok(other_member(*scanner, name))
}

#[cold]
fn other_member(scanner: Scanner<'_>, name: Text) -> Option<Member> {
    let raw = scanner.slice(name.span);
    if name.escaped {
        unescape(raw).and_then(|name| Member::from_name(name.as_bytes()))
    } else {
        Member::from_name(raw)
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

/// The text between quotation marks without its escapes. `None` for lone surrogates and what is not UTF-8.
#[cold]
fn unescape(inside: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(inside.len().saturating_add(2));
    quoted.push(b'"');
    quoted.extend_from_slice(inside);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

impl<'a> Members<'a> {
    #[inline(always)]
    fn set(&mut self, member: Member, span: Span) {
        if let Some(slot) = self.spans.get_mut(member as usize) {
            *slot = Place::new(span);
        }
    }

    #[inline(always)]
    fn span(&self, member: Member) -> Option<Span> {
        self.spans
            .get(member as usize)
            .and_then(|place| place.span())
    }

    #[inline]
    fn required(&self, member: Member) -> Result<Span, DecodeError> {
        self.span(member).ok_or_else(|| self.missing(member))
    }

    #[inline]
    fn slice(&self, span: Span) -> &'a [u8] {
        self.frame.get(span.start..span.end).unwrap_or_default()
    }

    #[cold]
    pub(super) const fn missing(&self, member: Member) -> DecodeError {
        DecodeError::new(
            DecodeErrorKind::Missing {
                member: member.name(),
            },
            self.frame.len(),
        )
    }

    #[cold]
    pub(super) fn invalid(&self, member: Member, expected: &'static str) -> DecodeError {
        invalid(member, expected, self.position(member).unwrap_or_default())
    }

    /// Where the value of the member begins.
    pub(crate) fn position(&self, member: Member) -> Option<usize> {
        self.span(member).map(|span| span.start)
    }

    /// The value as it is.
    #[inline]
    pub(super) fn raw(&self, member: Member) -> Option<Bytes> {
        self.span(member)
            .map(|span| self.frame.slice(span.start..span.end))
    }

    /// Where the array is, if the member is there.
    #[inline(always)]
    pub(super) fn array(&self, member: Member) -> Result<Option<Span>, DecodeError> {
        match self.span(member) {
            Some(span) if self.frame.get(span.start) != Some(&b'[') => {
                Err(self.invalid(member, "an array"))
            }
            found => Ok(found),
        }
    }

    /// What lies there, as it is.
    #[inline(always)]
    pub(super) fn bytes(&self, span: Span) -> Bytes {
        self.frame.slice(span.start..span.end)
    }

    #[inline]
    pub(super) fn is_null(&self, member: Member) -> bool {
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
    pub(super) fn string_not_empty(
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
    pub(super) fn required_string_not_empty(
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
    pub(super) fn sequence_number(&self, member: Member) -> Result<u64, DecodeError> {
        let value = self
            .integer(member)?
            .and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.invalid(member, "an integer that is not negative"))
    }

    /// True or false; false when it is not there.
    pub(super) fn flag(&self, member: Member) -> Result<bool, DecodeError> {
        match self.span(member).map(|span| self.slice(span)) {
            None | Some(b"false") => Ok(false),
            Some(b"true") => Ok(true),
            Some(_) => Err(self.invalid(member, "true or false")),
        }
    }

    /// The members of an object of strings. Those that are null are left out.
    #[inline]
    pub(super) fn string_map(&self, member: Member) -> Result<Headers, DecodeError> {
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
    pub(super) fn string_list(
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
        super::for_each_element_span(&frame, |scanner, value| {
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
