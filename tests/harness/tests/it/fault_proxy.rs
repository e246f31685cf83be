//! The fault proxy does what its plan says, to the byte.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use signalr_harness::fault_proxy::{
    At, End, Exchange, Fault, FaultProxy, Framing, Greeting, Once, Pace, Plan, RequestKind, Side,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"POST /hub/negotiate?x=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

/// Answers each connection's first request, once all of it is there.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; REQUEST.len()];
                if stream.read_exact(&mut request).await.is_ok() {
                    assert_eq!(request, REQUEST);
                    stream.write_all(ANSWER.as_bytes()).await.unwrap();
                    let _ = stream.read(&mut request).await;
                }
            });
        }
    });
    address
}

async fn proxy(fault: Fault) -> FaultProxy {
    let plan = Once::new(RequestKind::Negotiate, 0, fault);
    FaultProxy::start(Some(upstream().await), plan)
        .await
        .unwrap()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    let address = proxy.url();
    let address = address.trim_start_matches("http://").to_owned();
    TcpStream::connect(address).await.unwrap()
}

/// Sends the request, and reads until `Ok` at an orderly end, an error, or `None` when nothing comes any more.
async fn ask(stream: &mut TcpStream) -> (String, Option<Result<(), ErrorKind>>) {
    let _ = stream.write_all(REQUEST).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let quiet = Duration::from_millis(150);
        let end = match tokio::time::timeout(quiet, stream.read(&mut buffer)).await {
            Err(_) => None,
            Ok(Ok(0)) => Some(Ok(())),
            Ok(Err(error)) => Some(Err(error.kind())),
            Ok(Ok(count)) => {
                answer.extend(buffer.iter().take(count));
                continue;
            }
        };
        return (String::from_utf8(answer).unwrap(), end);
    }
}

async fn answer(fault: Fault) -> (String, Option<Result<(), ErrorKind>>) {
    let proxy = proxy(fault).await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream).await
}

#[tokio::test]
async fn without_a_fault_all_gets_through_and_the_connection_is_kept() {
    let proxy = proxy(Fault::none()).await;
    let mut stream = connect(&proxy).await;
    for nth in 0..2 {
        assert_eq!(ask(&mut stream).await, (ANSWER.into(), None));
        let exchanges = proxy.exchanges();
        let last = exchanges.last().unwrap();
        assert_eq!((last.kind, last.nth), (RequestKind::Negotiate, nth));
        assert_eq!((last.connection, last.on_connection), (0, nth));
        assert_eq!(last.path, "/hub/negotiate");
    }
    assert_eq!((proxy.accepted(), proxy.cuts()), (1, 0));
}

#[tokio::test]
async fn an_answer_is_cut_after_exactly_so_many_bytes() {
    for place in 0..=ANSWER.len() {
        let cut = |end| answer(Fault::cut(Side::Answer, At::Byte(place), end));
        let (close, reset) = tokio::join!(cut(End::Close), cut(End::Reset));
        assert_eq!(close, (ANSWER.get(..place).unwrap().into(), Some(Ok(()))));
        assert_eq!(reset.1, Some(Err(ErrorKind::ConnectionReset)));
    }
    let stall = Fault::cut(Side::Answer, At::Body(2), End::Stall);
    assert_eq!(answer(stall).await, (format!("{HEAD}he"), None));
    let end = Fault::cut(Side::Answer, At::End, End::Close);
    assert_eq!(answer(end).await, (ANSWER.into(), Some(Ok(()))));
}

#[tokio::test]
async fn a_request_that_is_cut_is_never_answered() {
    for place in [At::Byte(0), At::Byte(7), At::Body(0), At::Body(2)] {
        let cut = |end| answer(Fault::cut(Side::Request, place, end));
        assert_eq!(cut(End::Close).await, (String::new(), Some(Ok(()))));
        assert_eq!(cut(End::Stall).await, (String::new(), None));
        let reset = Some(Err(ErrorKind::ConnectionReset));
        assert_eq!(cut(End::Reset).await, (String::new(), reset));
    }
}

#[tokio::test]
async fn bodies_are_framed_as_the_plan_says() {
    for (framing, expected) in [
        (
            Framing::Chunked(2),
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n",
        ),
        (Framing::LengthOff(3), "Content-Length: 8\r\n\r\nhello"),
        (Framing::LengthOff(-1), "Content-Length: 4\r\n\r\nhello"),
        (Framing::LengthOf(99), "Content-Length: 99\r\n\r\nhello"),
        (Framing::UntilClose, "Connection: close\r\n\r\nhello"),
    ] {
        let (answer, end) = answer(Fault::none().framing(framing)).await;
        assert_eq!(answer, format!("HTTP/1.1 200 OK\r\n{expected}"));
        assert_eq!(end.is_some(), framing == Framing::UntilClose);
    }
}

#[tokio::test]
async fn answers_are_preceded_followed_repeated_replaced_and_slow() {
    let slow = Pace {
        bytes: 1,
        pause: Duration::ZERO,
        body: true,
    };
    for (fault, expected) in [
        (
            Fault::none().interim(),
            format!("HTTP/1.1 100 Continue\r\n\r\n{ANSWER}"),
        ),
        (Fault::none().trailing("more"), format!("{ANSWER}more")),
        (Fault::none().repeated(), format!("{ANSWER}{ANSWER}")),
        (Fault::none().answer("mine\r\n\r\n"), "mine\r\n\r\n".into()),
        (Fault::none().answer_instead("mine"), "mine".into()),
        (Fault::none().pace(slow), ANSWER.into()),
        (
            Fault::none().delay(Duration::from_millis(20)),
            ANSWER.into(),
        ),
    ] {
        assert_eq!(answer(fault).await, (expected, None));
    }
}

struct Greets(Greeting);

impl Plan for Greets {
    fn accept(&self, _: usize) -> Greeting {
        self.0.clone()
    }

    fn exchange(&self, _: &Exchange) -> Fault {
        Fault::none().answer(ANSWER)
    }
}

#[tokio::test]
async fn connections_are_greeted_as_the_plan_says() {
    for (greeting, expected, end) in [
        (Greeting::Serve, ANSWER.to_owned(), None),
        (Greeting::Say("hi".into()), format!("hi{ANSWER}"), None),
        (Greeting::Stall, String::new(), None),
        (Greeting::Close, String::new(), Some(Ok(()))),
        (
            Greeting::Reset,
            String::new(),
            Some(Err(ErrorKind::ConnectionReset)),
        ),
    ] {
        let proxy = FaultProxy::start(None, Greets(greeting)).await.unwrap();
        let mut stream = connect(&proxy).await;
        assert_eq!(ask(&mut stream).await, (expected, end));
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_proxy_that_is_dropped() {
    let proxy = proxy(Fault::cut(Side::Answer, At::Byte(9), End::Stall)).await;
    let mut stalled = connect(&proxy).await;
    ask(&mut stalled).await;
    let mut idle = connect(&proxy).await;
    ask(&mut idle).await;
    drop(proxy);
    for stream in [&mut stalled, &mut idle] {
        let (rest, end) = ask(stream).await;
        assert!(rest.is_empty() && end.is_some(), "{rest} {end:?}");
    }
}
