//! Addresses beyond ASCII: domain names as the URL standard has them in requests, everything else percent-encoded.

use std::borrow::Cow;

use idna::AsciiDenyList;

/// The address in ASCII: `http://bücher.example/hub` is `http://xn--bcher-kva.example/hub`, as in browsers. For
/// [`ClientConfig::ascii_address`](crate::client::ClientConfig::ascii_address), and for those who read addresses themselves.
///
/// What needs no change is left as it is, and so is a name that cannot be one: reading the address then fails.
///
/// ```
/// # use signalr_proto::domain::ascii_address;
/// assert_eq!(ascii_address("https://Straße.example/ä"), "https://xn--strae-oqa.example/%C3%A4");
/// assert_eq!(ascii_address("http://localhost:5000/hub"), "http://localhost:5000/hub");
/// ```
#[must_use]
pub fn ascii_address(address: &str) -> Cow<'_, str> {
    let begin = if address.starts_with("//") {
        2
    } else {
        // An address without a scheme begins with its host.
        address.find("://").map_or(0, |at| at + 3)
    };
    let (scheme, rest) = address.split_at(begin);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, place) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let (host, port) = place.split_at(end_of_host(place));
    let Some(host) = ascii_host(host) else {
        return Cow::Borrowed(address);
    };
    if matches!(host, Cow::Borrowed(_)) && address.is_ascii() {
        return Cow::Borrowed(address);
    }
    let (user, path) = (percent_encoded(user), percent_encoded(path));
    Cow::Owned(format!("{scheme}{user}{host}{port}{path}"))
}

/// A host in ASCII, or none if it cannot be one.
#[must_use]
pub fn ascii_host(host: &str) -> Option<Cow<'_, str>> {
    if host.is_ascii() && !host.contains('%') {
        // Names in ASCII, the encoded ones too, are the business of whoever resolves them.
        return Some(Cow::Borrowed(host));
    }
    let bytes = percent_decoded(host);
    let ascii = idna::domain_to_ascii_cow(&bytes, AsciiDenyList::URL).ok()?;
    (!ascii.is_empty()).then(|| Cow::Owned(ascii.into_owned()))
}

/// Where the port begins, with its colon. An IPv6 address has colons of its own, in brackets.
fn end_of_host(place: &str) -> usize {
    let after = place.rfind(']').map_or(0, |at| at + 1);
    let port = place.get(after..).and_then(|rest| rest.find(':'));
    port.map_or(place.len(), |at| after + at)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let digits = bytes.as_slice().get(..2).filter(|_| byte == b'%');
        let value = digits
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = value {
            decoded.push(value);
            bytes.nth(1);
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

/// The text with everything beyond ASCII percent-encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            encoded.push(letter);
            continue;
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_url_standard_writes_them() {
        for (address, wanted) in [
            (
                "http://bücher.example/hub",
                "http://xn--bcher-kva.example/hub",
            ),
            (
                "HTTP://BÜCHER.example:81/hub",
                "HTTP://xn--bcher-kva.example:81/hub",
            ),
            (
                "https://u:p@例え.テスト:8/a?b=ü#c",
                "https://u:p@xn--r8jz45g.xn--zckzah:8/a?b=%C3%BC#c",
            ),
            ("ws://b%C3%BCcher.example", "ws://xn--bcher-kva.example"),
            ("//ﬀ。example/x", "//ff.example/x"),
            ("faß.example:3128", "xn--fa-hia.example:3128"),
            ("http://ü:ö@h/", "http://%C3%BC:%C3%B6@h/"),
            ("http://h/ü", "http://h/%C3%BC"),
        ] {
            assert_eq!(ascii_address(address), wanted, "{address}");
        }
    }

    #[test]
    fn what_needs_no_change_and_what_is_no_name_is_left_alone() {
        for address in [
            "http://localhost:5000/hub?a=b%20c",
            "http://XN--BCHER-KVA.example/",
            "ws://[::1]:7/hub",
            "http://[fe80::1%25eth0]/",
            "http://my_host/",
            "http://ü ü/",
            "http://\u{ad}/",
            "http://%zz/",
            "http://a%00b/",
            "http://ü\u{fffd}/",
            "",
            "not an address",
        ] {
            let same = ascii_address(address);
            assert!(matches!(same, Cow::Borrowed(_)), "{address}: {same}");
        }
    }
}
