//! Arguments of a call as they stand on the command line.

use std::borrow::Cow;
use std::io::Read as _;

use bytes::Bytes;
use signalr_proto::{Arguments, Protocol};

use crate::decode::{JSON_DEPTH, MSGPACK_DEPTH};
use crate::failure::Failure;
use crate::input;
use crate::value::Fault;
use crate::value::interpret::{MAX_TEXT_DEPTH, interpret};
use crate::value::json_sink::JsonSink;
use crate::value::msgpack_sink::MsgPackSink;
use crate::value::put_string;
use crate::value::survey::survey;

/// Reads the arguments, files and standard input included.
pub(crate) fn read(words: &[String], protocol: Protocol) -> Result<Arguments, Failure> {
    if words.iter().filter(|word| *word == "-").count() > 1 {
        return Err(Failure::usage(
            "standard input can be only one argument: there is more than one '-'",
        ));
    }
    let mut list = String::from("[");
    for (index, word) in words.iter().enumerate() {
        let number = index.saturating_add(1);
        let text = json_of(word, number)?;
        encode(&text, protocol, 0)
            .map_err(|fault| Failure::usage(format!("argument {number}: {fault}")))?;
        if index > 0 {
            list.push(',');
        }
        list.push_str(&text);
    }
    list.push(']');
    let bytes = encode(&list, protocol, 1)
        .map_err(|fault| Failure::usage(format!("the arguments: {fault}")))?;
    Ok(Arguments::new(protocol, bytes))
}

fn encode(text: &str, protocol: Protocol, extra_levels: usize) -> Result<Bytes, Fault> {
    let mut out = Vec::new();
    match protocol {
        Protocol::MessagePack => interpret(
            text,
            &mut MsgPackSink::new(&mut out, MSGPACK_DEPTH.saturating_add(extra_levels)),
        )?,
        Protocol::Json | _ => interpret(
            text,
            &mut JsonSink::new(
                &mut out,
                JSON_DEPTH.saturating_sub(1).saturating_add(extra_levels),
            ),
        )?,
    }
    Ok(out.into())
}

/// The argument as JSON.
fn json_of(word: &str, number: usize) -> Result<Cow<'_, str>, Failure> {
    if word == "-" {
        let mut content = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut content);
        read.map_err(|error| {
            Failure::usage(format!(
                "argument {number}: cannot read standard input: {error}"
            ))
        })?;
        return content_as_json(content, number).map(Cow::Owned);
    }
    if let Some(file) = word.strip_prefix('@') {
        let content = std::fs::read(file).map_err(|error| {
            Failure::usage(format!("argument {number}: cannot read {file}: {error}"))
        })?;
        return content_as_json(content, number).map(Cow::Owned);
    }
    if is_json(word) {
        return Ok(Cow::Borrowed(word));
    }
    if word.starts_with(['{', '[', '"']) {
        return Err(Failure::usage(format!(
            "argument {number} looks like JSON but is not: {}; to send it as a string, write it as a JSON string",
            survey(word, MAX_TEXT_DEPTH)
                .err()
                .map_or_else(String::new, |fault| format!(
                    "{fault} at character {}",
                    fault.offset.saturating_add(1)
                ))
        )));
    }
    Ok(Cow::Owned(quoted(word)))
}

fn is_json(text: &str) -> bool {
    survey(text, MAX_TEXT_DEPTH).is_ok()
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    put_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// JSON as it is, other text as a string, without the line end that editors and `echo` add.
fn content_as_json(content: Vec<u8>, number: usize) -> Result<String, Failure> {
    let text = input::text(content).map_err(|what| {
        Failure::usage(format!(
            "argument {number}: cannot read the content: {what}"
        ))
    })?;
    if is_json(&text) {
        return Ok(text);
    }
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| {
        line.strip_suffix('\r').unwrap_or(line)
    });
    Ok(quoted(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(words: &[&str]) -> Result<String, Failure> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words, Protocol::Json)
            .map(|arguments| String::from_utf8(arguments.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn json_is_taken_as_json_and_bare_words_as_strings() {
        assert_eq!(
            json(&[
                "1",
                "-2.5",
                "word",
                "two words",
                "null",
                "nul",
                "",
                r#"{"a": [1]}"#,
                r#""42""#
            ])
            .unwrap(),
            r#"[1,-2.5,"word","two words",null,"nul","",{"a":[1]},"42"]"#
        );
        assert_eq!(json(&[]).unwrap(), "[]");
    }

    #[test]
    fn broken_json_and_two_standard_inputs_are_mistakes() {
        for words in [
            &["{\"a\":"][..],
            &["[1,]"],
            &["\"x"],
            &["-", "-"],
            &["@no-such-file-anywhere"],
        ] {
            assert!(matches!(json(words), Err(Failure::Usage(_))), "{words:?}");
        }
    }

    #[test]
    fn messagepack_arguments_may_hold_bytes() {
        let arguments = read(
            &[r#"{"$bin":"00ff"}"#.to_owned(), "300".to_owned()],
            Protocol::MessagePack,
        )
        .unwrap();
        assert_eq!(arguments.as_bytes(), [0x92, 0xc4, 2, 0, 255, 0xcd, 1, 44]);
        assert!(read(&["18446744073709551616".to_owned()], Protocol::MessagePack).is_err());
    }
}
