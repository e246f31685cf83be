//! The members of a message's object, found in one pass.

mod member;
mod values;

pub(crate) use member::Member;

use bytes::Bytes;

use super::scanner::{Scanner, Span, Text};
use crate::codec::{DecodeError, DecodeErrorKind, Role};

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
}
