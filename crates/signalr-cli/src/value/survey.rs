//! The first pass over a JSON value.

use super::tokens::{Token, Tokens, unescape};
use super::{Fault, Reserved};

/// What the second pass must know when it comes to an array or object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Elements or members.
    pub(crate) count: usize,
    /// For an object of one member with a reserved name.
    pub(crate) reserved: Option<Reserved>,
}

/// Checks a JSON text; notes on its arrays and objects in the order in which they open.
pub(crate) fn survey(text: &str, max_depth: usize) -> Result<Vec<Note>, Fault> {
    let mut tokens = Tokens::new(text, max_depth);
    let mut notes = Notes::default();
    while let Some(token) = tokens.next()? {
        notes.add(token);
    }
    Ok(notes.all)
}

#[derive(Default)]
struct Notes {
    all: Vec<Note>,
    /// For each open level its note, when it is an array: what is counted are elements there, and names in objects.
    open: Vec<(usize, bool)>,
}

impl Notes {
    fn add(&mut self, token: Token<'_>) {
        match token {
            Token::Name(name) => self.count_name(name),
            Token::EndArray | Token::EndObject => {
                self.open.pop();
            }
            Token::Null | Token::Bool(_) | Token::Number(_) | Token::String(_) => {
                self.count_element()
            }
            Token::BeginArray | Token::BeginObject => {
                self.count_element();
                self.open.push((self.all.len(), token == Token::BeginArray));
                self.all.push(Note::default());
            }
        }
    }

    fn innermost(&mut self, array: bool) -> Option<&mut Note> {
        let (index, is_array) = self.open.last().copied()?;
        if is_array == array {
            self.all.get_mut(index)
        } else {
            None
        }
    }

    fn count_element(&mut self) {
        if let Some(note) = self.innermost(true) {
            note.count += 1;
        }
    }

    fn count_name(&mut self, name: &str) {
        if let Some(note) = self.innermost(false) {
            note.count += 1;
            note.reserved = if note.count == 1 {
                Reserved::from_name(&unescape(name))
            } else {
                None
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_members_are_counted_level_by_level() {
        let counts = |text: &str| {
            survey(text, 99)
                .unwrap()
                .into_iter()
                .map(|note| note.count)
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(r#"[1,[],{"a":[2,3],"b":4},"x"]"#), [4, 0, 2, 2]);
        assert!(counts("5").is_empty());
    }

    #[test]
    fn only_a_sole_member_is_reserved() {
        let reserved = |text: &str| survey(text, 99).unwrap()[0].reserved;
        assert_eq!(reserved(r#"{"$bin":1}"#), Some(Reserved::Bin));
        assert_eq!(reserved(r#"{"\u0024map":1}"#), Some(Reserved::Map));
        assert_eq!(reserved(r#"{"$bin":1,"$bin":2}"#), None);
        assert_eq!(reserved(r#"{"bin":1}"#), None);
    }
}
