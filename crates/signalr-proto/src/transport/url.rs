//! The address of a hub and the addresses made from it.

use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::error::UsageError;

/// Letters of a wrong address that are shown.
const MAX_SHOWN: usize = 200;

/// The absolute address of a hub: `http`, `https`, `ws` or `wss`, host, path and query. A fragment is dropped, and characters
/// of the path and the query that must be percent-encoded are.
///
/// `Debug` and `Display` leave the query out, since it may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HubUrl(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    secure: bool,
    authority: Authority,
    path: Box<str>,
    query: Box<str>,
}

impl HubUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`UsageError::InvalidUrl`] when it is not an absolute URL of one of the four schemes, or its port is beyond 65535.
    pub fn parse(text: &str) -> Result<Self, UsageError> {
        Self::read(text).ok_or_else(|| UsageError::InvalidUrl { url: shown(text) })
    }

    fn read(text: &str) -> Option<Self> {
        let uri: Uri = percent_encoded(text.trim()).parse().ok()?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            Some(_) | None => return None,
        };
        let authority = uri
            .authority()
            .filter(|authority| is_host_and_port(authority))?;
        Some(Self(Arc::new(Parts {
            secure,
            authority: authority.clone(),
            path: uri.path().into(),
            query: uri.query().unwrap_or_default().into(),
        })))
    }

    /// Whether TLS is wanted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Host and port as they stand in the address.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Whether both have the same scheme, host and port, so that credentials for one may go to the other.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.secure == other.0.secure
            && self
                .0
                .authority
                .host()
                .eq_ignore_ascii_case(other.0.authority.host())
            && self.port() == other.port()
    }

    fn port(&self) -> u16 {
        self.0
            .authority
            .port_u16()
            .unwrap_or(if self.0.secure { 443 } else { 80 })
    }

    /// Whether the query names this parameter, in any case of letters.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        self.0.query.split('&').any(|pair| {
            pair.split('=')
                .next()
                .is_some_and(|key| key.eq_ignore_ascii_case(name))
        })
    }

    /// The address of `<path>/negotiate`, with the parameters added behind the query that is there
    /// ([TR-1](crate::spec::transports#tr-1) to [TR-3](crate::spec::transports#tr-3)).
    pub(crate) fn negotiate(&self, stateful: bool) -> Result<Uri, http::Error> {
        let mut query = String::from(&*self.0.query);
        if !self.has_parameter("negotiateVersion") {
            append(&mut query, "negotiateVersion", "1");
        }
        if stateful && !self.has_parameter("useStatefulReconnect") {
            append(&mut query, "useStatefulReconnect", "true");
        }
        self.build(self.http_scheme(), &self.below("/negotiate"), &query)
    }

    /// The address of `<path>/refresh` for the connection with this token ([TR-81](crate::spec::transports#tr-81)).
    pub(crate) fn refresh(&self, id: &str) -> Result<Uri, http::Error> {
        let mut query = String::from(&*self.0.query);
        append(&mut query, "id", id);
        self.build(self.http_scheme(), &self.below("/refresh"), &query)
    }

    /// The address of a connection's HTTP requests. `poll` makes the address of each poll another one, so that no cache
    /// between here and the server can answer it.
    pub(crate) fn connection(&self, id: &str, poll: Option<u64>) -> Result<Uri, http::Error> {
        let mut query = String::from(&*self.0.query);
        append(&mut query, "id", id);
        if let Some(number) = poll {
            append(&mut query, "_", &number.to_string());
        }
        self.build(self.http_scheme(), &self.0.path, &query)
    }

    fn http_scheme(&self) -> Scheme {
        if self.0.secure {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    fn below(&self, name: &str) -> String {
        let mut path = String::from(self.0.path.trim_end_matches('/'));
        path.push_str(name);
        path
    }

    /// Whether the query gives this parameter this value, both in any case of letters.
    pub(crate) fn has_value(&self, name: &str, value: &str) -> bool {
        self.0.query.split('&').any(|pair| {
            pair.split_once('=').is_some_and(|(key, given)| {
                key.eq_ignore_ascii_case(name) && given.eq_ignore_ascii_case(value)
            })
        })
    }

    /// The address of a WebSocket, with the connection's token unless negotiation was skipped
    /// ([TR-16](crate::spec::transports#tr-16), [TR-38](crate::spec::transports#tr-38)).
    pub(crate) fn web_socket(
        &self,
        id: Option<&str>,
        access_token: Option<&str>,
    ) -> Result<Uri, http::Error> {
        let mut query = String::from(&*self.0.query);
        if let Some(id) = id {
            append(&mut query, "id", id);
        }
        if let Some(token) = access_token {
            append(&mut query, "access_token", token);
        }
        let scheme = Scheme::try_from(if self.0.secure { "wss" } else { "ws" })?;
        self.build(scheme, &self.0.path, &query)
    }

    fn build(&self, scheme: Scheme, path: &str, query: &str) -> Result<Uri, http::Error> {
        let mut target = String::with_capacity(path.len() + query.len() + 1);
        target.push_str(path);
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        Uri::builder()
            .scheme(scheme)
            .authority(self.0.authority.clone())
            .path_and_query(target)
            .build()
    }
}

/// Whether there is a host, and behind it nothing or a port that exists.
fn is_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    !host.is_empty()
        && (authority.port_u16().is_some() || place.strip_suffix(':').unwrap_or(place) == host)
}

