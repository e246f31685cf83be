//! What the head of an answer says about why it is not the answer that was asked for. Of an address that it names only scheme,
//! host and path are kept: the query may hold tokens.

use http::{HeaderMap, StatusCode, header};

/// Longer texts of the peer's are cut.
const LONGEST: usize = 200;

/// Where a redirect leads to: an absolute address without credentials and query, or a path.
pub(crate) fn redirect_target(status: StatusCode, headers: &HeaderMap) -> Option<Box<str>> {
    if !status.is_redirection() {
        return None;
    }
    let location = headers.get(header::LOCATION)?.to_str().ok()?.trim();
    let place = location.split(['?', '#']).next().unwrap_or_default();
    let place = match place.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        _ => place.to_owned(),
    };
    let place = printable(&place);
    (!place.is_empty()).then_some(place)
}

/// How the body is compressed, if it is.
pub(crate) fn content_coding(headers: &HeaderMap) -> Option<Box<str>> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    codings
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .map(printable)
}

fn printable(text: &str) -> Box<str> {
    let shown = text.chars().filter(|character| !character.is_control());
    shown.take(LONGEST).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_target_of_a_redirect_is_told_without_what_may_be_secret() {
        for (status, location, target) in [
            (
                301,
                "https://h:8443/hub?k=canary",
                Some("https://h:8443/hub"),
            ),
            (302, "/moved/hub?id=canary#canary", Some("/moved/hub")),
            (307, "//u:canary@h/hub", Some("//h/hub")),
            (308, "HTTPS://u:canary@h", Some("HTTPS://h")),
            (302, "hub//x", Some("hub//x")),
            (302, "?canary", None),
            (200, "/hub", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(redirect_target(status, &headers).as_deref(), target);
        }
        assert_eq!(redirect_target(StatusCode::FOUND, &HeaderMap::new()), None);
    }

    #[test]
    fn a_body_is_compressed_unless_its_coding_is_identity() {
        for (value, coding) in [
            ("gzip", Some("gzip")),
            ("identity, br", Some("br")),
            ("Identity", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(content_coding(&headers).as_deref(), coding);
        }
    }
}
