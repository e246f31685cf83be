//! A hub as a tower service: from HTTP requests to connections.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use signalr_proto::server::ConnectionKey;
use signalr_proto::server::{
    Arrival, FreshIds, Identity, RequestHead, Resource, ServerConnection, Verdict,
};
use tower_service::Service;

use crate::body::HubBody;
use crate::connection::{Answered, Connection, Exchange, Incoming, Mailbox};
use crate::ids::fresh_id;
use crate::limit::{self, ConnectionPermit, NotAdmitted};
use crate::locks::lock;
use crate::options::SlowClients;
use crate::report;
use crate::request::HubRequest;
use crate::request_body::RequestBody;
use crate::server::HubServer;
use crate::shared::{Routes, Shared};
use crate::user::User;
use crate::web_socket::Upgrade;

/// A hub as a [tower](tower_service::Service) service, for any web server whose requests hyper can upgrade.
///
/// It answers the hub's own path and, below it, `negotiate` and `refresh`. How the path in front of it was matched is the
/// router's business: mount it for the path and for everything below.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// # use signalr_server::{Hub, HubMethods, HubServer};
/// # struct Chat;
/// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
/// # let rt = tokio::runtime::Runtime::new().unwrap();
/// # let _context = rt.enter();
/// let hub = HubServer::new(Chat).unwrap();
/// let app: axum::Router = axum::Router::new().nest_service("/chat", hub.service());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HubService {
    hub: HubServer,
    /// What it is mounted for, where the router knows: else the path of each request tells.
    resource: Option<Resource>,
}

impl HubServer {
    /// This hub as a service.
    #[must_use]
    pub fn service(&self) -> HubService {
        HubService {
            hub: self.clone(),
            resource: None,
        }
    }

    /// The same for one part of the hub only.
    #[cfg(feature = "axum")]
    pub(crate) fn service_of(&self, resource: Resource) -> HubService {
        HubService {
            resource: Some(resource),
            ..self.service()
        }
    }
}

impl<B> Service<Request<B>> for HubService
where
    B: Body + Send + 'static,
{
    type Response = Response<HubBody>;
    type Error = Infallible;
    type Future = HubFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> HubFuture {
        let asked = Asked::new(request, self.resource);
        let shared = Arc::clone(&self.hub.shared);
        HubFuture(Box::pin(async move {
            let Answered { response, unread } = answer(&shared, asked).await;
            if let Incoming::Body(body) = unread {
                body.drain(&shared.clock);
            }
            response
        }))
    }
}

/// The answer to a request, when it is there. For a long poll that may be in a minute.
#[must_use = "futures do nothing unless they are polled"]
pub struct HubFuture(BoxFuture<'static, Response<HubBody>>);

impl Future for HubFuture {
    type Output = Result<Response<HubBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for HubFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubFuture").finish_non_exhaustive()
    }
}

/// A request, taken apart.
struct Asked {
    method: http::Method,
    resource: Resource,
    request: HubRequest,
    incoming: Incoming,
}

impl Asked {
    fn new<B: Body + Send + 'static>(mut request: Request<B>, resource: Option<Resource>) -> Self {
        let upgrade = Upgrade::of(&mut request);
        name_host(&mut request);
        let (head, body) = request.into_parts();
        let mut extensions = head.extensions;
        // Whoever keeps it would keep the web server's connection.
        extensions.remove::<OnUpgrade>();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let incoming = match upgrade {
            Some(upgrade) => Incoming::Upgrade(upgrade),
            None => Incoming::Body(RequestBody::new(body, &head.headers)),
        };
        Self {
            resource: resource.unwrap_or_else(|| Resource::of(path)),
            request: HubRequest::with_extensions(path, query, head.headers, extensions),
            method: head.method,
            incoming,
        }
    }
}

