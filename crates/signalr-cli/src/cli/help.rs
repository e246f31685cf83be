//! The words below a command's options.

/// The lines of each paragraph as one, so that it is broken at words however wide the terminal is. Lines that are indented stay
/// as they are.
pub(crate) fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !out.is_empty() {
            out.push(if goes_on && is_prose { ' ' } else { '\n' });
        }
        out.push_str(line);
        goes_on = is_prose;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_one_line_and_lists_are_not() {
        let text = "Examples:\n  a\n  b\n\nfirst\nsecond\n  indented\nthird\nfourth";
        assert_eq!(
            paragraphs(text),
            "Examples:\n  a\n  b\n\nfirst second\n  indented\nthird fourth"
        );
    }
}
