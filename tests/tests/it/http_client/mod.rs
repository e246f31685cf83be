//! How requests share connections, cookies and redirects, over real sockets.

mod cookies;
mod odd_answers;
mod pool;
mod redirects;

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request, Response};
use signalr_client::WsMessage;
use signalr_client::{HubConnection, Limits};
use signalr_net::{NetBody, NetError, NetOptions, NetTransport, NoCookies, Proxy, Runtime};
use signalr_tests::wire::{Heard, Peer, Wire};
use signalr_tokio::Tokio;
use tokio::time::timeout;
use tungstenite::protocol::Role;

type Body = NetBody<<Tokio as Runtime>::Stream>;

const PATIENCE: Duration = Duration::from_secs(10);
const OFFER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

fn client() -> NetTransport<Tokio> {
    let options = NetOptions::default()
        .limits(Limits::CLIENT)
        .proxy(Proxy::none());
    NetTransport::new(Tokio::default(), options).unwrap()
}

fn request(method: Method, url: impl AsRef<str>) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(url.as_ref())
        .header("authorization", "Bearer t")
        .body(Bytes::new())
        .unwrap()
}

async fn send(
    client: &NetTransport<Tokio>,
    request: Request<Bytes>,
) -> Result<Response<Body>, NetError> {
    timeout(PATIENCE, client.request(request))
        .await
        .expect("the request was never answered")
}

async fn text(mut body: Body) -> Result<String, NetError> {
    let mut text = String::new();
    while let Some(chunk) = timeout(PATIENCE, body.next()).await.expect("no end came") {
        text += &String::from_utf8_lossy(&chunk?);
    }
    Ok(text)
}

async fn ask(
    client: &NetTransport<Tokio>,
    method: Method,
    url: String,
) -> Result<String, NetError> {
    text(send(client, request(method, url)).await?.into_body()).await
}

/// Waits for a word of a server's thread, and until the reactor has seen what that thread did to its sockets before.
async fn told<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> T {
    let word = tokio::task::spawn_blocking(move || receiver.recv_timeout(PATIENCE)).await;
    tokio::task::yield_now().await;
    word.unwrap().expect("the server never got there")
}

/// A channel whose sender threads may share.
fn channel<T: Send>() -> (impl Fn(T) + Send + Sync, mpsc::Receiver<T>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let send = move |value| {
        let _ = sender.lock().unwrap().send(value);
    };
    (send, receiver)
}

/// Answers every request of a connection in turn.
fn answering(answer: impl Fn(&mut Peer, Heard) + Send + Sync + 'static) -> Wire {
    Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            peer.note(&heard.line);
            answer(&mut peer, heard);
        }
    })
    .unwrap()
}

/// Answers the opening of a WebSocket, with more headers.
fn accept(peer: &mut Peer, heard: &Heard, headers: &str) {
    let key =
        tungstenite::handshake::derive_accept_key(heard.header("sec-websocket-key").as_bytes());
    peer.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}Sec-WebSocket-Accept: {key}\r\n\r\n"
    ));
}

/// A hub that accepts the handshake and then listens.
fn hub(peer: &Peer) {
    let stream = peer.stream.try_clone().unwrap();
    let mut socket = tungstenite::WebSocket::from_raw_socket(stream, Role::Server, None);
    if socket.read().is_ok() {
        let _ = socket.send(tungstenite::Message::text("{}\u{1e}"));
    }
    // The client says goodbye first.
    while socket
        .read()
        .is_ok_and(|message| !message.to_string().contains("\"type\":7"))
    {}
    let _ = socket.close(None);
    while socket.read().is_ok() {}
    let _ = peer.stream.shutdown(std::net::Shutdown::Both);
}
