//! The driver over a network, a clock and an executor made of values: no socket, no thread, no waiting.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use core::convert::Infallible;
use core::future::{self, Future};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Wake;

use bytes::Bytes;
use futures_util::{FutureExt as _, Sink, Stream, StreamExt as _, stream};
use signalr_client::proto::WsMessage;
use signalr_client::{
    Arguments, BuildError, CloseReason, ConnectionState, Detached, Error, HubConnection,
    HubConnectionBuilder, Instant, Limits, ReconnectPolicy, RetryPolicy, Transport, Upload,
};

/// The network's state, seen from the test.
#[derive(Default)]
struct World {
    now: Duration,
    sleepers: Vec<(Instant, Waker)>,
    requests: Vec<String>,
    /// What the server said and the client has not read.
    incoming: VecDeque<WsMessage>,
    cut: bool,
    /// What the client wrote.
    outgoing: Vec<String>,
    /// The network takes nothing.
    jammed: bool,
    wakers: Vec<Waker>,
}

#[derive(Clone, Default)]
struct Net(Arc<Mutex<World>>);

impl Net {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Changes the world and wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut World)) {
        let wakers = {
            let mut world = self.world();
            change(&mut world);
            let now = Instant(world.now);
            let (due, later) = core::mem::take(&mut world.sleepers)
                .into_iter()
                .partition(|(deadline, _)| *deadline <= now);
            world.sleepers = later;
            let due: Vec<_> = due;
            let mut wakers = core::mem::take(&mut world.wakers);
            wakers.extend(due.into_iter().map(|(_, waker)| waker));
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn say(&self, text: &str) {
        self.change(|world| {
            world
                .incoming
                .push_back(WsMessage::Text(format!("{text}\u{1e}").into()))
        });
    }

    fn advance(&self, by: Duration) {
        self.change(|world| world.now += by);
    }

    fn heard(&self) -> Vec<String> {
        core::mem::take(&mut self.world().outgoing)
    }
}

struct Socket(Net);

impl Stream for Socket {
    type Item = Result<WsMessage, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut world = self.0.world();
        if let Some(message) = world.incoming.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        if core::mem::take(&mut world.cut) {
            return Poll::Ready(None);
        }
        world.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink<WsMessage> for Socket {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: WsMessage) -> Result<(), Infallible> {
        let text = match message {
            WsMessage::Text(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            WsMessage::Binary(bytes) => format!("{} bytes", bytes.len()),
            WsMessage::Close(code) => format!("close {code}"),
        };
        self.0.world().outgoing.push(text);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let mut world = self.0.world();
        if world.jammed {
            world.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

const OFFER: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

impl Transport for Net {
    type WebSocket = Socket;
    type Body = stream::Iter<std::vec::IntoIter<Result<Bytes, Infallible>>>;
    type Error = Infallible;

    async fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Self::Body>, Infallible> {
        self.world().requests.push(request.uri().to_string());
        Ok(http::Response::new(stream::iter(vec![Ok(
            Bytes::from_static(OFFER.as_bytes()),
        )])))
    }

    async fn open_web_socket(&self, request: http::Request<()>) -> Result<Socket, Infallible> {
        let mut world = self.world();
        world.requests.push(request.uri().to_string());
        world.incoming.clear();
        world
            .incoming
            .push_back(WsMessage::Text(Bytes::from_static(b"{}\x1e")));
        world.cut = false;
        Ok(Socket(self.clone()))
    }

    async fn sleep_until(&self, deadline: Instant) {
        future::poll_fn(|cx| {
            let mut world = self.world();
            if deadline <= Instant(world.now) {
                return Poll::Ready(());
            }
            world.sleepers.push((deadline, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn now(&self) -> Instant {
        Instant(self.world().now)
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection, its driver, and the world around them.
struct Bench {
    net: Net,
    connection: Option<HubConnection<Detached>>,
    driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Flag>,
}

impl Bench {
    fn new(
        configure: impl FnOnce(HubConnectionBuilder<Detached>) -> HubConnectionBuilder<Detached>,
    ) -> Self {
        let net = Net::default();
        let builder = HubConnection::builder("http://host/hub");
        let (connection, driver) = configure(builder).build_with(net.clone()).unwrap();
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self {
            net,
            connection: Some(connection),
            driver: Some(Box::pin(driver.run())),
            woken,
        }
    }

    fn started(
        configure: impl FnOnce(HubConnectionBuilder<Detached>) -> HubConnectionBuilder<Detached>,
    ) -> Self {
        let mut bench = Self::new(configure);
        let connection = bench.connection().clone();
        assert_eq!(bench.finish(connection.start()), Ok(()));
        drop(connection);
        bench.net.heard();
        bench
    }

    fn connection(&self) -> &HubConnection<Detached> {
        self.connection.as_ref().unwrap()
    }

    /// Lets the driver run until it sleeps. A bound finds livelocks.
    fn settle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..10_000 {
            if !self.woken.0.swap(false, Ordering::Relaxed) {
                return;
            }
            let Some(driver) = &mut self.driver else {
                return;
            };
            if driver.as_mut().poll(&mut cx).is_ready() {
                self.driver = None;
            }
        }
        panic!("the driver never sleeps");
    }

    /// What has come of a future once everything sleeps.
    fn poll<F: Future + Unpin>(&mut self, future: &mut F) -> Option<F::Output> {
        for _ in 0..10 {
            if let Some(output) = future.now_or_never() {
                return Some(output);
            }
            self.settle();
        }
        None
    }

    fn finish<F: Future>(&mut self, future: F) -> F::Output {
        self.poll(&mut Box::pin(future))
            .expect("it waits for something that does not happen")
    }
}

fn answer(id: u32, result: u32) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}","result":{result}}}"#)
}

#[test]
fn start_negotiates_opens_shakes_hands_and_pings() {
    let mut bench = Bench::new(|builder| builder.token("secret").token_in_query(true));
    let connection = bench.connection().clone();
    assert_eq!(bench.finish(connection.start()), Ok(()));
    assert_eq!(
        (connection.state(), connection.connection_id().as_deref()),
        (ConnectionState::Connected, Some("id"))
    );
    let requests = bench.net.world().requests.clone();
    assert_eq!(
        requests,
        [
            "http://host/hub/negotiate?negotiateVersion=1",
            "ws://host/hub?id=token&access_token=secret"
        ]
    );
    assert_eq!(
        bench.net.heard().concat(),
        "{\"protocol\":\"json\",\"version\":1}\u{1e}{\"type\":6}\u{1e}"
    );
    assert!(!format!("{connection:?}").contains("secret"));
}

#[test]
fn calls_made_together_are_sent_together() {
    let mut bench = Bench::started(|builder| builder);
    let mut calls: Vec<_> = (0..64)
        .map(|number| bench.connection().invoke::<u32>("Echo", (number,)))
        .collect();
    bench.settle();
    let heard = bench.net.heard();
    assert_eq!((heard.len(), heard[0].matches('\u{1e}').count()), (1, 64));
    let answers: Vec<String> = (0..64).map(|number| answer(number + 1, number)).collect();
    bench.net.say(&answers.join("\u{1e}"));
    for (number, call) in (0..).zip(&mut calls) {
        assert_eq!(bench.poll(call), Some(Ok(number)));
    }
}

#[test]
fn a_deadline_counts_by_the_transports_clock_and_cancels_the_call() {
    let mut bench = Bench::started(|builder| builder);
    bench.net.advance(Duration::from_secs(10));
    let after = Duration::from_secs(3);
    let mut call = bench.connection().invoke::<u32>("Slow", ()).timeout(after);
    bench.settle();
    assert_eq!(bench.net.heard().len(), 1);
    bench.net.advance(Duration::from_millis(2999));
    assert_eq!(bench.poll(&mut call), None);
    bench.net.advance(Duration::from_millis(1));
    assert_eq!(bench.poll(&mut call), Some(Err(Error::Timeout { after })));
    bench.settle();
    assert_eq!(
        bench.net.heard().concat(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
}

#[test]
fn dropping_a_call_cancels_it_once_and_a_late_answer_is_ignored() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    assert_eq!(bench.poll(&mut call), None);
    bench.net.heard();
    drop(call);
    bench.settle();
    assert_eq!(
        bench.net.heard().concat(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
    bench.net.say(&answer(1, 5));
    let mut next = bench.connection().invoke::<u32>("Echo", (7,));
    bench.net.say(&answer(2, 7));
    assert_eq!(bench.poll(&mut next), Some(Ok(7)));
    drop(next);
    bench.settle();
    assert!(
        !bench.net.heard().concat().contains("\"type\":5"),
        "a finished call was cancelled"
    );
}

#[test]
fn a_send_is_done_when_the_transport_took_it_and_fails_when_it_never_will() {
    let mut bench = Bench::started(|builder| builder);
    bench.net.change(|world| world.jammed = true);
    let mut first = bench.connection().send("A", ());
    let mut second = bench.connection().send("B", ());
    assert_eq!(
        (bench.poll(&mut first), bench.poll(&mut second)),
        (None, None)
    );
    let mut third = bench.connection().send("C", ());
    bench.net.change(|world| world.jammed = false);
    assert_eq!(
        (
            bench.poll(&mut first),
            bench.poll(&mut second),
            bench.poll(&mut third)
        ),
        (Some(Ok(())), Some(Ok(())), Some(Ok(())))
    );
    bench.net.change(|world| world.jammed = true);
    let mut lost = bench.connection().send("D", ());
    assert_eq!(bench.poll(&mut lost), None);
    bench.net.change(|world| world.cut = true);
    assert!(matches!(
        bench.poll(&mut lost),
        Some(Err(Error::ConnectionLost(_)))
    ));
}

#[test]
fn a_stream_that_is_not_read_is_cancelled_where_its_items_are_bounded() {
    let mut bench = Bench::started(|builder| builder);
    let opening = bench.connection().stream::<u32>("Items", ()).max_waiting(3);
    let mut items = bench.finish(opening).unwrap();
    bench.settle();
    bench.net.heard();
    for number in 0..5 {
        bench.net.say(&format!(
            r#"{{"type":2,"invocationId":"1","item":{number}}}"#
        ));
    }
    bench.settle();
    let cancelled = "{\"type\":5,\"invocationId\":\"1\"}\u{1e}";
    assert_eq!(bench.net.heard(), [cancelled]);
    let mut taken = Vec::new();
    while let Some(item) = bench.finish(items.next()) {
        taken.push(item);
    }
    let overflow = Err(Error::StreamOverflow { limit: 3 });
    assert_eq!(taken, [Ok(0), Ok(1), Ok(2), overflow]);
    drop(items);
    bench.settle();
    assert!(bench.net.heard().is_empty());
}

#[test]
fn questions_count_among_the_calls_that_wait_for_handlers() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let (open, gate) = futures_channel::oneshot::channel::<()>();
    let gate = gate.shared();
    bench.connection().on("Ask", move |()| {
        let gate = gate.clone();
        async move { gate.await.is_ok() }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"invocationId":"s{number}","target":"Ask","arguments":[]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (80..=90).contains(&unread),
        "{unread} messages were left unread"
    );
    open.send(()).unwrap();
    bench.settle();
    let heard = bench.net.heard().concat();
    assert_eq!(heard.matches(r#""result":true"#).count(), 100);
}

#[test]
fn what_is_sent_while_nothing_else_happens_counts_from_then() {
    let second = Duration::from_secs(1);
    let mut bench = Bench::started(|builder| {
        builder
            .automatic_reconnect(vec![10 * second])
            .offline_queue(1000, 2 * second)
    });
    bench.net.change(|world| world.cut = true);
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Reconnecting);
    bench.net.advance(9 * second);
    bench.settle();
    let mut sending = bench.connection().send("Late", ());
    assert_eq!(bench.poll(&mut sending), Some(Ok(())));
    bench.net.advance(second);
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Connected);
    let heard = bench.net.heard().concat();
    assert!(heard.contains("\"Late\""), "{heard}");
}

#[test]
fn with_room_for_nothing_messages_go_out_one_by_one() {
    for limit in [0, 1] {
        let limits = Limits {
            max_outgoing_bytes: limit,
            ..Limits::CLIENT
        };
        let mut bench = Bench::started(|builder| builder.limits(limits));
        let upload = Upload::new(stream::iter([1, 2]));
        let mut sum = bench.connection().invoke::<u32>("Sum", (upload,));
        assert_eq!(bench.poll(&mut sum), None);
        let heard = bench.net.heard().concat();
        assert_eq!(heard.matches(r#""item":"#).count(), 2, "{limit}: {heard}");
        assert!(
            heard.contains(r#"{"type":3,"invocationId":"1"}"#),
            "{heard}"
        );
    }
}

#[test]
fn calls_beyond_the_outgoing_limit_wait_for_room_and_keep_their_arguments() {
    let limits = Limits {
        max_outgoing_bytes: 100,
        ..Limits::CLIENT
    };
    let mut bench = Bench::started(|builder| builder.limits(limits));
    bench.net.change(|world| world.jammed = true);
    let mut calls: Vec<_> = (0..5)
        .map(|number| bench.connection().send("Echo", (number, "x".repeat(60))))
        .collect();
    let upload = Upload::new(stream::iter([1]));
    let mut with_upload = bench.connection().invoke::<u32>("Sum", (5, upload));
    assert_eq!(bench.poll(&mut calls[4]), None);
    assert_eq!(bench.poll(&mut with_upload), None);
    bench.net.change(|world| world.jammed = false);
    assert!(
        calls
            .iter_mut()
            .all(|call| bench.poll(call) == Some(Ok(())))
    );
    assert_eq!(bench.poll(&mut with_upload), None);
    bench.settle();
    let heard = bench.net.heard().concat();
    assert!(
        (0..5).all(|number| heard.contains(&format!("[{number},\"xxx"))),
        "{heard}"
    );
    assert!(
        heard.contains(r#""target":"Sum","arguments":[5],"streamIds":["1"]"#),
        "{heard}"
    );
    assert!(
        heard.contains(r#"{"type":2,"invocationId":"1","item":1}"#),
        "{heard}"
    );
    assert!(
        heard.contains(r#"{"type":3,"invocationId":"1"}"#),
        "{heard}"
    );
}

#[test]
fn a_slow_handler_stops_the_reading_and_the_server_is_not_blamed() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let (open, gate) = futures_channel::oneshot::channel::<()>();
    let gate = gate.shared();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let numbers = Arc::clone(&handled);
    bench.connection().on("Number", move |(number,): (u32,)| {
        let (gate, numbers) = (gate.clone(), Arc::clone(&numbers));
        async move {
            let _ = gate.await;
            numbers.lock().unwrap().push(number);
        }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Number","arguments":[{number}]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (80..=90).contains(&unread),
        "{unread} messages were left unread"
    );
    bench.net.advance(Duration::from_secs(40));
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Connected);
    open.send(()).unwrap();
    bench.settle();
    assert_eq!(*handled.lock().unwrap(), (0..100).collect::<Vec<_>>());
    bench.net.advance(Duration::from_secs(31));
    bench.settle();
    assert_eq!(
        bench.connection().state(),
        ConnectionState::Disconnected,
        "silence is the server's fault again"
    );
}

#[test]
fn a_handler_that_waits_for_an_answer_gets_it_however_many_calls_wait_for_the_handler() {
    let mut bench = Bench::started(|builder| builder.handler_queue(10));
    let handled = Arc::new(Mutex::new(Vec::new()));
    let (numbers, weak) = (Arc::clone(&handled), bench.connection().downgrade());
    bench.connection().on("Number", move |(number,): (u32,)| {
        let (numbers, connection) = (Arc::clone(&numbers), weak.upgrade().unwrap());
        async move {
            let answer = match number {
                0 => connection.invoke("Ask", ()).await,
                _ => Ok(number),
            };
            numbers.lock().unwrap().push(answer);
        }
    });
    for number in 0..100 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Number","arguments":[{number}]}}"#
        ));
    }
    bench.settle();
    bench.net.say(&answer(1, 0));
    bench.settle();
    let wanted: Vec<_> = (0..100).map(Ok).collect();
    assert_eq!(*handled.lock().unwrap(), wanted);
}

#[test]
fn calls_that_wait_while_an_answer_is_awaited_are_bounded_by_their_size() {
    let mut bench = Bench::started(|builder| {
        let mut limits = Limits::CLIENT;
        limits.max_incoming_bytes = 10_000;
        builder.handler_queue(10).limits(limits)
    });
    bench
        .connection()
        .on("Text", |(_,): (String,)| future::pending::<()>());
    let mut call = bench.connection().invoke::<u32>("Ask", ());
    assert_eq!(bench.poll(&mut call), None);
    let text = "x".repeat(100);
    for _ in 0..500 {
        bench.net.say(&format!(
            r#"{{"type":1,"target":"Text","arguments":["{text}"]}}"#
        ));
    }
    bench.settle();
    let unread = bench.net.world().incoming.len();
    assert!(
        (400..=480).contains(&unread),
        "{unread} messages were left unread"
    );
}

#[test]
fn dropping_the_last_handle_says_goodbye_and_ends_the_driver() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    bench.connection = None;
    assert_eq!(bench.poll(&mut call), None, "a pending call is a handle");
    bench.net.heard();
    drop(call);
    bench.settle();
    assert!(bench.net.heard().concat().ends_with("{\"type\":7}\u{1e}"));
    assert!(bench.driver.is_some(), "the server was not waited for");
    bench.net.say(r#"{"type":7}"#);
    bench.settle();
    assert_eq!(bench.net.heard(), ["close 1000"]);
    bench.net.advance(Duration::from_secs(2));
    bench.settle();
    assert!(bench.driver.is_none());
}

#[test]
fn handles_of_a_dropped_driver_fail_and_do_not_hang() {
    let mut bench = Bench::started(|builder| builder);
    let mut call = bench.connection().invoke::<u32>("Slow", ());
    let mut items = bench
        .finish(bench.connection().stream::<u32>("Count", ()))
        .unwrap();
    assert_eq!(bench.poll(&mut call), None);
    bench.driver = None;
    assert_eq!(bench.poll(&mut call), Some(Err(Error::DriverGone)));
    assert_eq!(bench.finish(items.next()), Some(Err(Error::DriverGone)));
    let connection = bench.connection().clone();
    assert_eq!(bench.finish(connection.start()), Err(Error::DriverGone));
    assert_eq!(
        bench.finish(connection.invoke::<u32>("Echo", ())),
        Err(Error::NotConnected)
    );
    bench.finish(connection.stop());
}

#[test]
fn a_lost_connection_comes_back_by_a_custom_policy_with_fresh_tokens() {
    let tokens = Arc::new(Mutex::new(0));
    let count = Arc::clone(&tokens);
    let policy = RetryPolicy::custom(|context| {
        Some(Duration::from_secs(
            5 + u64::from(context.previous_retry_count),
        ))
    });
    let mut bench = Bench::started(|builder| {
        builder.automatic_reconnect(policy).access_token(move || {
            *count.lock().unwrap() += 1;
            future::ready(String::from("t"))
        })
    });
    let mut events = bench.connection().events();
    bench.net.change(|world| world.cut = true);
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Reconnecting);
    bench.net.advance(Duration::from_secs(5));
    bench.settle();
    assert_eq!(bench.connection().state(), ConnectionState::Connected);
    assert_eq!(*tokens.lock().unwrap() % 2, 0);
    let told: Vec<_> = core::iter::from_fn(|| events.next().now_or_never().flatten()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn stop_while_waiting_to_reconnect_is_prompt_and_tells_once() {
    let mut bench = Bench::started(|builder| {
        builder.automatic_reconnect(ReconnectPolicy::Delays([Duration::from_secs(60)].into()))
    });
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    bench
        .connection()
        .on_close(move |reason: Option<&CloseReason>| heard.lock().unwrap().push(reason.cloned()));
    bench.net.change(|world| world.cut = true);
    bench.settle();
    let connection = bench.connection().clone();
    bench.finish(connection.stop());
    assert_eq!(
        (connection.state(), reasons.lock().unwrap().as_slice()),
        (ConnectionState::Disconnected, [None].as_slice())
    );
}

#[test]
fn mistakes_of_configuration_are_errors_of_build() {
    let build = |builder: HubConnectionBuilder<Detached>| {
        builder.build_with(Net::default()).map(|_| ()).unwrap_err()
    };
    for wrong in [
        HubConnection::builder("not a url"),
        HubConnection::builder("http://h/hub").header("a b", "x"),
        HubConnection::builder("http://h/hub").header("a", "x\n"),
        HubConnection::builder("http://h/hub").server_timeout(Duration::ZERO),
    ] {
        assert!(matches!(build(wrong), BuildError::Usage(_)));
    }
}

#[test]
fn an_observer_hears_every_call_before_its_handlers_and_answers_none() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let note = |who: &'static str| {
        let heard = Arc::clone(&heard);
        move |target: &str, arguments: &Arguments| {
            let text = String::from_utf8_lossy(arguments.as_bytes()).into_owned();
            heard.lock().unwrap().push(format!("{who} {target}{text}"));
        }
    };
    let said = || core::mem::take(&mut *heard.lock().unwrap());
    connection.on_any(|_, _| panic!("as it must"));
    let first = connection.on_any(note("first"));
    connection.on_any(note("second"));
    let handler = note("handler");
    connection.on("Known", move |arguments: Arguments| handler("", &arguments));

    bench
        .net
        .say(r#"{"type":1,"target":"Known","arguments":[1]}"#);
    bench
        .net
        .say(r#"{"type":1,"invocationId":"q","target":"Unknown","arguments":["a"]}"#);
    bench.settle();
    let all = [
        "first Known[1]",
        "second Known[1]",
        "handler [1]",
        "first Unknown[\"a\"]",
        "second Unknown[\"a\"]",
    ];
    assert_eq!(said(), all);
    let answers = bench.net.heard().concat();
    assert!(
        answers.contains("Client didn't provide a result.")
            && answers.matches("\"type\":3").count() == 1,
        "{answers}"
    );

    assert!(first.is_registered() && connection.off(&first) && !connection.off(&first));
    bench
        .net
        .say(r#"{"type":1,"target":"Known","arguments":[2]}"#);
    bench.settle();
    assert_eq!(said(), ["second Known[2]", "handler [2]"]);
}

#[test]
fn an_observer_is_not_held_up_by_slow_handlers() {
    let mut bench = Bench::started(|builder| builder);
    bench.connection().on("Slow", |()| future::pending::<()>());
    let count = Arc::new(Mutex::new(0));
    let heard = Arc::clone(&count);
    bench
        .connection()
        .on_any(move |_, _| *heard.lock().unwrap() += 1);
    for _ in 0..3 {
        bench
            .net
            .say(r#"{"type":1,"target":"Slow","arguments":[]}"#);
    }
    bench.settle();
    assert_eq!(*count.lock().unwrap(), 3);
}

/// An argument whose serialization panics half-way.
struct Explosive;

impl serde::Serialize for Explosive {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as it must")
    }
}

#[test]
fn a_panic_while_values_are_serialized_is_an_error_of_that_value_alone() {
    let mut bench = Bench::started(|builder| builder);
    let connection = bench.connection().clone();
    connection.on("Ask", |()| Explosive);
    let bad = bench.finish(connection.invoke::<u32>("Bad", (1, Explosive)));
    let words = "a value cannot be serialized: its Serialize implementation panicked";
    assert_eq!(
        bad.unwrap_err().to_string(),
        format!("an argument cannot be sent: {words}")
    );
    let upload = Upload::new(stream::iter([Explosive]));
    assert_eq!(bench.finish(connection.send("Upload", (upload,))), Ok(()));
    bench.settle();
    let heard = bench.net.heard().concat();
    assert!(
        heard.ends_with(&format!(
            "\"error\":\"Stream errored by client: '{words}'\"}}\u{1e}"
        )),
        "{heard}"
    );
    bench
        .net
        .say(r#"{"type":1,"invocationId":"s1","target":"Ask","arguments":[]}"#);
    bench.settle();
    let told = "{\"type\":3,\"invocationId\":\"s1\",\"error\":\"The client's result could not be serialized.\"}\u{1e}";
    assert_eq!(bench.net.heard().concat(), told);
}
