//! `signalr serve`: a hub for trying clients, alone or as one server of a farm.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use http::uri::PathAndQuery;
use signalr::RedisBackplane;
use signalr::server::{
    Audiences, BackplaneHandle, BackplaneHealth, CallContext, Hub, HubCall, HubError, HubFilter,
    HubMethods, HubReply, HubRequest, HubServer, LogCalls, Next, Origins, Payload, UploadStream,
    User, serve,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::hub::session;

/// What the .NET class of this hub would be called.
const HUB: &str = "Signalr.ServeHub";

struct ServeHub;

type This = Arc<ServeHub>;

impl ServeHub {
    async fn broadcast(
        self: Arc<Self>,
        context: CallContext,
        text: Payload,
    ) -> Result<(), HubError> {
        let everybody = context.clients().all();
        tell(&context, everybody, &text).await
    }

    async fn send_to_group(
        self: Arc<Self>,
        context: CallContext,
        group: String,
        text: Payload,
    ) -> Result<(), HubError> {
        let members = context.clients().group(&group);
        tell(&context, members, &text).await
    }

    async fn send_to_user(
        self: Arc<Self>,
        context: CallContext,
        user: String,
        text: Payload,
    ) -> Result<(), HubError> {
        let connections = context.clients().user(&user);
        tell(&context, connections, &text).await
    }

    async fn count(
        self: Arc<Self>,
        up_to: u32,
        milliseconds: u64,
    ) -> impl Stream<Item = u32> + Send + 'static {
        let pause = Duration::from_millis(milliseconds);
        stream::iter(0..up_to).then(move |number| async move {
            tokio::time::sleep(pause).await;
            number
        })
    }

    async fn sum(self: Arc<Self>, mut numbers: UploadStream<f64>) -> Result<f64, HubError> {
        let mut sum = 0.0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }
}

/// Calls `Receive` with who says it and what.
async fn tell(context: &CallContext, to: Audiences, text: &Payload) -> Result<(), HubError> {
    let said = (context.connection_id(), value(text)?);
    Ok(to.send("Receive", said).await?)
}

/// What can be said in any protocol.
fn value(payload: &Payload) -> Result<serde_json::Value, HubError> {
    let value = payload.decode();
    value.map_err(|_| HubError::new("only what JSON can say can be passed on to others"))
}

impl Hub for ServeHub {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Echo", async |_: This, value: Payload| value)
            .on("Broadcast", Self::broadcast)
            .on("SendToGroup", Self::send_to_group)
            .on(
                "JoinGroup",
                async |_: This, context: CallContext, group: String| {
                    context.join_group(&group).await
                },
            )
            .on(
                "LeaveGroup",
                async |_: This, context: CallContext, group: String| {
                    context.leave_group(&group).await
                },
            )
            .on("SendToUser", Self::send_to_user)
            .on("Sum", Self::sum)
            .stream("Count", Self::count);
    }
}

/// Counts calls, for the metrics.
#[derive(Clone, Default)]
struct CountCalls {
    calls: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl HubFilter for CountCalls {
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> futures_util::future::BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let outcome = next.run(call).await;
            if outcome.is_err() {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            outcome
        })
    }
}

/// Runs the command.
pub(crate) fn run(options: &ServeArgs) -> Result<(), Failure> {
    session::block_on(run_until_interrupted(options))
}

async fn run_until_interrupted(options: &ServeArgs) -> Result<(), Failure> {
    let path = path(&options.hub)?;
    if options.token.as_deref() == Some("") {
        return Err(Failure::usage("--token is empty: nobody could come in"));
    }
    let counts = CountCalls::default();
    let hub = build(options, counts.clone())?;
    let listener = listen("--listen", &options.listen).await?;
    let measured = match &options.metrics {
        Some(address) => Some(listen("--metrics", address).await?),
        None => None,
    };
    say(&format!("listening on {}{path}", address(&listener)?))?;
    let metrics = match measured {
        Some(listener) => Some(serve_metrics(listener, hub.clone(), counts)?),
        None => None,
    };
    let watched = hub
        .backplane()
        .map(|backplane| tokio::spawn(watch(backplane)));
    let app = hub.router(&path);
    let drained = hub.clone();
    let served = serve(listener, app).with_graceful_shutdown(async move {
        session::interrupted().await;
        drained.shutdown().await;
    });
    let served = served.await;
    for task in [metrics, watched].into_iter().flatten() {
        task.abort();
    }
    served.map_err(|error| Failure::failed(format!("cannot serve: {error}")))
}

/// The path as it stands in requests: what is not ASCII is written with `%` there.
fn path(hub: &str) -> Result<String, Failure> {
    let matched_verbatim =
        !hub.contains(['{', '}', '?', '#']) && !hub.contains("/:") && !hub.contains("/*");
    if !hub.starts_with('/') || !matched_verbatim || hub.parse::<PathAndQuery>().is_err() {
        return Err(Failure::usage("--hub is a path, such as /hub"));
    }
    let bytes = hub.bytes().map(|byte| match byte {
        0x80.. => format!("%{byte:02X}"),
        _ => char::from(byte).into(),
    });
    Ok(bytes.collect())
}

