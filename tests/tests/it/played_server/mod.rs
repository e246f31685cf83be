//! The client over real sockets, against a server that the test plays message by message.

mod handlers;
mod messages;

use std::net::{TcpListener, TcpStream};

use std::time::Duration;

use signalr::HubConnection;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocket<TcpStream>;

/// Takes connections one after another and hands each over when its handshake is done.
fn server(mut behave: impl FnMut(Socket) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut socket = tungstenite::accept(stream).unwrap();
            assert!(next(&mut socket).contains("\"protocol\""));
            say(&mut socket, "{}");
            behave(socket);
        }
    });
    url
}

fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(format!("{text}\u{1e}"))).unwrap();
}

/// What the client says next, pings of SignalR left out.
fn next(socket: &mut Socket) -> String {
    loop {
        let text = match socket.read() {
            Ok(Message::Text(text)) => text.replace("{\"type\":6}\u{1e}", ""),
            Ok(Message::Pong(payload)) => format!("pong {}", String::from_utf8_lossy(&payload)),
            Ok(_) => continue,
            Err(_) => return "the end".to_owned(),
        };
        if !text.is_empty() {
            return text;
        }
    }
}

fn connection(url: &str) -> HubConnection {
    HubConnection::builder(url)
        .skip_negotiation(true)
        .close_timeout(Duration::from_secs(1))
        .build()
        .unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens")
}
