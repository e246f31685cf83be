//! MessagePack arrays to messages.
//!
//! The count in the array's header is what counts: elements beyond those known are passed over, and so are bytes after the
//! array. Integers may have any width. Malformed payloads are no errors here: what is left of the frame becomes the payload,
//! and decoding that fails ([HP-61](crate::spec::hub_protocol#hp-61)).

use bytes::Bytes;
use bytestring::ByteString;

use super::cursor::{Cursor, Head, HeadKind};
use crate::codec::{
    Arguments, DecodeError, DecodeErrorKind, Headers, HubMessage, Invocation, Outcome, Payload,
    Protocol, Role,
};

/// Reads one message; `None` for an unknown type.
pub(crate) fn decode(role: Role, frame: &Bytes) -> Result<Option<HubMessage>, DecodeError> {
    if frame.is_empty() {
        return Err(DecodeError::new(DecodeErrorKind::Empty, 0));
    }
    let mut cursor = Cursor::new(frame);
    let left = cursor.container(HeadKind::Array, "an array")?;
    let mut elements = Elements {
        role,
        frame,
        cursor,
        left,
    };
    Ok(Some(match elements.message_type()? {
        1 => HubMessage::Invocation(invocation(&mut elements, false)?),
        2 => stream_item(&mut elements)?,
        3 => completion(&mut elements)?,
        4 => HubMessage::StreamInvocation(invocation(&mut elements, true)?),
        5 => HubMessage::CancelInvocation {
            headers: elements.headers()?,
            invocation_id: elements.id()?,
        },
        6 => HubMessage::Ping,
        7 => close(&mut elements)?,
        8 => HubMessage::Ack {
            sequence_id: elements.sequence_number()?,
        },
        9 => HubMessage::Sequence {
            sequence_id: elements.sequence_number()?,
        },
        _ => return Ok(None),
    }))
}

fn invocation(elements: &mut Elements<'_>, answered: bool) -> Result<Invocation, DecodeError> {
    Ok(Invocation {
        headers: elements.headers()?,
        invocation_id: if answered {
            Some(elements.id()?)
        } else {
            elements
                .optional_string("invocationId")?
                .filter(|id| !id.is_empty())
        },
        target: elements.not_empty("target")?,
        arguments: Arguments::new(
            Protocol::MessagePack,
            elements.payload_of_part("arguments")?,
        ),
        stream_ids: elements.stream_ids()?,
    })
}

fn stream_item(elements: &mut Elements<'_>) -> Result<HubMessage, DecodeError> {
    Ok(HubMessage::StreamItem {
        headers: elements.headers()?,
        invocation_id: elements.id()?,
        item: Payload::new(Protocol::MessagePack, elements.payload_of_part("item")?),
    })
}

fn completion(elements: &mut Elements<'_>) -> Result<HubMessage, DecodeError> {
    Ok(HubMessage::Completion {
        headers: elements.headers()?,
        invocation_id: elements.id()?,
        outcome: outcome(elements)?,
    })
}

fn outcome(elements: &mut Elements<'_>) -> Result<Outcome, DecodeError> {
    let position = elements.cursor.position();
    match elements.integer("result kind")? {
        Some(1) => Ok(Outcome::Error(elements.string("error")?)),
        Some(2) => Ok(Outcome::Void),
        Some(3) => Ok(Outcome::Result(Payload::new(
            Protocol::MessagePack,
            elements.payload("result")?,
        ))),
        Some(_) | None => Err(invalid("result kind", "1, 2 or 3", position)),
    }
}

fn close(elements: &mut Elements<'_>) -> Result<HubMessage, DecodeError> {
    let error = elements.optional_string("error")?;
    let allow_reconnect = elements.left > 0 && elements.flag("allowReconnect")?;
    Ok(HubMessage::Close {
        error,
        allow_reconnect,
    })
}

/// The elements of a message's array, taken one after the other.
struct Elements<'a> {
    role: Role,
    frame: &'a Bytes,
    cursor: Cursor<'a>,
    /// How many follow according to the header.
    left: u64,
}

