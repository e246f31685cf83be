//! What a server passes over in a JSON message that a client refuses: a broken list of arguments of a call that is named already,
//! and a broken item of a stream that is. The official server looks at neither the type of the message nor what it means.

/// Whether the frame is broken at this place in such a member. An own small reader, to check the codec's with.
pub(crate) fn is_forgiven(frame: &[u8], position: u64) -> bool {
    let sound = usize::try_from(position).map_or(frame, |at| frame.get(..at).unwrap_or(frame));
    let (names, in_value) = names_of_members(sound);
    let Some((last, before)) = names.split_last().filter(|_| in_value) else {
        return false;
    };
    let named_by = match last.as_str() {
        "arguments" => "target",
        "item" => "invocationId",
        _ => return false,
    };
    before.iter().any(|name| name == named_by)
}

/// The names of the members of the outermost object, as far as these bytes go, and whether they end in the value of the last.
fn names_of_members(bytes: &[u8]) -> (Vec<String>, bool) {
    let (mut names, mut in_value) = (Vec::new(), false);
    let (mut depth, mut at) = (0_usize, 0);
    // Where a string begins that nothing but white space has followed so far.
    let mut last_string = None;
    while let Some(byte) = bytes.get(at) {
        let string = last_string.take();
        match byte {
            b'"' => {
                let Some(end) = end_of_string(bytes, at) else {
                    break;
                };
                last_string = bytes.get(at..end);
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_value &= depth > 1;
            }
            b':' if depth == 1 => {
                let name = string.and_then(|text| serde_json::from_slice(text).ok());
                names.push(name.unwrap_or_default());
                in_value = true;
            }
            b' ' | b'\t' | b'\r' | b'\n' => last_string = string,
            _ => {}
        }
        at += 1;
    }
    (names, in_value)
}

/// The place after the closing quotation mark.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut escaped = false;
    let rest = bytes.get(start + 1..)?;
    let length = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    length.map(|length| start + length + 2)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use signalr_proto::Protocol;
    use signalr_proto::codec::Role;

    use super::is_forgiven;

    fn forgives(frame: &'static str) -> bool {
        let frame = Bytes::from_static(frame.as_bytes());
        let error = Protocol::Json.decode(Role::Client, &frame).unwrap_err();
        let position = error.position;
        let forgiven = is_forgiven(&frame, position);
        let read = Protocol::Json.decode(Role::Server, &frame).is_ok();
        assert_eq!(read, forgiven, "{frame:?} {error:?}");
        forgiven
    }

    #[test]
    fn arguments_of_a_named_call_and_items_of_a_named_stream_are_forgiven() {
        for frame in [
            r#"{"type":1,"target":"Add","arguments":[1,]}"#,
            r#"{ "type":5 , "invocationId":"1","target" : "A]\"dd", "\u0061rguments" :[{"a":[1]},]}"#,
            r#"{"target":"Add","arguments":[1,],"type":42}"#,
            r#"{"type":2,"invocationId":"1","item":[1,]}"#,
        ] {
            assert!(forgives(frame), "{frame}");
        }
    }

    #[test]
    fn everything_else_ends_the_connection() {
        for frame in [
            r#"{"type":1,"arguments":[1,],"target":"Add"}"#,
            r#"{"type":1,"target":"Add","headers":{"target":1,"arguments":[1,]}}"#,
            r#"{"type":2,"item":[1,],"invocationId":"1"}"#,
            r#"{"type":3,"invocationId":"1","result":[1,]}"#,
            r#"{"type":1,"target":"Add","arguments":[1],"item":[1,]}"#,
            r#"{"type":1,"target":"Add","arguments":[1],}"#,
        ] {
            assert!(!forgives(frame), "{frame}");
        }
    }
}
