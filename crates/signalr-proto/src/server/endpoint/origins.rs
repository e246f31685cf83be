//! From which pages browsers may open WebSockets ([TR-49](crate::spec::transports#tr-49),
//! [SB-62](crate::spec::server_behaviour#sb-62)).

use http::{HeaderMap, header};

/// Which `Origin`s of WebSocket requests are allowed. Requests without the header come from no browser, and are always allowed:
/// other programs can claim any origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Those whose host and port are the request's own `Host`. The default.
    Same {
        /// Compare with the first value of `X-Forwarded-Host` when there is one: only behind a proxy that sets it.
        forwarded_host: bool,
    },
    /// All. Then any page that a user visits can use the hub in that user's name, if the browser adds cookies.
    Any,
    /// These, such as `https://example.com`.
    List(Vec<String>),
}

impl Origins {
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return true;
        };
        if matches!(self, Self::Any) {
            return true;
        }
        let Some(text) = origin.to_str().ok().filter(|_| origins.next().is_none()) else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::List(allowed) => allowed.iter().any(|allowed| is_same(allowed, text)),
            Self::Same { forwarded_host } => {
                is_at(text, host(headers, *forwarded_host).unwrap_or_default())
            }
        }
    }
}

/// What the client calls this server, if it says so once.
fn host(headers: &HeaderMap, forwarded: bool) -> Option<&str> {
    let forwarded = forwarded.then(|| headers.get("x-forwarded-host")).flatten();
    if let Some(forwarded) = forwarded {
        return forwarded.to_str().ok()?.split(',').next().map(str::trim);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    hosts.next().is_none().then(|| host.to_str().ok()).flatten()
}

/// Origins that differ only in the case of letters or in naming the usual port are the same.
fn is_same(allowed: &str, origin: &str) -> bool {
    match (Origin::parse(allowed), Origin::parse(origin)) {
        (Some(allowed), Some(origin)) => allowed.is(&origin),
        _ => allowed.eq_ignore_ascii_case(origin),
    }
}

/// Whether the page comes from this host and port. The scheme does not matter: behind a proxy it is not known.
fn is_at(origin: &str, host: &str) -> bool {
    let origin = Origin::parse(origin);
    origin.is_some_and(|origin| {
        let here = Origin::with(origin.scheme, host);
        here.is_some_and(|here| here.is(&origin))
    })
}

/// `scheme://host` or `scheme://host:port`, and nothing else.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::with(scheme, authority)
    }

    fn with(scheme: &'a str, authority: &'a str) -> Option<Self> {
        let usual_port = usual_port(scheme)?;
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => digits(port)?,
            None => usual_port,
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte);
        (!host.is_empty() && host.bytes().all(sound)).then_some(Self { scheme, host, port })
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
    }
}

/// The host, an IPv6 address with its brackets, and what follows it as a port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (address, rest) = authority.split_at(authority.find(']')?.checked_add(1)?);
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else {
        scheme.eq_ignore_ascii_case("http").then_some(80)
    }
}

