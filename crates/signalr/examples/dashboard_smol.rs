//! The example `dashboard` on smol, which differs by its runtime only:
//! `cargo run -p signalr --example dashboard_smol --features smol -- http://127.0.0.1:5000/dashboard`
//!
//! Expects the hub of the example `dashboard_hub`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use serde::{Deserialize, Serialize};
use signalr::{HubConnection, ReconnectPolicy, Smol, Upload};

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    celsius: f64,
    relative_humidity: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    readings: u32,
    average_celsius: f64,
}

/// The last reading of each room.
type Board = Arc<Mutex<BTreeMap<String, Reading>>>;

/// Reports what two sensors measured, and gives what was heard and told.
pub(crate) async fn watch(url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let connection = HubConnection::builder(url)
        .automatic_reconnect(ReconnectPolicy::standard())
        .build_on(Smol)?;
    let board = Board::default();
    connection.on_with(
        board.clone(),
        "Reading",
        |board: Board, room: String, reading: Reading| {
            if let Ok(mut board) = board.lock() {
                board.insert(room, reading);
            }
        },
    );
    connection.start().await?;

    let mut told = Vec::new();
    for (room, celsius) in [("kitchen", [19.5, 21.5]), ("cellar", [8.0, 9.0])] {
        let readings = celsius.map(|celsius| Reading {
            celsius,
            relative_humidity: 0.4,
        });
        let readings = Upload::new(stream::iter(readings));
        let summary: Summary = connection.invoke("Report", (room, readings)).await?;
        told.push(format!(
            "{room}: {} readings, {} °C on average",
            summary.readings, summary.average_celsius
        ));
    }
    connection.stop().await;
    for (room, last) in &*board.lock().map_err(|_| "a handler panicked")? {
        let percent = last.relative_humidity * 100.0;
        told.push(format!("{room}: {} °C, {percent} %", last.celsius));
    }
    Ok(told)
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000/dashboard");
    for line in smol::block_on(watch(url))? {
        eprintln!("{line}");
    }
    Ok(())
}
