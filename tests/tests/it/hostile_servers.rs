//! Servers that break every rule there is, over real sockets: each must end in a clear error within the client's timeouts, and
//! the client must not read more than it can use.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signalr::{HubConnection, Limits, Protocol};
use signalr_tests::with_causes;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a client may have read (and the kernel buffered) of something endless.
const ENOUGH: usize = 40 << 20;
const OFFER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"canary","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

/// Serves every connection with `behave` on a thread of its own.
fn server(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let behave = Arc::new(behave);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behave = Arc::clone(&behave);
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.set_write_timeout(Some(PATIENCE));
                behave(stream);
            });
        }
    });
    url
}

/// Reads a request's head and tells its first line.
fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Answers negotiate well and hands every other connection to `behave`, its request unread.
fn negotiating(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    server(move |mut stream| {
        let mut start = [0; 4];
        if stream.peek(&mut start).is_ok() && &start == b"POST" {
            head(&mut stream);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{OFFER}",
                OFFER.len()
            );
        } else {
            behave(stream);
        }
    })
}

/// As above, with an open WebSocket and the client's handshake read.
fn shaking(behave: impl Fn(WebSocket<TcpStream>) + Send + Sync + 'static) -> String {
    negotiating(move |stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return;
        };
        if socket.read().is_ok() {
            behave(socket);
        }
    })
}

/// As above, with the handshake accepted.
fn connected(behave: impl Fn(WebSocket<TcpStream>) + Send + Sync + 'static) -> String {
    shaking(move |mut socket| {
        if socket.send(Message::binary(&b"{}\x1e"[..])).is_ok() {
            behave(socket);
        }
    })
}

/// Keeps a connection open until the client leaves.
fn linger(mut stream: impl std::io::Read) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
}

fn connection(url: &str, protocol: Protocol) -> HubConnection {
    let short = Duration::from_millis(700);
    let mut limits = Limits::CLIENT;
    limits.max_message_size = 1 << 20;
    HubConnection::builder(url)
        .protocol(protocol)
        .connect_timeout(short)
        .handshake_timeout(short)
        .server_timeout(short * 2)
        .close_timeout(short)
        .limits(limits)
        .build()
        .unwrap()
}

/// The error of a start that must fail, in time and without a secret.
async fn refused(url: &str) -> String {
    let begin = Instant::now();
    let connection = connection(url, Protocol::Json);
    let error = tokio::time::timeout(PATIENCE, connection.start())
        .await
        .expect("start never ended")
        .expect_err("start succeeded");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    let text = with_causes(&error);
    assert!(
        !text.is_empty() && !format!("{text}{error:?}").contains("canary"),
        "{text}"
    );
    text
}

/// Connects, calls, and tells how the call failed once the server misbehaves.
async fn broken(url: &str, protocol: Protocol) -> String {
    let connection = connection(url, protocol);
    let work = async {
        let started = connection.start().await;
        started.map_err(|error| with_causes(&error))?;
        let called = connection.invoke::<String>("Never", ()).await.map(drop);
        called.map_err(|error| with_causes(&error))
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("the call was never resolved")
        .expect_err("the call succeeded")
}

#[tokio::test]
async fn a_closed_port_is_told_as_such() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = refused(&format!("http://127.0.0.1:{port}/hub")).await;
    assert!(text.to_lowercase().contains("refused"), "{text}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_as_such() {
    let text = refused("http://does-not-exist.invalid/hub").await;
    assert!(text.contains("does-not-exist.invalid"), "{text}");
}

#[tokio::test]
async fn answers_that_are_not_http_end_the_start() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x00\x01\x02\x03\xff\xfe",
        b"HTTP/9.9 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"",
    ] {
        let url = server(move |mut stream| {
            head(&mut stream);
            let _ = stream.write_all(answer);
        });
        refused(&url).await;
    }
}

