//! Serving an application on tokio the way hubs want it.

mod app;
mod desk;
mod http1;
mod http2;
mod line;
mod stream;

pub(crate) use line::Line;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::request::PeerAddress;
use app::{App, HEAD_TIMEOUT};

/// What HTTP/2 begins with.
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait for the rest of so few bytes.
const DRIP: Duration = Duration::from_millis(20);

/// How long accepting rests when the process has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Serves an application that has hubs: as `axum::serve` does, but answers wait for nobody's acknowledgement (`TCP_NODELAY`),
/// a client whose first request, or whose head of a request, does not come within 30 seconds is hung up on, and so is an event stream whose client takes nothing of it for
/// 30 seconds. Connections that wait, for the answer to a poll or for the next piece of an event stream, hold no buffers.
///
/// The application is an axum `Router`, a [`HubService`](crate::HubService) or any other tower service.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # async fn run(hub: signalr_server::HubServer) -> std::io::Result<()> {
/// let app = axum::Router::new().merge(hub.router("/chat"));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
/// signalr_server::serve(listener, app)
///     .with_graceful_shutdown(async move {
///         drop(tokio::signal::ctrl_c().await);
///         hub.shutdown().await;
///     })
///     .await
/// # }
/// ```
pub fn serve<S>(listener: TcpListener, app: S) -> Serve<S> {
    Serve {
        listener,
        app,
        signal: Box::pin(std::future::pending()),
    }
}

/// An application that is served when this is awaited. It ends after a graceful shutdown only.
#[must_use = "nothing is served until it is awaited"]
pub struct Serve<S> {
    listener: TcpListener,
    app: S,
    signal: BoxFuture<'static, ()>,
}

impl<S> Serve<S> {
    /// Accepts nothing more when `signal` is done, and ends when the requests under way have been answered.
    ///
    /// Let the signal end with [`HubServer::shutdown`](crate::HubServer::shutdown): polls and event streams end with it.
    pub fn with_graceful_shutdown(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            signal: Box::pin(signal),
            ..self
        }
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl<S, B> IntoFuture for Serve<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = io::Result<()>;
    type IntoFuture = BoxFuture<'static, io::Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<S: App>(serve: Serve<S>) -> io::Result<()> {
    let Serve {
        listener,
        app,
        mut signal,
    } = serve;
    let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let (stream, peer) = match select(pin!(accept(&listener)), &mut signal).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(((), _)) => break,
        };
        let app = Named {
            app: app.clone(),
            peer: PeerAddress(peer),
        };
        connections.spawn(converse(stream, app, stop.clone()));
    }
    drop(listener);
    stop.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Serves one connection until its end, or until the request under way is answered once the server stops.
async fn converse<S: App>(stream: TcpStream, app: S, stop: CancellationToken) {
    let head_by = Instant::now() + HEAD_TIMEOUT;
    let known = tokio::time::timeout_at(head_by, is_http2(&stream));
    let is_http2 = match select(pin!(known), pin!(stop.cancelled())).await {
        Either::Left((Ok(Ok(is_http2)), _)) => is_http2,
        Either::Left((Ok(Err(error)), _)) => return broke(&error),
        Either::Left((Err(_), _)) => {
            return tracing::debug!("an HTTP connection brought no request");
        }
        Either::Right(((), _)) => return,
    };
    let ended = if is_http2 {
        // Rare, and large: it shall not take room in the task of the others.
        Box::pin(http2::converse(stream, app, stop, head_by)).await
    } else {
        http1::converse(stream, app, stop).await
    };
    if let Err(error) = ended {
        broke(&error);
    }
}

/// Clients that break off are no news.
fn broke(error: &dyn std::error::Error) {
    tracing::debug!(%error, "an HTTP connection broke");
}

/// Whether the client begins as HTTP/2 does; no method of HTTP/1 begins so. Its bytes stay where they are: hyper would put those
/// that it has looked at into a buffer of their own and then needs twice the room to read.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; HTTP2_START.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        let begun = start.get(..length).unwrap_or_default();
        if length == 0 || length == start.len() || !HTTP2_START.starts_with(begun) {
            return Ok(begun == HTTP2_START);
        }
        // Nothing tells of the next byte while the first ones have not been read.
        tokio::time::sleep(DRIP).await;
    }
}

/// Tells the application who is at the other end.
#[derive(Clone)]
struct Named<S> {
    app: S,
    peer: PeerAddress,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.app.call(request)
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY cannot be set");
                }
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
