//! A hub without axum, on hyper alone: `cargo run -p signalr --example bare_hyper`, then
//! `signalr invoke http://127.0.0.1:5000/calc Add 1 2`.
//!
//! `signalr::server::serve` does the same in one line. Here the web server is yours, and so are its settings.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use signalr::server::{BodyError, Hub, HubMethods, HubServer};
use tokio::net::TcpListener;

struct Calculator;

impl Hub for Calculator {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Add", async |_: Arc<Self>, a: i32, b: i32| {
            a.wrapping_add(b)
        });
    }
}

type Answer = Response<BoxBody<Bytes, BodyError>>;

/// Everything below `/calc` is the hub's: its connections, `/calc/negotiate` and `/calc/refresh`.
async fn route(hub: HubServer, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    if path == "/calc" || path.starts_with("/calc/") {
        let hub = TowerToHyperService::new(hub.service());
        return hub
            .call(request)
            .await
            .map(|answer| answer.map(BodyExt::boxed));
    }
    let body = Full::from("no such page\n").map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = StatusCode::NOT_FOUND;
    Ok(answer)
}

pub(crate) async fn run(listener: TcpListener) -> Result<(), Box<dyn Error + Send + Sync>> {
    let hub = HubServer::new(Calculator)?;
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // Who takes longer for the head of a request is no client.
        .header_read_timeout(Duration::from_secs(30));
    loop {
        let (stream, _) = listener.accept().await?;
        // Answers must not wait for the acknowledgement of what was sent before.
        stream.set_nodelay(true)?;
        let hub = hub.clone();
        let service = service_fn(move |request| route(hub.clone(), request));
        // "With upgrades", or there are no WebSockets.
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = connection.into_owned();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/calc", listener.local_addr()?);
    run(listener).await
}
