//! Server-sent events and long polling as values: the requests that carry them
//! ([requirements](crate::spec::transports#server-sent-events)).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::HubUrl;
use super::negotiate::{AccessToken, common_headers};
use crate::codec::TransferFormat;

/// Where the requests of one connection go, and what they all carry.
pub(crate) struct Requests {
    url: HubUrl,
    /// The connection's token.
    id: Box<str>,
    /// The user's headers and the client's own, without the access token.
    headers: HeaderMap,
    token: Option<AccessToken>,
    format: TransferFormat,
    polls: u64,
}

impl Requests {
    pub(crate) fn new(
        url: &HubUrl,
        id: &str,
        headers: Option<&HeaderMap>,
        token: Option<AccessToken>,
        format: TransferFormat,
    ) -> Self {
        Self {
            url: url.clone(),
            id: id.into(),
            headers: common_headers(headers, None),
            token,
            format,
            polls: 0,
        }
    }

    /// From now on requests carry this token.
    pub(crate) fn set_token(&mut self, token: Option<AccessToken>) {
        self.token = token;
    }

    /// `GET` for the stream of events.
    pub(crate) fn events(&self) -> Result<Request<Bytes>, http::Error> {
        let mut request = self.request(Method::GET, None, Bytes::new())?;
        let accept = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accept);
        Ok(request)
    }

    /// `GET` for what the server has to say next.
    pub(crate) fn poll(&mut self) -> Result<Request<Bytes>, http::Error> {
        self.polls += 1;
        let mut request = self.request(Method::GET, Some(self.polls), Bytes::new())?;
        // As the official clients: some servers in between refuse what says nothing.
        let accept = HeaderValue::from_static("*/*");
        request
            .headers_mut()
            .entry(header::ACCEPT)
            .or_insert(accept);
        Ok(request)
    }

    /// `POST` of what waits to be sent ([TR-72](crate::spec::transports#tr-72)).
    pub(crate) fn post(&self, body: Bytes) -> Result<Request<Bytes>, http::Error> {
        let mut request = self.request(Method::POST, None, body)?;
        let kind = match self.format {
            TransferFormat::Text => "text/plain;charset=UTF-8",
            TransferFormat::Binary => "application/octet-stream",
        };
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(request)
    }

    /// `DELETE`, the end of long polling.
    pub(crate) fn delete(&self) -> Result<Request<Bytes>, http::Error> {
        self.request(Method::DELETE, None, Bytes::new())
    }

    fn request(
        &self,
        method: Method,
        poll: Option<u64>,
        body: Bytes,
    ) -> Result<Request<Bytes>, http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.url.connection(&self.id, poll)?)
            .body(body)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if let Some(value) = self.token.as_ref().and_then(AccessToken::header) {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// Hides the ids and headers, which are secrets.
impl core::fmt::Debug for Requests {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Requests")
            .field("url", &self.url)
            .field("polls", &self.polls)
            .finish_non_exhaustive()
    }
}

/// `POST <path>/refresh?id=…`, with the token that is to replace the present one.
pub(crate) fn refresh(
    url: &HubUrl,
    id: &str,
    headers: Option<&HeaderMap>,
    token: Option<&AccessToken>,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.refresh(id)?)
        .body(Bytes::new())?;
    *request.headers_mut() = common_headers(headers, token);
    request
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(format: TransferFormat) -> Requests {
        let url = HubUrl::parse("https://h/hub?x=1").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-mine", HeaderValue::from_static("yes"));
        Requests::new(
            &url,
            "a+b",
            Some(&headers),
            AccessToken::new("canary"),
            format,
        )
    }

    #[test]
    fn every_request_carries_the_ids_the_headers_and_the_token() {
        let mut all = requests(TransferFormat::Text);
        let post = all.post(Bytes::from_static(b"{}")).unwrap();
        for request in [
            all.events().unwrap(),
            all.poll().unwrap(),
            post,
            all.delete().unwrap(),
        ] {
            let query = request.uri().query().unwrap();
            assert!(query.starts_with("x=1&id=a%2Bb"), "{query}");
            assert_eq!(request.headers()["x-mine"], "yes");
            assert_eq!(request.headers()["authorization"], "Bearer canary");
            assert_eq!(request.headers()["x-requested-with"], "XMLHttpRequest");
            assert!(!format!("{request:?}{all:?}").contains("canary"));
        }
    }

    #[test]
    fn each_poll_has_an_address_of_its_own() {
        let mut all = requests(TransferFormat::Text);
        let first = all.poll().unwrap();
        assert_eq!(first.uri(), "https://h/hub?x=1&id=a%2Bb&_=1");
        assert_ne!(all.poll().unwrap().uri(), first.uri());
    }

    #[test]
    fn posts_name_the_format_and_only_the_event_stream_asks_for_events() {
        for (format, kind) in [
            (TransferFormat::Text, "text/plain;charset=UTF-8"),
            (TransferFormat::Binary, "application/octet-stream"),
        ] {
            let post = requests(format).post(Bytes::new()).unwrap();
            assert_eq!(post.headers()["content-type"], kind);
            assert!(!post.headers().contains_key("accept"));
        }
        let events = requests(TransferFormat::Text).events().unwrap();
        assert_eq!(events.headers()["accept"], "text/event-stream");
        let poll = requests(TransferFormat::Text).poll().unwrap();
        assert_eq!(poll.headers()["accept"], "*/*");
    }

    #[test]
    fn a_refresh_is_an_empty_post_beside_negotiate() {
        let url = HubUrl::parse("http://h/hub/").unwrap();
        let request = refresh(&url, "t", None, AccessToken::new("canary").as_ref()).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, "http://h/hub/refresh?id=t")
        );
        assert_eq!(request.headers()["content-length"], "0");
        assert_eq!(request.headers()["authorization"], "Bearer canary");
    }
}