fn digits(port: &str) -> Option<u16> {
    let only_digits = port.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &Origins, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        origins.allow(&map)
    }

    fn same(origin: &'static str, host: &'static str) -> bool {
        let same = Origins::Same {
            forwarded_host: false,
        };
        allowed(&same, &[("origin", origin), ("host", host)])
    }

    #[test]
    fn the_same_origin_has_the_host_and_port_of_the_request() {
        for (origin, host) in [
            ("http://example.com", "example.com"),
            ("https://example.com", "example.com"),
            ("https://EXAMPLE.com", "example.COM"),
            ("https://example.com:443", "example.com"),
            ("https://example.com", "example.com:443"),
            ("http://example.com:80", "example.com"),
            ("http://localhost:5000", "localhost:5000"),
            ("http://[::1]:5000", "[::1]:5000"),
            ("https://[2001:DB8::1]", "[2001:db8::1]:443"),
            ("HTTP://127.0.0.1", "127.0.0.1:80"),
        ] {
            assert!(same(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn other_hosts_ports_and_look_alikes_are_not_the_same_origin() {
        for (origin, host) in [
            ("http://evil.com", "example.com"),
            ("http://example.com.evil.com", "example.com"),
            ("http://evil-example.com", "example.com"),
            ("http://sub.example.com", "example.com"),
            ("http://example.com", "sub.example.com"),
            ("http://example.com.", "example.com"),
            ("https://example.com", "example.com:80"),
            ("http://example.com:8080", "example.com"),
            ("http://localhost:5000", "localhost:5001"),
            ("http://localhost", "localhost:5000"),
            ("http://evil.com/example.com", "example.com"),
            ("http://example.com/", "example.com"),
            ("http://evil.com@example.com", "example.com"),
            ("http://example.com@evil.com", "example.com"),
            ("http://evil.com#example.com", "example.com"),
            ("http://evil.com?example.com", "example.com"),
            ("http://evil.com\\example.com", "example.com"),
            ("http://example.com:", "example.com"),
            ("http://example.com:+80", "example.com"),
            ("http://example.com:65616", "example.com"),
            ("http://example.com:80:80", "example.com"),
            ("http://[::1]x", "[::1]x"),
            ("http://[::1", "[::1"),
            ("http://", ""),
            ("http://", "example.com"),
            ("://example.com", "example.com"),
            ("//example.com", "example.com"),
            ("example.com", "example.com"),
            ("file://example.com", "example.com"),
            ("chrome-extension://example.com", "example.com"),
            ("null", "example.com"),
            ("null", "null"),
            ("", "example.com"),
            ("http://example.com http://evil.com", "example.com"),
            ("http://example.com, http://evil.com", "example.com"),
        ] {
            assert!(!same(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn requests_without_an_origin_come_from_no_browser() {
        let list = Origins::List(Vec::new());
        assert!(allowed(&list, &[]));
        let same = Origins::Same {
            forwarded_host: false,
        };
        assert!(allowed(&same, &[("host", "example.com")]));
    }

    #[test]
    fn more_than_one_origin_or_host_is_refused_and_so_is_none() {
        let same = Origins::Same {
            forwarded_host: false,
        };
        let here = ("origin", "http://example.com");
        let host = ("host", "example.com");
        assert!(!allowed(&same, &[here, here, host]));
        assert!(!allowed(&same, &[here, host, ("host", "evil.com")]));
        assert!(!allowed(&same, &[here]));
        assert!(allowed(&Origins::Any, &[here, here]));
    }

    #[test]
    fn behind_a_proxy_the_first_forwarded_host_counts_and_nowhere_else() {
        let headers = |forwarded| {
            [
                ("origin", "https://example.com"),
                ("host", "10.0.0.7:5000"),
                ("x-forwarded-host", forwarded),
            ]
        };
        let proxied = Origins::Same {
            forwarded_host: true,
        };
        assert!(allowed(&proxied, &headers("example.com")));
        assert!(allowed(
            &proxied,
            &headers(" example.com:443 , inner.example")
        ));
        assert!(!allowed(&proxied, &headers("inner.example, example.com")));
        assert!(!allowed(&proxied, &headers("")));
        let direct = Origins::Same {
            forwarded_host: false,
        };
        assert!(!allowed(&direct, &headers("example.com")));
        let plain = [("origin", "http://a"), ("host", "a")];
        assert!(allowed(&proxied, &plain), "without the header Host counts");
    }

    #[test]
    fn a_list_allows_its_origins_and_no_others() {
        let list = Origins::List(vec!["https://Example.com".into(), "http://b:81".into()]);
        let allows = |origin| allowed(&list, &[("origin", origin), ("host", "elsewhere.example")]);
        assert!(allows("https://example.com"));
        assert!(allows("https://example.com:443"));
        assert!(allows("http://b:81"));
        for other in [
            "http://example.com",
            "https://elsewhere.example",
            "https://example.com.evil.com",
            "https://example.com:444",
            "http://b",
            "null",
        ] {
            assert!(!allows(other), "{other}");
        }
        let opaque = Origins::List(vec!["null".into(), "app://x".into()]);
        assert!(allowed(&opaque, &[("origin", "null")]));
        assert!(allowed(&opaque, &[("origin", "APP://x")]));
        assert!(!allowed(&opaque, &[("origin", "app://y")]));
    }
}
