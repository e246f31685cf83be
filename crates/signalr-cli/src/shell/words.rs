//! A line as words: JSON values whole, quoted words without their quotes.

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Whether it stood in quotes, and so means nothing but itself.
    pub(crate) quoted: bool,
}

/// The words of a line.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = first(rest)?;
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn first(text: &str) -> Result<(Word, &str), String> {
    if let Some(inside) = text.strip_prefix('\'') {
        let (word, after) = inside
            .split_once('\'')
            .ok_or("a quotation mark ' is not closed")?;
        return Ok((new(word, true), apart(after)?));
    }
    let length = if text.starts_with(['{', '[', '"']) {
        json_length(text).ok_or("a JSON value is not closed")?
    } else {
        text.find(char::is_whitespace).unwrap_or(text.len())
    };
    // Never elsewhere than at a character that was found.
    let (word, after) = text.split_at_checked(length).unwrap_or((text, ""));
    Ok((new(word, false), apart(after)?))
}

fn new(text: &str, quoted: bool) -> Word {
    Word {
        text: text.to_owned(),
        quoted,
    }
}

/// What follows a word must not touch it.
fn apart(after: &str) -> Result<&str, String> {
    if after.is_empty() || after.starts_with(char::is_whitespace) {
        return Ok(after);
    }
    Err("a space is missing between two arguments".to_owned())
}

/// Where the string, array or object at the start of the text ends. Whether it is well-formed is for others to find out.
fn json_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && !in_string {
            return index.checked_add(1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_and_quoted_words_are_one_word_each() {
        let texts = |line| {
            split(line).map(|words| words.into_iter().map(|word| word.text).collect::<Vec<_>>())
        };
        for (line, words) in [
            ("", &[][..]),
            ("  a  b\t", &["a", "b"]),
            (
                r#"x {"a": [1, "} ]"], "b\"": {}} [1, 2] "c d" -1"#,
                &[
                    "x",
                    r#"{"a": [1, "} ]"], "b\"": {}}"#,
                    "[1, 2]",
                    r#""c d""#,
                    "-1",
                ],
            ),
            ("'two words' '' 'a\"b'", &["two words", "", "a\"b"]),
            ("it's ü{", &["it's", "ü{"]),
        ] {
            assert_eq!(texts(line).unwrap(), words, "{line}");
        }
        for wrong in ["'a", "{\"a\": 1", "[1, 2", "\"a", "\"a\"b", "'a'b", "{}{}"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
