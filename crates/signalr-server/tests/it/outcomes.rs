//! What methods return: a `Result` is an outcome, whatever its error is, and never a value on the wire.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures_util::{Stream, stream};
use serde::Serialize;
use signalr_server::testing::TestClient;
use signalr_server::{Hub, HubError, HubMethods, HubServer};

type Boxed = Box<dyn Error + Send + Sync>;

/// An error of an application that knows nothing of errors.
#[derive(Serialize)]
enum Refusal {
    Busy { seconds: u32 },
}

/// Words to people, a value to serde, and no error to Rust.
#[derive(Serialize)]
enum Shown {
    Full,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shown")
    }
}

/// An error to Rust and a value to serde.
#[derive(Debug, Serialize)]
struct Both;

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("both at once")
    }
}

impl Error for Both {}

fn fails() -> Result<i32, Boxed> {
    Err("boxed words".into())
}

struct Outcomes;

type This = Arc<Outcomes>;

impl Outcomes {
    async fn question_mark(self: Arc<Self>) -> Result<i32, HubError> {
        let number = fails().map_err(HubError::hidden)?;
        Ok(number)
    }

    async fn any(self: Arc<Self>) -> Result<i32, HubError> {
        let failed: Result<i32, anyhow::Error> = Err(anyhow::anyhow!("any words"));
        let number = failed.map_err(HubError::hidden)?;
        Ok(number)
    }

    async fn both(self: Arc<Self>) -> Result<i32, HubError> {
        Err(Both)?
    }

    async fn carried(self: Arc<Self>) -> Result<i32, Boxed> {
        Err(HubError::new("for your eyes"))?
    }

    fn plain(self: Arc<Self>, a: i32, b: i32) -> Result<i32, HubError> {
        a.checked_div(b)
            .ok_or_else(|| HubError::new("divided by nothing"))
    }

    fn plain_items(self: Arc<Self>, count: i32) -> impl Stream<Item = Result<i32, String>> {
        stream::iter((0..count).map(Ok))
    }

    async fn items(self: Arc<Self>) -> Result<impl Stream<Item = Result<i32, String>>, String> {
        Ok(stream::iter([Ok(1), Err("broken".to_owned()), Ok(2)]))
    }
}

impl Hub for Outcomes {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("String", async |_: This| Err::<i32, _>("no".to_owned()))
            .on("Words", async |_: This| Err::<i32, _>("no"))
            .on("Enum", async |_: This| {
                Err::<i32, _>(Refusal::Busy { seconds: 3 })
            })
            .on("Shown", async |_: This| Err::<i32, _>(Shown::Full))
            .on("Boxed", async |_: This| fails())
            .on("Any", async |_: This| Err::<i32, _>(anyhow::anyhow!("no")))
            .on("Error", async |_: This| "x".parse::<i32>())
            .on("Nested", async |_: This| {
                Ok::<_, HubError>(Err::<i32, _>("no"))
            })
            .on("Fine", async |_: This| Ok::<_, String>(7))
            .on("FineBoxed", async |_: This| Ok::<_, Boxed>(7))
            .on("FineAny", async |_: This| Ok::<_, anyhow::Error>(7))
            .on("NeverFails", async |_: This| Ok::<_, Infallible>(7))
            .on("Nothing", async |_: This| Ok::<(), String>(()))
            .on("QuestionMark", Self::question_mark)
            .on("QuestionMarkAny", Self::any)
            .on("Both", Self::both)
            .on("Carried", Self::carried)
            .on("Plain", Self::plain)
            .on("PlainClosure", |_: This, text: String| text.len())
            .on("PlainNothing", |_: This| {})
            .on("PlainPanic", |_: This| -> i32 { panic!("secret") })
            .on("PlainPanicOfAsync", |_: This, text: String| {
                assert_eq!(text, "", "secret");
                async { 1 }
            })
            .stream("PlainItems", Self::plain_items)
            .stream("PlainNoItems", |_: This| {
                Err::<stream::Empty<i32>, _>(HubError::new("shown"))
            })
            .stream("Items", Self::items)
            .stream("NoItems", async |_: This| {
                Err::<stream::Iter<std::vec::IntoIter<i32>>, _>(anyhow::anyhow!("no"))
            })
            .stream("ShownItems", async |_: This| {
                Err::<stream::Iter<std::vec::IntoIter<i32>>, _>(HubError::new("shown"))
            });
    }
}

