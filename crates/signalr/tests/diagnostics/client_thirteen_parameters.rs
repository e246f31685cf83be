//! One parameter too many.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on(
        "Many",
        |_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8| {},
    );
}
