//! JSON objects to messages.

use bytes::Bytes;
use bytestring::ByteString;

use super::members::{Member, Members};
use crate::codec::{
    Arguments, DecodeError, DecodeErrorKind, HubMessage, Invocation, Outcome, Payload, Protocol,
    Role,
};

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
