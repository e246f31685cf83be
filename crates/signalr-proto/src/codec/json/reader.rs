//! JSON objects to messages.

use bytes::{Buf as _, Bytes};
use bytestring::ByteString;

use super::members::{Member, Members};
use super::scanner::{Scanner, Span};
use crate::codec::{
    Arguments, DecodeError, DecodeErrorKind, HubMessage, Invocation, Outcome, Payload, Protocol,
    Role,
};
use crate::decimal::leading_number;

/// Reads one message; `None` for an unknown type.
pub(crate) fn decode(role: Role, frame: &Bytes) -> Result<Option<HubMessage>, DecodeError> {
    let mut members = Members::new(frame);
    members.read(role)?;
    let members = &members;
    match members.int32(Member::Type)? {
        // An empty id on a plain invocation means that no answer is wanted.
        1 => invocation(
            members,
            role,
            members.string_not_empty(Member::InvocationId)?,
            HubMessage::Invocation,
        ),
        2 => stream_item(members),
        3 => completion(members),
        4 => invocation(
            members,
            role,
            Some(required_id(members)?),
            HubMessage::StreamInvocation,
        ),
        5 => Ok(Some(HubMessage::CancelInvocation {
            headers: members.string_map(Member::Headers)?,
            invocation_id: required_id(members)?,
        })),
        6 => Ok(Some(HubMessage::Ping)),
        7 => close(members),
        8 => Ok(Some(HubMessage::Ack {
            sequence_id: members.sequence_number(Member::SequenceId)?,
        })),
        9 => Ok(Some(HubMessage::Sequence {
            sequence_id: members.sequence_number(Member::SequenceId)?,
        })),
        _ => Ok(None),
    }
}

/// Reads a Completion of a call whose id is a number and that has a result, in the form in which servers write it: nearly
/// all that many calls bring. It says the same of it as [`decode`], in a third of the time. Anything else is given back.
pub(crate) fn read_answer(mut frame: Bytes) -> Result<(u64, Payload), Bytes> {
    let Some((number, result)) = find_answer(&frame) else {
        return Err(frame);
    };
    frame.truncate(result.end);
    frame.advance(result.start);
    Ok((number, payload(frame)))
}

fn find_answer(frame: &[u8]) -> Option<(u64, Span)> {
    let id = frame.strip_prefix(b"{\"type\":3,\"invocationId\":\"")?;
    let (number, length) = leading_number(id)?;
    let result = id.get(length..)?.strip_prefix(b"\",\"result\":")?;
    let mut scanner = Scanner::new_at(frame, frame.len() - result.len());
    let result = scanner.value(1).ok()?;
    (frame.get(result.end..)? == b"}").then_some((number, result))
}

/// Reads a StreamInvocation without an id, which is none to [`decode`].
pub(crate) fn decode_nameless(frame: &Bytes) -> Option<HubMessage> {
    let role = Role::Server;
    let mut members = Members::new(frame);
    members.read(role).ok()?;
    let is_stream = members.int32(Member::Type) == Ok(4);
    let is_nameless = members.string_not_empty(Member::InvocationId) == Ok(None);
    if !(is_stream && is_nameless) {
        return None;
    }
    invocation(&members, role, None, HubMessage::StreamInvocation).ok()?
}

fn required_id(members: &Members<'_>) -> Result<ByteString, DecodeError> {
    members.required_string_not_empty(Member::InvocationId)
}

// Messages are large, so they are made where they are wanted: wrapping them later would copy them.

#[inline(always)]
fn invocation(
    members: &Members<'_>,
    role: Role,
    invocation_id: Option<ByteString>,
    message: impl FnOnce(Invocation) -> HubMessage,
) -> Result<Option<HubMessage>, DecodeError> {
    let headers = members.string_map(Member::Headers)?;
    let target = match role {
        Role::Client => members.required_string_not_empty(Member::Target)?,
        Role::Server => members.required_string(Member::Target)?,
    };
    let arguments = arguments(members, role)?;
    let stream_ids = members.string_list(Member::StreamIds, role)?;
    Ok(Some(message(Invocation {
        headers,
        invocation_id,
        target,
        arguments,
        stream_ids,
    })))
}

#[inline(always)]
fn arguments(members: &Members<'_>, role: Role) -> Result<Arguments, DecodeError> {
    match (members.array(Member::Arguments)?, role) {
        (Some(span), _) => Ok(Arguments::new(Protocol::Json, members.bytes(span))),
        (None, Role::Client) => Ok(Arguments::empty(Protocol::Json)),
        (None, Role::Server) => Err(members.missing(Member::Arguments)),
    }
}

fn payload(raw: Bytes) -> Payload {
    Payload::new(Protocol::Json, raw)
}

