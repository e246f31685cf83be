//! Hexadecimal and base64 texts.

/// Appends two lower-case digits for each byte.
pub(crate) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + (value - 10)
    }
}

/// The value of a digit in any case of letters.
pub(crate) fn digit_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The bytes of a text of digits; `None` when there is anything else, or an odd number of them.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit_value(*high)? << 4 | digit_value(*low)?),
            _ => None,
        })
        .collect()
}

/// Appends base64 with padding, as .NET writes `byte[]` in JSON.
pub(crate) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0_u32, |word, (index, byte)| {
            word | u32::from(*byte) << (16 - 8 * index)
        });
        for index in 0..4 {
            out.push(if index > group.len() {
                b'='
            } else {
                base64_letter(word >> (18 - 6 * index) & 63)
            });
        }
    }
}

fn base64_letter(value: u32) -> u8 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    usize::try_from(value)
        .ok()
        .and_then(|index| LETTERS.get(index))
        .copied()
        .unwrap_or(b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            let mut out = Vec::new();
            put_base64(&mut out, bytes.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        put_base64(&mut out, &[0xfb, 0xff, 0xfe]);
        assert_eq!(out, b"+//+");
    }

    #[test]
    fn hexadecimal_is_read_in_any_case_and_nothing_else_is() {
        assert_eq!(from_hex("00fFAb"), Some(vec![0, 255, 0xab]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for text in ["0", "0g", "é", " 0", "+1"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
