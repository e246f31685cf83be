//! Streams, and messages at the limits.

use futures_util::TryStreamExt as _;

use std::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_nothing_else() {
    let url = server(|mut socket| {
        while !next(&mut socket).contains("\"target\":\"Call\"") {}
        for item in 0..5000 {
            say(
                &mut socket,
                &format!(r#"{{"type":2,"invocationId":"1","item":{item}}}"#),
            );
        }
        say(
            &mut socket,
            r#"{"type":3,"invocationId":"2","result":"through"}"#,
        );
        say(&mut socket, r#"{"type":3,"invocationId":"1"}"#);
        while next(&mut socket) != "the end" {}
    });
    let connection = connection(&url);
    soon(connection.start()).await.unwrap();
    let items = soon(connection.stream::<u32>("Items", ())).await.unwrap();
    let answer = soon(connection.invoke::<String>("Call", ())).await;
    assert_eq!(answer.unwrap(), "through");
    let items: Vec<u32> = soon(items.try_collect()).await.unwrap();
    assert!(items.into_iter().eq(0..5000));
}

#[tokio::test]
async fn an_item_that_does_not_fit_cancels_its_stream() {
    let (sender, heard) = mpsc::channel();
    let url = server(move |mut socket| {
        next(&mut socket);
        say(
            &mut socket,
            r#"{"type":2,"invocationId":"1","item":"no number"}"#,
        );
        sender.send(next(&mut socket)).unwrap();
    });
    let connection = connection(&url);
    soon(connection.start()).await.unwrap();
    let mut items = soon(connection.stream::<u32>("Items", ())).await.unwrap();
    assert!(soon(items.next()).await.unwrap().is_err());
    let heard = tokio::task::spawn_blocking(move || heard.recv_timeout(PATIENCE))
        .await
        .unwrap();
    assert_eq!(heard.unwrap(), "{\"type\":5,\"invocationId\":\"1\"}\u{1e}");
}

#[tokio::test]
async fn a_server_may_join_more_messages_than_the_largest_may_be_long() {
    let url = server(|mut socket| {
        let text = "x".repeat(1 << 20);
        let call = format!("{{\"type\":1,\"target\":\"Hear\",\"arguments\":[\"{text}\"]}}");
        say(&mut socket, &vec![call; 20].join("\u{1e}"));
        while next(&mut socket) != "the end" {}
    });
    let connection = connection(&url);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    connection.on("Hear", move |text: String| {
        sender.send(text.len()).unwrap();
    });
    soon(connection.start()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(soon(heard.recv()).await, Some(1 << 20));
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_names_the_limit() {
    let url = server(|mut socket| {
        let text = "x".repeat(40 << 20);
        let _ = socket.send(Message::text(text));
    });
    let connection = connection(&url);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    connection.on_close(move |reason| sender.send(reason.unwrap().to_string()).unwrap());
    soon(connection.start()).await.unwrap();
    let reason = soon(heard.recv()).await.unwrap();
    assert!(reason.contains("Limits::max_message_size"), "{reason}");
}
