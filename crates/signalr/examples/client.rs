//! A chat client: `cargo run -p signalr --example client -- http://localhost:5000/chat me`
//!
//! Expects a hub with a method `Send(user, text)` that calls `Receive(user, text)` on everybody.

use signalr::{HubConnection, ReconnectPolicy};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let url = words
        .next()
        .unwrap_or_else(|| "http://localhost:5000/chat".into());
    let me = words.next().unwrap_or_else(|| "me".into());

    let connection = HubConnection::builder(url)
        .automatic_reconnect(ReconnectPolicy::standard())
        .build()?;
    connection.on("Receive", |(user, text): (String, String)| {
        eprintln!("{user}: {text}")
    });
    connection.on_reconnecting(|reason| eprintln!("({reason}; reconnecting)"));
    connection.start().await?;

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        connection.invoke::<()>("Send", (&me, line)).await?;
    }
    connection.stop().await;
    Ok(())
}
