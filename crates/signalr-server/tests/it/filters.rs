//! Filters around calls, arrivals and departures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream;
use signalr_proto::Protocol;
use signalr_server::testing::{TestClient, TestError};
use signalr_server::{
    CallContext, DisconnectReason, Hub, HubCall, HubError, HubFilter, HubMethods, HubReply,
    HubServer, HubServerBuilder, LogCalls, Next, NextConnected, NextDisconnected, RateLimit,
};
use tracing::field::{Field, Visit};

use crate::support::{SECOND, empty};

type Log = Arc<Mutex<Vec<String>>>;

/// Notes what its methods hear.
#[derive(Clone, Default)]
struct Calculator {
    log: Log,
}

impl Calculator {
    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }

    fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Hub for Calculator {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |hub: Arc<Self>, a: i32, b: i32| {
                hub.note(format!("add {a} {b}"));
                a + b
            })
            .on("Nothing", async |_: Arc<Self>| ())
            .on("Fail", async |_: Arc<Self>| -> Result<i32, HubError> {
                Err(HubError::new("it cannot be done"))
            })
            .on("Wait", async |_: Arc<Self>, context: CallContext| {
                context.cancelled().await
            })
            .stream("Count", async |_: Arc<Self>, to: i32| stream::iter(0..to))
            .stream("Break", async |_: Arc<Self>| {
                stream::iter([Ok(1), Err(HubError::new("torn"))])
            });
    }

    async fn on_connected(&self, _: &CallContext) -> Result<(), HubError> {
        self.note("connected");
        Ok(())
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        self.note(format!("disconnected: {reason}"));
    }
}

/// Notes what goes through it.
struct Noting(&'static str, Log);

impl Noting {
    fn note(&self, text: &str) {
        self.1.lock().unwrap().push(format!("{} {text}", self.0));
    }
}

impl HubFilter for Noting {
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            self.note(&format!("before {}", call.target()));
            let reply = next.run(call).await;
            self.note(match &reply {
                Ok(reply) if reply.is_stream() => "after a stream",
                Ok(_) => "after a value",
                Err(_) => "after an error",
            });
            reply
        })
    }

    fn connected<'a>(
        &'a self,
        context: CallContext,
        next: NextConnected<'a>,
    ) -> BoxFuture<'a, Result<(), HubError>> {
        Box::pin(async move {
            self.note("welcomes");
            next.run(context).await
        })
    }

    fn disconnected<'a>(
        &'a self,
        context: CallContext,
        reason: DisconnectReason,
        next: NextDisconnected<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            next.run(context, reason).await;
            self.note("has said farewell");
        })
    }
}

/// A filter around calls that is a function.
struct Around<F>(F);

impl<F> HubFilter for Around<F>
where
    F: for<'a> Fn(HubCall, Next<'a>) -> BoxFuture<'a, Result<HubReply, HubError>>
        + Send
        + Sync
        + 'static,
{
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        (self.0)(call, next)
    }
}

/// Helps inference with the lifetimes of such functions.
fn around<F>(filter: F) -> Around<F>
where
    F: for<'a> Fn(HubCall, Next<'a>) -> BoxFuture<'a, Result<HubReply, HubError>>
        + Send
        + Sync
        + 'static,
{
    Around(filter)
}

/// A calculator behind filters, and a client of it.
async fn calculator(
    filters: impl FnOnce(HubServerBuilder<Calculator>) -> HubServerBuilder<Calculator>,
) -> (Calculator, HubServer, TestClient) {
    let hub = Calculator::default();
    let server = filters(HubServer::builder(hub.clone())).build().unwrap();
    let client = TestClient::connect(&server).await.unwrap();
    (hub, server, client)
}

fn failed<T>(text: &str) -> Result<T, TestError> {
    Err(TestError::Call(text.into()))
}