impl Asked {
    /// Its head as the endpoint reads it.
    fn head<'a>(&'a self, identity: Option<&'a Identity>) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            resource: self.resource,
            query: self.request.query(),
            headers: self.request.headers(),
            upgrade: matches!(self.incoming, Incoming::Upgrade(_)),
            identity,
        }
    }
}

/// HTTP/2 names the host in the request's address, and the endpoint looks for it among the headers.
fn name_host<B>(request: &mut Request<B>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let authority = request.uri().authority().map(|authority| {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        HeaderValue::from_str(host)
    });
    if let Some(Ok(host)) = authority {
        request.headers_mut().insert(header::HOST, host);
    }
}

async fn answer(shared: &Arc<Shared>, asked: Asked) -> Answered {
    let user = match authorized(shared, &asked.request).await {
        Ok(user) => user,
        Err(denied) => {
            return Answered {
                response: asked.head(None).own_answer(denied).map(HubBody::whole),
                unread: asked.incoming,
            };
        }
    };
    let routed = route(shared, &asked, user.as_ref());
    // While a request waits nothing may be left of its head: that is part of the buffer which the web server reads into.
    let Asked {
        incoming, request, ..
    } = asked;
    if let Routed::Respond(response) = &routed {
        tell_of_refusal(&request, response);
    }
    drop(request);
    match routed {
        Routed::Respond(response) => Answered {
            response: response.map(HubBody::whole),
            unread: incoming,
        },
        Routed::To(connection, arrival) => {
            let answered = exchange(&connection, *arrival, incoming, user);
            drop(connection);
            answered.await
        }
    }
}

