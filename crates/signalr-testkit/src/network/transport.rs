//! The transport of connections in memory.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use http::{Request, Response, StatusCode, Uri};
use signalr_client::Transport;
use signalr_proto::{EndCause, Instant};

use super::HubSide;
use super::error::MemoryError;
use super::faults::{Faults, Refusal, Step};
use super::socket::{HubBody, MemoryBody, MemorySocket};
use crate::runtime::Clock;

/// The [`Transport`] of a [`Network`](crate::Network), for connections that are built with `build_with`.
#[derive(Clone)]
pub struct MemoryTransport {
    pub(super) side: HubSide,
    pub(super) faults: Arc<Faults>,
    pub(super) clock: Clock,
}

impl Transport for MemoryTransport {
    type WebSocket = MemorySocket;
    type Body = MemoryBody;
    type Error = MemoryError;

    async fn request(&self, request: Request<Bytes>) -> Result<Response<MemoryBody>, MemoryError> {
        let begun = self.faults.cuts();
        if is_negotiation(&request) {
            self.faults.count_attempt();
            match self.faults.refused(Step::Negotiate) {
                Some(Refusal::Negotiate { status }) => return Ok(self.answer(status, begun)),
                Some(_) => return Err(nobody(request.uri())),
                None => {}
            }
        }
        let asked = async {
            self.travel().await;
            let response = self.side.request(insecure(request)).await?;
            self.travel().await;
            Ok(response)
        };
        let response = self.unless_cut(begun, asked).await??;
        Ok(response.map(|body| MemoryBody::new(body, &self.faults, &self.clock, begun)))
    }

    async fn open_web_socket(&self, request: Request<()>) -> Result<MemorySocket, MemoryError> {
        let begun = self.faults.cuts();
        let negotiated = request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|part| part.starts_with("id=")));
        if !negotiated {
            self.faults.count_attempt();
        }
        let refused = match self.faults.refused(Step::WebSocket) {
            Some(Refusal::WebSocket { status }) => {
                return Err(MemoryError::new(EndCause::Refused { status }));
            }
            Some(Refusal::Handshake { error }) => Some(error),
            Some(_) => return Err(nobody(request.uri())),
            None => None,
        };
        let opened = async {
            self.travel().await;
            let socket = self.side.open_web_socket(insecure(request)).await?;
            self.travel().await;
            Ok(socket)
        };
        let socket = self.unless_cut(begun, opened).await??;
        Ok(MemorySocket::new(
            socket,
            &self.faults,
            &self.clock,
            begun,
            refused,
        ))
    }

    async fn sleep_until(&self, deadline: Instant) {
        let rest = deadline.since(self.now());
        self.clock.sleep(rest).await;
    }

    fn now(&self) -> Instant {
        Instant(self.clock.now())
    }

    fn end_cause(error: &MemoryError) -> EndCause {
        error.cause()
    }
}

impl MemoryTransport {
    /// What takes as long as the network is slow.
    async fn travel(&self) {
        let delay = self.faults.current_delay();
        if delay > Duration::ZERO {
            self.clock.sleep(delay).await;
        }
    }

    /// Goes on until the network is cut. What the hub says stays on the way while it is silent.
    async fn unless_cut<T>(
        &self,
        begun: u64,
        work: impl Future<Output = T>,
    ) -> Result<T, MemoryError> {
        let cut = poll_fn(|cx| match self.faults.poll_open(begun, cx) {
            Poll::Ready(Err(cut)) => Poll::Ready(cut),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        });
        let done = match select(pin!(work), cut).await {
            Either::Left((done, _)) => done,
            Either::Right((cut, _)) => return Err(MemoryError::cut(&cut)),
        };
        let heard = poll_fn(|cx| self.faults.poll_open(begun, cx));
        heard.await.map_err(|cut| MemoryError::cut(&cut))?;
        Ok(done)
    }

    fn answer(&self, status: u16, begun: u64) -> Response<MemoryBody> {
        let nothing: HubBody = futures_util::stream::empty().boxed();
        let body = MemoryBody::new(nothing, &self.faults, &self.clock, begun);
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

fn is_negotiation<B>(request: &Request<B>) -> bool {
    request.uri().path().ends_with("/negotiate")
}

fn nobody(uri: &Uri) -> MemoryError {
    let host = uri.authority().map_or("the hub", |host| host.as_str());
    // The part before an `@` is nobody's business.
    let host = host.rsplit('@').next().unwrap_or_default();
    MemoryError::failed(format!("{host} cannot be reached: connection refused"))
}

/// Nobody listens here, so nothing is encrypted.
fn insecure<B>(mut request: Request<B>) -> Request<B> {
    let mut parts = request.uri().clone().into_parts();
    let scheme = match parts.scheme.as_ref().map(|scheme| scheme.as_str()) {
        Some("https") => "http",
        Some("wss") => "ws",
        _ => return request,
    };
    parts.scheme = scheme.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

impl core::fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemoryTransport").finish_non_exhaustive()
    }
}
