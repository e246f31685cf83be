//! The test hubs: the methods and administration that the official clients' test suites expect of a server.
//!
//! They mirror the hubs of the reference server that the interoperability tests run against, with Rust's types. Only
//! WebSockets are offered: `/sse` and `/longpolling` are hubs that offer nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use signalr_server::{
    AskError, BuildError, CallContext, DisconnectReason, Hub, HubError, HubMethods, HubOptions,
    HubRequest, HubServer, Payload, UploadError, UploadStream, User,
};

use crate::hub_types::{Blob, Colour, Guid, echo_dto};
use signalr_proto::Timestamp;

/// What the hubs share: counters, and each other.
#[derive(Clone, Debug, Default)]
pub struct World {
    counters: Arc<Mutex<BTreeMap<String, i64>>>,
    servers: Arc<Mutex<Vec<(&'static str, HubServer)>>>,
}

impl World {
    fn add(&self, counter: &str) {
        *self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(counter.to_owned())
            .or_default() += 1;
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn servers(&self) -> Vec<HubServer> {
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(_, server)| server.clone())
            .collect()
    }

    /// The hub at this path.
    #[must_use]
    pub fn server(&self, path: &str) -> Option<HubServer> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, server)| server.clone())
    }

    /// Shuts every hub down.
    pub async fn shutdown(&self) {
        futures_util::future::join_all(self.servers().iter().map(HubServer::shutdown)).await;
    }
}

/// What a hub does when a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Welcome {
    Silent,
    Greeting,
    Refusing,
}

/// All test hubs are of this one type.
#[derive(Debug)]
pub struct TestHub {
    world: World,
    welcome: Welcome,
}

/// An error whose text clients must not see, under a name that .NET has for such.
#[derive(Debug)]
struct InvalidOperationException(String);

impl fmt::Display for InvalidOperationException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOperationException {}

type This = Arc<TestHub>;

impl Hub for TestHub {
    fn methods(methods: &mut HubMethods<Self>) {
        echoes(methods);
        plain(methods);
        about_the_caller(methods);
        streams(methods);
        sends(methods);
        questions(methods);
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        self.world.add("connected");
        match self.welcome {
            Welcome::Silent => {}
            Welcome::Greeting => {
                for number in 0..3 {
                    context.caller().send("Welcome", (number,)).await?;
                }
            }
            Welcome::Refusing => return Err(HubError::new("not today")),
        }
        Ok(())
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        self.world.add(if reason.is_error() {
            "disconnected-with-error"
        } else {
            "disconnected"
        });
    }
}

fn echoes(methods: &mut HubMethods<TestHub>) {
    methods
        .on("Echo", async |_: This, value: Payload| value)
        .on("EchoDto", async |_: This, value: Payload| echo_dto(&value))
        .on("EchoText", async |_: This, value: Option<String>| value)
        .on("EchoBytes", async |_: This, value: Blob| value)
        .on("EchoLong", async |_: This, value: i64| value)
        .on("EchoUnsigned", async |_: This, value: u64| value)
        .on("EchoDouble", async |_: This, value: f64| value)
        .on("EchoFloat", async |_: This, value: f32| value)
        .on("EchoDateTime", async |_: This, value: Timestamp| value)
        .on("EchoDateTimeOffset", async |_: This, value: Payload| value)
        .on("EchoTimeSpan", async |_: This, value: Payload| value)
        .on("EchoGuid", async |_: This, value: Guid| value)
        .on("EchoChar", async |_: This, value: Payload| value)
        .on("EchoDecimal", async |_: This, value: Payload| value)
        .on("EchoColour", async |_: This, value: Colour| value);
}

