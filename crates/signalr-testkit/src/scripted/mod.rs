//! A hub that a test plays itself.

mod call;
mod state;

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signalr_client::{HubConnection, HubConnectionBuilder, TransportKind};
use signalr_proto::codec::{Answer, HubMessage, Invocation, InvocationHead, Outcome, Role};
use signalr_proto::transport::WsMessage;
use signalr_proto::transport::negotiate::{NegotiateResponse, Offer};
use signalr_proto::{Arguments, HubArguments, Protocol};

pub use call::Call;

use crate::describe;
use crate::link::{Part, Peer, Reader, ScriptSocket};
use crate::network::{HubSocket, MemoryError, Network, Script};
use crate::runtime::{Clock, Patience, words};
use state::{IncomingCall, QUESTION, Shared};

/// A hub whose part the test plays: it expects calls and answers them, calls the client, closes, and fails as it is told to.
///
/// By itself it accepts whoever connects, in JSON and in MessagePack, with negotiation and without, and shows every 15 seconds that
/// it lives. It serves one client at a time; a new connection takes the place of the one before.
///
/// Expectations panic when something else comes or nothing does, and say what was seen. They concern the calls in the order in which
/// the client made them.
///
/// ```
/// use signalr_client::HubConnection;
/// use signalr_testkit::ScriptedHub;
///
/// signalr_testkit::run(async {
///     let hub = ScriptedHub::new();
///     let connection = hub.connect(HubConnection::builder("http://test/calc")).await;
///     let sum = connection.invoke::<i32>("Add", (1, 2));
///     hub.expect_invocation("Add", (1, 2)).await.complete(3);
///     assert_eq!(sum.await, Ok(3));
/// });
/// ```
#[derive(Clone)]
pub struct ScriptedHub {
    shared: Arc<Shared>,
    network: Network,
}

impl Default for ScriptedHub {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedHub {
    /// A hub without clients.
    ///
    /// # Panics
    /// Outside of [`run`](crate::run) and of tokio.
    #[must_use]
    pub fn new() -> Self {
        let clock = Clock::current();
        let shared = Arc::new(Shared::new(clock.clone()));
        let network = Network::to_script(Arc::new(ScriptedSide(Arc::clone(&shared))), clock);
        Self { shared, network }
    }

    /// How long expectations wait. Default: 5 minutes of a virtual or paused time, 10 seconds of a real one.
    pub fn set_patience(&self, patience: Duration) {
        self.shared.lock().patience = Patience::of(patience);
    }

    /// How often the hub pings the clients that connect from now on; `None` for never. Default: every 15 seconds.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        let interval = interval.map(|interval| interval.max(Duration::from_millis(1)));
        self.shared.lock().keep_alive = interval;
    }

    /// The way to this hub, and what can go wrong on it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// A connection to this hub that is not started yet.
    ///
    /// # Panics
    /// When it is configured wrongly.
    #[track_caller]
    pub fn build(&self, builder: HubConnectionBuilder) -> HubConnection {
        self.network.build(builder)
    }

    /// A connection to this hub that is started.
    ///
    /// # Panics
    /// When it is configured wrongly, or cannot be started.
    #[track_caller]
    pub fn connect(&self, builder: HubConnectionBuilder) -> impl Future<Output = HubConnection> {
        let connecting = self.network.connect(builder);
        async move {
            let connection = connecting.await;
            let mut state = self.shared.lock();
            state.accepted = state.connections;
            drop(state);
            connection
        }
    }

    /// Cuts the connection without a word: short for that of the [`network`](Self::network).
    pub fn cut(&self) {
        self.network.cut();
    }
}

