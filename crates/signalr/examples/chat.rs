//! A chat with a page for the browser: `cargo run -p signalr --example chat`, then open <http://127.0.0.1:5000>.
//!
//! The page uses Microsoft's JavaScript client. Install it once, in the directory where you start the example:
//! `npm install @microsoft/signalr`. The example `client` chats here, too:
//! `cargo run -p signalr --example client -- http://127.0.0.1:5000/chat me`.
//!
//! With `--redis redis://HOST:PORT`, all chats around that Redis are one; `--listen HOST:PORT` gives each a place of its own.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use signalr::RedisBackplane;
use signalr::server::{CallContext, DisconnectReason, Hub, HubError, HubMethods, HubServer, serve};
use tokio::net::TcpListener;

/// Where npm puts the client.
const CLIENT: &str = "node_modules/@microsoft/signalr/dist/browser/signalr.min.js";

struct Chat;

impl Chat {
    async fn send(
        self: Arc<Self>,
        context: CallContext,
        user: String,
        text: String,
    ) -> Result<(), HubError> {
        if text.trim().is_empty() {
            return Err(HubError::new("there is nothing to say"));
        }
        context
            .clients()
            .all()
            .send("Receive", (user, text))
            .await?;
        Ok(())
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Send", Self::send);
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        let others = context.others();
        others.send("Receive", ("chat", "somebody came")).await?;
        Ok(())
    }

    async fn on_disconnected(&self, context: &CallContext, _reason: &DisconnectReason) {
        // Text can always be encoded, and nothing else can go wrong.
        let others = context.others();
        let _ = others.send("Receive", ("chat", "somebody left")).await;
    }
}

/// The hub, and the application with its page.
pub(crate) fn app(redis: Option<&str>) -> Result<(HubServer, Router), Box<dyn Error>> {
    let mut hub = HubServer::builder(Chat);
    if let Some(url) = redis {
        // What a .NET server of the same farm has: the class `Chat.ChatHub`, and the channel prefix `chat`.
        hub = hub
            .backplane("Chat.ChatHub", RedisBackplane::open(url)?)
            .configure_backplane(|config| config.prefix = "chat".into());
    }
    let hub = hub.build()?;
    let app = Router::new()
        .route("/", get(async || Html(include_str!("chat.html"))))
        .route("/signalr.js", get(client))
        .merge(hub.router("/chat"));
    Ok((hub, app))
}

async fn client() -> impl IntoResponse {
    match tokio::fs::read(CLIENT).await {
        Ok(script) => Ok(([(header::CONTENT_TYPE, "text/javascript")], script)),
        Err(_) => Err((StatusCode::NOT_FOUND, format!("there is no {CLIENT}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut listen, mut redis) = ("127.0.0.1:5000".to_owned(), None);
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), value) = (arguments.next(), arguments.next()) {
        match (name.as_str(), value) {
            ("--listen", Some(address)) => listen = address,
            ("--redis", Some(url)) => redis = Some(url),
            _ => return Err("usage: chat [--listen HOST:PORT] [--redis URL]".into()),
        }
    }
    let (hub, app) = app(redis.as_deref())?;
    let listener = TcpListener::bind(listen).await?;
    eprintln!("http://{}", listener.local_addr()?);
    serve(listener, app)
        .with_graceful_shutdown(async move {
            drop(tokio::signal::ctrl_c().await);
            // Tells the clients to come back later, and waits until they are gone.
            hub.shutdown().await;
        })
        .await?;
    Ok(())
}
