//! The types of a handler's parameters have to be written.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Say", |user, text| println!("{user}: {text}"));
}