/// What the client does.
impl ScriptedHub {
    /// Waits for the client's next connection, which may have come already. Those of [`connect`](Self::connect) are not counted.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn expect_connection(&self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let came = self.shared.until(|state| {
                let came = state.connections > state.accepted;
                state.accepted += u64::from(came);
                came.then_some(())
            });
            if let Err(waited) = came.await {
                missing(&self.shared, at, "a connection", waited);
            }
        }
    }

    /// Waits until the client is not connected any more.
    ///
    /// # Panics
    /// When it stays.
    #[track_caller]
    pub fn expect_disconnection(&self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let gone = self.shared.until(|state| (!state.is_open()).then_some(()));
            if let Err(waited) = gone.await {
                missing(&self.shared, at, "the end of the connection", waited);
            }
        }
    }

    /// Waits for the client's Close message. Gives its error, if there was one.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn expect_close(&self) -> impl Future<Output = Option<String>> {
        let at = Location::caller();
        async move {
            match self.shared.until(|state| state.closed.take()).await {
                Ok(error) => error,
                Err(waited) => missing(&self.shared, at, "a Close message", waited),
            }
        }
    }

    /// Waits for the client's next call, which must be this one: invoked or sent, with these arguments.
    ///
    /// # Panics
    /// When it is another one, or none comes.
    #[track_caller]
    pub fn expect_invocation(
        &self,
        target: &str,
        arguments: impl HubArguments,
    ) -> impl Future<Output = Call> {
        self.expect(Location::caller(), false, target, Some(arguments))
    }

    /// Waits for the client's next call, which must be for this stream.
    ///
    /// # Panics
    /// When it is another one, or none comes.
    #[track_caller]
    pub fn expect_stream(
        &self,
        target: &str,
        arguments: impl HubArguments,
    ) -> impl Future<Output = Call> {
        self.expect(Location::caller(), true, target, Some(arguments))
    }

    /// Waits for the client's next call, which must be of this method, and may be for a stream: with any
    /// [arguments](Call::arguments).
    ///
    /// # Panics
    /// When it is another one, or none comes.
    #[track_caller]
    pub fn expect_call(&self, target: &str) -> impl Future<Output = Call> {
        self.expect::<()>(Location::caller(), false, target, None)
    }

    /// Lets this time pass, in which the client must not make a call.
    ///
    /// # Panics
    /// When it makes one.
    #[track_caller]
    pub fn expect_no_call(&self, during: Duration) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            self.shared.clock.sleep(during).await;
            let state = self.shared.lock();
            if let Some(came) = state.calls.front() {
                let call = call_words(came.streaming, &came.invocation);
                panic!(
                    "{at}: expected no call during {}, and the client made {call}\n{}",
                    words(during),
                    state.transcript
                );
            }
        }
    }

    /// Answers the client's calls of this method from now on, so that no expectation meets them, with what a function of their
    /// arguments gives; see [`Answer`]. A panic is an error.
    ///
    /// ```
    /// # use signalr_testkit::ScriptedHub;
    /// # fn example(hub: ScriptedHub) {
    /// hub.answer("Add", |a: i32, b: i32| Ok(a + b));
    /// hub.answer("Remove", |_: u64| Err::<(), _>("nothing is removed here".to_owned()));
    /// # }
    /// ```
    pub fn answer<F>(&self, target: &str, mut answer: impl Answer<F>) {
        let answer = move |arguments: &Arguments| answer.answer(arguments);
        let mut state = self.shared.lock();
        state.answers.insert(target.to_owned(), Box::new(answer));
    }

    fn expect<A: HubArguments>(
        &self,
        at: &'static Location<'static>,
        streaming: bool,
        target: &str,
        arguments: Option<A>,
    ) -> impl Future<Output = Call> + use<A> {
        let (shared, target) = (Arc::clone(&self.shared), target.to_owned());
        async move {
            let kind = if streaming { "the stream " } else { "" };
            let came = match shared.until(|state| state.calls.pop_front()).await {
                Ok(came) => came,
                Err(waited) => {
                    let list = arguments.map(|list| encoded(Protocol::Json, &list));
                    let list = list_words(list.as_ref());
                    missing(&shared, at, &format!("{kind}{target}({list})"), waited)
                }
            };
            let protocol = came.invocation.arguments.protocol();
            let wanted = arguments.map(|list| encoded(protocol, &list));
            if !fits(&came, streaming, &target, wanted.as_ref()) {
                let list = list_words(wanted.as_ref());
                panic!(
                    "{at}: expected {kind}{target}({list}), and the client called {}\n{}",
                    call_words(came.streaming, &came.invocation),
                    shared.lock().transcript
                );
            }
            Call::new(&shared, came)
        }
    }
}

