//! Code around all calls of a hub: `cargo run -p signalr --example filter`, then
//! `signalr invoke http://127.0.0.1:5000/guestbook Sign '  HELLO  '`.
//!
//! The log goes to standard error; `RUST_LOG=signalr_server=debug` shows each call.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use signalr::server::{
    BuildError, CallContext, Hub, HubCall, HubError, HubFilter, HubMethods, HubReply, HubServer,
    LogCalls, Next, NextConnected, RateLimit, serve,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

struct Guestbook;

impl Guestbook {
    async fn sign(self: Arc<Self>, text: String) -> String {
        format!("thank you for '{text}'")
    }
}

impl Hub for Guestbook {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Sign", Self::sign);
    }
}

/// Trims what is written into the book, refuses what is empty then, and does not welcome robots.
struct Tidy;

impl HubFilter for Tidy {
    fn call<'a>(
        &'a self,
        mut call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            let text: String = call.argument(0)?;
            if text.trim().is_empty() {
                return Err(HubError::new("write something"));
            }
            call.set_argument(0, text.trim())?;
            next.run(call).await
        })
    }

    fn connected<'a>(
        &'a self,
        context: CallContext,
        next: NextConnected<'a>,
    ) -> BoxFuture<'a, Result<(), HubError>> {
        Box::pin(async move {
            match context.query("robot") {
                Some(_) => Err(HubError::new("no robots")),
                None => next.run(context).await,
            }
        })
    }
}

pub(crate) fn app() -> Result<Router, BuildError> {
    let hub = HubServer::builder(Guestbook)
        // The first is the outermost: what the others refuse is logged, too.
        .filter(LogCalls::new())
        .filter(RateLimit::new(5, Duration::from_secs(1)))
        .filter(Tidy)
        .build()?;
    Ok(Router::new().merge(hub.router("/guestbook")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::from_default_env())
        .init();
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/guestbook", listener.local_addr()?);
    serve(listener, app()?).await?;
    Ok(())
}
