//! The hub of a dashboard: `cargo run -p signalr --example dashboard_hub`. Sensors report what they measure as a stream, and whoever
//! is connected sees it. Clients are the examples `dashboard`, `dashboard_smol` and `dashboard.mjs`.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use serde::{Deserialize, Serialize};
use signalr::server::{
    BuildError, CallContext, Hub, HubError, HubMethods, HubServer, UploadStream, serve,
};
use tokio::net::TcpListener;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    celsius: f64,
    relative_humidity: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    readings: u32,
    average_celsius: f64,
}

struct Dashboard;

impl Dashboard {
    async fn report(
        self: Arc<Self>,
        context: CallContext,
        room: String,
        mut readings: UploadStream<Reading>,
    ) -> Result<Summary, HubError> {
        let (mut count, mut sum) = (0, 0.0);
        while let Some(reading) = readings.next().await {
            let reading = reading?;
            count += 1;
            sum += reading.celsius;
            let everybody = context.clients().all();
            everybody.send("Reading", (&room, reading)).await?;
        }
        if count == 0 {
            return Err(HubError::new("there was nothing to report"));
        }
        Ok(Summary {
            readings: count,
            average_celsius: sum / f64::from(count),
        })
    }
}

impl Hub for Dashboard {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Report", Self::report);
    }
}

pub(crate) fn app() -> Result<Router, BuildError> {
    Ok(Router::new().merge(HubServer::new(Dashboard)?.router("/dashboard")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/dashboard", listener.local_addr()?);
    Ok(serve(listener, app()?).await?)
}
