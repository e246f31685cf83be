//! An argument cannot be decoded.

struct Point;

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Draw", |_: Point| {});
}