#[tokio::test(start_paused = true)]
async fn the_filter_that_was_added_first_is_the_outermost() {
    let log = Log::default();
    let hub = Calculator { log: log.clone() };
    let server = HubServer::builder(hub.clone())
        .filter(Noting("outer", log.clone()))
        .filter(Noting("inner", log))
        .build()
        .unwrap();
    let mut client = TestClient::connect(&server).await.unwrap();
    assert_eq!(
        hub.take_notes(),
        ["outer welcomes", "inner welcomes", "connected"]
    );
    assert_eq!(client.invoke::<i32>("add", (1, 2)).await, Ok(3));
    assert_eq!(
        hub.take_notes(),
        [
            "outer before Add",
            "inner before Add",
            "add 1 2",
            "inner after a value",
            "outer after a value",
        ]
    );
    client.close().await.unwrap();
    empty(&server).await;
    assert_eq!(
        hub.take_notes(),
        [
            "disconnected: the client closed the connection",
            "inner has said farewell",
            "outer has said farewell",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_does_not_reach_the_filters() {
    let log = Log::default();
    let notes = log.clone();
    let (_, _, mut client) = calculator(|server| server.filter(Noting("filter", log))).await;
    notes.lock().unwrap().clear();
    let errors = [
        client.invoke::<i32>("Nope", ()).await,
        client.invoke::<i32>("Add", (1,)).await,
        client.invoke::<i32>("Count", (1,)).await,
        client.stream::<i32>("Add", (1, 2)).await.map(|_| 0),
    ];
    assert!(errors.iter().all(Result::is_err), "{errors:?}");
    assert_eq!(*notes.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_answer_itself() {
    let (hub, _, mut client) = calculator(|server| {
        server.filter(around(|call, next| match call.target() {
            "Add" => Box::pin(async { HubReply::value("no need to") }),
            _ => Box::pin(next.run(call)),
        }))
    })
    .await;
    hub.take_notes();
    let answer = client.invoke::<String>("Add", (1, 2)).await;
    assert_eq!(answer.as_deref(), Ok("no need to"));
    assert_eq!(hub.take_notes(), [""; 0]);
    assert_eq!(client.invoke::<()>("Nothing", ()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_result_with_which_a_filter_answers_is_an_outcome() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|call, _| {
            let answer = match call.target() {
                "Add" => Ok("fine"),
                _ => Err("a secret"),
            };
            Box::pin(async move { HubReply::value(answer) })
        }))
    })
    .await;
    let answer = client.invoke::<String>("Add", (1, 2)).await;
    assert_eq!(answer.as_deref(), Ok("fine"));
    let error = client.invoke::<()>("Nothing", ()).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_change_arguments() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|mut call, next| {
            Box::pin(async move {
                let first: i32 = call.argument(0)?;
                assert_eq!(call.arguments().len(), 2);
                call.set_argument(0, &(first * 100))?;
                next.run(call).await
            })
        }))
    })
    .await;
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(102));
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_look_at_a_result_and_change_it() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|call, next| {
            Box::pin(async move {
                let mut reply = next.run(call).await?;
                let payload = reply.payload(Protocol::Json)?.unwrap();
                HubReply::value(format!("<{}>", payload.decode::<i32>()?))
            })
        }))
    })
    .await;
    let answer = client.invoke::<String>("Add", (1, 2)).await;
    assert_eq!(answer.as_deref(), Ok("<3>"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_a_filter_has_looked_at_is_the_same_afterwards() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|call, next| {
            Box::pin(async move {
                let mut reply = next.run(call).await?;
                for _ in 0..2 {
                    let payload = reply.payload(Protocol::Json)?.unwrap();
                    assert_eq!(payload.as_bytes(), b"null");
                }
                Ok(reply)
            })
        }))
    })
    .await;
    assert_eq!(client.invoke::<()>("Nothing", ()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_turn_a_failure_into_a_value_and_a_value_into_a_failure() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|call, next| {
            Box::pin(async move {
                match next.run(call).await {
                    Ok(_) => Err(HubError::new("too good to be true")),
                    Err(error) => HubReply::value(error.text().to_owned()),
                }
            })
        }))
    })
    .await;
    let answer = client.invoke::<String>("Fail", ()).await;
    assert_eq!(answer.as_deref(), Ok("it cannot be done"));
    let text = "An unexpected error occurred invoking 'Nothing' on the server. HubException: too good to be true";
    assert_eq!(client.invoke::<()>("Nothing", ()).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_authorizes_says_so_in_the_official_words() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|_, _| {
            Box::pin(async { Err(HubError::unauthorized()) })
        }))
    })
    .await;
    let text = "Failed to invoke 'aDD' because user is unauthorized";
    assert_eq!(client.invoke::<i32>("aDD", (1, 2)).await, failed(text));
    let text = "Failed to invoke 'Count' because user is unauthorized";
    assert_eq!(client.stream::<i32>("Count", (1,)).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn arguments_of_other_types_than_a_filter_or_the_method_wants_are_the_same_error() {
    let (_, _, mut client) = calculator(|server| {
        server.filter(around(|call, next| {
            Box::pin(async move {
                let _: i32 = call.argument(0)?;
                next.run(call).await
            })
        }))
    })
    .await;
    let text = "Failed to invoke 'Add' due to an error on the server.";
    for arguments in [("x", "y"), ("1", "y")] {
        let answer = client.invoke::<i32>("Add", arguments).await;
        assert_eq!(answer, failed(text));
    }
    assert_eq!(
        client.invoke::<i32>("Add", (1, "y")).await,
        failed(text),
        "decoded behind the filter"
    );
}

#[tokio::test(start_paused = true)]
async fn streams_go_through_filters() {
    let log = Log::default();
    let notes = log.clone();
    let (_, _, mut client) = calculator(|server| server.filter(Noting("filter", log))).await;
    notes.lock().unwrap().clear();
    let items = client.stream::<i32>("Count", (100,)).await.unwrap();
    assert_eq!(items, (0..100).collect::<Vec<_>>());
    assert_eq!(
        *notes.lock().unwrap(),
        ["filter before Count", "filter after a stream"]
    );
    let text = "An error occurred on the server while streaming results. HubException: torn";
    assert_eq!(client.stream::<i32>("Break", ()).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn a_filter_cannot_give_a_value_in_place_of_a_stream() {
    let (_, _, mut client) =
        calculator(|server| server.filter(around(|_, _| Box::pin(async { HubReply::value(7) }))))
            .await;
    let answer = client.stream::<i32>("Count", (1,)).await;
    let Err(TestError::Call(text)) = answer else {
        panic!("{answer:?}");
    };
    assert!(text.contains("A filter gave a value in place of a stream."));
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_turn_clients_away() {
    struct Closed;
    impl HubFilter for Closed {
        fn connected<'a>(
            &'a self,
            _: CallContext,
            _: NextConnected<'a>,
        ) -> BoxFuture<'a, Result<(), HubError>> {
            Box::pin(async { Err(HubError::new("come back tomorrow")) })
        }
    }
    let log = Log::default();
    let hub = Calculator { log: log.clone() };
    let server = HubServer::builder(hub.clone())
        .filter(Noting("outer", log))
        .filter(Closed)
        .build()
        .unwrap();
    let mut client = TestClient::connect(&server).await.unwrap();
    let words = "Connection closed with an error. HubException: come back tomorrow";
    assert_eq!(client.closed().await, Ok(Some(words.into())));
    empty(&server).await;
    assert_eq!(hub.take_notes(), ["outer welcomes"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_harms_only_its_own_call() {
    let (hub, server, mut client) = calculator(|server| {
        server.filter(around(|call, next| match call.target() {
            "Fail" => panic!("a mistake"),
            "Break" => Box::pin(async { panic!("a mistake") }),
            _ => Box::pin(next.run(call)),
        }))
    })
    .await;
    let text = "An unexpected error occurred invoking 'Fail' on the server.";
    assert_eq!(client.invoke::<i32>("Fail", ()).await, failed(text));
    let text = "An unexpected error occurred invoking 'Break' on the server.";
    assert_eq!(client.stream::<i32>("Break", ()).await, failed(text));
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    client.close().await.unwrap();
    empty(&server).await;
    assert_eq!(
        hub.take_notes().last().unwrap(),
        "disconnected: the client closed the connection"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_counts_the_calls_of_each_connection() {
    let (_, server, mut client) =
        calculator(|server| server.filter(RateLimit::new(3, 3 * SECOND))).await;
    let mut other = TestClient::connect(&server).await.unwrap();
    let text =
        "An unexpected error occurred invoking 'Add' on the server. HubException: Too many calls.";
    for client in [&mut client, &mut other] {
        for _ in 0..3 {
            assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        }
        assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, failed(text));
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await, failed(text));
}

#[tokio::test(start_paused = true)]
async fn two_rate_limits_count_each_for_itself() {
    let (_, _, mut client) = calculator(|server| {
        server
            .filter(RateLimit::new(3, Duration::from_millis(300)))
            .filter(RateLimit::new(5, 60 * SECOND))
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(client.invoke::<i32>("Add", (1, 2)).await.is_ok());
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(answers, [true, true, true, true, true, false, false, false]);
}

/// What was told the log under the target of [`LogCalls`].
#[derive(Clone, Default)]
struct Told(Log);

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "signalr_server::calls"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if !matches!(field.name(), "connection" | "took") {
                    self.0 += &format!(" {}={value:?}", field.name());
                }
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn calls_are_logged_without_arguments_and_results() {
    let told = Told::default();
    let _guard = tracing::subscriber::set_default(told.clone());
    let (_, _, mut client) = calculator(|server| server.filter(LogCalls::new())).await;
    assert_eq!(client.invoke::<i32>("Add", (1_234, 1)).await, Ok(1_235));
    client.invoke::<i32>("Fail", ()).await.unwrap_err();
    assert_eq!(
        *told.0.lock().unwrap(),
        [
            r#"DEBUG message=a call was answered method="Add""#,
            r#"INFO message=a call failed method="Fail" error=HubException: it cannot be done"#,
        ]
    );
}
