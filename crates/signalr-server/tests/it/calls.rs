//! Calls, streams and questions.

use std::sync::Arc;

use signalr_server::{BuildError, Hub, HubMethods, HubServer, SlowClients};

use crate::support::{SECOND, Test, call, result, silence, soon};

#[tokio::test(start_paused = true)]
async fn one_call_runs_at_a_time_and_what_follows_it_is_read_only_up_to_the_next_call() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[
            &call(1, "Wait", ""),
            &call(2, "Add", "1,2"),
            &call(3, "Nope", ""),
            r#"{"type":4,"invocationId":"4","target":"Nope","arguments":[]}"#,
        ])
        .await;
    silence(&mut client).await;
    test.gate.add_permits(1);
    assert_eq!(soon(client.message()).await, result(1, "1"));
    assert_eq!(soon(client.message()).await, result(2, "3"));
    for id in 3..=4 {
        let refusal = soon(client.message()).await.unwrap();
        let expected = format!(r#"{{"type":3,"invocationId":"{id}","error":"Failed to invoke"#);
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_run_does_not_wait_for_its_turn() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[
            &call(1, "Wait", ""),
            &call(2, "Nope", ""),
            &call(3, "Add", "1"),
            &call(4, "Add", "1,\"2\""),
            &call(5, "Add", "1,2"),
            &call(6, "Nope", ""),
        ])
        .await;
    for id in 2..=4 {
        let refusal = soon(client.message()).await.unwrap();
        let expected = format!(r#"{{"type":3,"invocationId":"{id}","error":"Failed to invoke"#);
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
    silence(&mut client).await;
    test.gate.add_permits(1);
    assert_eq!(soon(client.message()).await, result(1, "1"));
    assert_eq!(soon(client.message()).await, result(5, "3"));
    let refusal = soon(client.message()).await.unwrap();
    assert!(
        refusal.contains(r#""invocationId":"6","error""#),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_an_id_is_passed_over_only_when_it_could_not_run() {
    let nameless = |target: &str, arguments: &str| {
        format!(r#"{{"type":4,"target":"{target}","arguments":[{arguments}]}}"#)
    };
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[
            &call(1, "Wait", ""),
            &nameless("Nope", ""),
            &nameless("Add", "1"),
            &nameless("Add", "1,\"2\""),
            &call(2, "Add", "1,2"),
        ])
        .await;
    test.gate.add_permits(1);
    assert_eq!(soon(client.message()).await, result(1, "1"));
    assert_eq!(soon(client.message()).await, result(2, "3"));
    client.send_records(&[&nameless("Add", "1,2")]).await;
    let close = soon(client.message()).await.unwrap();
    assert!(close.starts_with(r#"{"type":7,"error":"#), "{close}");
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_of_two_the_third_call_waits() {
    let test = Test::new(|options| options.connection.maximum_parallel_invocations = 2);
    let mut client = test.client("").await;
    client
        .send_records(&[
            &call(1, "Wait", ""),
            &call(2, "Wait", ""),
            &call(3, "Wait", ""),
        ])
        .await;
    silence(&mut client).await;
    test.gate.add_permits(1);
    assert_eq!(soon(client.message()).await, result(1, "1"));
    silence(&mut client).await;
    test.gate.add_permits(2);
    let mut rest = [soon(client.message()).await, soon(client.message()).await];
    rest.sort();
    assert_eq!(rest, [result(2, "2"), result(3, "2")]);
}

#[tokio::test(start_paused = true)]
async fn streams_take_no_permit_and_end_when_cancelled() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[
            r#"{"type":4,"invocationId":"9","target":"Forever","arguments":[]}"#,
            &call(1, "Add", "1,2"),
        ])
        .await;
    assert_eq!(soon(client.message()).await, result(1, "3"));
    assert_eq!(
        soon(client.message()).await.unwrap(),
        r#"{"type":2,"invocationId":"9","item":0}"#
    );
    client
        .send_records(&[r#"{"type":5,"invocationId":"9"}"#])
        .await;
    assert_eq!(
        soon(client.message()).await.unwrap(),
        r#"{"type":3,"invocationId":"9"}"#
    );
    assert_eq!(test.notes(), ["connected", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_their_connection() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[r#"{"type":4,"invocationId":"9","target":"Forever","arguments":[]}"#])
        .await;
    soon(client.message()).await;
    client.close().await;
    soon(client.gone()).await;
    tokio::time::sleep(SECOND).await;
    let mut notes = test.notes();
    notes.sort();
    assert_eq!(
        notes,
        ["connected", "disconnected: the client left", "dropped"]
    );
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_allowed_are_refused() {
    let test = Test::new(|options| options.connection.maximum_streams = 1);
    let mut client = test.client("").await;
    let stream = |id: u32| {
        format!(r#"{{"type":4,"invocationId":"{id}","target":"Forever","arguments":[]}}"#)
    };
    client.send_records(&[&stream(1), &stream(2)]).await;
    let text = "An unexpected error occurred invoking 'Forever' on the server. HubException: Too many streams.";
    assert_eq!(
        soon(client.message()).await,
        Some(format!(
            r#"{{"type":3,"invocationId":"2","error":"{text}"}}"#
        ))
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_upload_buffer_stops_the_reading_and_loses_nothing() {
    let test = Test::new(|options| options.connection.stream_buffer_capacity = 2);
    let mut client = test.client("").await;
    let begin = r#"{"type":1,"invocationId":"1","target":"Take","arguments":[],"streamIds":["9"]}"#;
    let mut records = vec![begin.to_owned()];
    records
        .extend((1..=10).map(|item| format!(r#"{{"type":2,"invocationId":"9","item":{item}}}"#)));
    records.push(r#"{"type":3,"invocationId":"9"}"#.to_owned());
    records.push(call(2, "Add", "1,2"));
    client
        .send_records(&records.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    silence(&mut client).await;
    test.gate.add_permits(8);
    silence(&mut client).await;
    test.gate.add_permits(3);
    let mut answers = [soon(client.message()).await, soon(client.message()).await];
    answers.sort();
    assert_eq!(answers, [result(1, "55"), result(2, "3")]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_method_is_a_hidden_error() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[&call(1, "Panic", "\"secret\""), &call(2, "Add", "1,2")])
        .await;
    let text = "An unexpected error occurred invoking 'Panic' on the server.";
    assert_eq!(
        soon(client.message()).await,
        Some(format!(
            r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#
        ))
    );
    assert_eq!(soon(client.message()).await, result(2, "3"));
}

#[tokio::test(start_paused = true)]
async fn a_question_inside_a_method_does_not_deadlock() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[&call(1, "Ask", ""), &call(2, "Add", "1,2")])
        .await;
    assert_eq!(
        soon(client.message()).await.unwrap(),
        r#"{"type":1,"invocationId":"s1","target":"Question","arguments":[]}"#
    );
    assert_eq!(soon(client.message()).await, result(2, "3"));
    client
        .send_records(&[r#"{"type":3,"invocationId":"s1","result":"yes"}"#])
        .await;
    assert_eq!(soon(client.message()).await, result(1, "\"yes\""));
}

#[tokio::test(start_paused = true)]
async fn questions_without_an_answer_fail_in_time_and_late_answers_are_ignored() {
    let test = Test::new(|options| options.connection.enable_detailed_errors = true);
    let mut client = test.client("").await;
    client.send_records(&[&call(1, "Ask", "")]).await;
    soon(client.message()).await;
    let text = "An unexpected error occurred invoking 'Ask' on the server. InvokeError: Invocation canceled by the server.";
    assert_eq!(
        soon(client.message()).await,
        Some(format!(
            r#"{{"type":3,"invocationId":"1","error":"{text}"}}"#
        ))
    );
    client
        .send_records(&[
            r#"{"type":3,"invocationId":"s1","result":"late"}"#,
            &call(2, "Add", "1,2"),
        ])
        .await;
    assert_eq!(soon(client.message()).await, result(2, "3"));
}

#[tokio::test(start_paused = true)]
async fn questions_to_nobody_and_to_clients_that_leave_fail() {
    let test = Test::new(|options| options.connection.enable_detailed_errors = true);
    let mut client = test.client("").await;
    client
        .send_records(&[&call(1, "AskOther", "\"nobody\"")])
        .await;
    assert!(
        soon(client.message())
            .await
            .unwrap()
            .contains("Connection 'nobody' does not exist.")
    );
    let mut other = test.client("").await;
    client
        .send_records(&[&call(2, "AskOther", &format!("\"{}\"", other.id()))])
        .await;
    soon(other.message()).await;
    other.close().await;
    let expected = format!("Connection '{}' disconnected.", other.id());
    assert!(soon(client.message()).await.unwrap().contains(&expected));
}

#[tokio::test(start_paused = true)]
async fn questions_are_forbidden_while_a_client_is_welcomed() {
    let test = Test::with(|_| {}, true);
    let mut client = test.client("").await;
    let text = "Connection closed with an error. HubException: Client results inside OnConnectedAsync Hub methods are not allowed.";
    assert_eq!(
        soon(client.message()).await,
        Some(format!(r#"{{"type":7,"error":"{text}"}}"#))
    );
    soon(client.gone()).await;
    assert_eq!(test.notes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_floods_another_client_waits_for_it_if_the_hub_wants_that() {
    let test = Test::new(|options| options.slow_clients = SlowClients::Wait);
    let mut reader = test.client("").await;
    let mut caller = test.client("").await;
    let flood = format!("\"{}\",50", reader.id());
    caller.send_records(&[&call(1, "Flood", &flood)]).await;
    silence(&mut caller).await;
    for _ in 0..50 {
        soon(reader.message()).await.unwrap();
    }
    assert_eq!(soon(caller.message()).await, result(1, "null"));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_turn_run_even_when_their_client_has_left() {
    let test = Test::new(|_| {});
    let mut client = test.client("").await;
    client
        .send_records(&[
            &call(1, "Wait", ""),
            r#"{"type":1,"target":"Note","arguments":["sent"]}"#,
        ])
        .await;
    client.close().await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(test.notes(), ["connected"]);
    test.gate.add_permits(1);
    test.empty().await;
    assert_eq!(
        test.notes(),
        ["connected", "sent", "disconnected: the client left"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_fails_at_once_when_its_client_leaves_while_others_wait() {
    let test = Test::new(|options| options.connection.enable_detailed_errors = true);
    let mut asked = test.client("").await;
    let mut client = test.client("").await;
    asked
        .send_records(&[&call(1, "Wait", ""), &call(2, "Wait", "")])
        .await;
    client
        .send_records(&[&call(1, "AskOther", &format!("\"{}\"", asked.id()))])
        .await;
    soon(asked.message()).await;
    asked.close().await;
    let started = tokio::time::Instant::now();
    assert!(
        soon(client.message())
            .await
            .unwrap()
            .contains("disconnected.")
    );
    assert!(started.elapsed() < SECOND);
}

#[test]
fn two_methods_of_one_name_are_an_error() {
    struct Twice;
    impl Hub for Twice {
        fn methods(methods: &mut HubMethods<Self>) {
            methods
                .on("Say", async |_: Arc<Self>| ())
                .on("say", async |_: Arc<Self>| ());
        }
    }
    assert_eq!(
        HubServer::new(Twice).err(),
        Some(BuildError::DuplicateMethod { name: "say".into() })
    );
}
