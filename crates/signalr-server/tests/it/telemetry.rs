//! What tracing and metrics are told (`SB-53`), and limits of connections.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use signalr_harness::log::Log;
use signalr_harness::memory::MemoryClient;
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{
    CallContext, DisconnectReason, Hub, HubCall, HubError, HubFilter, HubMethods, HubReply,
    HubServer, Next,
};
use tracing::Level;

use crate::support::requests::HttpClient;
use crate::support::{self, SECOND, Test, soon};

struct Plain;

impl Hub for Plain {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on("Fail", async |_: Arc<Self>| {
                Err::<(), _>(HubError::new("no"))
            });
    }
}

#[tokio::test(start_paused = true)]
async fn calls_welcomes_and_farewells_are_spans_with_the_official_names() {
    let log = Log::begin(Level::DEBUG);
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    let call = r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2],"headers":{"traceparent":"00-canary-01","tracestate":"a=b","Baggage":"region=north"}}"#;
    client.send_records(&[call]).await;
    soon(client.message()).await.unwrap();
    client
        .send_records(&[r#"{"type":1,"invocationId":"2","target":"Panic","arguments":["x"]}"#])
        .await;
    soon(client.message()).await.unwrap();
    soon(client.gone()).await;

    let text = log.text();
    let span = |name: &str, fields: &[&str]| {
        let found = text.lines().any(|line| {
            line.contains(&format!("Microsoft.AspNetCore.SignalR.Server.{name}"))
                && fields.iter().all(|field| line.contains(field))
        });
        assert!(found, "{name} with {fields:?} in\n{text}");
    };
    span(
        "InvocationIn",
        &[
            r#"rpc.system="signalr""#,
            r#"rpc.method="Add""#,
            "rpc.service=\"it::support::Probe\"",
            r#"traceparent="00-canary-01""#,
            r#"tracestate="a=b""#,
            r#"baggage="region=north""#,
        ],
    );
    span(
        "InvocationIn",
        &[r#"rpc.method="Panic""#, "error.type=\"Panic\""],
    );
    span("OnConnected", &["rpc.service"]);
    span("OnDisconnected", &["rpc.service"]);
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the order cannot be read")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A failure that serde can serialize and that holds what came.
#[derive(serde::Serialize)]
struct Unreadable {
    found: String,
}

struct Faulty;

impl Hub for Faulty {
    async fn on_disconnected(&self, _: &CallContext, _: &DisconnectReason) {
        panic!("nobody to write to");
    }

    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Hidden", async |_: Arc<Self>| {
                let number: i32 = "x".parse().map_err(Outer)?;
                Ok::<_, HubError>(number)
            })
            .on("Told", async |_: Arc<Self>| {
                Err::<(), _>(HubError::new("words"))
            })
            .on("Data", async |_: Arc<Self>, found: String| {
                Err::<(), _>(Unreadable { found })
            })
            .on("Panics", async |_: Arc<Self>, number: i32| {
                assert!(number > 1, "too small");
            });
        methods
            .on("Forbidden", async |_: Arc<Self>| ())
            .require(|_: &CallContext| false);
    }
}