/// What the hub does.
impl ScriptedHub {
    /// Calls a method of the client.
    ///
    /// # Panics
    /// When no client is connected, or the arguments cannot be serialized.
    #[track_caller]
    pub fn send(&self, target: &str, arguments: impl HubArguments) {
        self.call(None, target, &arguments);
    }

    /// Calls a method of the client, at once, and waits for its result.
    ///
    /// # Errors
    /// The words of the client's error.
    ///
    /// # Panics
    /// When no client is connected, it does not answer, or with a value of another type.
    #[track_caller]
    pub fn invoke<T: DeserializeOwned>(
        &self,
        target: &str,
        arguments: impl HubArguments,
    ) -> impl Future<Output = Result<T, String>> {
        let at = Location::caller();
        let id = self.shared.change(|state| {
            state.questions += 1;
            format!("{QUESTION}{}", state.questions)
        });
        let protocol = self.call(Some(&id), target, &arguments);
        let (shared, target) = (Arc::clone(&self.shared), target.to_owned());
        async move {
            let answered = shared.until(|state| state.results.remove(&id)).await;
            let result = match answered {
                Ok(Outcome::Result(result)) => result,
                Ok(Outcome::Void) => state::payload(protocol, &()),
                Ok(Outcome::Error(error)) => return Err(error.to_string()),
                Err(waited) => missing(
                    &shared,
                    at,
                    &format!("the client's answer to {target}"),
                    waited,
                ),
            };
            match result.decode() {
                Ok(value) => Ok(value),
                Err(error) => panic!("{at}: the client's answer to {target}: {error}"),
            }
        }
    }

    /// Shows that the hub lives.
    ///
    /// # Panics
    /// When no client is connected.
    #[track_caller]
    pub fn ping(&self) {
        self.say(&HubMessage::Ping);
    }

    /// Ends the connection with a Close message.
    ///
    /// # Panics
    /// When no client is connected.
    #[track_caller]
    pub fn close(&self, allow_reconnect: bool) {
        self.say_close(None, allow_reconnect);
    }

    /// Ends the connection with a Close message that says what was wrong.
    ///
    /// # Panics
    /// When no client is connected.
    #[track_caller]
    pub fn close_with_error(&self, error: &str, allow_reconnect: bool) {
        self.say_close(Some(error), allow_reconnect);
    }

    /// Says these bytes, as one message of the WebSocket: for what no hub should say.
    ///
    /// # Panics
    /// When no client is connected.
    #[track_caller]
    pub fn send_bytes(&self, bytes: impl Into<Bytes>) {
        let (link, protocol) = self.connected();
        let bytes = bytes.into();
        self.shared.tell(format_args!("hub: {} bytes", bytes.len()));
        let message = WsMessage::carrying(bytes, protocol.transfer_format());
        self.shared.push(link, message);
    }

    #[track_caller]
    fn call(&self, id: Option<&str>, target: &str, arguments: &impl HubArguments) -> Protocol {
        let (link, protocol) = self.connected();
        let message = HubMessage::Invocation(Invocation {
            headers: Vec::new(),
            invocation_id: id.map(Into::into),
            target: target.into(),
            arguments: encoded(protocol, arguments),
            stream_ids: Vec::new(),
        });
        self.shared.say(link, &message);
        protocol
    }

