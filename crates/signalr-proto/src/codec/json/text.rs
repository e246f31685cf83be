//! The grammar of the JSON codec, for programs that show or rewrite payloads.

use super::scanner::Scanner;
use crate::codec::DecodeError;

/// A JSON text that is read piece by piece, by the same grammar as messages are. Arrays and objects are the caller's to follow:
/// what is read here lies between their brackets and commas.
///
/// Strings are checked for control characters and well-formed escapes; whether escaped surrogates pair up is found out by who
/// reads their text.
///
/// ```
/// use signalr_proto::codec::JsonText;
///
/// let mut text = JsonText::new(r#" {"a": 1.5} "#);
/// assert!(text.take(b'{'));
/// assert_eq!(text.name(), Ok("\"a\""));
/// assert_eq!(text.scalar(), Ok("1.5"));
/// assert!(text.take(b'}'));
/// assert_eq!(text.peek(), None);
/// ```
#[derive(Clone, Debug)]
pub struct JsonText<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

impl<'a> JsonText<'a> {
    /// The text from its beginning.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self {
            text,
            scanner: Scanner::new(text.as_bytes()),
        }
    }

    /// The next byte that is not white space, which is passed over.
    pub fn peek(&mut self) -> Option<u8> {
        self.scanner.peek()
    }

    /// Where that byte is, in bytes from the beginning.
    pub fn position(&mut self) -> usize {
        self.scanner.peek();
        self.scanner.position()
    }

    /// Takes the next byte that is not white space if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        self.scanner.take(byte)
    }

    /// Takes a string with its quotation marks, a number, `true`, `false` or `null`, as it is spelled.
    ///
    /// # Errors
    /// When something else stands there; `position` says where it is wrong.
    pub fn scalar(&mut self) -> Result<&'a str, DecodeError> {
        let first = self.peek();
        let start = self.scanner.position();
        self.scanner.scalar(first)?;
        Ok(self.since(start))
    }

    /// Takes the name of a member, with its quotation marks, and the colon behind it.
    ///
    /// # Errors
    /// When something else stands there; `position` says where it is wrong.
    pub fn name(&mut self) -> Result<&'a str, DecodeError> {
        let inside = self.scanner.name()?.span;
        let (start, end) = (inside.start.saturating_sub(1), inside.end.saturating_add(1));
        Ok(self.text.get(start..end).unwrap_or_default())
    }

    /// The text from this position to what was taken last.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a str {
        let end = self.scanner.position();
        self.text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_given_as_they_are_spelled_and_faults_have_their_place() {
        let mut text = JsonText::new(" [ \"\\u00e9\\\"\" , -1e5 ,null , x");
        assert!(text.take(b'['));
        assert_eq!(text.scalar(), Ok("\"\\u00e9\\\"\""));
        assert!(text.take(b','));
        let start = text.position();
        assert_eq!(text.scalar(), Ok("-1e5"));
        assert!(text.take(b','));
        assert_eq!(text.scalar(), Ok("null"));
        assert_eq!(text.since(start), "-1e5 ,null");
        assert!(text.take(b',') && !text.take(b']'));
        assert_eq!(text.scalar().unwrap_err().position, 29);
        assert_eq!(text.peek(), Some(b'x'));
        let mut member = JsonText::new("{\"a\\n\" : 1");
        assert!(member.take(b'{'));
        assert_eq!(member.name(), Ok("\"a\\n\""));
        assert_eq!(member.position(), 9);
        assert!(JsonText::new("\"a\" 1").name().is_err());
    }
}
