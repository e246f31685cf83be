//! A client on a runtime of one thread, the connection included:
//! `cargo run -p signalr --example current_thread -- http://127.0.0.1:5000/chat`
//!
//! Expects the hub of the example `chat`.

use std::error::Error;

use signalr::HubConnection;
use tokio::sync::mpsc::unbounded_channel;

/// Says something, and gives what everybody said until then.
pub(crate) async fn play(url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let connection = HubConnection::builder(url).build()?;
    let (heard, mut hears) = unbounded_channel();
    connection.on("Receive", move |user: String, text: String| {
        drop(heard.send(format!("{user}: {text}")));
    });
    connection.start().await?;
    connection.call("Send", ("single", "hello")).await?;

    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "single: hello") {
        // The connection's task runs while this one waits, and only then: work that takes long belongs on another thread.
        lines.extend(hears.recv().await);
    }
    connection.stop().await;
    Ok(lines)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000/chat");
    for line in play(url).await? {
        eprintln!("{line}");
    }
    Ok(())
}
