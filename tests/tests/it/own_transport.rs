//! A network of one's own: a conversation recorded earlier, played back from memory.
//!
//! [`Transport`] is all that a connection asks of the world: requests, WebSockets and time. Here the answers are written down, time
//! stands still, and nothing is spawned; a simulated network, a browser's or one over something that is not a socket is made in the
//! same way.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::join;
use futures_util::{Sink, Stream, StreamExt as _, stream};
use signalr_client::WsMessage;
use signalr_client::proto::EndCause;
use signalr_client::{CallErrorKind, CloseReason, HubConnection, Instant, Transport};
use signalr_tests::with_causes;

/// A line of a recording.
enum Line {
    /// A request, as method and address, and its answer, as status and body.
    Asked(&'static str, u16, &'static str),
    /// The opening of a WebSocket, and the status of the answer: 101 if it opened.
    Opened(&'static str, u16),
    /// What the client wrote.
    Client(&'static str),
    /// What the server wrote.
    Server(&'static str),
    /// The server closed with this code.
    Closed(u16),
}

/// The rest of a recording.
#[derive(Clone)]
struct Recording(Arc<Mutex<State>>);

struct State {
    lines: VecDeque<Line>,
    /// Who waits for the server to say something.
    reader: Option<Waker>,
}

/// What this network's errors are: `Display` is what the user gets to see.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the recording has {0} at this place")]
    NotRecorded(&'static str),
    #[error("refused with status {0}")]
    Refused(u16),
    #[error("closed with code {0}")]
    Closed(u16),
}

impl Recording {
    fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        Self(Arc::new(Mutex::new(State {
            lines: lines.into_iter().collect(),
            reader: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn is_over(&self) -> bool {
        self.state().lines.is_empty()
    }
}

/// The WebSocket of a recording: reading gives what the server said once everything before it has been said.
struct Played(Recording);

impl Stream for Played {
    type Item = Result<WsMessage, Failed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state();
        let said = match state.lines.front() {
            Some(Line::Server(text)) => Ok(WsMessage::Text(text.as_bytes().into())),
            Some(Line::Closed(code)) => Err(Failed::Closed(*code)),
            _ => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        state.lines.pop_front();
        Poll::Ready(Some(said))
    }
}

impl Sink<WsMessage> for Played {
    type Error = Failed;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: WsMessage) -> Result<(), Failed> {
        let mut state = self.0.state();
        match (message, state.lines.pop_front()) {
            (WsMessage::Text(bytes), Some(Line::Client(text))) => assert_eq!(bytes, text),
            (message, _) => panic!("{message:?} was not recorded"),
        }
        // Perhaps it is the server's turn now.
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Recording {
    type WebSocket = Played;
    type Body = stream::Iter<std::option::IntoIter<Result<Bytes, Failed>>>;
    type Error = Failed;

    async fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Self::Body>, Failed> {
        let Some(Line::Asked(asked, status, body)) = self.state().lines.pop_front() else {
            return Err(Failed::NotRecorded("no request"));
        };
        assert_eq!(asked, format!("{} {}", request.method(), request.uri()));
        let body = Some(Ok(Bytes::from_static(body.as_bytes())));
        let mut response = http::Response::new(stream::iter(body));
        *response.status_mut() = status.try_into().unwrap();
        Ok(response)
    }

    async fn open_web_socket(&self, request: http::Request<()>) -> Result<Played, Failed> {
        match self.state().lines.pop_front() {
            Some(Line::Opened(opened, status)) => {
                assert_eq!(opened, request.uri().to_string());
                (status == 101)
                    .then(|| Played(self.clone()))
                    .ok_or(Failed::Refused(status))
            }
            _ => Err(Failed::NotRecorded("no WebSocket")),
        }
    }

    async fn sleep_until(&self, _: Instant) {
        pending().await
    }

    fn now(&self) -> Instant {
        Instant::default()
    }

    /// Without this all would be well, too, but for the status and the code, which mean something to the protocol.
    fn end_cause(error: &Failed) -> EndCause {
        match error {
            Failed::Refused(status) => EndCause::Refused { status: *status },
            Failed::Closed(code) => EndCause::WebSocketClose {
                code: *code,
                reason: "".into(),
            },
            Failed::NotRecorded(_) => EndCause::Failed {
                detail: error.to_string().into(),
            },
        }
    }
}

const NEGOTIATED: Line = Line::Asked(
    "POST http://recorded/hub/negotiate?negotiateVersion=1",
    200,
    r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"to/ken","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#,
);
const ADDRESS: &str = "ws://recorded/hub?id=to%2Fken";

/// Runs a connection over a recording, its driver beside it.
async fn play<F: Future>(
    recording: &Recording,
    work: impl FnOnce(HubConnection) -> F,
) -> F::Output {
    let builder = HubConnection::builder("http://recorded/hub");
    let (connection, driver) = builder.build_with(recording.clone()).unwrap();
    join(work(connection), driver.run()).await.0
}

#[tokio::test]
async fn a_recorded_conversation_is_played_without_a_network() {
    let recording = Recording::of([
        NEGOTIATED,
        Line::Opened(ADDRESS, 101),
        Line::Client("{\"protocol\":\"json\",\"version\":1}\u{1e}"),
        Line::Server("{}\u{1e}"),
        Line::Client("{\"type\":6}\u{1e}"),
        Line::Client(
            "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\u{1e}",
        ),
        // Both in one message, as servers like it.
        Line::Server(
            "{\"type\":1,\"target\":\"Receive\",\"arguments\":[\"hello\"]}\u{1e}{\"type\":3,\"invocationId\":\"1\",\"result\":3}\u{1e}",
        ),
        Line::Client(
            "{\"type\":4,\"invocationId\":\"2\",\"target\":\"Count\",\"arguments\":[2]}\u{1e}",
        ),
        Line::Server(
            "{\"type\":2,\"invocationId\":\"2\",\"item\":0}\u{1e}{\"type\":2,\"invocationId\":\"2\",\"it",
        ),
        Line::Server("em\":1}\u{1e}{\"type\":3,\"invocationId\":\"2\"}\u{1e}"),
        Line::Client("{\"type\":7}\u{1e}"),
        Line::Closed(1000),
    ]);
    play(&recording, async |connection| {
        let (sender, mut heard) = futures_channel::mpsc::unbounded();
        connection.on("Receive", move |text: String| {
            let _ = sender.unbounded_send(text);
        });
        connection.start().await.unwrap();
        assert_eq!(connection.connection_id().as_deref(), Some("id"));
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        assert_eq!(heard.next().await.as_deref(), Some("hello"));
        let items = connection.stream::<i32>("Count", (2,)).await.unwrap();
        let items: Vec<_> = items.map(Result::unwrap).collect().await;
        assert_eq!(items, [0, 1]);
        connection.stop().await;
    })
    .await;
    assert!(recording.is_over());
}

#[tokio::test]
async fn what_the_transport_says_of_failures_reaches_the_user() {
    for (lines, words) in [
        (vec![], "the recording has no request at this place"),
        (
            vec![Line::Asked(
                "POST http://recorded/hub/negotiate?negotiateVersion=1",
                404,
                "",
            )],
            "404",
        ),
        (
            vec![NEGOTIATED],
            "the recording has no WebSocket at this place",
        ),
        (vec![NEGOTIATED, Line::Opened(ADDRESS, 401)], "401"),
    ] {
        let recording = Recording::of(lines);
        let error = play(&recording, async |connection| connection.start().await).await;
        let error = with_causes(&error.expect_err("it started"));
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_call_ends_when_the_recorded_server_closes() {
    let recording = Recording::of([
        NEGOTIATED,
        Line::Opened(ADDRESS, 101),
        Line::Client("{\"protocol\":\"json\",\"version\":1}\u{1e}"),
        Line::Server("{}\u{1e}"),
        Line::Client("{\"type\":6}\u{1e}"),
        Line::Client(
            "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Slow\",\"arguments\":[]}\u{1e}",
        ),
        Line::Closed(1011),
    ]);
    let lost = play(&recording, async |connection| {
        connection.start().await.unwrap();
        connection.invoke::<()>("Slow", ()).await
    });
    let lost = lost.await;
    assert!(
        matches!(
            lost.as_ref().map_err(|error| error.kind()),
            Err(CallErrorKind::ConnectionLost(
                CloseReason::WebSocketClosed { code: 1011, .. }
            ))
        ),
        "{lost:?}"
    );
}
