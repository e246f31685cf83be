//! The page's own server, and what the page reports to it.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use http::header;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Serves the page until it is dropped.
pub(crate) struct Site {
    /// Its address, by a name, so that the hubs are not even of the same site.
    pub(crate) url: String,
    /// One line after the other, as the page reports them.
    pub(crate) reports: mpsc::UnboundedReceiver<String>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Site {
    /// Serves the page with the packages in this folder, and the official suite if there is one.
    pub(crate) async fn open(packages: &Path, suite: Option<&Path>) -> Self {
        let (tell, reports) = mpsc::unbounded_channel();
        let client =
            read(&packages.join("node_modules/@microsoft/signalr/dist/browser/signalr.min.js"));
        let msgpack = read(&packages.join(
            "node_modules/@microsoft/signalr-protocol-msgpack/dist/browser/signalr-protocol-msgpack.min.js",
        ));
        let mut router = Router::new()
            .route("/", file("text/html", include_str!("page.html").to_owned()))
            .route("/page.js", file(SCRIPT, include_str!("page.js").to_owned()))
            .route("/signalr.js", file(SCRIPT, client))
            .route("/msgpack.js", file(SCRIPT, msgpack))
            .route(
                "/report",
                post(async move |line: Bytes| {
                    // Nobody listens any more once the test is over.
                    let _ = tell.send(String::from_utf8_lossy(&line).into_owned());
                }),
            );
        if let Some(suite) = suite {
            router = router.route("/suite.js", file(SCRIPT, read(suite)));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            url: format!("http://localhost:{port}"),
            reports,
            server: tokio::spawn(async move { axum::serve(listener, router).await }),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const SCRIPT: &str = "text/javascript";

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn file(kind: &'static str, text: String) -> axum::routing::MethodRouter {
    get(async move || ([(header::CONTENT_TYPE, kind)], text))
}
