//! An error without words.

struct Odd;

async fn answer(question: String) -> Result<usize, Odd> {
    Ok(question.len())
}

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Ask", answer);
}
