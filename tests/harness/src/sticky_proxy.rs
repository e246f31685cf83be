//! What stands in front of a farm: a proxy that gives new clients to its servers in turn, and all further requests of a connection
//! to the server that has it.
//!
//! Whose a request is shows in its `id`, the token that the server gave with the answer to negotiate. Stock load balancers do the
//! same with a cookie.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use hyper_util::rt::TokioIo;
use signalr_proto::server::query_parameter;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// More than any answer to negotiate.
const MAX_ANSWER: usize = 64 << 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running proxy. It accepts nobody any more once it is dropped.
#[derive(Debug)]
pub struct StickyProxy {
    address: SocketAddr,
    accepting: AbortHandle,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    servers: Vec<SocketAddr>,
    turns: AtomicUsize,
    /// Which server has which connection, by its token.
    owners: Mutex<HashMap<String, SocketAddr>>,
}

impl StickyProxy {
    /// Listens on a free port of this machine, in front of these servers.
    ///
    /// # Errors
    /// When nobody can listen.
    pub async fn start(servers: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            servers,
            turns: AtomicUsize::new(0),
            owners: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            accepting: serving.abort_handle(),
            shared,
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that began something, and so were given to the servers in turn.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.shared.turns.load(Ordering::Relaxed)
    }
}

impl Drop for StickyProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn next(&self) -> Option<SocketAddr> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.servers.len())?;
        self.servers.get(index).copied()
    }

    fn owner(&self, request: &Request) -> Option<SocketAddr> {
        let query = request.uri().query().unwrap_or_default();
        let token = query_parameter(query, "id");
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = token.and_then(|token| owners.get(&*token).copied());
        drop(owners);
        owner.or_else(|| self.next())
    }

    /// Learns from an answer to negotiate whose connection that is.
    fn learn(&self, answer: &[u8], server: SocketAddr) {
        let Ok(answer) = serde_json::from_slice::<serde_json::Value>(answer) else {
            return;
        };
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for member in ["connectionToken", "connectionId"] {
            if let Some(token) = answer.get(member).and_then(serde_json::Value::as_str) {
                owners.insert(token.to_owned(), server);
            }
        }
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let passed = if path.starts_with("/admin/") && !path.starts_with("/admin/send/") {
        ask_all(&shared, request).await
    } else {
        pass_on(&shared, request, &path).await
    };
    passed.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

async fn pass_on(shared: &Shared, request: Request, path: &str) -> Result<Response, Failure> {
    let server = shared.owner(&request).ok_or("there are no servers")?;
    let response = forward(server, request).await?;
    if !path.ends_with("/negotiate") {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await?;
    shared.learn(&body, server);
    Ok(Response::from_parts(head, body.into()))
}

/// One of the servers has the connection that this is about.
async fn ask_all(shared: &Shared, request: Request) -> Result<Response, Failure> {
    // None of these requests has a body.
    let (head, _) = request.into_parts();
    let mut answer = StatusCode::NOT_FOUND.into_response();
    for server in &shared.servers {
        let copy = Request::from_parts(head.clone(), Body::empty());
        let response = forward(*server, copy).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        answer = response;
    }
    Ok(answer)
}

/// Each request has a connection of its own, which becomes a tunnel when both sides want to speak another protocol.
async fn forward(server: SocketAddr, mut request: Request) -> Result<Response, Failure> {
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let client = hyper::upgrade::on(&mut request);
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str()).parse()?;
    *request.uri_mut() = path;
    let socket = TcpStream::connect(server).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if upgrades && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let (client, server) = tokio::try_join!(client, server)?;
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            Ok::<_, Failure>(())
        });
    }
    Ok(response.map(Body::new))
}