#[tokio::test]
async fn statuses_are_told_with_what_they_mean() {
    for (status, word) in [
        ("401 Unauthorized", "401"),
        ("404 Not Found", "404"),
        ("503 Service Unavailable", "503"),
        ("302 Found\r\nLocation: http://localhost/", "302"),
    ] {
        let url = server(move |mut stream| {
            head(&mut stream);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        });
        let text = refused(&url).await;
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn an_endless_negotiate_answer_is_not_read_to_its_end() {
    for header in [
        "Content-Length: 104857600",
        "Transfer-Encoding: chunked",
        "Connection: close",
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let url = server(move |mut stream| {
            head(&mut stream);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{header}\r\n\r\n");
            let chunk = [b' '; 0x4000];
            let framed = header.starts_with("Transfer");
            while count.load(Ordering::Relaxed) < 100 << 20 {
                let sent = if framed {
                    stream
                        .write_all(b"4000\r\n")
                        .and_then(|()| stream.write_all(&chunk))
                        .and_then(|()| stream.write_all(b"\r\n"))
                } else {
                    stream.write_all(&chunk)
                };
                if sent.is_err() {
                    return;
                }
                count.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        refused(&url).await;
        assert!(
            written.load(Ordering::Relaxed) < ENOUGH,
            "{header}: {} bytes",
            written.load(Ordering::Relaxed)
        );
    }
}

#[tokio::test]
async fn endless_headers_end_the_start() {
    let url = server(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Filler: 0123456789012345678901234567890123456789\r\n")
            .is_ok()
        {}
    });
    refused(&url).await;
}

#[tokio::test]
async fn a_server_that_never_answers_runs_into_the_timeout_at_every_step() {
    let silent = [
        server(linger),
        negotiating(linger),
        shaking(|mut socket| drop(socket.read())),
    ];
    for url in silent {
        let text = refused(&url).await;
        assert!(text.contains("700ms"), "{text}");
    }
    let drip = server(|mut stream| {
        head(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
            std::thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    assert!(refused(&drip).await.contains("700ms"));
}

#[tokio::test]
async fn a_server_that_closes_at_any_step_ends_the_start() {
    let closing = [
        server(drop),
        server(|mut stream| {
            head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"conn");
        }),
        negotiating(drop),
        negotiating(|mut stream| {
            head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 101 Switching Proto");
        }),
        shaking(drop),
        shaking(|mut socket| drop(socket.close(None).and_then(|()| socket.flush()))),
        shaking(|mut socket| drop(socket.send(Message::text("{")))),
    ];
    for url in closing {
        refused(&url).await;
    }
}

#[tokio::test]
async fn an_upgrade_that_is_none_ends_the_start() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let url = negotiating(move |mut stream| {
            head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
            linger(stream);
        });
        refused(&url).await;
    }
}

#[tokio::test]
async fn half_a_handshake_runs_into_the_timeout_and_a_wrong_one_is_refused() {
    let half = shaking(|mut socket| {
        let _ = socket.send(Message::text("{\"err"));
        drop(socket.read());
    });
    assert!(refused(&half).await.contains("700ms"));
    for text in ["garbage\u{1e}", "[]\u{1e}", "{\"type\":6}\u{1e}", "\u{1e}"] {
        refused(&shaking(move |mut socket| {
            let _ = socket.send(Message::text(text));
            drop(socket.read());
        }))
        .await;
    }
    let endless =
        shaking(|mut socket| while socket.send(Message::text("x".repeat(10_000))).is_ok() {});
    refused(&endless).await;
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_the_connection_and_resolves_every_call() {
    for bytes in [
        &b"garbage\x1e"[..],
        b"{\"type\":1}\x1e",
        b"\x1e",
        b"{\"type\":1,\"target\":\"x\",\"arguments\":{}}\x1e",
        b"\xff\xfe\x1e",
    ] {
        let text = broken(
            &connected(move |mut socket| {
                let _ = socket.send(Message::binary(bytes));
                drop(socket.read());
                linger_socket(socket);
            }),
            Protocol::Json,
        )
        .await;
        assert!(text.contains("protocol error"), "{text}");
    }
}

fn linger_socket(mut socket: WebSocket<TcpStream>) {
    while socket.read().is_ok() {}
}

#[tokio::test]
async fn a_claim_of_two_gibibytes_ends_the_connection_before_they_come() {
    // As a MessagePack length prefix, and as the length of a WebSocket frame.
    let prefix = connected(|mut socket| {
        let _ = socket.send(Message::binary(&b"\xff\xff\xff\xff\x07\x96\x01"[..]));
        linger_socket(socket);
    });
    assert!(
        broken(&prefix, Protocol::MessagePack)
            .await
            .contains("2147483647")
    );
    let frame = connected(|mut socket| {
        let _ = socket
            .get_mut()
            .write_all(b"\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff");
        linger_socket(socket);
    });
    broken(&frame, Protocol::MessagePack).await;
}

#[tokio::test]
async fn an_endless_message_is_not_read_to_its_end() {
    for how in [
        "one record in many messages",
        "one message in many fragments",
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let url = connected(move |mut socket| {
            let first = how.starts_with("one message");
            let mut opcode = 0x02;
            while count.load(Ordering::Relaxed) < 200 << 20 {
                let sent = if first {
                    let mut frame = vec![opcode, 126, 0x40, 0x00];
                    frame.resize(4 + 0x4000, b'x');
                    opcode = 0x00;
                    socket.get_mut().write_all(&frame).is_ok()
                } else {
                    socket.send(Message::binary(vec![b'x'; 0x4000])).is_ok()
                };
                if !sent {
                    return;
                }
                count.fetch_add(0x4000, Ordering::Relaxed);
            }
        });
        broken(&url, Protocol::Json).await;
        assert!(
            written.load(Ordering::Relaxed) < ENOUGH,
            "{how}: {} bytes",
            written.load(Ordering::Relaxed)
        );
    }
}

/// The code of the client's close frame, when it sends one before it leaves.
fn close_code(mut socket: WebSocket<TcpStream>) -> Option<u16> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[tokio::test]
async fn frames_that_web_sockets_do_not_know_end_the_connection() {
    for (bytes, code) in [
        (&b"\x83\x00"[..], 1002),
        (b"\xf1\x01x", 1002),
        (b"\x89\x7e\x01\x00", 1002),
        (b"\x81\x81\x00\x00\x00\x00x", 1002),
        (b"\x80\x01x", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", 1009),
    ] {
        let (told, telling) = std::sync::mpsc::channel();
        let url = connected(move |mut socket| {
            let _ = socket.get_mut().write_all(&[bytes, &[0; 300]].concat());
            let _ = told.send(close_code(socket));
        });
        broken(&url, Protocol::Json).await;
        assert_eq!(telling.recv_timeout(PATIENCE), Ok(Some(code)), "{bytes:x?}");
    }
}

#[tokio::test]
async fn silence_after_the_handshake_ends_in_the_server_timeout() {
    let text = broken(&connected(linger_socket), Protocol::Json).await;
    assert!(text.contains("server timeout"), "{text}");
}

/// Answers the client's first call.
fn answer(mut socket: WebSocket<TcpStream>) {
    let _ = socket.send(Message::text(
        "{\"type\":3,\"invocationId\":\"1\",\"result\":\"through\"}\u{1e}",
    ));
    linger_socket(socket);
}

/// A call is answered and the connection stops in time, whatever else the server sends.
async fn gets_through(url: &str) {
    let connection = connection(url, Protocol::Json);
    connection.start().await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, connection.invoke::<String>("Any", ()))
        .await
        .expect("the call was starved");
    assert_eq!(answer.unwrap(), "through");
    tokio::time::timeout(PATIENCE, connection.stop())
        .await
        .expect("stop was starved");
}

#[tokio::test]
async fn a_flood_of_pings_starves_nobody() {
    let url = connected(|mut socket| {
        let pings = "{\"type\":6}\u{1e}".repeat(1000);
        for _ in 0..2000 {
            if socket.send(Message::text(pings.as_str())).is_err() {
                return;
            }
        }
        answer(socket);
    });
    gets_through(&url).await;
}

#[tokio::test]
async fn a_flood_of_calls_nobody_handles_is_passed_over() {
    let url = connected(|mut socket| {
        let calls = "{\"type\":1,\"target\":\"Nobody\",\"arguments\":[1,2,3]}\u{1e}{\"type\":1,\"invocationId\":\"s1\",\"target\":\"Nobody\",\"arguments\":[]}\u{1e}".repeat(200);
        for _ in 0..50 {
            if socket.send(Message::text(calls.as_str())).is_err() {
                return;
            }
        }
        answer(socket);
    });
    gets_through(&url).await;
}
