//! What is served, and how long its clients may take to ask.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

/// How long a client may take for the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What can be served.
pub(super) trait App:
    Service<Request<Incoming>, Response = Response<Self::Answer>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// The body of its answers.
    type Answer: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
}

impl<S, B> App for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    type Answer = B;
}