/// What may be shown of something that is no address. Where a password would end and where a query would begin is anybody's guess,
/// so an `@` hides all that could be either.
fn shown(text: &str) -> Box<str> {
    let text = text.trim();
    let public = text.split(['?', '#']).next().unwrap_or_default();
    let (public, end) = if text.contains('@') {
        let scheme = public.find("://").map_or(0, |at| at + 3);
        (public.get(..scheme).unwrap_or_default(), "…")
    } else {
        (
            public,
            if public.chars().count() > MAX_SHOWN {
                "…"
            } else {
                ""
            },
        )
    };
    let printable = public.chars().filter(|letter| !letter.is_control());
    let mut shown: String = printable.take(MAX_SHOWN).collect();
    shown.push_str(end);
    shown.into()
}

/// The address with what browsers encode in paths and queries, too: everything beyond ASCII, and what has no place there. The
/// host is left alone.
fn percent_encoded(text: &str) -> String {
    let authority = text.find("://").map_or(0, |at| at + 3);
    let (head, tail) = text.split_at(authority);
    let (host, rest) = tail.split_at(tail.find(['/', '?', '#']).unwrap_or(tail.len()));
    let mut encoded = format!("{head}{host}");
    for byte in rest.bytes() {
        if byte.is_ascii() && !b" \"<>^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            push_encoded(&mut encoded, byte);
        }
    }
    encoded
}

/// Adds `name=value` to a query, with everything percent-encoded that is not unreserved.
fn append(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            push_encoded(query, byte);
        }
    }
}

fn push_encoded(text: &mut String, byte: u8) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    text.push('%');
    text.extend(HEX.get(usize::from(byte >> 4)));
    text.extend(HEX.get(usize::from(byte & 15)));
}

impl core::fmt::Debug for HubUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HubUrl({self})")
    }
}

