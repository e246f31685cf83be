//! Hubs on another runtime: smol, with hyper in front of them and no tokio anywhere.

use std::time::{Duration, Instant};

use signalr_client::ConnectionState;
use signalr_harness::hubs::on_smol::{self, OnSmol};
use signalr_server::{HubServer, Protocol, TransportKind};
use signalr_smol::Smol;
use smol::net::TcpListener;

use crate::support::scenario::{Stage, client, play};

/// Serves the hub, and gives its address.
async fn serve() -> (HubServer, String) {
    let server = HubServer::builder(Stage).build_on(OnSmol).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    smol::spawn(on_smol::serve(listener, server.service())).detach();
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
