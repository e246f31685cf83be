//! HTTP redirects: not those that a negotiate answer holds, which are the protocol's business.

use std::borrow::Cow;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, header};

use crate::address::Address;
use crate::error::NetError;
use signalr_proto::EndCause;
use signalr_proto::domain::{ascii_address, percent_encoded};

/// Followed for one request.
pub(crate) const MOST: usize = 10;

/// Headers that may go to a server that was not asked for. All others may be credentials.
const HARMLESS: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("x-requested-with"),
];

/// The request that an answer wants instead, if it is to be made: 307 and 308 for any method, 301 to 303 for what only asks.
/// Never from https to http.
pub(crate) fn next<B>(request: &Request<Bytes>, answer: &Response<B>) -> Option<Request<Bytes>> {
    if !is_followed(request.method(), answer.status()) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?.as_bytes();
    let location = ascii_reference(core::str::from_utf8(location).ok()?);
    let uri = resolve(request.uri(), &location)?;
    let (from, to) = (Address::of(request.uri()).ok()?, Address::of(&uri).ok()?);
    if from.is_secure() && !to.is_secure() {
        return None;
    }
    let mut next = request.clone();
    *next.uri_mut() = uri;
    if from.origin() != to.origin() {
        *next.headers_mut() = harmless(request.headers());
    }
    Some(next)
}

/// What the failure of a request means for whoever asked for that address: of a server that was asked because another one had said so
/// they have never heard.
pub(crate) fn failed(error: NetError, asked: &Uri, at: &Uri) -> NetError {
    let (Ok(asked), Ok(at)) = (Address::of(asked), Address::of(at)) else {
        return error;
    };
    if let (EndCause::Failed { detail }, true) = (error.end_cause(), asked.origin() != at.origin())
    {
        let (asked, at) = (asked.target(), at.target());
        return NetError::failed(format!("{asked} redirects to {at}: {detail}"));
    }
    error
}

fn is_followed(method: &Method, status: StatusCode) -> bool {
    match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            method == Method::GET
        }
        _ => false,
    }
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| HARMLESS.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Servers write what they should encode as it is, and browsers follow.
fn ascii_reference(reference: &str) -> Cow<'_, str> {
    let reference = reference.trim();
    if reference.starts_with("//") || has_scheme(reference) {
        ascii_address(reference)
    } else {
        percent_encoded(reference)
    }
}

/// The address of a reference, as RFC 3986 section 5 has it.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim().split('#').next()?;
    if has_scheme(reference) {
        let uri: Uri = reference.parse().ok()?;
        return matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri);
    }
    let scheme = base.scheme_str()?;
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}").parse().ok();
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let folder = base
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{path}"))
        }
    };
    let query = if reference.is_empty() {
        base.query()
    } else {
        query
    };
    let target = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// Takes `.` and `..` out of a path.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let slash = if ends_in_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn references_are_resolved_as_rfc_3986_says() {
        let base: Uri = "http://a:1/b/c/d?q=1".parse().unwrap();
        for (reference, wanted) in [
            ("http://x/y", Some("http://x/y")),
            ("https://x:2/y?z#part", Some("https://x:2/y?z")),
            ("//x/y", Some("http://x/y")),
            ("/x?y=1", Some("http://a:1/x?y=1")),
            ("g", Some("http://a:1/b/c/g")),
            ("./g/", Some("http://a:1/b/c/g/")),
            ("../g?y", Some("http://a:1/b/g?y")),
            ("../../../g", Some("http://a:1/g")),
            ("..", Some("http://a:1/b/")),
            (".", Some("http://a:1/b/c/")),
            ("?y", Some("http://a:1/b/c/d?y")),
            ("", Some("http://a:1/b/c/d?q=1")),
            ("#part", Some("http://a:1/b/c/d?q=1")),
            ("ftp://x/y", None),
            ("javascript:alert(1)", None),
            ("http://", None),
            ("//", None),
        ] {
            let found = resolve(&base, reference).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), wanted, "{reference}");
        }
    }

    fn redirected(
        method: Method,
        from: &str,
        status: u16,
        location: &str,
    ) -> Option<Request<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(from)
            .header("authorization", "Bearer t")
            .header("x-key", "k")
            .header("accept", "text/plain")
            .body(Bytes::from_static(b"body"))
            .unwrap();
        let answer = Response::builder()
            .status(status)
            .header("location", location)
            .body(())
            .unwrap();
        next(&request, &answer)
    }

    #[test]
    fn method_and_status_decide_what_is_followed() {
        for (method, status, followed) in [
            (Method::POST, 307, true),
            (Method::DELETE, 308, true),
            (Method::POST, 301, false),
            (Method::POST, 302, false),
            (Method::POST, 303, false),
            (Method::DELETE, 302, false),
            (Method::GET, 301, true),
            (Method::GET, 302, true),
            (Method::GET, 303, true),
            (Method::GET, 304, false),
            (Method::GET, 300, false),
            (Method::GET, 200, false),
        ] {
            let next = redirected(method.clone(), "http://h/a", status, "/b");
            assert_eq!(next.is_some(), followed, "{method} {status}");
            if let Some(next) = next {
                assert_eq!((next.method(), &next.body()[..]), (&method, &b"body"[..]));
                assert_eq!(next.uri(), "http://h/b");
                assert!(next.headers().contains_key("authorization"));
            }
        }
    }

    #[test]
    fn names_and_paths_beyond_ascii_are_followed() {
        for (location, wanted) in [
            (
                "http://bücher.example/ü?ö",
                "http://xn--bcher-kva.example/%C3%BC?%C3%B6",
            ),
            ("//bücher.example:8/", "http://xn--bcher-kva.example:8/"),
            ("/ü", "http://h/%C3%BC"),
            ("ü?u=http://ö/", "http://h/%C3%BC?u=http://%C3%B6/"),
        ] {
            let request = Request::builder().uri("http://h/a").body(Bytes::new());
            let value = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            let answer = Response::builder().status(302).header("location", value);
            let next = next(&request.unwrap(), &answer.body(()).unwrap()).unwrap();
            assert_eq!(next.uri(), wanted);
        }
    }

    #[test]
    fn credentials_stay_with_their_origin_and_https_is_never_left() {
        for to in ["http://other/", "http://h:81/", "https://h/"] {
            let next = redirected(Method::POST, "http://h/a", 307, to).unwrap();
            let names: Vec<&str> = next.headers().keys().map(HeaderName::as_str).collect();
            assert_eq!(names, ["accept"], "{to}");
        }
        assert!(redirected(Method::POST, "https://h/a", 307, "http://h/").is_none());
        let same = redirected(Method::POST, "http://h/a", 307, "http://H:80/b").unwrap();
        assert!(same.headers().contains_key("x-key"));
    }
}
