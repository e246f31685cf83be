//! Our own server, in this process.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use signalr_harness::hubs::on_smol::{self, OnSmol};
use signalr_harness::hubs::{World, test_hubs, test_hubs_on};

use crate::Failure;

/// The test hubs, served for as long as the program runs.
#[derive(Clone, Debug)]
pub struct Own {
    /// Their address.
    pub url: String,
    /// What is behind them.
    pub world: World,
}

/// Serves the test hubs on a free port.
///
/// # Errors
/// When there is none.
pub fn start() -> Result<Own, Failure> {
    let (router, world) = test_hubs()?;
    let url = serve((Ipv4Addr::LOCALHOST, 0).into(), router)?;
    Ok(Own { url, world })
}

/// The same without tokio: on smol, by hyper.
///
/// # Errors
/// When there is no free port.
pub fn start_on_smol() -> Result<Own, Failure> {
    let (router, world) = test_hubs_on(OnSmol)?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    let listener = smol::Async::new(listener)?.into();
    smol::spawn(on_smol::serve(listener, router)).detach();
    Ok(Own { url, world })
}

/// Serves anything as applications serve a hub, on a thread of its own: what it allocates is not counted as the client's. Gives the
/// address.
///
/// # Errors
/// When nobody can listen there.
pub fn serve(address: SocketAddr, router: Router) -> Result<String, Failure> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            signalr_server::serve(listener, router).await
        })
    });
    Ok(url)
}
