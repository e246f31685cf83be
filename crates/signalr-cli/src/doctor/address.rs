//! The address itself.

use std::net::IpAddr;

use http::Uri;
use signalr::client::{Proxy, ascii_address};
use signalr_proto::transport::HubUrl;

use super::report::Finding;

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secure: bool,
}

impl Place {
    /// The address, if the host is one.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn is_local(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|address| address.is_loopback())
    }
}

/// Which proxy is used, and where the first connection goes: to it, or else to the server.
pub(super) fn proxy(
    proxy: &Proxy,
    named: bool,
    url: &str,
    place: &Place,
) -> (Finding, Place, bool) {
    let origin = if named { "--proxy" } else { "the environment" };
    let found = match ascii_address(url).parse::<Uri>() {
        Ok(uri) => proxy.server_for(&uri).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match found {
        Ok(None) => (
            Finding::ok("none: the server is reached directly"),
            place.clone(),
            false,
        ),
        Ok(Some(uri)) => {
            let shown = uri.to_string();
            let shown = shown.trim_end_matches('/');
            let finding = Finding::ok(format!("{shown}, from {origin}"))
                .fact("proxy", shown)
                .fact("from", origin);
            (finding, place_of(&uri), true)
        }
        Err(error) => (
            Finding::failed(error)
                .advice("correct the variable, or go without a proxy: --proxy none"),
            place.clone(),
            true,
        ),
    }
}

fn place_of(uri: &Uri) -> Place {
    let host = uri.host().unwrap_or_default();
    Place {
        host: without_brackets(host).to_owned(),
        port: uri.port_u16().unwrap_or_default(),
        secure: false,
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Reads the address and says what is odd about it.
pub(super) fn check(url: &str, has_token: bool) -> (Finding, Option<Place>) {
    let ascii = ascii_address(url);
    let parsed = HubUrl::parse(&ascii).ok().zip(ascii.parse::<Uri>().ok());
    let Some((hub, uri)) = parsed else {
        let finding = Finding::failed("this is not the address of a hub").advice(advice(url));
        return (finding, None);
    };
    let secure = hub.is_secure();
    let host = hub.authority().host();
    let place = Place {
        host: without_brackets(host).to_owned(),
        port: hub
            .authority()
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 }),
        secure,
    };
    (finding(&uri, &place, has_token), Some(place))
}

fn advice(url: &str) -> String {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.is_empty() {
        return "an address is made of ASCII characters without spaces, but for the name of its host, which may hold the letters of any language: write others as % and two digits".to_owned();
    }
    let has_scheme = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if has_scheme {
        return "check the host and the port, which is at most 65535".to_owned();
    }
    let looks_bare = !url.contains("://") && !url.is_empty();
    let example = if looks_bare {
        format!("https://{url}")
    } else {
        "https://example.com/chat".to_owned()
    };
    format!("write it as an absolute address, such as {example}")
}

fn finding(uri: &Uri, place: &Place, has_token: bool) -> Finding {
    let scheme = if place.secure { "https" } else { "http" };
    let detail = format!(
        "{scheme}, host {}, port {}, path {}",
        place.host,
        place.port,
        uri.path()
    );
    let has_credentials = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    let finding = if has_credentials {
        Finding::failed(format!(
            "{detail}; the user name and password in it would not be sent"
        ))
        .advice("take them out, and give a token with --token-file, or a header with --header 'Authorization: …'")
    } else if has_token && !place.secure && !place.is_local() {
        Finding::warning(format!(
            "{detail}; the token goes over the network unencrypted"
        ))
        .advice("use https, or make a new token after this")
    } else if uri.path().trim_matches('/').is_empty() {
        Finding::warning(format!("{detail}; hubs rarely have no path"))
            .advice("add the path under which the server maps the hub, such as /chat")
    } else {
        Finding::ok(detail)
    };
    finding
        .fact("scheme", scheme)
        .fact("host", place.host.as_str())
        .fact("port", place.port)
        .fact("path", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn the_proxy_in_use_is_named_without_its_password() {
        let (_, place) = check("https://example.com/chat", false);
        let place = place.unwrap();
        let url = "https://example.com/chat";
        let through = Proxy::url("http://user:canary@proxy.example:3128").unwrap();
        let (finding, first, used) = proxy(&through, true, url, &place);
        assert_eq!((finding.status, used), (Status::Ok, true));
        assert_eq!((first.host.as_str(), first.port), ("proxy.example", 3128));
        assert!(!format!("{finding:?}").contains("canary"));
        let (finding, first, used) = proxy(&Proxy::none(), true, url, &place);
        assert_eq!((finding.status, used), (Status::Ok, false));
        assert_eq!(first.host, "example.com");
        let broken =
            Proxy::from_variables(|name| (name == "https_proxy").then(|| "canary://x".to_owned()));
        let (finding, ..) = proxy(&broken, false, url, &place);
        assert_eq!(finding.status, Status::Failed);
        assert!(!format!("{finding:?}").contains("canary"));
    }

    #[test]
    fn addresses_are_taken_apart_and_judged() {
        for (url, has_token, status, place) in [
            (
                "http://localhost:5000/chat",
                true,
                Status::Ok,
                Some(("localhost", 5000)),
            ),
            ("wss://[::1]/chat?x=y", true, Status::Ok, Some(("::1", 443))),
            (
                "https://b\u{fc}cher.example/chat",
                true,
                Status::Ok,
                Some(("xn--bcher-kva.example", 443)),
            ),
            (
                "http://example.com/chat",
                true,
                Status::Warning,
                Some(("example.com", 80)),
            ),
            (
                "http://u:p@localhost/chat",
                false,
                Status::Failed,
                Some(("localhost", 80)),
            ),
            (
                "http://localhost/",
                false,
                Status::Warning,
                Some(("localhost", 80)),
            ),
            ("localhost:5000/chat", false, Status::Failed, None),
            ("ftp://localhost/chat", false, Status::Failed, None),
            ("", false, Status::Failed, None),
        ] {
            let (finding, found) = check(url, has_token);
            assert_eq!(finding.status, status, "{url}");
            let found = found
                .as_ref()
                .map(|place| (place.host.as_str(), place.port));
            assert_eq!(found, place, "{url}");
        }
    }
}
