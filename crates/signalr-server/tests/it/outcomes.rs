//! What methods return: a `Result` is an outcome, whatever its error is, and never a value on the wire.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::{Stream, stream};
use serde::Serialize;
use signalr_server::testing::TestClient;
use signalr_server::{Hub, HubError, HubMethods, HubServer};

type Boxed = Box<dyn Error + Send + Sync>;

/// As popular crates make them: no error to Rust, but it leads to one.
struct Report(Boxed);

impl Deref for Report {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl From<Report> for Boxed {
    fn from(report: Report) -> Self {
        report.0
    }
}

/// An error of an application that knows nothing of errors.
#[derive(Serialize)]
enum Refusal {
    Busy { seconds: u32 },
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

    async fn report(self: Arc<Self>) -> Result<i32, HubError> {
        let failed: Result<i32, Report> = Err(Report("reported words".into()));
        let number = failed.map_err(HubError::hidden)?;
        Ok(number)
    }

    async fn both(self: Arc<Self>) -> Result<i32, HubError> {
        Err(Both)?
    }

    async fn carried(self: Arc<Self>) -> Result<i32, Boxed> {
        Err(HubError::new("for your eyes"))?
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
            .on("Boxed", async |_: This| fails())
            .on("Report", async |_: This| Err::<i32, _>(Report("no".into())))
            .on("Error", async |_: This| "x".parse::<i32>())
            .on("Nested", async |_: This| {
                Ok::<_, HubError>(Err::<i32, _>("no"))
            })
            .on("Fine", async |_: This| Ok::<_, String>(7))
            .on("FineBoxed", async |_: This| Ok::<_, Boxed>(7))
            .on("Nothing", async |_: This| Ok::<(), String>(()))
            .on("QuestionMark", Self::question_mark)
            .on("QuestionMarkReport", Self::report)
            .on("Both", Self::both)
            .on("Carried", Self::carried)
            .stream("Items", Self::items)
            .stream("NoItems", async |_: This| {
                Err::<stream::Iter<std::vec::IntoIter<i32>>, _>(Report("no".into()))
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
        ("Report", "Error: no"),
        ("Error", "ParseIntError: invalid digit found in string"),
        ("Nested", "str: no"),
        ("QuestionMark", "Error: boxed words"),
        ("QuestionMarkReport", "Report: reported words"),
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
    for method in ["Fine", "FineBoxed"] {
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
    assert!(error.to_string().ends_with("Report: no"), "{error}");
    let error = client.stream::<i32>("ShownItems", ()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("HubException: shown"),
        "{error}"
    );
}
