//! A JSON payload on one line, as it was received but for white space.

use super::survey::survey;
use super::tokens::{Token, Tokens};
use super::{Fault, Reserved};

/// Appends the value without white space, numbers and strings spelled as they are.
///
/// `{"$bin":1}` and the like become `{"$map":[["$bin",1]]}`, because here they have no special meaning.
pub(crate) fn put_compact(out: &mut Vec<u8>, bytes: &[u8], max_depth: usize) -> Result<(), Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::new(error.valid_up_to(), "a string that is not UTF-8"))?;
    let notes = survey(text, max_depth)?;
    let mut tokens = Tokens::new(text, max_depth);
    let mut writer = Writer {
        out,
        after_value: false,
        escaped: Vec::new(),
    };
    let mut notes = notes.iter();
    while let Some(token) = tokens.next()? {
        let opens = matches!(token, Token::BeginArray | Token::BeginObject);
        let reserved = if opens {
            notes.next().and_then(|note| note.reserved)
        } else {
            None
        };
        writer.put(token, reserved);
    }
    Ok(())
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    after_value: bool,
    /// For each open level, whether it is written as `$map`.
    escaped: Vec<bool>,
}

impl Writer<'_> {
    fn put(&mut self, token: Token<'_>, reserved: Option<Reserved>) {
        let ends = matches!(token, Token::EndArray | Token::EndObject);
        if self.after_value && !ends {
            self.out.push(b',');
        }
        self.after_value = !matches!(
            token,
            Token::Name(_) | Token::BeginArray | Token::BeginObject
        );
        match token {
            Token::Null => self.out.extend(b"null"),
            Token::Bool(value) => self.out.extend(if value { &b"true"[..] } else { b"false" }),
            Token::Number(raw) | Token::String(raw) => self.out.extend(raw.as_bytes()),
            Token::Name(raw) => {
                self.out.extend(raw.as_bytes());
                self.out.push(if self.escaped.last() == Some(&true) {
                    b','
                } else {
                    b':'
                });
            }
            Token::BeginArray => self.open(false, b"["),
            Token::BeginObject if reserved.is_some() => self.open(true, b"{\"$map\":[["),
            Token::BeginObject => self.open(false, b"{"),
            Token::EndArray => self.close(b"]"),
            Token::EndObject => self.close(b"}"),
        }
    }

    fn open(&mut self, escaped: bool, text: &[u8]) {
        self.escaped.push(escaped);
        self.out.extend(text);
    }

    fn close(&mut self, text: &[u8]) {
        let escaped = self.escaped.pop() == Some(true);
        self.out.extend(if escaped { &b"]]}"[..] } else { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> String {
        let mut out = Vec::new();
        put_compact(&mut out, text.as_bytes(), 63).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_white_space_is_lost() {
        let text = " [ 1.0 , 1e5 , 123456789012345678901234567890 , { \"a\" : \" \\u0041 \" , \"a\" : [ ] , \"b\" : { } } , null , true , false ] ";
        assert_eq!(
            compact(text),
            r#"[1.0,1e5,123456789012345678901234567890,{"a":" \u0041 ","a":[],"b":{}},null,true,false]"#
        );
    }

    #[test]
    fn objects_that_look_reserved_are_written_as_maps() {
        assert_eq!(
            compact(r#"[{"$bin":{"$map":[]}},{"$bin":1,"x":2}]"#),
            r#"[{"$map":[["$bin",{"$map":[["$map",[]]]}]]},{"$bin":1,"x":2}]"#
        );
    }

    #[test]
    fn faults_tell_the_place() {
        let fault = |bytes: &[u8]| put_compact(&mut Vec::new(), bytes, 3).unwrap_err().offset;
        assert_eq!(fault(b"[\"ab\xff\"]"), 4);
        assert_eq!(fault(br#"["a\ud800"]"#), 3);
        assert_eq!(fault(b"[[[[1]]]]"), 3);
    }
}
