//! Serves the test hubs: `test-hubs [--urls http://HOST:PORT]`, by default on a free port of 127.0.0.1.
//!
//! Prints `READY http://HOST:PORT` once it listens, and exits when its standard input closes.
#![expect(
    clippy::print_stdout,
    reason = "whoever starts this program waits for its one line"
)]

use tokio::net::TcpListener;

const USAGE: &str = "usage: test-hubs [--urls http://HOST:PORT]";

/// Where to listen, as `HOST:PORT`.
fn address(arguments: impl IntoIterator<Item = String>) -> Result<String, String> {
    let mut address = "127.0.0.1:0".to_owned();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let url = match argument.as_str() {
            "--urls" => arguments.next().ok_or(USAGE)?,
            other => other.strip_prefix("--urls=").ok_or(USAGE)?.to_owned(),
        };
        let authority = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("{url} is no http address; {USAGE}"))?;
        address = authority.trim_end_matches('/').to_owned();
    }
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = address(std::env::args().skip(1))?;
    let (router, world) = signalr_testkit::hubs::test_hubs()?;
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    println!("READY http://{}", listener.local_addr()?);
    let server = tokio::spawn(async move { signalr_server::serve(listener, router).await });
    tokio::task::spawn_blocking(|| {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())
    })
    .await??;
    world.shutdown().await;
    server.abort();
    Ok(())
}