/// Who sent a request, or the answer to somebody who is not let in.
async fn authorized(
    shared: &Shared,
    request: &HubRequest,
) -> Result<Option<User>, Response<Bytes>> {
    let Some(authorize) = &shared.authorize else {
        return Ok(None);
    };
    let decision = AssertUnwindSafe(async { authorize(request.clone()).await });
    match decision.catch_unwind().await {
        Ok(Ok(user)) => Ok(user),
        Ok(Err(denial)) => {
            let response = denial.into_response();
            let (path, status) = (request.path(), response.status().as_u16());
            tracing::info!(path, status, "a request was not authorized");
            Err(response)
        }
        Err(panic) => {
            report::not_judged(request.path(), &*panic);
            Err(status(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// The words of a refusal are the endpoint's own and name no tokens.
fn tell_of_refusal(request: &HubRequest, response: &Response<Bytes>) {
    let (path, status) = (request.path(), response.status());
    if !status.is_client_error() {
        return;
    }
    let reason = std::str::from_utf8(response.body()).unwrap_or_default();
    let status = status.as_u16();
    if matches!(response.status(), StatusCode::FORBIDDEN) {
        let origin = request.header("origin");
        tracing::info!(path, status, origin, reason, "a request was refused");
    } else {
        tracing::debug!(path, status, reason, "a request was refused");
    }
}

enum Routed {
    Respond(Response<Bytes>),
    To(Arc<Connection>, Box<Arrival>),
}

fn route(shared: &Arc<Shared>, asked: &Asked, user: Option<&User>) -> Routed {
    let identity = shared.identity(&asked.request, user);
    let head = asked.head(identity.as_ref());
    let mut routes = lock(&shared.routes);
    // Those who are here still have to fetch their Close messages.
    let shutting_down = shared.shutting_down.load(Ordering::SeqCst);
    if shutting_down && head.resource == Resource::Negotiate {
        return refuse(&head, StatusCode::SERVICE_UNAVAILABLE);
    }
    let now = shared.clock.now();
    match routes.endpoint.handle(now, fresh_ids, &head) {
        Verdict::Respond(response) => {
            sweep(shared, &mut routes);
            Routed::Respond(response)
        }
        Verdict::Open { key, .. } if shutting_down => {
            routes.endpoint.closed(key);
            refuse(&head, StatusCode::SERVICE_UNAVAILABLE)
        }
        Verdict::Open {
            key,
            ids,
            connection,
            arrival,
        } => {
            let permits = match limit::permits(&shared.limits, &asked.request, user) {
                Ok(permits) => permits,
                Err(reason) => {
                    routes.endpoint.closed(key);
                    return refuse(&head, status_of(&reason, &asked.request));
                }
            };
            let opened = open(shared, asked, user, key, &ids, connection, permits);
            routes.connections.insert(key, Arc::clone(&opened));
            Routed::To(opened, Box::new(arrival))
        }
        Verdict::Join { key, arrival } => match routes.connections.get(&key) {
            Some(connection) => Routed::To(Arc::clone(connection), Box::new(arrival)),
            None => Routed::Respond(arrival.gone()),
        },
    }
}

fn status_of(reason: &NotAdmitted, request: &HubRequest) -> StatusCode {
    match reason {
        NotAdmitted::Crowded => StatusCode::TOO_MANY_REQUESTS,
        NotAdmitted::Panicked(panic) => {
            report::not_judged(request.path(), &**panic);
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn open(
    shared: &Arc<Shared>,
    asked: &Asked,
    user: Option<&User>,
    key: ConnectionKey,
    ids: &FreshIds,
    machine: Box<ServerConnection>,
    permits: Vec<ConnectionPermit>,
) -> Arc<Connection> {
    let options = &shared.options;
    // No sender of a farm can be made to wait, so that without a budget memory would have no bound.
    let waits = options.slow_clients == SlowClients::Wait;
    let slow_clients = if waits && shared.farm.is_some() {
        SlowClients::Disconnect
    } else {
        options.slow_clients
    };
    let mailbox = Mailbox::new(
        options.outgoing_limit,
        options.outgoing_budget,
        slow_clients,
        Arc::clone(&shared.slow_counters),
    );
    let connection = Arc::new(Connection::new(
        key,
        &ids.connection_id,
        asked.request.kept(),
        user.cloned(),
        mailbox,
    ));
    (shared.attend)(shared, &connection, machine, permits);
    connection
}

/// Hands a request to its connection. Gives the answer when it is there.
fn exchange(
    connection: &Connection,
    arrival: Arrival,
    incoming: Incoming,
    user: Option<User>,
) -> impl Future<Output = Answered> + use<> {
    let (answer, answered) = oneshot::channel();
    let port = arrival.port;
    let arrived = connection.mailbox.arrive(Box::new(Exchange {
        arrival,
        user,
        incoming,
        answer,
    }));
    async move {
        if let Err(exchange) = arrived {
            exchange.gone();
        }
        answered.await.unwrap_or_else(|oneshot::Canceled| {
            let lost = status(StatusCode::INTERNAL_SERVER_ERROR);
            Answered {
                response: port.own_answer(lost).map(HubBody::whole),
                unread: Incoming::Nothing,
            }
        })
    }
}

/// What is not let in, although the endpoint would have let it.
fn refuse(head: &RequestHead<'_>, code: StatusCode) -> Routed {
    Routed::Respond(head.own_answer(status(code)))
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Has negotiations that nobody comes back for forgotten in time.
fn sweep(shared: &Arc<Shared>, routes: &mut Routes) {
    if routes.swept || routes.endpoint.poll_timeout().is_none() {
        return;
    }
    routes.swept = true;
    let (clock, shared) = (shared.clock.clone(), Arc::downgrade(shared));
    let task = clock.clone();
    clock.spawn(async move {
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let wait = {
                let mut routes = lock(&shared.routes);
                let now = task.now();
                routes.endpoint.handle_timeout(now);
                let Some(deadline) = routes.endpoint.poll_timeout() else {
                    routes.swept = false;
                    return;
                };
                deadline.since(now)
            };
            drop(shared);
            task.sleep(wait).await;
        }
    });
}

/// Two ids of 128 random bits each.
fn fresh_ids() -> FreshIds {
    FreshIds {
        connection_id: fresh_id(),
        connection_token: fresh_id(),
    }
}
