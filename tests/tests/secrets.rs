//! Secrets stay secret: tokens, ids of connections, headers, query parameters, passwords and what messages hold show in no log,
//! error or debug output, whatever happens, on every transport.
//!
//! Everything that anybody in this program logs, the server and the libraries included, is collected at the finest level. Our own
//! server knows WebSockets only, so the other transports are proved against the official server, where there is one.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{any, post};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use signalr_client::{
    BuildError, HubConnection, HubConnectionBuilder, LifecycleEvent, NetOptions, NetTransport,
    Protocol, Proxy, ReconnectPolicy, TransportKind,
};
use signalr_tests::own::{self, Own};
use signalr_tests::reference;
use signalr_tests::wire::{Wire, http_proxy, socks_proxy};
use signalr_tokio::Tokio;

/// Every secret of this test contains it.
const CANARY: &str = "canary";

/// What messages hold.
const MESSAGE: &str = "nightingale";

/// Who shows what messages hold, at its finest level and there only: the WebSocket library, before it is encrypted.
const SHOWS_MESSAGES: &str = " TRACE tungstenite::protocol";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn install() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// What an application could print.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, value: &impl Debug) {
        let _ = writeln!(self.0, "{value:?}\n{value:#?}");
    }

    fn error(&mut self, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            let _ = writeln!(self.0, "{error}\n{error:?}");
            next = error.source();
        }
    }
}

/// What only a service or a proxy in front of a hub answers.
fn services(hub: &str) -> Router {
    let redirect = json!({ "url": format!("{hub}/auth?key=canaryredirectquery"), "accessToken": "canaryredirecttoken" });
    let offer = json!({
        "negotiateVersion": 1, "connectionId": "public", "connectionToken": "canaryconnectiontoken",
        "availableTransports": [{ "transport": "WebSockets", "transferFormats": ["Text", "Binary"] }]
    });
    let answer = |value: serde_json::Value| post(move || async move { Json(value) });
    Router::new()
        .route("/redirect/negotiate", answer(redirect))
        .route(
            "/unknown/negotiate",
            answer(json!({ "url": "ftp://host/canaryunknown", "accessToken": "canaryunknown" })),
        )
        .route(
            "/garbage/negotiate",
            post(async || "{\"connectionToken\":\"canarygarbage"),
        )
        .route("/denied/negotiate", post(async || StatusCode::UNAUTHORIZED))
        .route("/half/negotiate", answer(offer.clone()))
        .route("/half", any(async || StatusCode::UNAUTHORIZED))
        .route("/plain/negotiate", answer(offer))
        .route("/moved", any(moved))
        .route("/moved/negotiate", any(moved))
        .route("/plain", any(async || "canarybody"))
        .layer(axum::middleware::map_response(
            async |mut response: Response| {
                let cookie = HeaderValue::from_static("session=canarycookie; Path=/");
                response.headers_mut().insert(header::SET_COOKIE, cookie);
                response
            },
        ))
}

