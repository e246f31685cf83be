//! Numbers in decimal: ids and sequence numbers, as they are written and read.

/// Digits of the largest 64-bit number.
const MOST_DIGITS: usize = 20;

/// The text of a number, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    bytes: [u8; MOST_DIGITS],
    start: usize,
}

impl Digits {
    pub(crate) fn new(number: u64) -> Self {
        let mut bytes = [0; MOST_DIGITS];
        let mut start = MOST_DIGITS;
        let mut rest = number;
        // The digits of every number fit, so the loop ends before the bytes do.
        for digit in bytes.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            start -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Self { bytes, start }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// The number above 0 that the text begins with, and how many digits it has. Nothing may come before its first digit, not even a 0.
pub(crate) fn leading_number(text: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    let mut length = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
        length += 1;
    }
    (length > 0 && !text.starts_with(b"0")).then_some((number, length))
}

/// A number that is counted on together with its text: the next text follows from the last in a digit or two.
#[derive(Debug)]
pub(crate) struct Counter {
    number: u64,
    text: String,
}

impl Counter {
    /// Begins at 1.
    pub(crate) fn new() -> Self {
        Self {
            number: 1,
            text: "1".into(),
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn advance(&mut self) {
        self.number += 1;
        let mut nines = 0;
        let digit = loop {
            match self.text.pop() {
                Some('9') => nines += 1,
                digit => break digit.unwrap_or('0'),
            }
        };
        if let Some(digit) = char::from_u32(u32::from(digit) + 1) {
            self.text.push(digit);
        }
        for _ in 0..nines {
            self.text.push('0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let digits = Digits::new(number);
            assert_eq!(digits.as_str(), number.to_string());
            assert_eq!(digits.as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_counter_writes_every_number() {
        let mut counter = Counter::new();
        for number in 1..=1_100_u64 {
            assert_eq!(
                (counter.number(), counter.text()),
                (number, &*number.to_string())
            );
            counter.advance();
        }
    }

    #[test]
    fn leading_numbers_end_where_digits_end() {
        assert_eq!(leading_number(b"17"), Some((17, 2)));
        assert_eq!(leading_number(b"17\","), Some((17, 2)));
        assert_eq!(
            leading_number(b"18446744073709551615x"),
            Some((u64::MAX, 20))
        );
        for other in [
            "",
            "0",
            "01",
            "+1",
            " 1",
            "s1",
            "-1",
            "18446744073709551616",
            "１",
        ] {
            assert_eq!(leading_number(other.as_bytes()), None, "{other}");
        }
    }
}
