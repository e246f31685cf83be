//! HTTP/2 by hyper.
//!
//! hyper has no timeout for the heads of requests here. A client that falls silent, or begins a head and goes on with it for ever, does
//! not answer the pings that come every fifteen seconds: between the pieces of a head HTTP/2 allows nothing else. One that answers
//! them and asks for nothing is told by its first request, which has to come in time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{Either, pending, select};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::app::{App, HEAD_TIMEOUT};

/// Serves one connection until its end, until the requests under way are answered once the server stops, or until `head_by` when no
/// request has come by then.
pub(super) async fn converse<S: App>(
    stream: TcpStream,
    app: S,
    stop: CancellationToken,
    head_by: Instant,
) -> hyper::Result<()> {
    let asked = Asked::default();
    let app = Noted {
        app,
        asked: asked.clone(),
    };
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT / 2)
        .keep_alive_timeout(HEAD_TIMEOUT / 2)
        .enable_connect_protocol();
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    let (stopped, idle) = (pin!(stop.cancelled()), pin!(asked.nothing_until(head_by)));
    match select(connection.as_mut(), select(stopped, idle)).await {
        Either::Left((ended, _)) => ended,
        Either::Right((Either::Left(_), _)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        Either::Right((Either::Right(_), _)) => {
            tracing::debug!("an HTTP/2 connection brought no request");
            Ok(())
        }
    }
}

/// Whether a request has come with the whole of its head.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicBool>);

impl Asked {
    /// Is done at that time if no request has come, and never if one has.
    async fn nothing_until(self, time: Instant) {
        sleep_until(time).await;
        if self.0.load(Ordering::Relaxed) {
            pending().await
        }
    }
}

/// Notes that there are requests.
#[derive(Clone)]
struct Noted<S> {
    app: S,
    asked: Asked,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Noted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> S::Future {
        self.asked.0.store(true, Ordering::Relaxed);
        self.app.call(request)
    }
}
