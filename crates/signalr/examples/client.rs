//! A chat client: `cargo run -p signalr --example client -- http://127.0.0.1:5000/chat me`
//!
//! Expects a hub with a method `Send(user, text)` that calls `Receive(user, text)` on everybody, as the example `chat` has.

use signalr::{HubConnection, ReconnectPolicy};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, stdin};

/// Says each line of the input, until it ends.
pub(crate) async fn chat(
    url: &str,
    me: &str,
    input: impl AsyncBufRead + Unpin,
) -> Result<(), Box<dyn std::error::Error>> {
    let connection = HubConnection::builder(url)
        .automatic_reconnect(ReconnectPolicy::standard())
        .build()?;
    connection.on("Receive", |user: String, text: String| {
        eprintln!("{user}: {text}")
    });
    connection.on_reconnecting(|reason| eprintln!("({reason}; reconnecting)"));
    connection.start().await?;

    let mut lines = input.lines();
    while let Some(line) = lines.next_line().await? {
        connection.call("Send", (me, line)).await?;
    }
    connection.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let url = words.next();
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000/chat");
    let me = words.next().unwrap_or_else(|| "me".into());
    chat(url, &me, BufReader::new(stdin())).await
}
