//! The network, the clock and the executor of these tests.

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
use futures_util::{FutureExt as _, Sink, Stream, stream};
use signalr_client::WsMessage;
use signalr_client::{HubConnection, HubConnectionBuilder, Instant, Transport};

/// The network's state, seen from the test.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) sleepers: Vec<(Instant, Waker)>,
    pub(crate) requests: Vec<String>,
    /// What the server said and the client has not read.
    pub(crate) incoming: VecDeque<WsMessage>,
    pub(crate) cut: bool,
    /// Negotiation is refused.
    pub(crate) refuses: bool,
    /// What negotiation is answered with instead of [`OFFER`].
    pub(crate) offer: Option<&'static str>,
    /// What the client wrote.
    pub(crate) outgoing: Vec<String>,
    /// The network takes nothing.
    pub(crate) jammed: bool,
    pub(crate) wakers: Vec<Waker>,
}

#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<World>>);

impl Net {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Changes the world and wakes whoever waits for it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
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

    pub(crate) fn say(&self, text: &str) {
        self.change(|world| {
            world
                .incoming
                .push_back(WsMessage::Text(format!("{text}\u{1e}").into()))
        });
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.change(|world| world.now += by);
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        core::mem::take(&mut self.world().outgoing)
    }
}

pub(crate) struct Socket(Net);

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
        let mut world = self.world();
        world.requests.push(request.uri().to_string());
        if world.refuses {
            let mut refusal = http::Response::new(stream::iter(vec![]));
            *refusal.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            return Ok(refusal);
        }
        let offer = world.offer.unwrap_or(OFFER);
        Ok(http::Response::new(stream::iter(vec![Ok(
            Bytes::from_static(offer.as_bytes()),
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
pub(crate) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection, its driver, and the world around them.
pub(crate) struct Bench {
    pub(crate) net: Net,
    pub(crate) connection: Option<HubConnection>,
    pub(crate) driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
    pub(crate) woken: Arc<Flag>,
}

impl Bench {
    pub(crate) fn new(
        configure: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder,
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

    pub(crate) fn started(
        configure: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder,
    ) -> Self {
        let mut bench = Self::new(configure);
        let connection = bench.connection().clone();
        assert_eq!(bench.finish(connection.start()), Ok(()));
        drop(connection);
        bench.net.heard();
        bench
    }

    pub(crate) fn connection(&self) -> &HubConnection {
        self.connection.as_ref().unwrap()
    }

    /// Lets the driver run until it sleeps. A bound finds livelocks.
    pub(crate) fn settle(&mut self) {
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
    pub(crate) fn poll<F: Future + Unpin>(&mut self, future: &mut F) -> Option<F::Output> {
        for _ in 0..10 {
            if let Some(output) = future.now_or_never() {
                return Some(output);
            }
            self.settle();
        }
        None
    }

    pub(crate) fn finish<F: Future>(&mut self, future: F) -> F::Output {
        self.poll(&mut Box::pin(future))
            .expect("it waits for something that does not happen")
    }
}

pub(crate) fn answer(id: u32, result: u32) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}","result":{result}}}"#)
}
