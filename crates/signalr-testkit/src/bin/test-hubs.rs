//! Serves the test hubs: `test-hubs [ADDRESS]`, by default on a free port of 127.0.0.1.
//!
//! Prints `READY http://127.0.0.1:PORT` once it listens, and exits when its standard input closes.
#![expect(
    clippy::print_stdout,
    reason = "whoever starts this program waits for its one line"
)]

use std::io::Read as _;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let (router, world) = signalr_testkit::hubs::test_hubs()?;
    let listener = TcpListener::bind(address).await?;
    println!("READY http://{}", listener.local_addr()?);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest)
    })
    .await??;
    world.shutdown().await;
    server.abort();
    Ok(())
}
