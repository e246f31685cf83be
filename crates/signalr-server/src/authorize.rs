//! The answer to requests that are not authorized.

use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};

/// Why a request is not let in: an HTTP status, or a whole response with its headers and body.
///
/// ```
/// use http::{Response, StatusCode};
/// use signalr_server::Denial;
///
/// let plain = Denial::from(StatusCode::UNAUTHORIZED);
/// let whole = Denial::from(
///     Response::builder()
///         .status(401)
///         .header("WWW-Authenticate", r#"Bearer error="invalid_token""#)
///         .body("the token has expired")
///         .unwrap(),
/// );
/// # drop((plain, whole));
/// ```
pub struct Denial(Response<Bytes>);

impl Denial {
    pub(crate) fn into_response(self) -> Response<Bytes> {
        self.0
    }
}

impl From<StatusCode> for Denial {
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self(response)
    }
}

impl<B: Into<Bytes>> From<Response<B>> for Denial {
    fn from(response: Response<B>) -> Self {
        Self(response.map(Into::into))
    }
}

/// Shows the status only.
impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Denial").field(&self.0.status()).finish()
    }
}