    #[track_caller]
    fn say(&self, message: &HubMessage) {
        let (link, _) = self.connected();
        self.shared.say(link, message);
    }

    #[track_caller]
    fn say_close(&self, error: Option<&str>, allow_reconnect: bool) {
        let (link, _) = self.connected();
        let message = HubMessage::Close {
            error: error.map(Into::into),
            allow_reconnect,
        };
        self.shared.say(link, &message);
        self.shared.push(link, WsMessage::Close(1000));
    }

    #[track_caller]
    fn connected(&self) -> (u64, Protocol) {
        match self.shared.connected() {
            Some(connected) => connected,
            None => panic!("no client is connected\n{}", self.shared.lock().transcript),
        }
    }
}

/// What was waited for did not come.
fn missing(shared: &Shared, at: &Location<'_>, wanted: &str, waited: Duration) -> ! {
    panic!(
        "{at}: expected {wanted}, and it did not come within {}\n{}",
        words(waited),
        shared.lock().transcript
    )
}

fn call_words(streaming: bool, call: &Invocation) -> String {
    let kind = if streaming { "the stream " } else { "" };
    format!("{kind}{}", describe::invocation(call))
}

/// Arguments, or that any will do.
fn list_words(arguments: Option<&Arguments>) -> String {
    arguments.map_or_else(|| "…".to_owned(), describe::list)
}

fn fits(came: &IncomingCall, streaming: bool, target: &str, wanted: Option<&Arguments>) -> bool {
    let Some(wanted) = wanted else {
        return came.invocation.target == target;
    };
    came.streaming == streaming
        && came.invocation.target == target
        && same(&came.invocation.arguments, wanted)
}

/// Whether two lists say the same, however it is written: members of objects have no order, and numbers no width.
fn same(one: &Arguments, other: &Arguments) -> bool {
    one == other
        || matches!(
            (one.decode::<Vec<Value>>(), other.decode::<Vec<Value>>()),
            (Ok(one), Ok(other)) if one == other
        )
}

/// Arguments as a client would write them.
fn encoded(protocol: Protocol, arguments: &impl HubArguments) -> Arguments {
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: None,
        target: "_",
        stream_ids: &[],
    };
    let mut out = BytesMut::new();
    if let Err(error) = protocol.encode_invocation(&mut out, head, arguments) {
        panic!("the arguments cannot be encoded: {error}");
    }
    let mut reader = Reader::shaken();
    match reader.next(&mut out.freeze(), Some(protocol)) {
        Ok(Some(Part::Message(frame))) => match protocol.decode(Role::Client, &frame) {
            Ok(Some(HubMessage::Invocation(call))) => call.arguments,
            _ => Arguments::empty(protocol),
        },
        _ => Arguments::empty(protocol),
    }
}

/// The hub's side of the network.
struct ScriptedSide(Arc<Shared>);

impl Script for ScriptedSide {
    fn request(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if !request.uri().path().ends_with("/negotiate") {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        self.0.tell("client: negotiates");
        Response::new(offer())
    }

    fn open_web_socket(&self, _: &Request<()>) -> Result<Pin<Box<dyn HubSocket>>, MemoryError> {
        let (id, outbox, ping) = self.0.open();
        let peer: Arc<dyn Peer> = Arc::clone(&self.0) as Arc<dyn Peer>;
        let clock = &self.0.clock;
        Ok(Box::pin(ScriptSocket::new(id, peer, outbox, clock, ping)))
    }
}

/// The answer to a negotiation: WebSockets, and ids that are no secrets.
pub(crate) fn offer() -> Bytes {
    let transports = [TransportKind::WebSockets];
    let offer = Offer::new(
        "scripted".into(),
        Some("scripted-token".into()),
        &transports,
    );
    NegotiateResponse::Connect(offer).encode()
}

impl fmt::Debug for ScriptedHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedHub").finish_non_exhaustive()
    }
}
