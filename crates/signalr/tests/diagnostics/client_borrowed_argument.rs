//! An argument is borrowed.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Say", |_: &str| {});
}
