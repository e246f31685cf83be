//! Hubs to talk to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use signalr::server::{CallContext, Hub, HubError, HubMethods, HubRequest, HubServer, User};

#[derive(Debug)]
struct TestHub;

impl TestHub {
    async fn echo(self: Arc<Self>, value: signalr::server::Payload) -> signalr::server::Payload {
        value
    }

    async fn add(self: Arc<Self>, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    async fn fail(self: Arc<Self>) -> Result<(), HubError> {
        Err(HubError::new("no such luck"))
    }

    async fn fail_with(self: Arc<Self>, text: String) -> Result<(), HubError> {
        Err(HubError::new(text))
    }

    async fn user(self: Arc<Self>, context: CallContext) -> Option<String> {
        context.user_id()
    }

    async fn header(self: Arc<Self>, context: CallContext, name: String) -> Option<String> {
        context.header(&name).map(str::to_owned)
    }

    /// Says that it has begun, and waits to be cancelled.
    async fn stall(self: Arc<Self>, context: CallContext) {
        // A client that is gone need not hear it.
        let _ = context.caller().send("Stalling", ()).await;
        context.cancelled().await;
    }

    async fn count(self: Arc<Self>, items: u64) -> impl Stream<Item = u64> + Send + 'static {
        stream::iter(0..items)
    }

    async fn count_then_fail(
        self: Arc<Self>,
    ) -> impl Stream<Item = Result<u64, HubError>> + Send + 'static {
        stream::iter([Ok(1), Err(HubError::new("out of numbers"))])
    }

    async fn forever(self: Arc<Self>) -> impl Stream<Item = u64> + Send + 'static {
        stream::unfold(0, |number| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((number, number + 1))
        })
    }

    async fn abort(self: Arc<Self>, context: CallContext) {
        context.close();
    }
}

impl Hub for TestHub {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Echo", Self::echo);
        methods.on("Add", Self::add);
        methods.on("Fail", Self::fail);
        methods.on("FailWith", Self::fail_with);
        methods.on("User", Self::user);
        methods.on("Header", Self::header);
        methods.on("Stall", Self::stall);
        methods.on("Abort", Self::abort);
        methods.stream("Count", Self::count);
        methods.stream("CountThenFail", Self::count_then_fail);
        methods.stream("Forever", Self::forever);
    }

    /// Calls `Welcome` three times and `Other` once.
    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        for number in 0..3 {
            context.caller().send("Welcome", (number, "hello")).await?;
        }
        context.caller().send("Other", ()).await?;
        Ok(())
    }
}

/// Ends every connection as soon as it is made.
#[derive(Debug)]
struct Unwelcoming;

impl Hub for Unwelcoming {
    fn methods(_methods: &mut HubMethods<Self>) {}

    async fn on_connected(&self, _context: &CallContext) -> Result<(), HubError> {
        Err(HubError::new("not today"))
    }
}

/// A server with `/open` for all, `/guarded` for who has the token `secret`, and `/unwelcoming` for nobody. Lives as long as
/// the test process.
pub(crate) fn serve() -> (String, HubServer) {
    serve_at(0)
}

/// The same at this port, which has `/hub` too.
pub(crate) fn serve_at(port: u16) -> (String, HubServer) {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let open = HubServer::new(TestHub).unwrap();
            let guarded = HubServer::builder(TestHub)
                .authorize(authorize)
                .build()
                .unwrap();
            let unwelcoming = HubServer::new(Unwelcoming).unwrap();
            let app = axum::Router::new()
                .merge(unwelcoming.router("/unwelcoming"))
                .merge(open.router("/open"))
                .merge(open.router("/hub"))
                .merge(guarded.router("/guarded"));
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
                .await
                .unwrap();
            sender.send((listener.local_addr().unwrap(), open)).unwrap();
            signalr::server::serve(listener, app).await.unwrap();
        });
    });
    let (address, hub): (SocketAddr, _) = receiver.recv().unwrap();
    (format!("http://{address}"), hub)
}

async fn authorize(request: HubRequest) -> Result<Option<User>, http::StatusCode> {
    match request.bearer_token().as_deref() {
        Some("secret") => Ok(Some(User::new("ann"))),
        _ => Err(http::StatusCode::UNAUTHORIZED),
    }
}

/// A server that answers each request with what `answer` makes of its number and its first line, and closes. Without an answer
/// the connection goes to the server at `behind`.
pub(crate) fn serve_answers(
    behind: &str,
    answer: impl Fn(usize, &str) -> Option<String> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behind = behind.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let mut socket = socket.unwrap();
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).unwrap_or_default();
            request.truncate(length);
            let text = String::from_utf8_lossy(&request).into_owned();
            let first = text.lines().next().unwrap_or_default();
            if let Some(answer) = answer(number, first) {
                let _ = socket.write_all(answer.as_bytes());
                continue;
            }
            let mut server = std::net::TcpStream::connect(&behind).unwrap();
            server.write_all(&request).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), socket.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut socket, &mut server);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    format!("http://{address}")
}

/// A server that answers every request with these bytes and closes, or says nothing at all.
pub(crate) fn serve_bytes(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            match answer {
                None => silent.push(socket),
                Some(answer) => {
                    let mut request = [0; 4096];
                    let _ = socket.read(&mut request);
                    let _ = socket.write_all(answer);
                }
            }
        }
    });
    format!("http://{address}/hub")
}

/// An address where nobody listens.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/hub", listener.local_addr().unwrap())
}