async fn client(detailed: bool) -> TestClient {
    let server = HubServer::builder(Outcomes)
        .configure(|options| options.connection.enable_detailed_errors = detailed)
        .build()
        .unwrap();
    TestClient::connect(&server).await.unwrap()
}

fn generic(method: &str) -> String {
    format!("An unexpected error occurred invoking '{method}' on the server.")
}

#[tokio::test(start_paused = true)]
async fn a_result_is_an_outcome_and_never_a_value() {
    let mut hidden = client(false).await;
    let mut detailed = client(true).await;
    for (method, detail) in [
        ("String", "String: no"),
        ("Words", "str: no"),
        ("Enum", r#"Refusal: {"Busy":{"seconds":3}}"#),
        ("Boxed", "Error: boxed words"),
        ("Any", "Error: no"),
        ("Shown", "Shown: Full"),
        ("Error", "ParseIntError: invalid digit found in string"),
        ("Nested", "str: no"),
        ("QuestionMark", "Error: boxed words"),
        ("QuestionMarkAny", "Error: any words"),
        ("Both", "Both: both at once"),
    ] {
        let error = hidden
            .invoke::<serde_json::Value>(method, ())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), generic(method));
        let error = detailed
            .invoke::<serde_json::Value>(method, ())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), format!("{} {detail}", generic(method)));
    }
    let error = hidden.invoke::<i32>("Carried", ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} HubException: for your eyes", generic("Carried"))
    );
    for method in ["Fine", "FineBoxed", "FineAny", "NeverFails"] {
        assert_eq!(hidden.invoke::<i32>(method, ()).await, Ok(7));
    }
    assert_eq!(
        hidden.invoke::<serde_json::Value>("Nothing", ()).await,
        Ok(serde_json::Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn results_among_the_items_of_streams_are_outcomes_too() {
    let mut client = client(true).await;
    let error = client.stream::<i32>("Items", ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "An error occurred on the server while streaming results. String: broken"
    );
    let error = client.stream::<i32>("NoItems", ()).await.unwrap_err();
    assert!(error.to_string().ends_with("Error: no"), "{error}");
    let error = client.stream::<i32>("ShownItems", ()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("HubException: shown"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn methods_need_not_be_async() {
    let mut client = client(false).await;
    assert_eq!(client.invoke::<i32>("Plain", (7, 2)).await, Ok(3));
    let error = client.invoke::<i32>("Plain", (7, 0)).await.unwrap_err();
    let told = format!("{} HubException: divided by nothing", generic("Plain"));
    assert_eq!(error.to_string(), told);
    assert_eq!(client.invoke::<i32>("PlainClosure", ("abc",)).await, Ok(3));
    assert_eq!(client.invoke::<()>("PlainNothing", ()).await, Ok(()));
    let items = client.stream::<i32>("PlainItems", (3,)).await;
    assert_eq!(items, Ok(vec![0, 1, 2]));
    let error = client.stream::<i32>("PlainNoItems", ()).await.unwrap_err();
    let shown = "HubException: shown";
    assert!(error.to_string().ends_with(shown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_outside_of_a_future_is_the_methods_own() {
    let mut client = client(false).await;
    let error = client.invoke::<i32>("PlainPanic", ()).await.unwrap_err();
    assert_eq!(error.to_string(), generic("PlainPanic"));
    let panics = client.invoke::<i32>("PlainPanicOfAsync", ("x",)).await;
    assert_eq!(
        panics.unwrap_err().to_string(),
        generic("PlainPanicOfAsync")
    );
}