/// Tells when the farm cannot be reached, why, and when it can again.
async fn watch(backplane: BackplaneHandle) {
    let mut told = None;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let trouble = trouble(&backplane.health());
        if trouble == told {
            continue;
        }
        told = trouble;
        let words = told.as_deref().unwrap_or("Redis is there again");
        // Without a standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "signalr: {words}");
    }
}

/// What keeps the server from its farm.
fn trouble(health: &BackplaneHealth) -> Option<String> {
    match &health.last_fault {
        _ if health.is_up() => None,
        Some(fault) => Some(format!(
            "Redis cannot be reached, and clients are turned away: {fault}"
        )),
        None => Some("Redis has not answered yet, and clients wait".to_owned()),
    }
}

fn build(options: &ServeArgs, counts: CountCalls) -> Result<HubServer, Failure> {
    let token = options.token.clone();
    let mut builder = HubServer::builder(ServeHub)
        // Whoever tries a page of their own shall not have to ask for it.
        .configure(|options| options.endpoint.origins = Origins::Any)
        .configure(|options| options.endpoint.stateful_reconnect = true)
        .filter(counts)
        .filter(LogCalls::new())
        .authorize(move |request: HubRequest| {
            let allowed = token.as_deref().is_none_or(|token| {
                let given = request.bearer_token();
                given.is_some_and(|given| same(given.as_bytes(), token.as_bytes()))
            });
            // Whoever tries this out says who they are.
            let user = request.parameter("user").map(|id| User::new(&id));
            async move {
                if allowed {
                    Ok(user)
                } else {
                    Err(StatusCode::UNAUTHORIZED)
                }
            }
        });
    if let Some(url) = &options.redis {
        // The error of an address never repeats it.
        let redis = RedisBackplane::open(url);
        let redis = redis.map_err(|error| {
            Failure::usage(format!(
                "--redis is an address, such as redis://127.0.0.1:6379: {error}"
            ))
        })?;
        let prefix = options.prefix.as_str().into();
        builder = builder
            .backplane(HUB, redis)
            .configure_backplane(move |config| config.prefix = prefix);
    }
    let built = builder.build();
    built.map_err(|error| Failure::failed(format!("cannot serve: {error}")))
}

/// Compares without telling by the time it takes where they differ.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given
        .iter()
        .zip(wanted)
        .fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == wanted.len() && differences == 0
}

async fn listen(option: &str, address: &str) -> Result<TcpListener, Failure> {
    let parts = address.rsplit_once(':');
    let parts = parts.filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    if parts.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        let words = "is an address and a port, such as 127.0.0.1:5000";
        return Err(Failure::usage(format!("{option} {words}")));
    }
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::failed(format!("cannot listen on {address}: {error}")))
}

fn address(listener: &TcpListener) -> Result<String, Failure> {
    match listener.local_addr() {
        Ok(address) => Ok(format!("http://{address}")),
        Err(error) => Err(Failure::failed(format!("cannot listen: {error}"))),
    }
}

/// Whoever started this may wait for the line.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(|error| Failure::failed(format!("cannot print: {error}")))
}

fn serve_metrics(
    listener: TcpListener,
    hub: HubServer,
    counts: CountCalls,
) -> Result<JoinHandle<()>, Failure> {
    let url = address(&listener)?;
    say(&format!("metrics on {url}/metrics, health on {url}/health"))?;
    let health = hub.clone();
    let app = Router::new()
        .route("/metrics", get(async move || metrics(&hub, &counts).await))
        .route("/health", get(async move || is_well(&health)));
    Ok(tokio::spawn(async move {
        if let Err(error) = serve(listener, app).await {
            tracing::error!(%error, "metrics are served no more");
        }
    }))
}

fn is_well(hub: &HubServer) -> (StatusCode, &'static str) {
    match hub.backplane() {
        Some(backplane) if !backplane.health().is_up() => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the backplane cannot be reached\n",
        ),
        _ => (StatusCode::OK, "well\n"),
    }
}

/// In the text format of Prometheus.
async fn metrics(hub: &HubServer, counts: &CountCalls) -> String {
    let connections = hub.clients().count().await.unwrap_or_default();
    let mut rows = vec![
        ("connections", "gauge", connections as u64),
        (
            "calls_total",
            "counter",
            counts.calls.load(Ordering::Relaxed),
        ),
        (
            "calls_failed_total",
            "counter",
            counts.failed.load(Ordering::Relaxed),
        ),
    ];
    if let Some(backplane) = hub.backplane() {
        let health = backplane.health();
        rows.extend([
            ("backplane_up", "gauge", u64::from(health.is_up())),
            (
                "backplane_published_total",
                "counter",
                health.counters.published,
            ),
            (
                "backplane_received_total",
                "counter",
                health.counters.received,
            ),
            (
                "backplane_malformed_total",
                "counter",
                health.counters.malformed,
            ),
            ("backplane_losses_total", "counter", health.counters.losses),
            (
                "backplane_failures_total",
                "counter",
                health.counters.failures,
            ),
            (
                "backplane_waiting_bytes",
                "gauge",
                health.counters.waiting_bytes,
            ),
        ]);
    }
    let line = |(name, kind, value): (&str, &str, u64)| {
        format!("# TYPE signalr_{name} {kind}\nsignalr_{name} {value}\n")
    };
    rows.into_iter().map(line).collect()
}
