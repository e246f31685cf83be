//! A handler gives back what it should have awaited.

async fn look_up(name: String) -> usize {
    name.len()
}

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Find", async |name: String| look_up(name));
}
