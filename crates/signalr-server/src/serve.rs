//! Serving an application on tokio the way hubs want it.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use crate::request::PeerAddress;

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long accepting rests when the process has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Serves an application that has hubs: as `axum::serve` does, but answers wait for nobody's acknowledgement (`TCP_NODELAY`),
/// and a request whose head does not come within 30 seconds is ended.
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

async fn run<S, B>(serve: Serve<S>) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Serve {
        listener,
        app,
        mut signal,
    } = serve;
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol();
    let shutdown = GracefulShutdown::new();
    loop {
        let (stream, peer) = match select(pin!(accept(&listener)), &mut signal).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(((), _)) => break,
        };
        let begun = Arc::new(AtomicBool::new(false));
        let service = TowerToHyperService::new(Named {
            app: app.clone(),
            peer: PeerAddress(peer),
            begun: Arc::clone(&begun),
        });
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = shutdown.watch(connection.into_owned());
        tokio::spawn(async move {
            match select(pin!(connection), pin!(silence(&begun))).await {
                Either::Left((Ok(()), _)) => {}
                // Clients that break off are no news.
                Either::Left((Err(error), _)) => {
                    tracing::debug!(%error, "an HTTP connection broke");
                }
                Either::Right(((), _)) => tracing::debug!("an HTTP connection brought no request"),
            }
        });
    }
    drop(listener);
    shutdown.shutdown().await;
    Ok(())
}

/// Is done when there was no request for as long as its head may take: before the first byte, and while it is open which version
/// of HTTP the client speaks, hyper has no time limit of its own.
async fn silence(begun: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if begun.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Tells the application who is at the other end.
#[derive(Clone)]
struct Named<S> {
    app: S,
    peer: PeerAddress,
    /// There was a request.
    begun: Arc<AtomicBool>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        self.begun.store(true, Ordering::Relaxed);
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
