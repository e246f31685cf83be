//! An error that serde can serialize: its words and its data would both do.

use std::fmt;

#[derive(Debug, serde::Serialize)]
struct Both;

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("words")
    }
}

impl std::error::Error for Both {}

async fn answer(question: String) -> Result<usize, Both> {
    Ok(question.len())
}

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Ask", answer);
}
