//! HTTP/1.1 by hyper, and without it while nothing happens.
//!
//! hyper holds two buffers of 8 KiB for each of its connections, which cannot be made smaller. Most connections of a hub that are no
//! WebSockets wait: for messages to answer a poll with, or to write to an event stream. When one does, its task takes the socket and
//! what it waits for away from hyper and lets hyper go:
//!
//! ```text
//!            a poll waits for a moment              answered: hyper reads a request that
//!          ┌──────────────────────────► waiting ──┐ asks for nothing and finds the answer
//!   hyper ─┤                                      ├─► hyper
//!          └──────────────────────────► writing ──┘
//!            an event stream is written             ended, and the client goes on
//!            as far as it is there
//! ```
//!
//! What is answered, and in which bytes, is the same as by hyper alone.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use http::Response;
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::app::{App, HEAD_TIMEOUT};
use super::desk::{Desk, Rest};
use super::line::Line;
use super::stream::{Ended, Stream};

/// What hyper reads when an answer is there that it shall write.
const ANSWER: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
/// The same for a connection that ends with it.
const ANSWER_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";

/// Serves one connection until its end, or until the request under way is answered once the server stops.
pub(super) async fn converse<S: App>(
    stream: TcpStream,
    app: S,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let mut line = Line::new(stream);
    let desk = Desk::new(app, line.written());
    loop {
        let (rest, left) = match talk(line, &desk, &stop).await {
            Talk::Over(ended) => return ended,
            Talk::Resting(rest, line) => (rest, line),
        };
        line = left;
        match rest {
            Rest::Poll(answering) => {
                let Some(response) = wait(answering, &mut line).await else {
                    return Ok(());
                };
                desk.answer(response);
                line.unread(if desk.closes() || stop.is_cancelled() {
                    ANSWER_AND_CLOSE
                } else {
                    ANSWER
                });
            }
            Rest::Stream(body) => {
                let ended = Stream::new(&mut line, body).await;
                if ended == Ended::Broken {
                    return Ok(());
                }
                if desk.closes() || stop.is_cancelled() {
                    // Whether the client is there to be told does not matter any more.
                    let _ = poll_fn(|cx| Pin::new(&mut line).poll_shutdown(cx)).await;
                    return Ok(());
                }
            }
        }
    }
}

enum Talk<S: App> {
    Over(hyper::Result<()>),
    Resting(Rest<S>, Line),
}

type Connection<S> = UpgradeableConnection<TokioIo<Line>, Desk<S>>;

/// Lets hyper serve the connection, until its end or until nothing happens.
async fn talk<S: App>(line: Line, desk: &Desk<S>, stop: &CancellationToken) -> Talk<S> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    // In a box, so that a connection at rest has no room for it.
    let mut connection: Box<Connection<S>> = Box::new(
        http.serve_connection(TokioIo::new(line), desk.clone())
            .with_upgrades(),
    );
    let mut patience = Patience { desk, sleep: None };
    let rest = {
        let rest = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(Err(ended));
            }
            patience.poll(cx).map(Ok)
        });
        // hyper comes first: what it has an answer for it must have read before it may be told to stop.
        match select(pin!(rest), pin!(stop.cancelled())).await {
            Either::Left((rest, _)) => Some(rest),
            Either::Right(_) => None,
        }
    };
    let rest = match rest {
        Some(rest) => rest,
        None => {
            Pin::new(&mut *connection).graceful_shutdown();
            Err(connection.as_mut().await)
        }
    };
    match rest {
        Err(ended) => Talk::Over(ended),
        Ok(rest) => match connection.into_parts() {
            None => Talk::Over(Ok(())),
            Some(parts) => {
                let mut line = parts.io.into_inner();
                line.unread(&parts.read_buf);
                Talk::Resting(rest, line)
            }
        },
    }
}

/// Finds out when there is nothing to do for hyper.
struct Patience<'a, S: App> {
    desk: &'a Desk<S>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<S: App> Patience<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Rest<S>> {
        if let Some(rest) = self.desk.take_stream() {
            return Poll::Ready(rest);
        }
        let Some(deadline) = self.desk.waits_until() else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // Set for an earlier request it may end too early, and is then set anew: once a second and not for each request.
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return self.desk.take_poll().map_or(Poll::Pending, Poll::Ready);
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Waits for an answer as long as the client does.
async fn wait<F, B>(mut answering: Pin<Box<F>>, line: &mut Line) -> Option<Response<B>>
where
    F: Future<Output = Result<Response<B>, std::convert::Infallible>>,
{
    poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Pending => line.poll_gone(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::{BoxFuture, FutureExt as _};
    use futures_util::stream;
    use http::{Request, header};
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
    use hyper::body::Incoming;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tower_service::Service;

    use super::*;

    /// Answers `/stream` with an event stream that says nothing, `/file` with one that is whole, and nothing else.
    #[derive(Clone)]
    struct Still;

    impl Service<Request<Incoming>> for Still {
        type Response = Response<UnsyncBoxBody<Bytes, std::io::Error>>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Incoming>) -> Self::Future {
            let body = match request.uri().path() {
                "/stream" => StreamBody::new(stream::pending()).boxed_unsync(),
                "/file" => Full::from("data: 1\n\n")
                    .map_err(|never| match never {})
                    .boxed_unsync(),
                _ => return std::future::pending().boxed(),
            };
            let mut response = Response::new(body);
            let kind = header::HeaderValue::from_static("text/event-stream; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            std::future::ready(Ok(response)).boxed()
        }
    }

    /// What hyper is left for within a minute, and how soon.
    async fn rests(request: &str) -> Option<(&'static str, Duration)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let line = Line::new(stream);
        let desk = Desk::new(Still, line.written());
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        let talk = talk(line, &desk, &stop);
        match tokio::time::timeout(Duration::from_secs(20), talk).await {
            Ok(Talk::Resting(Rest::Poll(_), _)) => Some(("poll", begun.elapsed())),
            Ok(Talk::Resting(Rest::Stream(_), _)) => Some(("stream", begun.elapsed())),
            Ok(Talk::Over(_)) | Err(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_is_let_go_by_what_waits_and_by_nothing_else() {
        let (kind, waited) = rests("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(kind, "poll");
        assert!((100..150).contains(&waited.as_millis()), "{waited:?}");
        let (kind, waited) = rests("GET /stream HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(kind, "stream");
        assert!(waited < Duration::from_millis(50), "{waited:?}");
        for head in [
            "GET /poll HTTP/1.0\r\n",
            "GET /stream HTTP/1.0\r\n",
            "GET /file HTTP/1.1\r\n",
            "HEAD /stream HTTP/1.1\r\n",
            "POST /poll HTTP/1.1\r\nContent-Length: 3\r\n",
            "GET /poll HTTP/1.1\r\nContent-Length: 3\r\n",
            "GET /poll HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            "",
        ] {
            assert_eq!(rests(&format!("{head}\r\n")).await, None, "{head}");
        }
    }
}
