//! A proxy: where it is, how it is spoken to, and as whom.

use http::uri::Authority;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use signalr_proto::domain::ascii_address;

use crate::address::Address;
use crate::error::NetError;

/// Where a proxy is when its address names no port; curl's choice.
const DEFAULT_PORT: u16 = 1080;

/// A proxy.
#[derive(Clone)]
pub(crate) struct Server {
    kind: ProxyKind,
    /// Secure if TLS is spoken with the proxy itself.
    address: Address,
    found: Intercept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Http,
    Socks,
}

impl Server {
    pub(super) fn parse(url: &str) -> Option<Self> {
        let anywhere = Uri::from_static("http://any/");
        let url = &*ascii_address(url.trim());
        let matcher = if url.contains("://") {
            Matcher::builder().all(url).build()
        } else {
            Matcher::builder().all(format!("http://{url}")).build()
        };
        let found = matcher.intercept(&anywhere)?;
        let (kind, secure, port) = match found.uri().scheme_str()? {
            "http" => (ProxyKind::Http, false, DEFAULT_PORT),
            "https" => (ProxyKind::Http, true, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks, false, DEFAULT_PORT),
            _ => return None,
        };
        let authority: Authority = found.uri().authority()?.clone();
        let host = authority.host();
        let port = match authority.port_u16() {
            Some(port) => port,
            // Otherwise there is something that is no port.
            None if host == authority.as_str() => port,
            None => return None,
        };
        if host.is_empty() {
            return None;
        }
        Some(Self {
            kind,
            address: Address::new(secure, authority, port),
            found,
        })
    }

    /// Its address without user name and password.
    pub(super) fn uri(&self) -> Result<Uri, NetError> {
        let scheme = match (self.kind, self.address.is_secure()) {
            (ProxyKind::Socks, _) => "socks5",
            (ProxyKind::Http, true) => "https",
            (ProxyKind::Http, false) => "http",
        };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(self.address.target())
            .path_and_query("/");
        uri.build()
            .map_err(|_| NetError::failed("the proxy's address is not valid"))
    }

    pub(crate) const fn kind(&self) -> ProxyKind {
        self.kind
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn basic(&self) -> Option<&HeaderValue> {
        self.found.basic_auth()
    }

    /// User name and password.
    pub(crate) fn password(&self) -> Option<(&str, &str)> {
        self.found.raw_auth()
    }

    /// What came of asking the proxy.
    pub(crate) fn failed(&self, what: impl core::fmt::Display) -> NetError {
        NetError::failed(format!("{self} {what}"))
    }

    /// A status that says that it wants to know who asks.
    pub(crate) fn wants_credentials(&self, has_some: bool) -> NetError {
        self.failed(if has_some {
            "does not accept the user name and password"
        } else {
            "wants a user name and password"
        })
    }
}

impl core::fmt::Display for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the proxy {}", self.address.target())
    }
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.address.target())
    }
}
