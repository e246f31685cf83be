//! What the test hubs answer beside the hubs: a service in front of them, their administration, CORS.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use signalr_server::HubServer;

use super::{Class, World};

/// The negotiate answers that only a service in front of a hub gives.
pub(super) fn services() -> Router {
    Router::new()
        .route("/redirect/negotiate", post(redirect))
        .route("/loop/negotiate", post(endless))
        .route(
            "/refused/negotiate",
            post(async || json(r#"{"error":"This connection is not allowed."}"#)),
        )
        .route(
            "/broken/negotiate",
            post(async || ([(header::CONTENT_TYPE, "application/json")], "not json")),
        )
        .route(
            "/classic/negotiate",
            post(async || json(r#"{"protocolVersion":"1.5","url":"/signalr"}"#)),
        )
        .route(
            "/unavailable/negotiate",
            post(async || StatusCode::SERVICE_UNAVAILABLE),
        )
}

async fn redirect(headers: HeaderMap) -> impl IntoResponse {
    let host = host(&headers);
    json(format!(
        r#"{{"url":"http://{host}/auth?via=redirect","accessToken":"alice"}}"#
    ))
}

async fn endless(headers: HeaderMap) -> impl IntoResponse {
    let host = host(&headers);
    json(format!(r#"{{"url":"http://{host}/loop"}}"#))
}

fn json(text: impl Into<Body>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (kind, text.into())
}

fn host(headers: &HeaderMap) -> &str {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1")
}

pub(super) fn administration(world: World) -> Router {
    Router::new()
        .route(
            "/admin/abort/{id}",
            post(async |State(world): State<World>, Path(id): Path<String>| {
                close(&world, &id, false).await
            }),
        )
        .route(
            "/admin/request-close/{id}",
            post(async |State(world): State<World>, Path(id): Path<String>| {
                close(&world, &id, true).await
            }),
        )
        .route(
            "/admin/cut/{id}",
            post(async |State(world): State<World>, Path(id): Path<String>| {
                found(&world, |server| server.cut(&id))
            }),
        )
        .route("/admin/send/{id}/{method}/{count}", post(send))
        .route(
            "/admin/counters",
            get(async |State(world): State<World>| {
                json(serde_json::json!(world.counters()).to_string())
            }),
        )
        .route(
            "/admin/tasks",
            get(async || {
                // Another runtime does not tell.
                let tokio = tokio::runtime::Handle::try_current().ok();
                let tasks = tokio.map_or(0, |tokio| tokio.metrics().num_alive_tasks());
                json(tasks.to_string())
            }),
        )
        .with_state(world)
}

async fn close(world: &World, id: &str, allow_reconnect: bool) -> StatusCode {
    for server in world.servers() {
        if server.close(id, allow_reconnect).await == Ok(true) {
            return StatusCode::OK;
        }
    }
    StatusCode::NOT_FOUND
}

fn found(world: &World, act: impl Fn(&HubServer) -> bool) -> StatusCode {
    if world.servers().iter().any(act) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

/// Reaches the plain test hub's clients only; nobody is told when there is no such client.
async fn send(
    State(world): State<World>,
    Path((id, method, count)): Path<(String, String, String)>,
) -> StatusCode {
    let Ok(count) = count.parse::<i32>() else {
        return StatusCode::NOT_FOUND;
    };
    for (_, clients) in world.clients(Class::Test) {
        for number in 0..count {
            let sent = clients.client(&id).send(&method, (number,)).await;
            if sent.is_err() {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
    }
    StatusCode::OK
}

/// Lets pages of any origin do anything, with their cookies.
pub(super) async fn cross_origin(request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let mut response = match preflight(&request) {
        Some(answer) => answer,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// The answer to a browser that asks before it sends the request itself.
fn preflight(request: &Request) -> Option<Response> {
    let asked = request.headers();
    let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if request.method() != Method::OPTIONS {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    Some(response)
}
