//! The integration with axum.

use axum::Router;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, future};
use http::{HeaderMap, Method, Response, Uri};
use signalr_proto::WsMessage;

use crate::request::HubRequest;
use crate::server::{Accepted, HubServer};

impl HubServer {
    /// The routes of this hub: `path` for its connections and `path/negotiate`.
    ///
    /// ```
    /// # use signalr_server::{Hub, HubMethods, HubServer};
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// let hub = HubServer::new(Chat).unwrap();
    /// let app: axum::Router = axum::Router::new().merge(hub.router("/chat"));
    /// ```
    ///
    /// # Panics
    /// When axum does not take the path: it must begin with a slash.
    pub fn router<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        let path = path.trim_end_matches('/');
        let negotiate = {
            let hub = self.clone();
            any(
                move |method: Method, uri: Uri, headers: HeaderMap| async move {
                    respond(hub.negotiate(&method, request(&uri, headers)).await)
                },
            )
        };
        let connect = {
            let hub = self.clone();
            any(
                move |method: Method, uri: Uri, headers: HeaderMap, upgrade: Upgrade| async move {
                    connect(&hub, &method, request(&uri, headers), upgrade).await
                },
            )
        };
        // A slash at the end makes no difference, and the root is nothing but that slash.
        let routes = Router::new()
            .route(&format!("{path}/negotiate"), negotiate.clone())
            .route(&format!("{path}/negotiate/"), negotiate)
            .route(&format!("{path}/"), connect.clone());
        if path.is_empty() {
            routes
        } else {
            routes.route(path, connect)
        }
    }
}

/// The largest WebSocket frame of hubs without a limit: space for a frame is reserved as soon as its length is announced.
const MAX_FRAME: usize = 64 << 20;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

fn request(uri: &Uri, headers: HeaderMap) -> HubRequest {
    HubRequest::new(uri.path(), uri.query().unwrap_or_default(), headers)
}

fn respond(response: Response<Bytes>) -> Response<Body> {
    response.map(Body::from)
}

async fn connect(
    hub: &HubServer,
    method: &Method,
    request: HubRequest,
    upgrade: Upgrade,
) -> Response<Body> {
    let accepted = match hub.connect(method, upgrade.is_ok(), request).await {
        Ok(accepted) => accepted,
        Err(response) => return respond(response),
    };
    match upgrade {
        Ok(upgrade) => {
            let limit = hub.max_web_socket_message();
            upgrade
                .max_message_size(limit.unwrap_or(usize::MAX))
                .max_frame_size(limit.unwrap_or(MAX_FRAME))
                .on_upgrade(|socket| serve(accepted, socket))
        }
        // Only upgrades are accepted.
        Err(_) => respond(Response::new(Bytes::new())),
    }
}

async fn serve(accepted: Accepted, socket: WebSocket) {
    let (sink, stream) = socket.split();
    let outgoing = sink.with(|message| future::ready(Ok::<_, axum::Error>(to_axum(message))));
    let incoming = stream.filter_map(|message| future::ready(message.map(from_axum).transpose()));
    accepted.serve(incoming, outgoing).await;
}

fn to_axum(message: WsMessage) -> Message {
    match message {
        WsMessage::Text(bytes) => Utf8Bytes::try_from(bytes.clone())
            .map_or_else(|_| Message::Binary(bytes), Message::Text),
        WsMessage::Binary(bytes) => Message::Binary(bytes),
        WsMessage::Close(code) => Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        })),
    }
}

/// Pings and pongs are axum's own business.
fn from_axum(message: Message) -> Option<WsMessage> {
    match message {
        Message::Text(text) => Some(WsMessage::Text(text.into())),
        Message::Binary(bytes) => Some(WsMessage::Binary(bytes)),
        Message::Close(frame) => Some(WsMessage::Close(frame.map_or(1005, |frame| frame.code))),
        Message::Ping(_) | Message::Pong(_) => None,
    }
}
