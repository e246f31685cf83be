//! A client in a program without async: `cargo run -p signalr --example plain_thread --features blocking -- http://127.0.0.1:5000/chat`
//!
//! Expects the hub of the example `chat`.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use signalr::HubConnection;

/// Says something, and gives what everybody said until then.
pub(crate) fn play(url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let connection = HubConnection::builder(url).build_blocking()?;
    let (heard, hears) = mpsc::channel();
    connection.on("Receive", move |user: String, text: String| {
        drop(heard.send(format!("{user}: {text}")));
    });
    connection.start()?;
    let patient = connection.timeout(Duration::from_secs(10));
    patient.call("Send", ("plain", "hello"))?;

    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "plain: hello") {
        lines.push(hears.recv_timeout(Duration::from_secs(10))?);
    }
    connection.stop();
    Ok(lines)
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    for line in play(url.as_deref().unwrap_or("http://127.0.0.1:5000/chat"))? {
        eprintln!("{line}");
    }
    Ok(())
}
