//! A list is no list of arguments.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    drop(connection.send("Add", vec![1, 2]));
}
