//! Where our reader differs from the official JavaScript one on purpose: all of it.
//!
//! The reasons are three. Where JavaScript takes what the .NET programs refuse, we refuse it, since a message that is not
//! what it should be had better be found out at once. Where the official server is more lenient than JavaScript, we are as
//! lenient. And a payload that cannot be decoded fails the call it belongs to instead of the connection.

use super::plain::{Body, Json, Packed};

/// What our reader has to do with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ours {
    /// Refuse it.
    Refuses,
    /// Read it; what is in it may look different.
    Reads,
    /// Read it as if it ended here.
    ReadsUpTo(usize),
    /// Either.
    Any,
}

/// A deliberate difference.
pub(crate) type Difference = (&'static str, Ours);

pub(crate) const NOT_AN_INTEGER: &str = "the type is a 32-bit integer, as in .NET";
pub(crate) const ENVELOPE: &str = "all members have their types, as in .NET";
pub(crate) const HEADERS: &str = "headers are a map of texts, as in .NET";
pub(crate) const SEQUENCE: &str = "a sequence number is an integer of 63 bits";
pub(crate) const ERROR_AND_RESULT: &str = "an error and a result exclude each other, as in .NET";
pub(crate) const DEPTH: &str = "JSON nests 64 deep, MessagePack 256, as JSON does in .NET";
pub(crate) const HALF_LETTERS: &str = "half a surrogate pair is no text";
pub(crate) const NOT_UTF_8: &str = "JavaScript makes up letters where text is not UTF-8";
pub(crate) const EMPTY_ID: &str = "an empty id in JSON wants no answer, as in .NET";
pub(crate) const TRAILING: &str = "what follows the message in its frame is ignored, as in .NET";
pub(crate) const FOR_SERVERS: &str = "clients pass over what only servers read";
pub(crate) const INFINITE: &str = "a number too large for a double is not infinity";
pub(crate) const PAYLOAD: &str = "a payload that cannot be decoded fails its call only";
pub(crate) const KEYS: &str = "JavaScript refuses keys that it cannot make names of";
pub(crate) const HANDSHAKE: &str = "a handshake is an object without a type, as in .NET";

/// Every difference; each of them has to be met with.
pub(crate) const ALL: [&str; 15] = [
    NOT_AN_INTEGER,
    ENVELOPE,
    HEADERS,
    SEQUENCE,
    ERROR_AND_RESULT,
    DEPTH,
    HALF_LETTERS,
    NOT_UTF_8,
    EMPTY_ID,
    TRAILING,
    FOR_SERVERS,
    INFINITE,
    PAYLOAD,
    KEYS,
    HANDSHAKE,
];

/// What is deliberate about the reading of a JSON record.
pub(crate) fn of_json(frame: &[u8]) -> Option<Difference> {
    let Ok(text) = std::str::from_utf8(frame) else {
        // Such bytes never get to the parser: they are no WebSocket text.
        return Some((NOT_UTF_8, Ours::Any));
    };
    let (message, end) = Json::read(text)?;
    if !text[end..].trim_matches([' ', '\t', '\n', '\r']).is_empty() {
        return Some((TRAILING, Ours::ReadsUpTo(end)));
    }
    if !matches!(message, Json::Object(_)) {
        return None;
    }
    if message.depth() > 64 {
        return Some((DEPTH, Ours::Refuses));
    }
    let Some(Json::Number(kind)) = message.member("type") else {
        return None;
    };
    match kind.parse::<i32>() {
        Ok(kind) => refused_json(kind, &message).or_else(|| read_json(kind, &message)),
        Err(_) => Some((NOT_AN_INTEGER, Ours::Refuses)),
    }
}

/// What JavaScript reads and we do not.
fn refused_json(kind: i32, message: &Json) -> Option<Difference> {
    let member = |name| message.member(name);
    let is_text = |value: &Json| matches!(value, Json::Text(_));
    let is_half = |value: &Json| is_text(value) && value.has_half_letters();
    let refused = |why| Some((why, Ours::Refuses));
    let with_headers = matches!(kind, 1..=3);
    if with_headers {
        let is_header = |value: &Json| is_text(value) || *value == Json::Null;
        match member("headers") {
            None => {}
            Some(Json::Object(headers)) if headers.values().all(is_header) => {}
            Some(_) => return refused(HEADERS),
        }
    }
    if kind == 1 {
        if member("arguments").is_some_and(|value| !matches!(value, Json::List(_))) {
            return refused(ENVELOPE);
        }
        let is_id = |id: &Json| is_text(id) && *id != Json::Text(Vec::new());
        match member("streamIds") {
            None => {}
            Some(Json::List(ids)) if ids.iter().all(is_id) => {}
            Some(_) => return refused(ENVELOPE),
        }
    }
    if matches!(kind, 3 | 7) {
        let error = member("error").filter(|error| **error != Json::Null);
        if error.is_some_and(|error| !is_text(error)) {
            return refused(ENVELOPE);
        }
        let result = member("result").filter(|result| **result != Json::Null);
        if kind == 3 && error.is_some() && result.is_some() {
            return refused(ERROR_AND_RESULT);
        }
        if kind == 7 && !matches!(member("allowReconnect"), None | Some(Json::Bool(_))) {
            return refused(ENVELOPE);
        }
    }
    if matches!(kind, 8 | 9) {
        let Some(Json::Number(digits)) = member("sequenceId") else {
            return None;
        };
        if !digits.parse::<i64>().is_ok_and(|number| number >= 0) {
            return refused(SEQUENCE);
        }
    }
    // The members of these types that are texts, and lists and maps of texts.
    let texts: &[&str] = match kind {
        1 => &["invocationId", "target", "headers", "streamIds"],
        2 => &["invocationId", "headers"],
        3 => &["invocationId", "headers", "error"],
        7 => &["error"],
        _ => &[],
    };
    let half = texts.iter().filter_map(|name| member(name)).any(|value| {
        is_half(value)
            || match value {
                Json::List(list) => list.iter().any(is_half),
                // A name whose value is null is dropped with it.
                Json::Object(map) => map.iter().any(|(name, value)| {
                    *value != Json::Null
                        && (is_half(value) || Json::Text(name.clone()).has_half_letters())
                }),
                _ => false,
            }
    });
    half.then_some((HALF_LETTERS, Ours::Refuses))
}

/// What we read otherwise.
fn read_json(kind: i32, message: &Json) -> Option<Difference> {
    let member = |name| message.member(name);
    let empty = Json::Text(Vec::new());
    if matches!(kind, 4 | 5) {
        return Some((FOR_SERVERS, Ours::Any));
    }
    let has_target = matches!(member("target"), Some(Json::Text(target)) if !target.is_empty());
    if kind == 1 && member("invocationId") == Some(&empty) && has_target {
        return Some((EMPTY_ID, Ours::Reads));
    }
    let payload = member(match kind {
        1 => "arguments",
        2 => "item",
        _ => "result",
    })?;
    let has_id = matches!(member("invocationId"), Some(Json::Text(id)) if !id.is_empty());
    let is_sound = match kind {
        1 => has_target && (has_id || member("invocationId").is_none()),
        _ => has_id,
    };
    if !is_sound || !matches!(kind, 1..=3) {
        None
    } else if kind == 3 && member("error") == Some(&empty) {
        // With the result null, which to us is none.
        Some((ERROR_AND_RESULT, Ours::Reads))
    } else if payload.has_half_letters() {
        Some((HALF_LETTERS, Ours::Reads))
    } else if payload.has_infinity() {
        Some((INFINITE, Ours::Reads))
    } else {
        None
    }
}

/// What is deliberate about the reading of a MessagePack frame.
pub(crate) fn of_messagepack(frame: &[u8]) -> Option<Difference> {
    let body = Body::read(frame)?;
    let kind = match body.elements.first()? {
        Packed::Integer(kind) => i32::try_from(*kind).ok(),
        _ => None,
    };
    let Some(kind) = kind else {
        return Some((NOT_AN_INTEGER, Ours::Refuses));
    };
    if matches!(kind, 4 | 5) {
        return Some((FOR_SERVERS, Ours::Any));
    }
    refused_messagepack(kind, &body).or_else(|| read_messagepack(kind, frame, &body))
}

/// What JavaScript reads and we do not.
fn refused_messagepack(kind: i32, body: &Body) -> Option<Difference> {
    let element = |at: usize| body.elements.get(at);
    let is_text = |value: &Packed| matches!(value, Packed::Text(_));
    let refused = |why| Some((why, Ours::Refuses));
    if matches!(kind, 1..=3) {
        let are_texts = |headers: &Packed| match headers {
            Packed::Map(map) => map
                .iter()
                .all(|(key, value)| is_text(key) && is_text(value)),
            _ => false,
        };
        if element(1).is_some_and(|headers| !are_texts(headers)) {
            return refused(HEADERS);
        }
    }
    let ids_are_names = |ids: &Packed| match ids {
        Packed::List(list) => list.iter().all(Packed::is_name),
        _ => false,
    };
    let is_wrong = match kind {
        1 => {
            element(2).is_some_and(|id| !is_text(id) && *id != Packed::Nil)
                || element(3).is_some_and(|target| !target.is_name())
                || element(5).is_some_and(|ids| !ids_are_names(ids))
        }
        2 => element(2).is_some_and(|id| !id.is_name()),
        3 => {
            element(2).is_some_and(|id| !id.is_name())
                || element(3).is_some_and(|kind| {
                    let known = [1, 2, 3].map(Packed::Integer);
                    !known.contains(kind)
                })
                || (element(3) == Some(&Packed::Integer(1))
                    && element(4).is_some_and(|error| !is_text(error)))
        }
        7 => {
            element(1).is_some_and(|error| !is_text(error) && *error != Packed::Nil)
                || element(2).is_some_and(|flag| !matches!(flag, Packed::Bool(_)))
        }
        _ => false,
    };
    if is_wrong {
        return refused(ENVELOPE);
    }
    let is_number = |number: &Packed| matches!(number, Packed::Integer(number) if (0..=i128::from(i64::MAX)).contains(number));
    if matches!(kind, 8 | 9) && !element(1).is_some_and(is_number) {
        return refused(SEQUENCE);
    }
    None
}

/// What we read otherwise.
fn read_messagepack(kind: i32, frame: &[u8], body: &Body) -> Option<Difference> {
    let elements = &body.elements;
    // The elements that have to be there, and the payload among them.
    let has_value = kind == 3 && elements.get(3) != Some(&Packed::Integer(2));
    let (needed, payload) = match kind {
        1 => (5, Some(4)),
        2 => (4, Some(3)),
        3 if has_value => {
            let is_result = elements.get(3) == Some(&Packed::Integer(3));
            (5, is_result.then_some(4))
        }
        3 => (4, None),
        7..=9 => (2, None),
        _ => (1, None),
    };
    // Of the elements that may be there, these are looked at.
    let known = match kind {
        1 => 6,
        7 => 3,
        _ => needed,
    };
    if body.count < needed {
        return None;
    }
    if elements.len() < body.count {
        let broken = elements.len();
        // Of a payload there has to be something at least.
        let is_payload = Some(broken) == payload && body.end < frame.len();
        let tolerated = is_payload || broken >= known;
        return tolerated.then_some((PAYLOAD, Ours::Reads));
    }
    let not_utf_8 =
        |value: &Packed| matches!(value, Packed::Text(text) if std::str::from_utf8(text).is_err());
    let odd_date = |value: &Packed| matches!(value, Packed::Extension(-1, length) if ![4, 8, 12].contains(length));
    let odd_key = |value: &Packed| {
        let is_odd = |key: &Packed| match key {
            Packed::Text(name) => name == b"__proto__",
            Packed::Integer(number) => number.unsigned_abs() >= 1 << 53,
            _ => true,
        };
        matches!(value, Packed::Map(map) if map.iter().any(|(key, _)| is_odd(key)))
    };
    let have = |is: &dyn Fn(&Packed) -> bool| elements.iter().any(|element| element.any(&is));
    if have(&odd_key) {
        Some((KEYS, Ours::Reads))
    } else if have(&odd_date) {
        Some((PAYLOAD, Ours::Reads))
    } else if have(&not_utf_8) {
        Some((NOT_UTF_8, Ours::Reads))
    } else if body.end < frame.len() {
        Some((TRAILING, Ours::ReadsUpTo(body.end)))
    } else if payload.is_some_and(|at| elements[at].depth() > 256) {
        Some((DEPTH, Ours::Reads))
    } else if kind == 1 && !matches!(elements[4], Packed::List(_)) {
        // The call fails when its handler asks for the arguments.
        Some((PAYLOAD, Ours::Reads))
    } else {
        None
    }
}

/// What is deliberate about the reading of a handshake response.
pub(crate) fn of_handshake(frame: &[u8]) -> Option<Difference> {
    let Ok(text) = std::str::from_utf8(frame) else {
        return Some((NOT_UTF_8, Ours::Any));
    };
    let (response, end) = Json::read(text)?;
    if !text[end..].trim_matches([' ', '\t', '\n', '\r']).is_empty() {
        return Some((TRAILING, Ours::ReadsUpTo(end)));
    }
    let error = response.member("error");
    match (&response, error) {
        (Json::Object(_), _) if response.member("type").is_some() => {
            Some((HANDSHAKE, Ours::Refuses))
        }
        (Json::Object(_), _) if response.depth() > 64 => Some((DEPTH, Ours::Refuses)),
        (Json::Object(_), Some(error)) if error.has_half_letters() => {
            Some((HALF_LETTERS, Ours::Refuses))
        }
        (Json::Object(_), None | Some(Json::Null | Json::Text(_))) => None,
        _ => Some((HANDSHAKE, Ours::Refuses)),
    }
}
