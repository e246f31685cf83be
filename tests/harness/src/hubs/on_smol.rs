//! Hubs without tokio: on smol, with hyper in front of them.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use signalr_server::Runtime;
use smol::net::TcpListener;
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tower_service::Service;

/// smol's global executor.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct OnSmol;

impl Runtime for OnSmol {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        smol::spawn(task).detach();
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            smol::Timer::after(duration).await;
        })
    }
}

/// Serves an application over HTTP/1.1 for as long as this is polled; connections live on.
///
/// # Errors
/// When no connection can be accepted.
pub async fn serve<S, B>(listener: TcpListener, app: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = TowerToHyperService::new(app);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new()
            .timer(SmolTimer::new())
            .serve_connection(FuturesIo::new(stream), service.clone())
            .with_upgrades();
        smol::spawn(connection).detach();
    }
}
