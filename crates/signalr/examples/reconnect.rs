//! A client that outlives its connections, and a hub that ends them: `cargo run -p signalr --example reconnect`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use signalr::server::{Hub, HubMethods, HubServer, serve};
use signalr::{ConnectionState, HubConnection, HubConnectionBuilder, ReconnectPolicy};
use tokio::net::TcpListener;

struct Clock;

impl Hub for Clock {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Tick", async |_: Arc<Self>, count: u32| count + 1);
    }
}

pub(crate) fn client(url: &str) -> HubConnectionBuilder {
    HubConnection::builder(url)
        // At once, after 2, 10 and 30 seconds, and so on until it works.
        .automatic_reconnect(ReconnectPolicy::unlimited())
        .retry_start(ReconnectPolicy::unlimited())
        // A broken WebSocket is replaced without anybody noticing, if the server allows it.
        .stateful_reconnect(true)
        // What is sent meanwhile waits for this long.
        .offline_queue(100_000, Duration::from_secs(60))
}

pub(crate) fn hub() -> Result<HubServer, signalr::server::BuildError> {
    HubServer::builder(Clock)
        .configure(|options| options.endpoint.stateful_reconnect = true)
        .build()
}

pub(crate) async fn play(
    connection: &HubConnection,
    hub: &HubServer,
) -> Result<(), Box<dyn Error>> {
    connection.on_reconnecting(|reason| eprintln!("lost: {reason}"));
    connection.on_reconnected(|id| eprintln!("back as {id:?}"));
    connection.on_close(|reason| eprintln!("over: {reason:?}"));

    let mut states = connection.states();
    connection.start().await?;
    let first = connection.connection_id();
    eprintln!("connected as {first:?}");

    // A cable is pulled. With stateful reconnect, whoever calls does not even notice.
    let id = first.as_deref().unwrap_or_default();
    hub.cut(id);
    let count: u32 = connection.invoke("Tick", (1,)).await?;
    eprintln!("tick {count} as {:?}", connection.connection_id());

    // The hub ends the connection and invites the client to come back: as another one, which is in no group any more.
    hub.close(id, true).await?;
    while let Some(state) = states.next().await {
        eprintln!("status: {state:?}");
        if state == ConnectionState::Connected && connection.connection_id() != first {
            break;
        }
    }
    // Waits for a connection if there is none, and is made again if that is lost before the answer.
    let count: u32 = connection.idempotent().invoke("Tick", (count,)).await?;
    eprintln!("tick {count} as {:?}", connection.connection_id());
    connection.stop().await;
    Ok(())
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/clock", listener.local_addr()?);
    let app = Router::new().merge(hub.router("/clock"));
    let server = tokio::spawn(serve(listener, app).into_future());
    play(&client(&url).build()?, &hub).await?;
    server.abort();
    Ok(())
}
