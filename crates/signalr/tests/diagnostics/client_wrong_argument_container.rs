//! A single argument is a tuple, too.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    drop(connection.send("Say", "hello"));
}