impl core::fmt::Display for HubUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let scheme = if self.0.secure { "https" } else { "http" };
        // User names and passwords before an @ are credentials too.
        let host = self
            .0
            .authority
            .as_str()
            .rsplit('@')
            .next()
            .unwrap_or_default();
        write!(f, "{scheme}://{host}{}", self.0.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_is_refused_and_not_taken_for_the_default() {
        for url in [
            "http://h:65536/hub",
            "http://u:p@h:99999/hub",
            "http://[::1]:70000/hub",
        ] {
            assert_eq!(
                HubUrl::parse(url).err(),
                Some(UsageError::InvalidUrl { url: shown(url) }),
                "{url}"
            );
        }
        for url in [
            "http://h:65535/hub",
            "http://u:p@h:1/hub",
            "http://[::1]:7/hub",
            "http://[::1]/hub",
            "http://h:/hub",
        ] {
            assert!(HubUrl::parse(url).is_ok(), "{url}");
        }
    }

    fn negotiate(url: &str) -> String {
        HubUrl::parse(url)
            .unwrap()
            .negotiate(false)
            .unwrap()
            .to_string()
    }

    #[test]
    fn negotiate_is_appended_to_the_path_behind_one_slash_and_the_query_is_kept() {
        assert_eq!(
            negotiate("http://h/hub"),
            "http://h/hub/negotiate?negotiateVersion=1"
        );
        assert_eq!(
            negotiate("http://h/hub/"),
            "http://h/hub/negotiate?negotiateVersion=1"
        );
        assert_eq!(
            negotiate("http://h"),
            "http://h/negotiate?negotiateVersion=1"
        );
        assert_eq!(
            negotiate("https://h:8/a/b?x=1&y=%20#part"),
            "https://h:8/a/b/negotiate?x=1&y=%20&negotiateVersion=1"
        );
        assert_eq!(
            negotiate("ws://h/hub?negotiateVersion=0"),
            "http://h/hub/negotiate?negotiateVersion=0"
        );
    }

    #[test]
    fn schemes_are_read_in_any_case_and_paths_and_queries_are_encoded() {
        for (text, wanted) in [
            ("WS://h/hub", "http://h/hub/negotiate?negotiateVersion=1"),
            ("HTTPS://h:8/", "https://h:8/negotiate?negotiateVersion=1"),
            (
                "http://u:p@[::1]:80/hüb?a=b c&d={\"e\"}#f g",
                "http://u:p@[::1]:80/h%C3%BCb/negotiate?a=b%20c&d=%7B%22e%22%7D&negotiateVersion=1",
            ),
            (
                "http://h/a%20b?c=%26",
                "http://h/a%20b/negotiate?c=%26&negotiateVersion=1",
            ),
            ("http://h:", "http://h:/negotiate?negotiateVersion=1"),
            (
                "http://h?a=ü",
                "http://h/negotiate?a=%C3%BC&negotiateVersion=1",
            ),
        ] {
            assert_eq!(negotiate(text), wanted);
        }
    }

    #[test]
    fn the_web_socket_address_carries_the_token_percent_encoded() {
        let url = HubUrl::parse("https://h/hub?x=1").unwrap();
        assert_eq!(
            url.web_socket(Some("a+/=b"), None).unwrap().to_string(),
            "wss://h/hub?x=1&id=a%2B%2F%3Db"
        );
        assert_eq!(
            url.web_socket(None, Some("t")).unwrap().to_string(),
            "wss://h/hub?x=1&access_token=t"
        );
        assert_eq!(
            HubUrl::parse("http://h/hub")
                .unwrap()
                .web_socket(None, None)
                .unwrap()
                .to_string(),
            "ws://h/hub"
        );
    }

    #[test]
    fn addresses_that_are_not_absolute_http_are_refused() {
        for text in [
            "",
            "/hub",
            "localhost:5000/hub",
            "ftp://h/hub",
            "http://",
            "file:///etc",
            "http:///x",
            "not a url",
            "http://h:port/",
            "http://h:99999/",
            "http://@/",
            "http://ex ample/",
            "http://höst/",
        ] {
            let url = shown(text);
            assert_eq!(
                HubUrl::parse(text),
                Err(UsageError::InvalidUrl { url }),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_address_is_shown_without_its_secrets() {
        for (text, wanted) in [
            (" localhost:5000/hub ", "localhost:5000/hub"),
            (
                "http://h:port/?access_token=canary#canary",
                "http://h:port/",
            ),
            ("ftp://user:canary@h/", "ftp://…"),
            ("http://user:can/ary?ca@nary:x/", "http://…"),
            ("user:canary@h/", "…"),
            ("http://ex\u{1b}ample ample/", "http://example ample/"),
        ] {
            let error = HubUrl::parse(text).unwrap_err();
            let UsageError::InvalidUrl { url } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(&**url, wanted);
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        assert_eq!(shown(&"x".repeat(300)).chars().count(), MAX_SHOWN + 1);
        let text = HubUrl::parse("ftp://h/").unwrap_err().to_string();
        assert!(
            text.contains("'ftp://h/'") && text.contains("wss://"),
            "{text}"
        );
    }

    #[test]
    fn debug_output_hides_the_query_and_the_password() {
        let url = HubUrl::parse("http://user:secret@h/hub?access_token=canary").unwrap();
        assert_eq!(
            format!("{url:?} {url}"),
            "HubUrl(http://h/hub) http://h/hub"
        );
    }
}
