//! Parameters are no tuple.

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    connection.on("Say", |(user, text): (String, String)| println!("{user}: {text}"));
}
