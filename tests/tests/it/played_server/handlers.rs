//! Calls of the server, and when handlers come and go.

use std::sync::mpsc;

use super::*;

#[tokio::test]
async fn questions_wait_for_no_other_and_pings_of_the_web_socket_are_answered() {
    let (sender, heard) = mpsc::channel();
    let url = server(move |mut socket| {
        for (id, target) in [("s1", "Slow"), ("s2", "Quick")] {
            let call =
                format!(r#"{{"type":1,"invocationId":"{id}","target":"{target}","arguments":[]}}"#);
            say(&mut socket, &call);
        }
        sender.send(next(&mut socket)).unwrap();
        socket
            .send(Message::Ping(b"there?".to_vec().into()))
            .unwrap();
        sender.send(next(&mut socket)).unwrap();
    });
    let connection = connection(&url);
    connection.on("Slow", || async {
        std::future::pending::<()>().await;
        1
    });
    connection.on("Quick", || 2);
    soon(connection.start()).await.unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        [(); 2].map(|()| heard.recv_timeout(PATIENCE).unwrap())
    });
    let answer = "{\"type\":3,\"invocationId\":\"s2\",\"result\":2}\u{1e}";
    assert_eq!(soon(heard).await.unwrap(), [answer, "pong there?"]);
}

#[tokio::test]
async fn handlers_outlive_the_connection_and_changes_count_from_the_next_call_on() {
    let url = server(|mut socket| {
        for _ in 0..2 {
            say(&mut socket, r#"{"type":1,"target":"Hear","arguments":[]}"#);
        }
        // The client's farewell; the socket ends with this.
        assert!(next(&mut socket).contains("\"type\":7"));
    });
    let connection = connection(&url);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let weak = connection.downgrade();
    let added = std::sync::atomic::AtomicBool::new(false);
    connection.on("Hear", move || {
        sender.send("first").unwrap();
        if !added.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let sender = sender.clone();
            let connection = weak.upgrade().unwrap();
            connection.on("Hear", move || sender.send("second").unwrap());
        }
    });
    for expected in [
        &["first", "first", "second"][..],
        &["first", "second", "first", "second"],
    ] {
        soon(connection.start()).await.unwrap();
        for word in expected {
            assert_eq!(soon(heard.recv()).await, Some(*word));
        }
        soon(connection.stop()).await;
    }
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_removed_handler_finishes_the_call_under_way_and_hears_no_other() {
    let url = server(|mut socket| {
        for _ in 0..3 {
            say(&mut socket, r#"{"type":1,"target":"Hear","arguments":[]}"#);
        }
        say(&mut socket, r#"{"type":1,"target":"Last","arguments":[]}"#);
        while next(&mut socket) != "the end" {}
    });
    let connection = connection(&url);
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let (first, last, weak) = (sender.clone(), sender.clone(), connection.downgrade());
    // Removes both, itself included, when it is called for the first time.
    connection.on("Hear", move || {
        first.send("first").unwrap();
        assert_eq!(weak.upgrade().unwrap().off_all("Hear"), 2);
    });
    connection.on("Hear", move || sender.send("second").unwrap());
    connection.on("Last", move || last.send("last").unwrap());
    soon(connection.start()).await.unwrap();
    for word in ["first", "second", "last"] {
        assert_eq!(soon(heard.recv()).await, Some(word));
    }
}