/// What clients are not told is for the operator: with the method, the connection, and all that led to it.
#[tokio::test(start_paused = true)]
async fn failures_that_clients_are_not_told_are_errors_in_the_log_and_refusals_are_told() {
    let log = Log::begin(Level::INFO);
    let server = HubServer::builder(Faulty).build().unwrap();
    let mut client = TestClient::connect(&server).await.unwrap();
    let connection = client.connection_id().to_owned();
    for method in ["Hidden", "Told", "hidden", "Forbidden", "Nothing"] {
        client.invoke::<()>(method, ()).await.unwrap_err();
    }
    client.invoke::<()>("Data", ("canary",)).await.unwrap_err();
    client.invoke::<()>("Panics", (1,)).await.unwrap_err();
    client.invoke::<()>("Panics", ("x",)).await.unwrap_err();
    client.invoke::<()>("Panics", ()).await.unwrap_err();
    let mut stream = client.stream::<i32>("Told", ());
    stream.next().await.unwrap().unwrap_err();
    drop(stream);
    let long = "n\u{e9}".repeat(300);
    client.invoke::<()>(&long, ()).await.unwrap_err();
    client.close().await.unwrap();

    let text = log.text();
    let count = |parts: &[&str]| {
        let lines = text.lines();
        let found = lines.filter(|line| parts.iter().all(|part| line.contains(part)));
        found.filter(|line| line.contains(&connection)).count()
    };
    let cause = "error=Outer: the order cannot be read: invalid digit found in string";
    assert_eq!(count(&["ERROR", "method=\"Hidden\"", cause]), 2, "{text}");
    let panicked = "error=Panic: the hub method panicked: too small";
    assert_eq!(
        count(&["ERROR", "method=\"Panics\"", panicked]),
        1,
        "{text}"
    );
    assert_eq!(
        count(&["ERROR", "method=\"Data\"", "error=Unreadable"]),
        1,
        "{text}"
    );
    assert!(!text.contains("canary"), "data may be payloads:\n{text}");
    assert_eq!(count(&["ERROR", "nobody to write to"]), 1, "{text}");
    assert_eq!(count(&["ERROR"]), 5, "{text}");
    assert!(!text.contains("words"), "it was told:\n{text}");
    let refused = |target: &str, reason: &str| {
        let target = format!("target=\"{target}\"");
        assert_eq!(count(&["INFO", "refused", &target, reason]), 1, "{text}");
    };
    refused("Nothing", "there is no such method");
    let misfit = "the arguments do not fit: argument 1: invalid type: string, expected i32";
    refused("Panics", misfit);
    refused("Panics", "0 arguments instead of 1");
    refused("Told", "it gives no stream");
    assert_eq!(count(&["INFO", "not authorized", "Forbidden"]), 1, "{text}");
    let cut = format!("target=\"{}\"", "n\u{e9}".repeat(50));
    assert_eq!(count(&["INFO", "no such method", &cut]), 1, "{text}");
}

struct Doubling;

impl HubFilter for Doubling {
    fn call<'a>(
        &'a self,
        mut call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            let number: i32 = call.argument(0)?;
            call.set_argument(0, &(number * 2))?;
            next.run(call).await
        })
    }
}