impl Elements<'_> {
    /// Comes before each element.
    fn begin(&mut self, member: &'static str) -> Result<usize, DecodeError> {
        let position = self.cursor.position();
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| DecodeError::new(DecodeErrorKind::Missing { member }, position))?;
        Ok(position)
    }

    fn head(&mut self, member: &'static str) -> Result<(Head, usize), DecodeError> {
        let position = self.begin(member)?;
        Ok((self.cursor.head()?, position))
    }

    fn message_type(&mut self) -> Result<i32, DecodeError> {
        let position = self.cursor.position();
        let value = self
            .integer("type")?
            .and_then(|value| i32::try_from(value).ok());
        value.ok_or_else(|| invalid("type", "a 32-bit integer", position))
    }

    /// `None` for anything but an integer.
    fn integer(&mut self, member: &'static str) -> Result<Option<i128>, DecodeError> {
        match self.head(member)?.0.kind {
            HeadKind::Integer(value) => Ok(Some(value)),
            HeadKind::Nil
            | HeadKind::Bool(_)
            | HeadKind::Float
            | HeadKind::String
            | HeadKind::Binary
            | HeadKind::Extension
            | HeadKind::Array
            | HeadKind::Map => Ok(None),
        }
    }

    /// A number from 0 to the largest 64-bit integer.
    fn sequence_number(&mut self) -> Result<u64, DecodeError> {
        let position = self.cursor.position();
        let value = self
            .integer("sequenceId")?
            .and_then(|value| i64::try_from(value).ok());
        value
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| invalid("sequenceId", "an integer that is not negative", position))
    }

    fn flag(&mut self, member: &'static str) -> Result<bool, DecodeError> {
        match self.head(member)? {
            (
                Head {
                    kind: HeadKind::Bool(value),
                    ..
                },
                _,
            ) => Ok(value),
            (_, position) => Err(invalid(member, "true or false", position)),
        }
    }

    fn string(&mut self, member: &'static str) -> Result<ByteString, DecodeError> {
        let (head, position) = self.head(member)?;
        self.string_after(head, member, position)
    }

    fn string_after(
        &mut self,
        head: Head,
        member: &'static str,
        position: usize,
    ) -> Result<ByteString, DecodeError> {
        if head.kind != HeadKind::String {
            return Err(invalid(member, "a string", position));
        }
        let text = self.cursor.take(head.length)?;
        // Where the official peers put replacement characters, so do we.
        let valid = ByteString::try_from(self.frame.slice_ref(text));
        Ok(valid.unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned().into()))
    }

    /// A string or nil.
    fn optional_string(&mut self, member: &'static str) -> Result<Option<ByteString>, DecodeError> {
        match self.head(member)? {
            (
                Head {
                    kind: HeadKind::Nil,
                    ..
                },
                _,
            ) => Ok(None),
            (head, position) => self.string_after(head, member, position).map(Some),
        }
    }

    fn not_empty(&mut self, member: &'static str) -> Result<ByteString, DecodeError> {
        let position = self.cursor.position();
        let text = self.string(member)?;
        if text.is_empty() {
            Err(invalid(member, "a string that is not empty", position))
        } else {
            Ok(text)
        }
    }

    fn id(&mut self) -> Result<ByteString, DecodeError> {
        self.not_empty("invocationId")
    }

    fn headers(&mut self) -> Result<Headers, DecodeError> {
        let (head, position) = self.head("headers")?;
        if head.kind != HeadKind::Map {
            return Err(invalid("headers", "a map", position));
        }
        if head.length > self.cursor.left() as u64 {
            return Err(self.cursor.syntax("as many elements as announced"));
        }
        let mut headers = Headers::new();
        for _ in 0..head.length / 2 {
            headers.push((self.header()?, self.header()?));
        }
        Ok(headers)
    }

    fn header(&mut self) -> Result<ByteString, DecodeError> {
        let position = self.cursor.position();
        let head = self.cursor.head()?;
        self.string_after(head, "headers", position)
    }

    /// The payload of a call or an upload. To a server, one that is not there is as good as a malformed one.
    fn payload_of_part(&mut self, member: &'static str) -> Result<Bytes, DecodeError> {
        if self.role == Role::Server && (self.left == 0 || self.cursor.left() == 0) {
            self.left = 0;
            return Ok(Bytes::new());
        }
        self.payload(member)
    }

    /// The value as it is, or all that is left when it is malformed.
    fn payload(&mut self, member: &'static str) -> Result<Bytes, DecodeError> {
        let start = self.begin(member)?;
        if self.cursor.left() == 0 {
            return Err(self.cursor.syntax("more bytes"));
        }
        if self.cursor.skip().is_err() {
            // Nobody can tell where the next element begins.
            self.left = 0;
            return Ok(self.frame.slice(start..));
        }
        Ok(self.frame.slice(start..self.cursor.position()))
    }

    fn stream_ids(&mut self) -> Result<Vec<ByteString>, DecodeError> {
        let mut ids = Vec::new();
        // Arguments that claim to be more than they are have swallowed them: the fault of that one call.
        let swallowed = self.role == Role::Server && self.cursor.left() == 0;
        if self.left == 0 || swallowed {
            return Ok(ids);
        }
        let position = self.begin("streamIds")?;
        let count = self
            .cursor
            .container(HeadKind::Array, "an array of stream ids")?;
        for _ in 0..count {
            let head = self.cursor.head()?;
            let id = self.string_after(head, "streamIds", position)?;
            if id.is_empty() {
                return Err(invalid(
                    "streamIds",
                    "an array of strings that are not empty",
                    position,
                ));
            }
            ids.push(id);
        }
        Ok(ids)
    }
}

const fn invalid(member: &'static str, expected: &'static str, position: usize) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Invalid { member, expected }, position)
}
