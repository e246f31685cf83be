//! Where a request goes.

use http::uri::Authority;
use http::{HeaderValue, Uri};

use crate::error::NetError;

/// Scheme, host and port of a request.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    secure: bool,
    authority: Authority,
    port: Option<u16>,
}

/// What two addresses share when a connection to one may serve the other, and credentials for one may go to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    secure: bool,
    host: Box<str>,
    port: u16,
}

impl Address {
    /// A host, in brackets if it is an IPv6 address, that need not be a server: a proxy.
    pub(crate) const fn new(secure: bool, authority: Authority, port: u16) -> Self {
        Self {
            secure,
            authority,
            port: Some(port),
        }
    }

    pub(crate) fn of(uri: &Uri) -> Result<Self, NetError> {
        let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
        let authority = uri
            .authority()
            .ok_or_else(|| NetError::failed("the address has no host"))?
            .clone();
        let port = uri.port_u16();
        let place = authority.as_str().rsplit('@').next().unwrap_or_default();
        if port.is_none() && place.strip_suffix(':').unwrap_or(place) != authority.host() {
            // Taking the default port instead would talk to somebody else.
            return Err(NetError::failed(
                "the address has a port that does not exist",
            ));
        }
        Ok(Self {
            secure,
            authority,
            port,
        })
    }

    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or address without an IPv6 address's brackets, as resolvers and certificates want it.
    pub(crate) fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin {
            secure: self.secure,
            host: self.host().to_ascii_lowercase().into(),
            port: self.port(),
        }
    }

    /// Host and port, always both.
    pub(crate) fn target(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// Host and port as they stood in the address, without user name and password.
    pub(crate) fn authority(&self) -> String {
        let host = self.authority.host();
        self.port
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(crate) fn host_header(&self) -> Result<HeaderValue, NetError> {
        HeaderValue::from_str(&self.authority())
            .map_err(|_| NetError::failed("the host of the address is not valid in HTTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> (String, u16, String) {
        let address = Address::of(&uri.parse().unwrap()).unwrap();
        (
            address.host().to_owned(),
            address.port(),
            address.authority(),
        )
    }

    #[test]
    fn brackets_default_ports_and_credentials_are_left_out_where_they_do_not_belong() {
        assert_eq!(address("http://h/x"), ("h".into(), 80, "h".into()));
        assert_eq!(address("wss://h/x"), ("h".into(), 443, "h".into()));
        assert_eq!(
            address("https://u:p@h:8443/"),
            ("h".into(), 8443, "h:8443".into())
        );
        assert_eq!(
            address("ws://[::1]:5000/"),
            ("::1".into(), 5000, "[::1]:5000".into())
        );
        assert_eq!(address("http://[::1]/"), ("::1".into(), 80, "[::1]".into()));
        assert_eq!(address("http://u:p@h:/"), ("h".into(), 80, "h".into()));
    }

    #[test]
    fn a_port_that_does_not_exist_is_not_taken_for_the_default_port() {
        for uri in ["http://h:65536/", "https://u:p@[::1]:99999/"] {
            assert!(Address::of(&uri.parse().unwrap()).is_err(), "{uri}");
        }
    }
}
