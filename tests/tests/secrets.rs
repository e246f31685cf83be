//! Secrets stay secret: tokens, headers, query parameters and passwords show in no log, error or debug output, whatever happens.
//!
//! Everything that anybody in this program logs, the server and the libraries included, is collected at the finest level.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::{Json, Response};
use axum::routing::{any, post};
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use signalr_tests::own::{self, Own};
use signalr_tests::wire::{Wire, http_proxy, socks_proxy};
use signalr_tokio::{
    BuildError, Error, HubConnection, HubConnectionBuilder, LifecycleEvent, NetOptions, Proxy,
    ReconnectPolicy,
};

/// Every secret of this test contains it.
const CANARY: &str = "canary";

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
        .route("/plain", any(async || "canarybody"))
        .layer(axum::middleware::map_response(
            async |mut response: Response| {
                let cookie = HeaderValue::from_static("session=canarycookie; Path=/");
                response.headers_mut().insert(header::SET_COOKIE, cookie);
                response
            },
        ))
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

/// Connects, calls, loses the connection, gets it back, stops.
async fn a_whole_life(shown: &mut Shown, own: &Own, builder: HubConnectionBuilder, path: &str) {
    let connection = builder.build().unwrap();
    let mut events = connection.events();
    connection.start().await.unwrap();
    shown.debug(&connection);
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let wrong_type = connection.invoke::<bool>("Add", (1, 2)).await;
    let no_method = connection.invoke::<bool>("NoSuchMethod", ()).await;
    let pending = connection.invoke::<String>("Slow", (60_000, "x"));
    let id = connection.connection_id().unwrap();
    assert!(own.world.server(path).unwrap().cut(&id));
    let lost = pending.await;
    for outcome in [wrong_type.map(drop), no_method.map(drop), lost.map(drop)] {
        shown.error(&outcome.unwrap_err());
    }
    while let Some(event) = events.next().await {
        shown.debug(&event);
        if matches!(event, LifecycleEvent::Reconnected { .. }) {
            break;
        }
    }
    shown.debug(&connection);
    connection.stop().await;
    shown.debug(&connection);
    shown.error(&connection.invoke::<i32>("Add", (1, 2)).await.unwrap_err());
}

async fn everything_that_can_happen() -> String {
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
    a_whole_life(&mut shown, &own, with_password, "/hub").await;

    for path in ["unknown", "garbage", "denied", "half", "plain", "nowhere"] {
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
        "http://canary host/".to_owned(),
        "canary://host/".to_owned(),
    ] {
        refused(&mut shown, builder(&url)).await;
    }
    behind_proxies(&mut shown, &own).await;
    mistakes(&mut shown);
    shown.0
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

fn mistakes(shown: &mut Shown) {
    let wrong: [Result<HubConnection, BuildError>; 3] = [
        builder("http://h/").header("x-secret", "canary\n").build(),
        builder("http://h/").header("canary x", "y").build(),
        builder("https://h/").add_root_certificate("canary").build(),
    ];
    for outcome in wrong {
        shown.error(&outcome.map(drop).unwrap_err());
    }
    shown.error(&Error::NotConnected);
}

#[test]
fn no_secret_shows_in_logs_errors_or_debug_output() {
    let log = Log::install();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let shown = runtime.block_on(everything_that_can_happen());
    let log = log.text();
    assert!(
        log.contains("tungstenite") && log.contains("signalr_client"),
        "the log is not whole"
    );
    let leaks: Vec<&str> = log
        .lines()
        .chain(shown.lines())
        .filter(|line| line.to_ascii_lowercase().contains(CANARY))
        .collect();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
