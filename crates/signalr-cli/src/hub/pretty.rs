//! JSON for people: short values on one line, long ones indented.

use crate::value::tokens::{Token, Tokens};

/// What fits on one line.
const LINE: usize = 90;

/// Lays a compact JSON text out. What is no JSON stays as it is.
pub(crate) fn pretty(text: &str) -> String {
    if text.len() <= LINE {
        return text.to_owned();
    }
    lay_out(text).unwrap_or_else(|| text.to_owned())
}

fn lay_out(text: &str) -> Option<String> {
    let mut tokens = Tokens::new(text, usize::MAX);
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    let mut depth = 0_usize;
    let mut last = None;
    while let Some(token) = tokens.next().ok()? {
        let closes = matches!(token, Token::EndArray | Token::EndObject);
        if closes {
            depth = depth.saturating_sub(1);
        }
        let after_open = matches!(last, Some(Token::BeginArray | Token::BeginObject));
        let after_name = matches!(last, Some(Token::Name(_)));
        if last.is_some() && !after_name && !(closes && after_open) {
            if !closes && !after_open {
                out.push(',');
            }
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
        put(&mut out, token);
        if matches!(token, Token::BeginArray | Token::BeginObject) {
            depth = depth.saturating_add(1);
        }
        last = Some(token);
    }
    Some(out)
}

fn put(out: &mut String, token: Token<'_>) {
    match token {
        Token::Null => out.push_str("null"),
        Token::Bool(true) => out.push_str("true"),
        Token::Bool(false) => out.push_str("false"),
        Token::Number(raw) | Token::String(raw) => out.push_str(raw),
        Token::Name(raw) => {
            out.push_str(raw);
            out.push_str(": ");
        }
        Token::BeginArray => out.push('['),
        Token::EndArray => out.push(']'),
        Token::BeginObject => out.push('{'),
        Token::EndObject => out.push('}'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_stay_on_their_line() {
        assert_eq!(pretty(r#"{"a":[1,2]}"#), r#"{"a":[1,2]}"#);
    }

    #[test]
    fn long_values_are_indented() {
        let long = "x".repeat(100);
        let text = format!(r#"{{"a":[1,{{"b":"{long}"}}],"c":[],"d":{{}}}}"#);
        let expected = format!(
            "{{\n  \"a\": [\n    1,\n    {{\n      \"b\": \"{long}\"\n    }}\n  ],\n  \"c\": [],\n  \"d\": {{}}\n}}"
        );
        assert_eq!(pretty(&text), expected);
    }
}