fn stream_item(members: &Members<'_>) -> Result<Option<HubMessage>, DecodeError> {
    Ok(Some(HubMessage::StreamItem {
        headers: members.string_map(Member::Headers)?,
        invocation_id: required_id(members)?,
        item: members
            .raw(Member::Item)
            .map(payload)
            .ok_or_else(|| members.missing(Member::Item))?,
    }))
}

fn completion(members: &Members<'_>) -> Result<Option<HubMessage>, DecodeError> {
    let headers = members.string_map(Member::Headers)?;
    Ok(Some(HubMessage::Completion {
        headers,
        invocation_id: required_id(members)?,
        outcome: outcome(members)?,
    }))
}

fn outcome(members: &Members<'_>) -> Result<Outcome, DecodeError> {
    match (
        members.optional_string(Member::Error)?,
        members.raw(Member::Result),
    ) {
        (None, None) => Ok(Outcome::Void),
        (None, Some(raw)) => Ok(Outcome::Result(payload(raw))),
        (Some(error), None) => Ok(Outcome::Error(error)),
        (Some(error), Some(_)) if members.is_null(Member::Result) => Ok(Outcome::Error(error)),
        (Some(_), Some(_)) => {
            let position = members.position(Member::Error).unwrap_or_default();
            Err(DecodeError::new(DecodeErrorKind::ErrorAndResult, position))
        }
    }
}

fn close(members: &Members<'_>) -> Result<Option<HubMessage>, DecodeError> {
    let error = members.optional_string(Member::Error)?;
    Ok(Some(HubMessage::Close {
        error,
        allow_reconnect: members.flag(Member::AllowReconnect)?,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`decode`] says of a frame in the words of [`read_answer`].
    fn answer(frame: &Bytes) -> Option<(u64, Payload)> {
        match decode(Role::Client, frame) {
            Ok(Some(HubMessage::Completion {
                headers,
                invocation_id,
                outcome: Outcome::Result(result),
            })) if headers.is_empty() => Some((invocation_id.parse().ok()?, result)),
            _ => None,
        }
    }

    #[test]
    fn answers_are_found_in_the_form_in_which_servers_write_them() {
        for result in [
            "1",
            "null",
            "\"a\\u0041\"",
            "{\"a\":[1,{}]}",
            "[]",
            "-0.5e3",
            "true",
        ] {
            let text = format!("{{\"type\":3,\"invocationId\":\"17\",\"result\":{result}}}");
            let read = read_answer(text.into()).unwrap();
            assert_eq!(read, (17, payload(Bytes::from(result.to_owned()))));
        }
    }

    #[test]
    fn all_other_messages_are_given_back() {
        for text in [
            r#"{"type":3,"invocationId":"1"}"#,
            r#"{"type":3,"invocationId":"1","error":"no"}"#,
            r#"{"type":3,"invocationId":"1","result":1,"error":"no"}"#,
            r#"{"type":3,"invocationId":"1","result":1,"result":2}"#,
            r#"{"type":3,"invocationId":"1","result":1,"headers":{"a":"b"}}"#,
            r#"{"type":3,"invocationId":"1","result":1}x"#,
            r#"{"type":3,"invocationId":"1","result":1"#,
            r#"{"type":3,"invocationId":"1","result":}"#,
            r#"{"type":3,"invocationId":"01","result":1}"#,
            r#"{"type":3,"invocationId":"","result":1}"#,
            r#"{"type":3,"invocationId":"18446744073709551616","result":1}"#,
            r#"{"type":3,"invocationId":1,"result":1}"#,
            r#"{"type":3, "invocationId":"1","result":1}"#,
            r#"{"type":2,"invocationId":"1","item":1}"#,
            r#"{"type":6}"#,
            "",
        ] {
            let frame = Bytes::from(text);
            assert_eq!(read_answer(frame.clone()), Err(frame), "{text}");
        }
    }

    proptest! {
        /// A message with a byte exchanged, inserted or left out somewhere.
        #[test]
        fn answers_are_read_alike(
            result in "[\\[{\"a0,:}\\] \\\\]{0,12}|\"[a-z\"\\\\\u{1}]{0,40}\"|[0-9.e-]{1,8}",
            place in 0..90_usize,
            with in proptest::option::of("[\"{}\\[\\],:0-9a \\\\]"),
            removed in 0..2_usize,
        ) {
            let text = format!("{{\"type\":3,\"invocationId\":\"205\",\"result\":{result}}}");
            let mut bytes = text.into_bytes();
            let place = place.min(bytes.len());
            let end = (place + removed).min(bytes.len());
            bytes.splice(place..end, with.unwrap_or_default().into_bytes());
            let frame = Bytes::from(bytes);
            if let Ok(read) = read_answer(frame.clone()) {
                prop_assert_eq!(Some(read), answer(&frame));
            }
        }
    }
}