/// A redirect whose address is full of secrets.
async fn moved() -> Response {
    let to = "ftp://me:canarypassword@host/elsewhere?key=canaryquery#canaryfragment";
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// A builder full of secrets.
fn builder(url: &str) -> HubConnectionBuilder {
    HubConnection::builder(format!("{url}?key=canaryquery"))
        .token("canarytoken")
        .header("x-secret", "canaryheader")
        .header("cookie", "mine=canarycookie")
        .automatic_reconnect(ReconnectPolicy::Delays([Duration::ZERO; 3].into()))
}

async fn refused(shown: &mut Shown, builder: HubConnectionBuilder) {
    shown.debug(&builder);
    let connection = match builder.build() {
        Ok(connection) => connection,
        Err(error) => {
            shown.error(&error);
            return;
        }
    };
    let error = connection
        .start()
        .await
        .expect_err("nobody can connect there");
    shown.error(&error);
    shown.debug(&connection);
}

/// Messages full of secrets, in both directions.
async fn talk(shown: &mut Shown, connection: &HubConnection) {
    let secret = MESSAGE;
    let echo = connection.invoke::<String>("EchoText", (secret,)).await;
    assert_eq!(echo.as_deref(), Ok(secret));
    let wrong_type = connection.invoke::<bool>("EchoText", (secret,)).await;
    let wrong_arguments = connection.invoke::<i32>("Add", (secret, 2)).await;
    let no_method = connection.invoke::<bool>("NoSuchMethod", (secret,)).await;
    for outcome in [
        wrong_type.map(drop),
        wrong_arguments.map(drop),
        no_method.map(drop),
    ] {
        shown.error(&outcome.unwrap_err());
    }
    // With a handler, with one that it does not fit, and without any.
    connection.on("Fits", |_: String| ());
    connection.on("Misfits", |_: i32| ());
    for target in ["Fits", "Misfits", "Nobody"] {
        let call = connection.invoke::<()>("SendToCaller", (target, secret));
        call.await.unwrap();
    }
    shown.debug(connection);
    shown.debug(&connection.stats());
}

async fn wait_for(
    shown: &mut Shown,
    events: &mut (impl futures_util::Stream<Item = LifecycleEvent> + Unpin),
    is_it: impl Fn(&LifecycleEvent) -> bool,
) {
    let wait = async {
        while let Some(event) = events.next().await {
            shown.debug(&event);
            if is_it(&event) {
                return;
            }
        }
        panic!("the events ended");
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.expect("the event never came");
}

/// Connects, calls, loses the connection by `lose`, gets it back, stops.
async fn life(shown: &mut Shown, builder: HubConnectionBuilder, lose: impl AsyncFn(&str)) {
    shown.debug(&builder);
    let connection = builder.build().unwrap();
    let mut events = connection.events();
    connection.start().await.unwrap();
    talk(shown, &connection).await;
    let pending = connection.invoke::<String>("Slow", (60_000, MESSAGE));
    lose(&connection.connection_id().unwrap()).await;
    shown.error(&pending.await.unwrap_err());
    wait_for(shown, &mut events, |event| {
        matches!(event, LifecycleEvent::Reconnected { .. })
    })
    .await;
    shown.debug(&connection);
    connection.stop().await;
    shown.debug(&connection);
    shown.error(&connection.invoke::<i32>("Add", (1, 2)).await.unwrap_err());
}

async fn a_whole_life(shown: &mut Shown, own: &Own, builder: HubConnectionBuilder, path: &str) {
    let cut = async |id: &str| assert!(own.world.server(path).unwrap().cut(id));
    life(shown, builder, cut).await;
}

async fn everything_that_can_happen() -> Shown {
    let mut shown = Shown::default();
    let own = own::start().unwrap();
    let hub = &own.url;
    let front = own::serve((Ipv4Addr::LOCALHOST, 0).into(), services(hub)).unwrap();

    a_whole_life(&mut shown, &own, builder(&format!("{hub}/auth")), "/auth").await;
    let in_query = builder(&format!("{hub}/auth")).token_in_query(true);
    a_whole_life(&mut shown, &own, in_query, "/auth").await;
    let direct = builder(&format!("{front}/redirect")).credentials_across_origins(true);
    a_whole_life(&mut shown, &own, direct, "/auth").await;
    let host = hub.trim_start_matches("http://");
    let with_password = builder(&format!("http://me:canarypassword@{host}/hub"));
    refused(&mut shown, with_password).await;
    a_whole_life(&mut shown, &own, builder(&format!("{hub}/hub")), "/hub").await;

    for path in [
        "unknown", "garbage", "denied", "half", "plain", "moved", "nowhere",
    ] {
        let url = format!("{front}/{path}");
        refused(&mut shown, builder(&url)).await;
        refused(
            &mut shown,
            builder(&url).skip_negotiation(true).token_in_query(true),
        )
        .await;
    }
    for url in [
        "http://127.0.0.1:1/hub".to_owned(),
        "http://me:canarypassword@127.0.0.1:1/hub".to_owned(),
        "https://me:canarypassword@127.0.0.1:1/hub".to_owned(),
        front.replace("http:", "https:"),
        format!("{hub}/loop"),
        // A wrong address is shown, but for what may be a secret.
        "http://me:canary@two words/".to_owned(),
        "me:can/ary?canary@host".to_owned(),
        "http://two words/?access_token=canary".to_owned(),
        "ftp://host/#canary".to_owned(),
    ] {
        refused(&mut shown, builder(&url)).await;
    }
    behind_proxies(&mut shown, &own).await;
    mistakes(&mut shown);
    shown
}

/// With proxies that help and proxies that do not.
async fn behind_proxies(shown: &mut Shown, own: &Own) {
    let basic = "Basic bWU6Y2FuYXJ5cGFzc3dvcmQ=";
    let http = http_proxy(Some(basic)).unwrap().address;
    let socks = socks_proxy(Some(("me", "canarypassword"))).unwrap();
    let nonsense =
        Wire::serve(|mut peer| peer.answer("200 canary", "canary: canary\r\n", "canary"));
    let (socks, nonsense) = (socks.address, nonsense.unwrap().address);
    let hub = format!("{}/auth", own.url);
    let proxied = |url: String| {
        let proxy = Proxy::url(&url).unwrap();
        (builder(&hub).proxy(proxy.clone()), proxy)
    };
    for url in [
        format!("http://me:canarypassword@{http}"),
        format!("socks5://me:canarypassword@{socks}"),
    ] {
        let (builder, proxy) = proxied(url);
        shown.debug(&proxy);
        shown.debug(&NetOptions::default().proxy(proxy));
        a_whole_life(shown, own, builder, "/auth").await;
    }
    for url in [
        format!("http://me:canarywrong@{http}"),
        format!("socks5://me:canarywrong@{socks}"),
        format!("http://me:canarypassword@{nonsense}"),
        format!("https://me:canarypassword@{nonsense}"),
        format!("socks5://me:canarypassword@{nonsense}"),
        "http://me:canarypassword@127.0.0.1:1".to_owned(),
    ] {
        refused(shown, proxied(url.clone()).0).await;
        refused(shown, proxied(url).0.skip_negotiation(true)).await;
    }
    let unreadable = Proxy::from_variables(|_| Some("socks4://me:canarypassword@h".to_owned()));
    refused(shown, builder(&hub).proxy(unreadable.except(""))).await;
    for url in [
        "socks4://me:canarypassword@h",
        "http://me:canarypassword@h:x",
    ] {
        shown.error(&Proxy::url(url).unwrap_err());
    }
}

/// Asks something of the official server's administration.
async fn admin(server: &str, path: &str) {
    let request = http::Request::post(format!("{server}/admin/{path}"))
        .header(header::CONTENT_LENGTH, "0")
        .body(Bytes::new())
        .unwrap();
    let net = NetTransport::new(Tokio::default(), NetOptions::default()).unwrap();
    let answer = net.request(request).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

/// Which requests a gate answers itself.
type Refuses = fn(&Request) -> Option<Response>;

/// Stands before the official server, and knows the secret ids of its connections from the requests that name them.
#[derive(Clone)]
struct Gate {
    server: String,
    refuses: Refuses,
    ids: Arc<Mutex<BTreeSet<String>>>,
}

impl Gate {
    /// The address of the gate.
    fn open(&self, refuses: Refuses) -> String {
        let gate = Self {
            refuses,
            ..self.clone()
        };
        let router = Router::new().fallback(forward).with_state(gate);
        own::serve((Ipv4Addr::LOCALHOST, 0).into(), router).unwrap()
    }

    fn remember(&self, request: &Request) {
        let query = request.uri().query().unwrap_or_default();
        let ids = query.split('&').filter_map(|part| part.strip_prefix("id="));
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(ids.map(str::to_owned));
    }

    fn known(&self) -> BTreeSet<String> {
        let known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

async fn forward(State(gate): State<Gate>, request: Request) -> Response {
    gate.remember(&request);
    let mut response = match (gate.refuses)(&request) {
        Some(response) => response,
        None => pass_on(&gate.server, request).await,
    };
    let cookie = HeaderValue::from_static("session=canarycookie; Path=/");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

async fn pass_on(server: &str, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    head.uri = format!("{server}{}", head.uri).parse().unwrap();
    head.headers.remove(header::HOST);
    let net = NetTransport::new(Tokio::default(), NetOptions::default()).unwrap();
    let answer = net.request(Request::from_parts(head, body)).await.unwrap();
    let (mut head, body) = answer.into_parts();
    for name in [header::TRANSFER_ENCODING, header::CONNECTION] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::from_stream(body))
}

fn has(request: &Request, name: header::HeaderName, value: &str) -> bool {
    let values = request.headers().get_all(name);
    values.iter().any(|found| found == value)
}

fn denied(status: StatusCode) -> Option<Response> {
    Some((status, "canarybody").into_response())
}

fn refuses_nothing(_: &Request) -> Option<Response> {
    None
}

fn refuses_web_sockets_and_event_streams(request: &Request) -> Option<Response> {
    let refused = has(request, header::UPGRADE, "websocket")
        || has(request, header::ACCEPT, "text/event-stream");
    denied(StatusCode::SERVICE_UNAVAILABLE).filter(|_| refused)
}

fn refuses_every_transport(request: &Request) -> Option<Response> {
    let refused = !request.uri().path().ends_with("/negotiate");
    denied(StatusCode::SERVICE_UNAVAILABLE).filter(|_| refused)
}

fn refuses_the_stale_token(request: &Request) -> Option<Response> {
    let refused = has(request, header::AUTHORIZATION, "Bearer canarystale")
        && !request.uri().path().ends_with("/negotiate");
    denied(StatusCode::UNAUTHORIZED).filter(|_| refused)
}

fn takes_new_tokens(request: &Request) -> Option<Response> {
    let answer = json!({ "tokenLifetimeSeconds": 3600, "accessToken": "canaryrefreshed" });
    let is_refresh = request.uri().path().ends_with("/refresh");
    is_refresh.then(|| Json(answer).into_response())
}

const TRANSPORTS: [TransportKind; 3] = [
    TransportKind::WebSockets,
    TransportKind::ServerSentEvents,
    TransportKind::LongPolling,
];

/// Everything over every transport of the official server. Gives the secret ids that were in use.
async fn with_the_official_server(shown: &mut Shown, server: &str) -> BTreeSet<String> {
    let gate = Gate {
        server: server.to_owned(),
        refuses: refuses_nothing,
        ids: Arc::default(),
    };
    every_transport(shown, server, &gate).await;
    fallback(shown, server, &gate).await;
    renewal(shown, &gate).await;
    refresh(shown, server, &gate).await;
    stateful(shown, server).await;
    for transport in TRANSPORTS {
        let auth = builder(&format!("{server}/auth")).transports([transport]);
        refused(shown, auth.token("expired")).await;
    }
    gate.known()
}

async fn every_transport(shown: &mut Shown, server: &str, gate: &Gate) {
    let front = gate.open(refuses_nothing);
    for protocol in [Protocol::Json, Protocol::MessagePack] {
        for transport in TRANSPORTS {
            if (protocol, transport) == (Protocol::MessagePack, TransportKind::ServerSentEvents) {
                continue;
            }
            // The gate passes no WebSockets on.
            let is_socket = transport == TransportKind::WebSockets;
            let through = if is_socket { server } else { &front };
            let builder = builder(&format!("{through}/auth"))
                .transports([transport])
                .protocol(protocol);
            // There is nothing to cut between two polls.
            let is_polling = transport == TransportKind::LongPolling;
            let how = if is_polling { "request-close" } else { "cut" };
            let lose = async |id: &str| admin(server, &format!("{how}/{id}")).await;
            life(shown, builder, lose).await;
        }
    }
}

async fn fallback(shown: &mut Shown, server: &str, gate: &Gate) {
    let front = gate.open(refuses_web_sockets_and_event_streams);
    let lose = async |id: &str| admin(server, &format!("request-close/{id}")).await;
    life(shown, builder(&format!("{front}/auth")), lose).await;
    let front = gate.open(refuses_every_transport);
    let hopeless = builder(&format!("{front}/auth"));
    refused(shown, hopeless.retry_start(vec![Duration::ZERO; 2])).await;
}

/// A token that the server takes no more, once and for ever.
async fn renewal(shown: &mut Shown, gate: &Gate) {
    let front = gate.open(refuses_the_stale_token);
    let stale = |transport| builder(&format!("{front}/auth")).transports([transport]);
    for transport in [TransportKind::ServerSentEvents, TransportKind::LongPolling] {
        let tokens = Mutex::new(vec!["canaryfresh", "canarystale"]);
        let builder = stale(transport).access_token(move || {
            let token = tokens.lock().unwrap().pop();
            async move { token.expect("asked once too often").to_owned() }
        });
        let connection = builder.build().unwrap();
        connection.start().await.unwrap();
        let user = connection.invoke::<String>("UserName", ()).await;
        assert_eq!(user.as_deref(), Ok("canaryfresh"));
        talk(shown, &connection).await;
        connection.stop().await;
        refused(shown, stale(transport).token("canarystale")).await;
    }
}

async fn refresh(shown: &mut Shown, server: &str, gate: &Gate) {
    let refusing = gate.open(refuses_nothing);
    let taking = gate.open(takes_new_tokens);
    for transport in TRANSPORTS {
        let is_socket = transport == TransportKind::WebSockets;
        let refusing = if is_socket { server } else { &refusing };
        let connection = builder(&format!("{refusing}/auth")).transports([transport]);
        let connection = connection.build().unwrap();
        let mut events = connection.events();
        connection.start().await.unwrap();
        let refused = connection.refresh_authentication().await;
        shown.error(&refused.expect_err("version 10 of the server cannot do that"));
        wait_for(shown, &mut events, |event| {
            matches!(event, LifecycleEvent::AuthenticationRefreshFailed { .. })
        })
        .await;
        talk(shown, &connection).await;
        connection.stop().await;
        if is_socket {
            continue;
        }
        let connection = builder(&format!("{taking}/auth")).transports([transport]);
        let connection = connection.build().unwrap();
        connection.start().await.unwrap();
        let lifetime = connection.refresh_authentication().await;
        assert_eq!(lifetime, Ok(Some(Duration::from_secs(3600))));
        talk(shown, &connection).await;
        connection.stop().await;
    }
}

async fn stateful(shown: &mut Shown, server: &str) {
    for protocol in [Protocol::Json, Protocol::MessagePack] {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let connection = builder(&format!("{server}/hub"))
            .protocol(protocol)
            .stateful_reconnect(true)
            .access_token(move || {
                count.fetch_add(1, Ordering::Relaxed);
                async { "canarytoken".to_owned() }
            })
            .build()
            .unwrap();
        let mut events = connection.events();
        connection.start().await.unwrap();
        let id = connection.connection_id().unwrap();
        // The server's administration knows the connection once a method has run.
        talk(shown, &connection).await;
        let pending = connection.invoke::<String>("Slow", (1000, MESSAGE));
        admin(server, &format!("cut/{id}")).await;
        wait_for(shown, &mut events, |event| {
            matches!(event, LifecycleEvent::Resuming { .. })
        })
        .await;
        shown.debug(&connection);
        wait_for(shown, &mut events, |event| {
            matches!(event, LifecycleEvent::Resumed)
        })
        .await;
        assert_eq!(pending.await.as_deref(), Ok(MESSAGE));
        // For negotiation, for the first socket and for the second.
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        talk(shown, &connection).await;
        connection.stop().await;
    }
}

fn mistakes(shown: &mut Shown) {
    let wrong: [Result<HubConnection, BuildError>; 3] = [
        builder("http://h/").header("x-secret", "canary\n").build(),
        builder("http://h/").header("canary x", "y").build(),
        builder("https://h/").add_root_certificate("canary").build(),
    ];
    for outcome in wrong {
        shown.error(&outcome.map(drop).unwrap_err());
    }
}

/// The lines that hold a secret.
fn leaks<'a>(text: &'a str, ids: &BTreeSet<String>) -> Vec<&'a str> {
    let is_secret = |line: &&str| {
        line.to_ascii_lowercase().contains(CANARY)
            || ids.iter().any(|id| line.contains(id))
            || (line.contains(MESSAGE) && !line.contains(SHOWS_MESSAGES))
    };
    text.lines().filter(is_secret).collect()
}

#[test]
fn no_secret_shows_in_logs_errors_or_debug_output() {
    let log = Log::install();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut shown = runtime.block_on(everything_that_can_happen());
    let mut ids = BTreeSet::new();
    if let Some(server) = reference::url() {
        ids = runtime.block_on(with_the_official_server(&mut shown, server));
        assert!(ids.len() > 10, "the gate saw {} connections", ids.len());
    }
    let log = log.text();
    assert!(
        log.contains("tungstenite") && log.contains("signalr_client"),
        "the log is not whole"
    );
    let leaks = [leaks(&log, &ids), leaks(&shown.0, &ids)].concat();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
