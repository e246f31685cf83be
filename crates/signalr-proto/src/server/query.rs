//! Query strings as servers read them.

/// All values of a parameter, percent-decoded. Names are compared without regard to case, as the official server does.
pub fn query_parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(key)
            .eq_ignore_ascii_case(name)
            .then(|| decode(value))
    })
}

/// The first value of a parameter: see [`query_parameters`].
#[must_use]
pub fn query_parameter(query: &str, name: &str) -> Option<String> {
    query_parameters(query, name).next()
}

/// Undoes percent-encoding and `+` for space; what is not valid encoding stays as it is.
fn decode(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, after) = decode_one(first, tail);
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decode_one(first: u8, tail: &[u8]) -> (u8, &[u8]) {
    match (first, tail) {
        (b'+', _) => (b' ', tail),
        (b'%', [high, low, after @ ..]) => hex(*high)
            .zip(hex(*low))
            .map_or((first, tail), |(high, low)| (high << 4 | low, after)),
        _ => (first, tail),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_values_are_decoded() {
        let query = "a=1&ID=x%2By+z&id=second&flag&bad=%zz%";
        assert_eq!(query_parameter(query, "id").as_deref(), Some("x+y z"));
        assert_eq!(query_parameters(query, "id").count(), 2);
        assert_eq!(query_parameter(query, "flag").as_deref(), Some(""));
        assert_eq!(query_parameter(query, "bad").as_deref(), Some("%zz%"));
        assert_eq!(query_parameter(query, "missing"), None);
        assert_eq!(query_parameter("", "id"), None);
    }

    #[test]
    fn invalid_utf8_becomes_replacement_characters() {
        assert_eq!(query_parameter("a=%ff", "a").as_deref(), Some("\u{fffd}"));
    }
}
