//! The HTTP request behind a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, header};
use signalr_proto::server::query_parameter;

/// The request that negotiated or opened a connection, as far as hubs may look at it. Cheap to clone.
#[derive(Clone)]
pub struct HubRequest {
    inner: Arc<Inner>,
}

/// The other end of a request's connection: put into its extensions by [`serve`](crate::serve), or by a web server of your own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is one address")]
pub struct PeerAddress(pub SocketAddr);

struct Inner {
    path: Box<str>,
    query: Box<str>,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    extensions: http::Extensions,
}

impl HubRequest {
    /// A request for this path and query, with these headers.
    #[must_use]
    pub fn new(path: &str, query: &str, headers: HeaderMap) -> Self {
        Self::with_extensions(path, query, headers, http::Extensions::new())
    }

    pub(crate) fn with_extensions(
        path: &str,
        query: &str,
        headers: HeaderMap,
        extensions: http::Extensions,
    ) -> Self {
        let peer = extensions.get::<PeerAddress>().map(|peer| peer.0);
        Self {
            inner: Arc::new(Inner {
                path: path.into(),
                query: query.into(),
                headers,
                peer,
                extensions,
            }),
        }
    }

    /// The same, as it is kept for as long as the connection lives: with values of its own, as those of web servers are parts of
    /// their read buffers, and without [extensions](Self::extension), which may be such parts too.
    pub(crate) fn kept(&self) -> Self {
        let Inner {
            path,
            query,
            headers,
            peer,
            ..
        } = &*self.inner;
        Self {
            inner: Arc::new(Inner {
                path: path.clone(),
                query: query.clone(),
                headers: copied(headers),
                peer: *peer,
                extensions: http::Extensions::new(),
            }),
        }
    }

    /// The address that the request came from, where [`serve`](crate::serve) serves the hub or something else has put a
    /// [`PeerAddress`] into its extensions. Kept with the connection. Behind a proxy it is the proxy's.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.inner.peer
    }

    /// What middleware in front of the hub has found out, such as the user of a session.
    ///
    /// It is there while a request is authorized and while [limits](crate::HubServerBuilder::limit_connections) are counted. It is
    /// not kept with the connection: in the [`request`](crate::CallContext::request) of a method's context it is always `None`,
    /// and what hubs need of it goes into the [claims](crate::User::with_claims) of a user.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.inner.extensions.get()
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// Its query, without the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.inner.query
    }

    /// The first value of a query parameter, decoded. The name ignores the case of letters.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        query_parameter(&self.inner.query, name)
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers.get(name)?.to_str().ok()
    }

    /// The bearer token: of the header `Authorization`, or, as browsers cannot set headers on WebSockets, of the query
    /// parameter `access_token`.
    #[must_use]
    pub fn bearer_token(&self) -> Option<String> {
        let from_header = self
            .inner
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.to_str().ok()?));
        from_header
            .map(str::to_owned)
            .or_else(|| self.parameter("access_token"))
            .filter(|token| !token.is_empty())
    }
}

/// Copies all values into one buffer.
fn copied(headers: &HeaderMap) -> HeaderMap {
    let size = headers.values().map(|value| value.as_bytes().len()).sum();
    let mut buffer = BytesMut::with_capacity(size);
    for value in headers.values() {
        buffer.extend_from_slice(value.as_bytes());
    }
    let mut rest = buffer.freeze();
    let mut copied = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let bytes = rest.split_to(value.as_bytes().len());
        // It was the value of a header before.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(bytes) {
            copy.set_sensitive(value.is_sensitive());
            copied.append(name.clone(), copy);
        }
    }
    copied
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Shows the path only: query and headers may hold tokens.
impl fmt::Debug for HubRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubRequest")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str, authorization: Option<&str>) -> HubRequest {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        HubRequest::new("/hub", query, headers)
    }

    #[test]
    fn what_is_kept_has_the_same_headers_in_a_buffer_of_its_own() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "a"),
            ("x-one", ""),
            ("accept", "b"),
            ("host", "c"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        let mut extensions = http::Extensions::new();
        extensions.insert(PeerAddress(peer));
        let request = HubRequest::with_extensions("/hub", "a=b", headers.clone(), extensions);
        let kept = request.kept();
        assert_eq!(kept.peer_address(), Some(peer));
        assert_eq!(kept.extension::<PeerAddress>(), None);
        assert_eq!(kept.headers(), &headers);
        assert_eq!((kept.path(), kept.query()), ("/hub", "a=b"));
        assert!(!std::ptr::eq(
            kept.header("host").unwrap(),
            request.header("host").unwrap()
        ));
    }

    #[test]
    fn tokens_are_found_in_header_and_query_and_never_shown() {
        assert_eq!(
            request("", Some("Bearer canary")).bearer_token().as_deref(),
            Some("canary")
        );
        assert_eq!(
            request("", Some("bearer  canary"))
                .bearer_token()
                .as_deref(),
            Some("canary")
        );
        assert_eq!(
            request("access_token=ca%6Eary", None)
                .bearer_token()
                .as_deref(),
            Some("canary")
        );
        assert_eq!(
            request("access_token=query", Some("Bearer header"))
                .bearer_token()
                .as_deref(),
            Some("header")
        );
        assert_eq!(
            request("access_token=", Some("Basic x")).bearer_token(),
            None
        );
        assert!(
            !format!(
                "{:?}",
                request("access_token=canary", Some("Bearer canary"))
            )
            .contains("canary")
        );
    }
}
