//! Calls of the test hubs, over memory and virtual time: what the recorded conversations and the official clients pass by.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signalr_harness::hubs::test_hubs;
use signalr_harness::memory::MemoryClient;
use signalr_server::{Hub, HubMethods, HubServer, UploadStream};

const SECOND: Duration = Duration::from_secs(1);

async fn client(hub: &str) -> MemoryClient {
    let (_, world) = test_hubs().unwrap();
    MemoryClient::connect(&world.server(hub).unwrap(), "").await
}

#[tokio::test(start_paused = true)]
async fn a_plain_call_that_looks_out_for_it_can_be_cancelled() {
    let mut client = client("/parallel").await;
    let call = r#"{"type":1,"invocationId":"1","target":"WaitForCancel","arguments":[]}"#;
    client.send_records(&[call]).await;
    assert!(
        tokio::time::timeout(SECOND, client.message())
            .await
            .is_err()
    );
    client
        .send_records(&[r#"{"type":5,"invocationId":"1"}"#])
        .await;
    let answer = r#"{"type":3,"invocationId":"1","result":"cancelled"}"#;
    assert_eq!(client.message().await.as_deref(), Some(answer));
}

#[tokio::test(start_paused = true)]
async fn methods_are_found_whatever_the_case_of_their_letters() {
    let mut client = client("/hub").await;
    for name in ["add", "ADD", "aDD"] {
        let call =
            format!(r#"{{"type":1,"invocationId":"1","target":"{name}","arguments":[1,2]}}"#);
        client.send_records(&[&call]).await;
        let answer = r#"{"type":3,"invocationId":"1","result":3}"#;
        assert_eq!(client.message().await.as_deref(), Some(answer), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_cancelled_after_a_second_one_wanted_its_id() {
    let mut client = client("/hub").await;
    let stream = r#"{"type":4,"invocationId":"1","target":"Count","arguments":[1000,1000]}"#;
    client.send_records(&[stream, stream]).await;
    let refusal = r#"{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}"#;
    assert_eq!(client.message().await.as_deref(), Some(refusal));
    let item = r#"{"type":2,"invocationId":"1","item":0}"#;
    assert_eq!(client.message().await.as_deref(), Some(item));
    client
        .send_records(&[r#"{"type":5,"invocationId":"1"}"#])
        .await;
    let end = r#"{"type":3,"invocationId":"1"}"#;
    assert_eq!(client.message().await.as_deref(), Some(end));
    assert!(
        tokio::time::timeout(5 * SECOND, client.message())
            .await
            .is_err()
    );
}

/// Keeps what an upload brought.
struct Taker(Arc<Mutex<Vec<String>>>);

impl Hub for Taker {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on(
            "Take",
            async |hub: Arc<Self>, mut numbers: UploadStream<i32>| {
                while let Some(number) = numbers.next().await {
                    let text =
                        number.map_or_else(|error| error.to_string(), |number| number.to_string());
                    hub.0.lock().unwrap().push(text);
                }
            },
        );
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_fail_when_their_connection_ends() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let server = HubServer::new(Taker(Arc::clone(&taken))).unwrap();
    let mut client = MemoryClient::connect(&server, "").await;
    let call = r#"{"type":1,"target":"Take","arguments":[],"streamIds":["9"]}"#;
    client
        .send_records(&[call, r#"{"type":2,"invocationId":"9","item":7}"#])
        .await;
    client.close().await;
    client.gone().await;
    tokio::time::sleep(SECOND).await;
    let words = "The underlying connection was closed.";
    assert_eq!(*taken.lock().unwrap(), ["7", words]);
}

#[tokio::test(start_paused = true)]
async fn messages_behind_one_of_unknown_type_are_answered() {
    let (_, world) = test_hubs().unwrap();
    let mut client = MemoryClient::connect(&world.server("/hub").unwrap(), "").await;
    client
        .send_records(&[
            r#"{"type":0}"#,
            r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#,
        ])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":3}"#
    );
}

const GOOD: &str = r#"{"type":1,"invocationId":"good","target":"Add","arguments":[1,2]}"#;

/// A target, and arguments as the client wrote them.
const BROKEN: [(&str, &str); 3] = [("", "[1,2]"), ("Add", "[1,2,]"), ("Count", "[1,2,]")];

/// The official server takes a comma too many for arguments that do not fit, and an empty target for a method that it does not have.
#[tokio::test(start_paused = true)]
async fn an_empty_target_or_a_comma_too_many_fails_that_call_alone() {
    let mut client = client("/hub").await;
    let bad = r#""invocationId":"bad","#;
    for (target, arguments) in BROKEN {
        for (kind, id) in [(1, ""), (1, bad), (4, ""), (4, bad)] {
            let call =
                format!(r#"{{"type":{kind},{id}"target":"{target}","arguments":{arguments}}}"#);
            client.send_records(&[&call, GOOD]).await;
            if !id.is_empty() {
                let failed = client.message().await.expect(&call);
                let refusal = r#"{"type":3,"invocationId":"bad","error":""#;
                assert!(failed.starts_with(refusal), "{call}: {failed}");
            }
            let answer = client.message().await.expect(&call);
            let sum = r#"{"type":3,"invocationId":"good","result":3}"#;
            assert_eq!(answer, sum, "{call}");
        }
    }
}

/// As at the official server, which looks for the id last and so passes over a stream that fails for another reason.
#[tokio::test(start_paused = true)]
async fn a_stream_that_lacks_nothing_but_its_id_ends_its_connection() {
    let mut client = client("/hub").await;
    let call = r#"{"type":4,"target":"Count","arguments":[1,2]}"#;
    client.send_records(&[call, GOOD]).await;
    let end = client.message().await.unwrap();
    assert!(end.starts_with(r#"{"type":7,"error":"#), "{end}");
    assert_eq!(client.message().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_token_does() {
    let (_, world) = test_hubs().unwrap();
    let mut client =
        MemoryClient::connect(&world.server("/expiring").unwrap(), "access_token=short1").await;
    client
        .send_records(&[r#"{"type":1,"invocationId":"1","target":"UserName","arguments":[]}"#])
        .await;
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":3,"invocationId":"1","result":"short1"}"#
    );
    assert_eq!(
        client.message().await.unwrap(),
        r#"{"type":7,"allowReconnect":true}"#
    );
    assert_eq!(client.message().await, None);
    assert_eq!(client.close_code(), Some(1000));
}