fn plain(methods: &mut HubMethods<TestHub>) {
    methods
        .on("Add", async |_: This, a: i32, b: i32| a.wrapping_add(b))
        .on("Concat", async |_: This, a: String, b: String| a + &b)
        .on("CountNames", async |_: This, names: Vec<String>| {
            names.len()
        })
        .on("DoNothing", async |hub: This| hub.world.add("nothing"))
        .on("Heartbeat", async |hub: This| hub.world.add("heartbeat"))
        .on("ReturnNull", async |_: This| None::<String>)
        .on("Slow", async |_: This, milliseconds: u64, value: String| {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            value
        })
        .on("FailWith", async |_: This, message: String| {
            Err::<(), _>(HubError::new(message))
        })
        .on("FailInside", async |_: This, message: String| {
            Err::<(), _>(InvalidOperationException(message))
        })
        .on("renamed-method", async |_: This| "renamed")
        .on("WaitForCancel", async |hub: This, context: CallContext| {
            context.cancelled().await;
            hub.world.add("cancelled-invocation");
            "cancelled"
        });
}

fn about_the_caller(methods: &mut HubMethods<TestHub>) {
    methods
        .on("ConnectionId", async |_: This, context: CallContext| {
            context.connection_id().to_owned()
        })
        .on("UserName", async |_: This, context: CallContext| {
            context.user_id().map(str::to_owned)
        })
        .on(
            "Header",
            async |_: This, context: CallContext, name: String| {
                context.header(&name).map(str::to_owned)
            },
        )
        .on(
            "Query",
            async |_: This, context: CallContext, name: String| context.query(&name),
        )
        .on("Transport", async |_: This| "WebSockets")
        .on("Abort", async |_: This, context: CallContext| {
            context.abort()
        })
        .on("Counter", async |hub: This, name: String| {
            hub.world.counters().get(&name).copied().unwrap_or_default()
        });
}

/// Counts streams that are dropped before their end.
struct Counted {
    world: World,
    finished: bool,
}

impl Counted {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.finished {
            self.world.add("cancelled-stream");
        }
    }
}

fn count(world: World, up_to: i32, delay: u64) -> impl Stream<Item = i32> + Send {
    let counted = Counted {
        world,
        finished: false,
    };
    stream::unfold((0, counted), move |(number, counted)| async move {
        if number >= up_to {
            counted.finish();
            return None;
        }
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        Some((number, (number + 1, counted)))
    })
}

fn count_then_fail(up_to: i32) -> impl Stream<Item = Result<i32, HubError>> + Send {
    let failure = stream::once(async { Err(HubError::new("the stream failed")) });
    stream::iter((0..up_to).map(Ok)).chain(failure)
}

async fn collect(mut items: UploadStream<String>) -> Result<Vec<String>, UploadError> {
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.push(item?);
    }
    Ok(all)
}

async fn join(
    left: UploadStream<String>,
    right: UploadStream<String>,
    separator: String,
) -> Result<String, HubError> {
    let (left, right) = futures_util::try_join!(collect(left), collect(right))?;
    Ok([left, right].concat().join(&separator))
}

async fn sum(mut numbers: UploadStream<i32>) -> Result<i64, HubError> {
    let mut sum = 0;
    while let Some(number) = numbers.next().await {
        sum += i64::from(number?);
    }
    Ok(sum)
}

async fn upload_outcome(mut numbers: UploadStream<i32>) -> String {
    let mut count = 0;
    loop {
        match numbers.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(error)) => return format!("failed after {count}: {error}"),
            None => return format!("completed after {count}"),
        }
    }
}

fn streams(methods: &mut HubMethods<TestHub>) {
    methods
        .stream("Count", async |hub: This, up_to: i32, delay: u64| {
            count(hub.world.clone(), up_to, delay)
        })
        .stream("Letters", async |_: This, text: String| {
            stream::iter(text.chars().map(String::from).collect::<Vec<_>>())
        })
        .stream("CountThenFail", async |_: This, up_to: i32| {
            count_then_fail(up_to)
        })
        .on("Sum", async |_: This, numbers: UploadStream<i32>| {
            sum(numbers).await
        })
        .on(
            "Join",
            async |_: This,
                   left: UploadStream<String>,
                   right: UploadStream<String>,
                   separator: String| join(left, right, separator).await,
        )
        .on(
            "JoinApart",
            async |_: This,
                   left: UploadStream<String>,
                   separator: String,
                   right: UploadStream<String>| { join(left, right, separator).await },
        )
        .on(
            "UploadOutcome",
            async |_: This, numbers: UploadStream<i32>| upload_outcome(numbers).await,
        )
        .stream("Upper", async |_: This, words: UploadStream<String>| {
            words.map(|word| word.map(|word| word.to_uppercase()))
        });
}