/// Whoever wrote the client asks which argument it was, and the operator can tell.
#[tokio::test(start_paused = true)]
async fn the_log_says_which_argument_does_not_fit_and_why() {
    let log = Log::begin(Level::INFO);
    let plain = HubServer::new(Plain).unwrap();
    let filtered = HubServer::builder(Plain).filter(Doubling).build().unwrap();
    for server in [plain, filtered] {
        let mut client = TestClient::connect(&server).await.unwrap();
        client
            .invoke::<i32>("Add", (1, "canary"))
            .await
            .unwrap_err();
        client.invoke::<i32>("Add", (1.5, 1)).await.unwrap_err();
        client
            .invoke::<i32>("Add", (1, 1_i64 << 40))
            .await
            .unwrap_err();
    }

    let text = log.text();
    let told = |reason: &str| {
        let reason = format!("reason=the arguments do not fit: {reason}");
        let refusals = text.lines().filter(|line| line.contains("refused"));
        refusals.filter(|line| line.contains(&reason)).count()
    };
    let types = [
        "argument 2: invalid type: string, expected i32",
        "argument 1: invalid type: floating point, expected i32",
        "argument 2: invalid value: integer, expected i32",
    ];
    for reason in types {
        assert_eq!(told(reason), 2, "{reason} in\n{text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

/// `SB-61`, and the same for the tokens of users and for what is said.
#[tokio::test(start_paused = true)]
async fn the_log_shows_no_token_and_no_payload() {
    let log = Log::begin(Level::TRACE);
    let test = Test::new(|options| options.endpoint.stateful_reconnect = true);
    let (id, token) = support::negotiate(&test.server, "useStatefulReconnect=true").await;
    let query = format!("id={token}&access_token=canary-user");
    let mut client = MemoryClient::attach(&test.server, &query, id.clone())
        .await
        .unwrap();
    let hello = "{\"protocol\":\"json\",\"version\":2}\u{1e}";
    client.send(hello.as_bytes()).await;
    soon(client.record()).await.unwrap();
    let note = r#"{"type":1,"invocationId":"1","target":"Note","arguments":["canary-text"]}"#;
    let panic = r#"{"type":1,"invocationId":"2","target":"Add","arguments":["canary-text"]}"#;
    for call in [note, panic] {
        client.send_records(&[call]).await;
        soon(client.message()).await.unwrap();
    }
    // A second time in the place of the first, then one that comes too late.
    let again = MemoryClient::attach(&test.server, &query, id.clone()).await;
    assert!(test.server.cut(&id));
    drop((client, again));
    tokio::time::sleep(60 * SECOND).await;
    let late = MemoryClient::attach(&test.server, &query, id.clone()).await;
    assert_eq!(late.err(), Some(StatusCode::NOT_FOUND));

    let polling = HttpClient::new_as(&test.server, "canary-user").await;
    polling.start_polling().await;
    polling.say(note).await;
    polling.messages().await;
    let stranger = polling.with("canary-stranger");
    stranger.poll().await;
    polling.delete().await;
    let gone = polling.poll().await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);

    let text = log.text();
    assert!(text.contains(&id), "it names connections:\n{text}");
    for secret in [&*token, &polling.token, "canary"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

fn gauge(metrics: &Snapshotter) -> Option<f64> {
    metrics.snapshot().into_vec().into_iter().find_map(|row| {
        let (key, _, _, value) = row;
        match value {
            DebugValue::Gauge(value) if key.key().name() == "signalr.server.active_connections" => {
                Some(value.0)
            }
            DebugValue::Gauge(_) | DebugValue::Counter(_) | DebugValue::Histogram(_) => None,
        }
    })
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_and_timed_under_the_official_names() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);

    let hub = HubServer::new(Plain).unwrap();
    let mut client = TestClient::connect(&hub).await.unwrap();
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let failed = client.invoke::<()>("Fail", ()).await;
    assert!(matches!(failed, Err(TestError::Call(_))));
    assert_eq!(gauge(&metrics), Some(1.0));
    tokio::time::advance(3 * SECOND).await;
    client.close().await.unwrap();
    tokio::time::sleep(SECOND).await;

    let rows = metrics.snapshot().into_vec();
    let duration = rows.iter().find_map(|(key, _, _, value)| match value {
        DebugValue::Histogram(values) => Some((key.key().clone(), values.clone())),
        DebugValue::Gauge(_) | DebugValue::Counter(_) => None,
    });
    let (key, values) = duration.unwrap();
    assert_eq!(key.name(), "signalr.server.connection.duration");
    let mut labels: Vec<_> = key
        .labels()
        .map(|label| (label.key().to_owned(), label.value().to_owned()))
        .collect();
    labels.sort();
    assert_eq!(
        labels,
        [
            ("signalr.connection.status", "normal_closure"),
            ("signalr.transport", "long_polling"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(values.len(), 1);
    assert!((3.0..4.5).contains(&values[0].0), "{values:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_kind_are_limited() {
    let hub = HubServer::builder(Plain)
        .limit_connections(2, |request, _| {
            request.header("x-tenant").map(str::to_owned)
        })
        .build()
        .unwrap();
    let headers = |tenant: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-tenant", tenant.parse().unwrap());
        headers
    };
    let first = TestClient::connect_with(&hub, headers("a")).await.unwrap();
    let _second = TestClient::connect_with(&hub, headers("a")).await.unwrap();
    let refused = TestClient::connect_with(&hub, headers("a")).await.err();
    let status = StatusCode::TOO_MANY_REQUESTS.as_u16();
    assert_eq!(refused, Some(TestError::Refused(status)));
    let _other = TestClient::connect_with(&hub, headers("b")).await.unwrap();
    let _without = TestClient::connect(&hub).await.unwrap();
    first.close().await.unwrap();
    tokio::time::sleep(SECOND).await;
    TestClient::connect_with(&hub, headers("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_for_which_a_limit_panics_costs_no_place() {
    let log = Log::begin(Level::ERROR);
    let hub = HubServer::builder(Plain)
        .limit_connections(1, |request, _| {
            assert!(request.header("x-bad").is_none(), "a mistake");
            None
        })
        .configure(|options| options.endpoint.max_connections = 1)
        .build()
        .unwrap();
    for _ in 0..3 {
        let client = TestClient::builder(&hub).header("x-bad", "1");
        let refused = client.connect().await.err();
        let status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        assert_eq!(refused, Some(TestError::Refused(status)));
    }
    TestClient::connect(&hub).await.unwrap();
    let told = log.text().matches("a mistake").count();
    assert_eq!(told, 3, "{}", log.text());
}
