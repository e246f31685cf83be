//! Single requirements of the client, over real sockets, against servers played by the test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use signalr::HubConnection;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocket<TcpStream>;

/// Takes connections one after another and hands each over when its handshake is done.
fn server(mut behave: impl FnMut(Socket) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut socket = tungstenite::accept(stream).unwrap();
            assert!(next(&mut socket).contains("\"protocol\""));
            say(&mut socket, "{}");
            behave(socket);
        }
    });
    url
}

fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(format!("{text}\u{1e}"))).unwrap();
}

/// What the client says next, pings of SignalR left out.
fn next(socket: &mut Socket) -> String {
    loop {
        let text = match socket.read() {
            Ok(Message::Text(text)) => text.replace("{\"type\":6}\u{1e}", ""),
            Ok(Message::Pong(payload)) => format!("pong {}", String::from_utf8_lossy(&payload)),
            Ok(_) => continue,
            Err(_) => return "the end".to_owned(),
        };
        if !text.is_empty() {
            return text;
        }
    }
}

fn connection(url: &str) -> HubConnection {
    HubConnection::builder(url)
        .skip_negotiation(true)
        .close_timeout(Duration::from_secs(1))
        .build()
        .unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens")
}

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