fn sends(methods: &mut HubMethods<TestHub>) {
    methods
        .on(
            "SendToCaller",
            async |_: This, context: CallContext, method: String, value: Payload| {
                context.caller().send(&method, (value,)).await
            },
        )
        .on(
            "SendMany",
            async |_: This,
                   context: CallContext,
                   method: String,
                   a: Payload,
                   b: Payload,
                   c: Payload| { context.caller().send(&method, (a, b, c)).await },
        )
        .on(
            "Burst",
            async |_: This, context: CallContext, method: String, count: i32| {
                burst(&context, &method, count).await
            },
        )
        .on(
            "Flood",
            async |_: This, context: CallContext, method: String, count: i32, bytes: usize| {
                let text = "f".repeat(bytes);
                for _ in 0..count {
                    context.caller().send(&method, (&text,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "SendToAll",
            async |_: This, context: CallContext, method: String, value: Value| {
                context.clients().all().send(&method, (value,)).await
            },
        )
        .on(
            "SendToOthers",
            async |_: This, context: CallContext, method: String, value: Value| {
                context.others().send(&method, (value,)).await
            },
        )
        .on(
            "SendToClient",
            async |_: This, context: CallContext, id: String, method: String, value: Value| {
                context.clients().client(&id).send(&method, (value,)).await
            },
        )
        .on(
            "SendToUser",
            async |_: This, context: CallContext, user: String, method: String, value: Value| {
                context.clients().user(&user).send(&method, (value,)).await
            },
        )
        .on(
            "SendToGroup",
            async |_: This, context: CallContext, group: String, method: String, value: Value| {
                context
                    .clients()
                    .group(&group)
                    .send(&method, (value,))
                    .await
            },
        )
        .on(
            "SendToOthersInGroup",
            async |_: This, context: CallContext, group: String, method: String, value: Value| {
                context
                    .others_in_group(&group)
                    .send(&method, (value,))
                    .await
            },
        )
        .on(
            "JoinGroup",
            async |_: This, context: CallContext, group: String| context.join_group(&group),
        )
        .on(
            "LeaveGroup",
            async |_: This, context: CallContext, group: String| context.leave_group(&group),
        );
}

/// A value that may go to clients of the other protocol.
type Value = serde_json::Value;

async fn burst(context: &CallContext, method: &str, count: i32) -> Result<(), HubError> {
    for number in 0..count {
        context.caller().send(method, (number,)).await?;
    }
    Ok(())
}

fn questions(methods: &mut HubMethods<TestHub>) {
    const PATIENCE: Duration = Duration::from_secs(60);
    methods
        .on("AskCaller", async |_: This, context: CallContext, question: String| {
            let answer: String = context.caller().ask("Answer", (question,), PATIENCE).await?;
            Ok::<_, HubError>(format!("the client said {answer}"))
        })
        .on("AskClient", async |_: This, context: CallContext, id: String, a: i32, b: i32| {
            context.clients().client(&id).ask::<i32>("Add", (a, b), Duration::from_secs(5)).await
        })
        .on("AskAndReport", async |_: This, context: CallContext, method: String| {
            match context.caller().ask::<Option<String>>(&method, (), Duration::from_secs(2)).await {
                Ok(answer) => format!("result: {}", answer.unwrap_or_default()),
                Err(AskError::NoResult) => "HubException: Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown.".to_owned(),
                Err(error) => format!("HubException: {error}"),
            }
        });
}

/// The token is the user's name; `expired` is refused; one that begins with `short` is valid for two seconds.
fn user(request: &HubRequest) -> Option<User> {
    let token = request.bearer_token().filter(|token| token != "expired")?;
    let user = User::new(&token);
    Some(if token.starts_with("short") {
        user.expires_after(Duration::from_secs(2))
    } else {
        user
    })
}

/// The routes, and the world behind them.
///
/// # Errors
/// When a hub cannot be served.
pub fn test_hubs() -> Result<(Router, World), BuildError> {
    let world = World::default();
    let mut router = Router::new();
    for (path, welcome, guarded, change) in HUBS {
        let builder = HubServer::builder(TestHub {
            world: world.clone(),
            welcome: *welcome,
        })
        .configure(change);
        let guarded = *guarded;
        let builder = builder.authorize(move |request: HubRequest| async move {
            match user(&request) {
                None if guarded => Err(StatusCode::UNAUTHORIZED),
                user => Ok(user),
            }
        });
        let server = builder.build()?;
        router = router.merge(server.router(path));
        world
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((path, server));
    }
    Ok((
        router
            .merge(services())
            .merge(administration(world.clone())),
        world,
    ))
}

type Row = (&'static str, Welcome, bool, fn(&mut HubOptions));

const HUBS: &[Row] = &[
    ("/hub", Welcome::Silent, false, |options| {
        options.stateful_reconnect = true
    }),
    ("/nostateful", Welcome::Silent, false, |_| {}),
    ("/detailed", Welcome::Silent, false, |options| {
        options.enable_detailed_errors = true
    }),
    ("/parallel", Welcome::Silent, false, |options| {
        options.maximum_parallel_invocations_per_client = 16
    }),
    ("/tiny", Welcome::Silent, false, |options| {
        options.maximum_receive_message_size = Some(1024);
        options.keep_alive_interval = Duration::from_millis(500);
        options.client_timeout_interval = Duration::from_secs(2);
        options.handshake_timeout = Duration::from_secs(1);
    }),
    ("/large", Welcome::Silent, false, |options| {
        options.maximum_receive_message_size = None;
        options.transport_max_buffer_size = 64 << 20;
    }),
    ("/auth", Welcome::Silent, true, |_| {}),
    ("/expiring", Welcome::Silent, true, |options| {
        options.close_on_authentication_expiration = true
    }),
    ("/greeting", Welcome::Greeting, false, |_| {}),
    ("/failing", Welcome::Refusing, false, |_| {}),
    ("/websockets", Welcome::Silent, false, |_| {}),
    ("/sse", Welcome::Silent, false, |options| {
        options.transports.clear()
    }),
    ("/longpolling", Welcome::Silent, false, |options| {
        options.transports.clear()
    }),
];

/// The negotiate answers that only a service in front of a hub gives.
fn services() -> Router {
    Router::new()
        .route("/redirect/negotiate", post(async |headers: HeaderMap| {
            Json(serde_json::json!({ "url": format!("http://{}/auth?via=redirect", host(&headers)), "accessToken": "alice" }))
        }))
        .route("/loop/negotiate", post(async |headers: HeaderMap| Json(serde_json::json!({ "url": format!("http://{}/loop", host(&headers)) }))))
        .route("/refused/negotiate", post(async || Json(serde_json::json!({ "error": "This connection is not allowed." }))))
        .route("/broken/negotiate", post(async || ([(header::CONTENT_TYPE, "application/json")], "not json")))
        .route("/classic/negotiate", post(async || Json(serde_json::json!({ "protocolVersion": "1.5", "url": "/signalr" }))))
        .route("/unavailable/negotiate", post(async || StatusCode::SERVICE_UNAVAILABLE))
}

fn host(headers: &HeaderMap) -> &str {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1")
}

fn administration(world: World) -> Router {
    Router::new()
        .route(
            "/admin/abort/{id}",
            post(async |State(world): State<World>, Path(id): Path<String>| {
                found(&world, |server| server.close(&id, false))
            }),
        )
        .route(
            "/admin/request-close/{id}",
            post(async |State(world): State<World>, Path(id): Path<String>| {
                found(&world, |server| server.close(&id, true))
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
            get(async |State(world): State<World>| Json(world.counters())),
        )
        .with_state(world)
}

fn found(world: &World, act: impl Fn(&HubServer) -> bool) -> StatusCode {
    if world.servers().iter().any(act) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn send(
    State(world): State<World>,
    Path((id, method, count)): Path<(String, String, i32)>,
) -> impl IntoResponse {
    for server in world.servers() {
        for number in 0..count {
            if server
                .clients()
                .client(&id)
                .send(&method, (number,))
                .await
                .is_err()
            {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
    }
    StatusCode::OK
}
