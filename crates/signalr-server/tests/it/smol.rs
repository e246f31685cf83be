//! Hubs on another runtime: smol, with hyper in front of them and no tokio anywhere.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hyper_util::service::TowerToHyperService;
use signalr_client::ConnectionState;
use signalr_server::{HubServer, Protocol, Runtime, TransportKind};
use signalr_smol::Smol;
use smol::net::TcpListener;
use smol_hyper::rt::{FuturesIo, SmolTimer};

use crate::support::scenario::{Stage, client, play};

#[derive(Debug)]
struct OnSmol;

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

/// Serves the hub, and gives its address.
async fn serve() -> (HubServer, String) {
    let server = HubServer::builder(Stage).build_on(OnSmol).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    let service = TowerToHyperService::new(server.service());
    smol::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(SmolTimer::new())
                .serve_connection(FuturesIo::new(stream), service.clone())
                .with_upgrades();
            smol::spawn(connection).detach();
        }
    })
    .detach();
    (server, url)
}

#[test]
fn a_hub_on_smol_is_played_with_on_every_transport() {
    smol::block_on(async {
        let (server, url) = serve().await;
        play::<Smol>(&url).await;
        server.shutdown().await;
        assert_eq!(server.clients().count().await, Ok(0));
    });
}

#[test]
fn a_hub_on_smol_shuts_down() {
    smol::block_on(async {
        let (server, url) = serve().await;
        let mut connections = Vec::new();
        for transport in [TransportKind::WebSockets, TransportKind::ServerSentEvents] {
            let connection = client::<Smol>(&url, transport, Protocol::Json);
            connection.start().await.unwrap();
            connections.push(connection);
        }
        let begun = Instant::now();
        server.shutdown().await;
        assert!(begun.elapsed() < Duration::from_secs(4));
        for connection in connections {
            let disconnected = ConnectionState::Disconnected;
            connection.wait_until(disconnected).await.unwrap();
        }
        let late = client::<Smol>(&url, TransportKind::WebSockets, Protocol::Json);
        assert!(late.start().await.is_err());
    });
}
