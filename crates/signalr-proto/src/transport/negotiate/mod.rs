//! Negotiate requests and responses as values ([requirements](crate::spec::transports#negotiation-client)).
//!
//! A client asks with `POST <path>/negotiate?negotiateVersion=1` and an empty body. The answer is one JSON object:
//! the ids and transports of a new connection, a redirect, or a refusal.
//!
//! ```
//! use signalr_proto::transport::negotiate::NegotiateResponse;
//!
//! let body = br#"{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[]}"#;
//! let NegotiateResponse::Connect(offer) = NegotiateResponse::decode(body).unwrap() else { panic!() };
//! assert_eq!(offer.token(), "b");
//! ```

mod access_token;
mod members;
mod offer;
mod refresh;
mod response;

pub use access_token::AccessToken;
pub use offer::{Offer, TransportKind, TransportOffer};
pub(crate) use refresh::RefreshResponse;
pub use response::NegotiateResponse;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::HubUrl;

/// The highest version of negotiation known here; lower ones are spoken too.
pub const VERSION: u32 = 1;

/// Redirects followed before the attempt is given up ([TR-12](crate::spec::transports#tr-12)).
pub const MAX_REDIRECTS: u32 = 100;

/// The negotiate request for this address.
pub(crate) fn request(
    url: &HubUrl,
    headers: Option<&HeaderMap>,
    token: Option<&AccessToken>,
    stateful: bool,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.negotiate(stateful)?)
        .body(Bytes::new())?;
    *request.headers_mut() = common_headers(headers, token);
    request
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(request)
}

/// The headers of every request: the user's, the token unless it has a place in the query, and what official clients send
/// ([TR-74](crate::spec::transports#tr-74)).
pub(crate) fn common_headers(
    headers: Option<&HeaderMap>,
    token: Option<&AccessToken>,
) -> HeaderMap {
    let mut all = headers.cloned().unwrap_or_default();
    // Which of them are secrets only the user knows, so none is shown.
    all.values_mut().for_each(|value| value.set_sensitive(true));
    all.entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "Microsoft SignalR/0.1 (",
            env!("CARGO_PKG_VERSION"),
            "; Unknown OS; Rust; Unknown Runtime Version)"
        )));
    // Nothing here can decompress, and without this a server may compress as it likes (RFC 9110, section 12.5.3).
    all.entry(header::ACCEPT_ENCODING)
        .or_insert(HeaderValue::from_static("identity"));
    all.insert(
        "x-requested-with",
        HeaderValue::from_static("XMLHttpRequest"),
    );
    if let Some(value) = token.and_then(AccessToken::header) {
        all.insert(header::AUTHORIZATION, value);
    }
    all
}

#[cfg(test)]
mod tests;
