//! Ids that nobody can guess.

#[expect(
    clippy::expect_used,
    reason = "without randomness tokens could be guessed, and no server should go on then"
)]
pub(crate) fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u128::from_be_bytes(bytes)
}

/// 128 random bits as text.
pub(crate) fn fresh_id() -> Box<str> {
    base64url(random()).into()
}

/// The 22 letters of 128 bits in base64url without padding.
fn base64url(bits: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |sextet: u128| {
        usize::try_from(sextet & 63)
            .ok()
            .and_then(|index| ALPHABET.get(index))
            .map_or('A', |&letter| char::from(letter))
    };
    let mut text: String = (0..21)
        .map(|place| letter(bits >> (122 - 6 * place)))
        .collect();
    text.push(letter(bits << 4));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_base64url_of_128_bits() {
        assert_eq!(base64url(0), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64url(u128::MAX), "_____________________w");
        assert_eq!(base64url(1), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = fresh_id();
        assert_ne!(id, fresh_id());
        assert_eq!(id.len(), 22);
    }
}
