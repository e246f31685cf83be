//! Socket.IO as socketioxide's own examples serve it: the event `echo` is acknowledged with its argument.
//!
//! Prints `READY http://127.0.0.1:PORT` and ends with its standard input.

use axum::serve::ListenerExt as _;
use signalr_bench::Failure;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

fn connected(socket: SocketRef) {
    socket.on("echo", async |Data::<String>(text), ack: AckSender| {
        // Who has left needs no answer.
        let _ = ack.send(&text);
    });
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", async |socket: SocketRef| connected(socket));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("READY http://{}", listener.local_addr()?);
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
        let listener = listener.tap_io(|stream| {
            // Without it small answers may be held back.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, axum::Router::new().layer(layer)).await?)
    })
}
