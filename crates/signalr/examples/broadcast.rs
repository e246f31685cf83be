//! News from elsewhere in the application: `cargo run -p signalr --example broadcast`, then
//! `signalr listen http://127.0.0.1:5000/prices Price`, or `POST http://127.0.0.1:5000/halt`.
//!
//! A `HubServer` is cheap to clone and may be used from anywhere: here by a task and by a route.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use signalr::server::{BuildError, CallContext, Hub, HubError, HubMethods, HubServer, serve};
use tokio::net::TcpListener;

/// Has nothing to call: its clients only listen.
struct Prices;

impl Hub for Prices {
    fn methods(_methods: &mut HubMethods<Self>) {}

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        context.caller().send("Hello", ()).await?;
        Ok(())
    }
}

/// Tells every client a price, four times a second, for as long as the program runs.
async fn publish(hub: HubServer) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let mut price = 100_u32;
    loop {
        ticks.tick().await;
        price = 100 + (price * 17 + 3) % 23;
        if let Err(error) = hub.clients().all().send("Price", ("ACME", price)).await {
            eprintln!("{error}");
        }
    }
}

async fn halt(State(hub): State<HubServer>) -> Result<String, StatusCode> {
    let everybody = hub.clients().all();
    let told = hub.clients().count().await;
    everybody
        .send("Halted", ())
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{} clients were told\n", told.unwrap_or_default()))
}

/// Has to be called within tokio, which runs the task.
pub(crate) fn app() -> Result<Router, BuildError> {
    let hub = HubServer::new(Prices)?;
    tokio::spawn(publish(hub.clone()));
    Ok(Router::new()
        .route("/halt", post(halt))
        .merge(hub.router("/prices"))
        .with_state(hub))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/prices", listener.local_addr()?);
    serve(listener, app()?).await?;
    Ok(())
}
