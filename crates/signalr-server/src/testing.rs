//! Tests of hubs without a network.
//!
//! A [`TestClient`] speaks with a hub as a real client does, handshake and encoding included, and shows what the hub sent:
//!
//! ```
//! use std::sync::Arc;
//! use signalr_server::testing::TestClient;
//! use signalr_server::{CallContext, Hub, HubMethods, HubServer, SendError};
//!
//! struct Chat;
//!
//! impl Chat {
//!     async fn say(self: Arc<Self>, context: CallContext, text: String) -> Result<usize, SendError> {
//!         context.clients().all().send("said", (&text,)).await?;
//!         Ok(text.len())
//!     }
//! }
//!
//! impl Hub for Chat {
//!     fn methods(methods: &mut HubMethods<Self>) {
//!         methods.on("Say", Self::say);
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let hub = HubServer::new(Chat).unwrap();
//! let mut alice = TestClient::connect(&hub).await.unwrap();
//! let mut bob = TestClient::connect(&hub).await.unwrap();
//! assert_eq!(alice.invoke::<usize>("Say", ("hello",)).await, Ok(5));
//! assert_eq!(bob.received::<(String,)>("said").await, Ok(("hello".to_owned(),)));
//! # });
//! ```
//!
//! It speaks JSON over long polling, and does so in the background: it hears Close, answers questions and stays connected while
//! the test does something else. A panic in an answer goes on in whatever the client is asked to do next. Other transports,
//! MessagePack, reconnects and newer tokens are left to tests over a network.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, select};
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{
    CompletionOutcome, HubMessage, Invocation, InvocationHead, Outcome, Role, handshake,
};
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_proto::{FromArguments, HubArguments, Payload, Protocol};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::body::HubBody;
use crate::connection::lock;
use crate::error::BodyError;
use crate::server::HubServer;

/// How long anything may take, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Larger than anything a test sends.
const MAX_MESSAGE: usize = 64 << 20;

/// Names that an error lists at most.
const MAX_LISTED: usize = 16;

/// Why a step of a test did not work out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The hub answered a call with this error.
    #[error("{0}")]
    Call(Box<str>),
    /// The connection, or a request of it, was not let in.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The handshake was refused with this text.
    #[error("the handshake failed: {0}")]
    Handshake(Box<str>),
    /// The connection is over: the hub ended it, with this error if there was one.
    #[error("the hub closed the connection{}{}", if .0.is_some() { ": " } else { "" }, .0.as_deref().unwrap_or_default())]
    Closed(Option<Box<str>>),
    /// What came does not fit the type that was asked for.
    #[error("{0}")]
    Type(Box<str>),
    /// Nothing of the kind came in time.
    #[error("nothing came within {patience:?}; received so far: [{}]", listed(.received))]
    Nothing {
        /// How long was waited.
        patience: Duration,
        /// The names of the hub's calls that have come and were not looked at, each with how often it came.
        received: Vec<(String, usize)>,
    },
    /// The test gave this header a name or value that cannot be sent.
    #[error("the header {0:?} cannot be sent")]
    Header(Box<str>),
    /// The hub's answer makes no sense, which is a fault of this library.
    #[error("the hub answered with {0}")]
    Broken(Box<str>),
}

/// Each name once, and not endlessly many: a test may have been sent thousands.
fn listed(received: &[(String, usize)]) -> String {
    let mut names: Vec<_> = received
        .iter()
        .take(MAX_LISTED)
        .map(|(name, count)| match count {
            1 => format!("{name:?}"),
            count => format!("{name:?} {count} times"),
        })
        .collect();
    if let Some(more @ 1..) = received.len().checked_sub(MAX_LISTED) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What a client connects with: made by [`TestClient::builder`].
///
/// ```
/// # use std::time::Duration;
/// # use signalr_server::{Hub, HubMethods, HubServer, User};
/// # use signalr_server::testing::{TestClient, TestError};
/// # async fn example(hub: HubServer) -> Result<(), TestError> {
/// let ann = TestClient::builder(&hub)
///     .query("user", "ann")
///     .header("accept-language", "sv")
///     .patience(Duration::from_secs(60))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `connect`"]
pub struct TestClientBuilder {
    hub: HubServer,
    headers: HeaderMap,
    query: String,
    extensions: Extensions,
    patience: Duration,
    invalid: Option<TestError>,
}

impl TestClientBuilder {
    /// Adds a query parameter to each request, as `?name=value` behind the hub's address does.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push('&');
        encode(&mut self.query, name);
        self.query.push('=');
        encode(&mut self.query, value);
        self
    }

    /// Adds a header to each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.invalid = Some(TestError::Header(name.into())),
        }
        self
    }

    /// Presents this bearer token with each request.
    pub fn bearer_token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Puts a value into the extensions of each request, as middleware in front of the hub does; a
    /// [`PeerAddress`](crate::PeerAddress), for example.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// How long connecting, a call, an item or whatever else is waited for may take. Default: 5 seconds.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Connects.
    ///
    /// A hub's `on_connected` runs afterwards, as with real clients: a client that it turns away was connected for a moment, and
    /// learns the words from whatever it does next, as [`TestError::Closed`].
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect(self) -> Result<TestClient, TestError> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let mut line = Line {
            hub: self.hub,
            headers: self.headers,
            extensions: self.extensions,
            query: self.query,
            patience: self.patience,
            state: Mutex::default(),
            answers: Mutex::default(),
            changed: Notify::new(),
            over: CancellationToken::new(),
            outbox: mpsc::unbounded_channel().0,
        };
        let (clock, patience) = (line.hub.shared.clock.clone(), line.patience);
        let opened = clock.timeout(patience, line.open()).await;
        let (connection_id, incoming) = opened.unwrap_or_else(|| Err(line.nothing()))?;
        let orders;
        (line.outbox, orders) = mpsc::unbounded_channel();
        let line = Arc::new(line);
        clock.spawn(End(Arc::clone(&line)).run(incoming, orders));
        Ok(TestClient {
            line,
            connection_id,
            next_id: 0,
            uploads: Vec::new(),
        })
    }
}

/// Percent-encodes what has a meaning of its own in queries.
fn encode(query: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

/// A client of a hub, within the same process. See the [module](self).
///
/// A client that is dropped is disconnected, without waiting until the hub has noticed; [`close`](Self::close) waits.
pub struct TestClient {
    line: Arc<Line>,
    connection_id: Box<str>,
    next_id: u64,
    /// What the next call uploads.
    uploads: Vec<Items>,
}

type Upload = (ByteString, Items);

type Items = BoxStream<'static, Result<Payload, String>>;

impl TestClient {
    /// Says more about how to connect: query, headers, patience.
    pub fn builder(hub: &HubServer) -> TestClientBuilder {
        TestClientBuilder {
            hub: hub.clone(),
            headers: HeaderMap::new(),
            query: String::new(),
            extensions: Extensions::new(),
            patience: PATIENCE,
            invalid: None,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect(hub: &HubServer) -> Result<Self, TestError> {
        Self::builder(hub).connect().await
    }

    /// Connects with this bearer token.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_as(hub: &HubServer, token: &str) -> Result<Self, TestError> {
        Self::builder(hub).bearer_token(token).connect().await
    }

    /// Connects with these headers in each request.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_with(hub: &HubServer, headers: HeaderMap) -> Result<Self, TestError> {
        let mut builder = Self::builder(hub);
        builder.headers = headers;
        builder.connect().await
    }

    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Calls a method and waits for its result. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`TestError::Call`] with the words that a client sees; [`TestError::Closed`] when the connection is over.
    pub async fn invoke<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<T, TestError> {
        let call = self.call(false, target, &arguments)?;
        match call.outcome().await? {
            Outcome::Error(error) => Err(TestError::Call((*error).into())),
            Outcome::Result(result) => result.decode().map_err(mistyped),
            Outcome::Void => null().decode().map_err(mistyped),
        }
    }

    /// Calls a method without waiting for more than that the hub has read it.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<(), TestError> {
        let (frame, uploads) = self.invocation(false, None, target, &arguments)?;
        let posted = self.line.post(frame);
        self.start(uploads);
        posted.await
    }

    /// Calls a streaming method.
    ///
    /// Awaiting the [`TestStream`] collects a stream that ends; [`TestStream::next`] takes one item at a time of any stream, and
    /// dropping it cancels it.
    ///
    /// ```
    /// # use signalr_server::testing::{TestClient, TestError};
    /// # async fn example(mut client: TestClient) -> Result<(), TestError> {
    /// assert_eq!(client.stream::<u64>("Count", (3,)).await?, [0, 1, 2]);
    ///
    /// let mut ticks = client.stream::<u64>("Ticks", (10,));
    /// assert_eq!(ticks.next().await, Some(Ok(1)));
    /// drop(ticks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> TestStream<T> {
        TestStream {
            call: self.call(true, target, &arguments).map(Some),
            items: PhantomData,
        }
    }

    /// Adds a stream of items to the next call, which may have several.
    ///
    /// ```
    /// # use futures_util::stream;
    /// # use signalr_server::testing::{TestClient, TestError};
    /// # async fn example(mut client: TestClient) -> Result<(), TestError> {
    /// let lines = stream::iter(["first", "second"]);
    /// assert_eq!(client.upload(lines).invoke::<usize>("Store", ("notes",)).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload<T: Serialize + 'static>(
        &mut self,
        items: impl Stream<Item = T> + Send + 'static,
    ) -> &mut Self {
        self.try_upload(items.map(Ok))
    }

    /// Adds a stream whose first error is the client's own: the method hears its words, and nothing after it.
    pub fn try_upload<T: Serialize + 'static>(
        &mut self,
        items: impl Stream<Item = Result<T, String>> + Send + 'static,
    ) -> &mut Self {
        let items = items.map(|item| {
            Payload::from_value(Protocol::Json, &item?).map_err(|error| error.to_string())
        });
        self.uploads.push(items.boxed());
        self
    }

    /// The arguments of the hub's next call of this name, as a tuple. Waits for it if it has not come yet.
    ///
    /// # Errors
    /// When none comes, or the arguments are of other types.
    pub async fn received<A: FromArguments>(&mut self, target: &str) -> Result<A, TestError> {
        let call = self
            .line
            .until(|state| {
                let place = state
                    .inbox
                    .iter()
                    .position(|call| *call.target == *target)?;
                state.inbox.remove(place).map(Ok)
            })
            .await?;
        call.arguments.decode().map_err(mistyped)
    }

    /// The names of the hub's calls that have come and were not looked at. Does not wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let state = lock(&self.line.state);
        state
            .inbox
            .iter()
            .map(|call| call.target.to_string())
            .collect()
    }

    /// Answers the hub's questions of this name from now on, also while the test waits for something else.
    pub fn answer<A, T>(
        &mut self,
        target: &str,
        mut answer: impl FnMut(A) -> Result<T, String> + Send + 'static,
    ) where
        A: FromArguments,
        T: Serialize,
    {
        let answer = move |call: &Invocation| {
            let arguments = call
                .arguments
                .decode::<A>()
                .map_err(|error| error.to_string())?;
            Payload::from_value(Protocol::Json, &answer(arguments)?)
                .map_err(|error| error.to_string())
        };
        lock(&self.line.answers).insert(target.to_owned(), Some(Box::new(answer)));
    }

    /// Leaves the hub's questions of this name without an answer from now on.
    pub fn ignore(&mut self, target: &str) {
        lock(&self.line.answers).insert(target.to_owned(), None);
    }

    /// Leaves, as a client does that is stopped, and waits until the hub has said farewell: afterwards the connection is in no
    /// group and in no list. The hub is told `ClosedByClient`; of a client that is dropped, `TransportEnded`.
    ///
    /// # Errors
    /// When the connection is over already.
    pub async fn close(self) -> Result<(), TestError> {
        if let Some(end) = &lock(&self.line.state).end {
            return Err(end.clone());
        }
        let mut out = BytesMut::new();
        Protocol::Json.encode_close(&mut out, None, false);
        self.line.order(out, None);
        let shared = &self.line.hub.shared;
        let left = async {
            self.line.over.cancelled().await;
            loop {
                let mut removed = pin!(shared.registry.removed.notified());
                removed.as_mut().enable();
                if shared.registry.get(&self.connection_id).is_none() {
                    return;
                }
                removed.await;
            }
        };
        let left = shared.clock.timeout(self.line.patience, left).await;
        left.ok_or_else(|| self.line.nothing())
    }

    /// Waits until the hub has ended the connection. Gives its words, if there were any.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> Result<Option<Box<str>>, TestError> {
        let end = self.line.until(|state| state.end.clone().map(Ok)).await?;
        if let TestError::Closed(words) = end {
            return Ok(words);
        }
        Err(end)
    }

    fn call(
        &mut self,
        streaming: bool,
        target: &str,
        arguments: &impl HubArguments,
    ) -> Result<Call, TestError> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let (frame, uploads) = self.invocation(streaming, Some(&id), target, arguments)?;
        lock(&self.line.state)
            .calls
            .insert(id.clone(), Answered::default());
        let call = Call {
            line: Arc::clone(&self.line),
            id,
        };
        self.line.order(frame, Some(Report::Call(call.id.clone())));
        self.start(uploads);
        Ok(call)
    }

    /// The call as it is written, and what it uploads.
    fn invocation(
        &mut self,
        streaming: bool,
        id: Option<&str>,
        target: &str,
        arguments: &impl HubArguments,
    ) -> Result<(BytesMut, Vec<Upload>), TestError> {
        let uploads = std::mem::take(&mut self.uploads);
        let mut stream_ids = Vec::new();
        for _ in &uploads {
            self.next_id += 1;
            stream_ids.push(ByteString::from(format!("s{}", self.next_id)));
        }
        let head = InvocationHead {
            streaming,
            headers: &[],
            invocation_id: id,
            target,
            stream_ids: &stream_ids,
        };
        let mut out = BytesMut::new();
        Protocol::Json
            .encode_invocation(&mut out, head, arguments)
            .map_err(mistyped)?;
        Ok((out, stream_ids.into_iter().zip(uploads).collect()))
    }

    /// Begins with uploads, whose call is on its way.
    fn start(&self, uploads: Vec<Upload>) {
        for (id, items) in uploads {
            let line = Arc::clone(&self.line);
            self.line.hub.shared.clock.spawn(async move {
                let over = line.over.clone();
                over.run_until_cancelled(line.upload(&id, items)).await;
            });
        }
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.line.over.cancel();
    }
}

/// The items of a streaming method: made by [`TestClient::stream`]. Dropping it cancels the stream.
#[must_use = "a stream that is dropped is cancelled"]
pub struct TestStream<T> {
    /// None when it has ended.
    call: Result<Option<Call>, TestError>,
    items: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TestStream<T> {
    /// The next item; `None` behind the last one. An error is the last item: [`TestError::Call`] with the words that a client
    /// sees, or [`TestError::Closed`] when the connection is over. Only after [`TestError::Nothing`], when no item came in time,
    /// more may follow.
    pub async fn next(&mut self) -> Option<Result<T, TestError>> {
        let next = match &self.call {
            Ok(Some(call)) => call.item().await,
            Ok(None) => return None,
            Err(error) => Err(error.clone()),
        };
        let item =
            next.and_then(|item| item.map(|item| item.decode().map_err(mistyped)).transpose());
        if !matches!(item, Ok(Some(_)) | Err(TestError::Nothing { .. })) {
            self.call = Ok(None);
        }
        item.transpose()
    }
}

/// Collects the items of a stream that ends.
impl<T: DeserializeOwned + Send + 'static> IntoFuture for TestStream<T> {
    type Output = Result<Vec<T>, TestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut items = Vec::new();
            while let Some(item) = self.next().await {
                items.push(item?);
            }
            Ok(items)
        })
    }
}

/// A call that is not answered yet. Dropping it cancels it.
struct Call {
    line: Arc<Line>,
    id: String,
}

impl Call {
    async fn outcome(&self) -> Result<Outcome, TestError> {
        let answered = self.line.until(|state| {
            let answered = state.calls.get_mut(&self.id)?;
            answered.outcome.clone()
        });
        answered.await
    }

    async fn item(&self) -> Result<Option<Payload>, TestError> {
        let next = self.line.until(|state| {
            let answered = state.calls.get_mut(&self.id)?;
            if let Some(item) = answered.items.pop_front() {
                return Some(Ok(Some(item)));
            }
            Some(match answered.outcome.clone()? {
                Ok(Outcome::Error(error)) => Err(TestError::Call((*error).into())),
                Ok(Outcome::Void | Outcome::Result(_)) => Ok(None),
                Err(error) => Err(error),
            })
        });
        next.await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let answered = lock(&self.line.state).calls.remove(&self.id);
        if answered.is_some_and(|answered| answered.outcome.is_none()) {
            let mut out = BytesMut::new();
            Protocol::Json.encode_cancel_invocation(&mut out, &[], &self.id);
            self.line.order(out, None);
        }
    }
}

type Answer = Box<dyn FnMut(&Invocation) -> Result<Payload, String> + Send>;

/// One connection, as its task and whoever waits for something share it.
struct Line {
    hub: HubServer,
    headers: HeaderMap,
    extensions: Extensions,
    /// Of each request: the test's own parameters, and the connection's token once there is one.
    query: String,
    patience: Duration,
    state: Mutex<State>,
    /// None for questions that are left open.
    answers: Mutex<HashMap<String, Option<Answer>>>,
    /// Fires whenever the state has changed.
    changed: Notify,
    /// Fires when the client has gone or the connection is over.
    over: CancellationToken,
    outbox: mpsc::UnboundedSender<Order>,
}

#[derive(Default)]
struct State {
    inbox: VecDeque<Invocation>,
    calls: HashMap<String, Answered>,
    /// Why nothing follows.
    end: Option<TestError>,
    /// What an answer of the test panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

/// What has come of an answer.
#[derive(Default)]
struct Answered {
    items: VecDeque<Payload>,
    outcome: Option<Result<Outcome, TestError>>,
}

/// Something to post, one after the other.
struct Order {
    body: Bytes,
    report: Option<Report>,
}

/// Who wants to know what became of it.
enum Report {
    Call(String),
    Post(oneshot::Sender<StatusCode>),
}

/// Received bytes that are not read yet.
struct Incoming {
    frames: FrameDecoder,
    unread: Bytes,
}

impl Line {
    /// Negotiates, opens the connection and shakes hands.
    async fn open(&mut self) -> Result<(Box<str>, Incoming), TestError> {
        let path = format!("/negotiate?negotiateVersion=1{}", self.query);
        let (status, body) = self.ask(Method::POST, &path, Bytes::new()).await?;
        if status != StatusCode::OK {
            return Err(TestError::Refused(status.as_u16()));
        }
        let answer = NegotiateResponse::decode(&body).map_err(broken)?;
        let NegotiateResponse::Connect(offer) = answer else {
            return Err(broken("no offer"));
        };
        self.query = format!("/?id={}{}", offer.token(), self.query);
        self.poll().await?;
        let mut out = BytesMut::new();
        handshake::encode_request(&mut out, Protocol::Json, Protocol::VERSION);
        let (status, _) = self.ask(Method::POST, &self.query, out.freeze()).await?;
        if status != StatusCode::OK {
            return Err(TestError::Refused(status.as_u16()));
        }
        let mut incoming = Incoming {
            frames: FrameDecoder::new(Protocol::Json, MAX_MESSAGE),
            unread: Bytes::new(),
        };
        let answer = self.frame(&mut incoming).await?;
        match handshake::decode_response(&answer).map_err(broken)?.error {
            None => Ok((offer.connection_id, incoming)),
            Some(error) => Err(TestError::Handshake((*error).into())),
        }
    }

    async fn receive(&self, mut incoming: Incoming) {
        loop {
            let frame = match self.frame(&mut incoming).await {
                Ok(frame) => frame,
                // The connection is gone, and nobody has said why.
                Err(TestError::Refused(404)) => return self.finish(TestError::Closed(None)),
                Err(error) => return self.finish(error),
            };
            match Protocol::Json.decode(Role::Client, &frame) {
                Ok(message) => self.take(message),
                Err(error) => return self.finish(broken(error)),
            }
        }
    }

    fn take(&self, message: Option<HubMessage>) {
        let mut state = lock(&self.state);
        match message {
            Some(HubMessage::Invocation(call)) => match call.invocation_id.clone() {
                None => state.inbox.push_back(call),
                Some(id) => {
                    drop(state);
                    self.asked(&id, &call);
                }
            },
            Some(HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            }) => {
                if let Some(call) = state.calls.get_mut(&*invocation_id) {
                    call.items.push_back(item);
                }
            }
            Some(HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            }) => {
                if let Some(call) = state.calls.get_mut(&*invocation_id) {
                    call.outcome = Some(Ok(outcome));
                }
            }
            Some(HubMessage::Close { error, .. }) => {
                let words = error.map(|error| (*error).into());
                state.end = Some(TestError::Closed(words));
            }
            // Pings and the like.
            Some(_) | None => {}
        }
        self.changed.notify_waiters();
    }

    fn asked(&self, id: &str, call: &Invocation) {
        let answer = match lock(&self.answers).get_mut(&*call.target) {
            Some(Some(answer)) => catch_unwind(AssertUnwindSafe(|| answer(call))),
            Some(None) => return,
            None => Ok(Err("Client didn't provide a result.".to_owned())),
        };
        let answer = answer.unwrap_or_else(|panic| {
            lock(&self.state).panic = Some(panic);
            Err("The test's answer panicked.".to_owned())
        });
        let outcome = match &answer {
            Ok(result) => CompletionOutcome::Result(result),
            Err(error) => CompletionOutcome::Error(error),
        };
        let mut out = BytesMut::new();
        if let Err(error) = Protocol::Json.encode_completion(&mut out, &[], id, outcome) {
            self.finish(broken(error));
        }
        self.order(out, None);
    }

    async fn deliver(&self, mut orders: mpsc::UnboundedReceiver<Order>) {
        while let Some(Order { body, report }) = orders.recv().await {
            let status = match self.ask(Method::POST, &self.query, body).await {
                Ok((status, _)) => status,
                Err(error) => return self.finish(error),
            };
            match report {
                Some(Report::Post(report)) => drop(report.send(status)),
                // A connection that is not there any more has its end told by the next poll.
                Some(Report::Call(id))
                    if status != StatusCode::OK && status != StatusCode::NOT_FOUND =>
                {
                    if let Some(call) = lock(&self.state).calls.get_mut(&id) {
                        call.outcome = Some(Err(TestError::Refused(status.as_u16())));
                    }
                    self.changed.notify_waiters();
                }
                Some(Report::Call(_)) | None => {}
            }
        }
    }

    async fn upload(&self, id: &str, mut items: Items) {
        let mut outcome = CompletionOutcome::void();
        let mut out = BytesMut::new();
        let error;
        while let Some(item) = items.next().await {
            match item {
                Ok(item) => {
                    let encoded = Protocol::Json.encode_stream_item(&mut out, &[], id, &item);
                    if encoded.is_err() || self.post(out.split()).await.is_err() {
                        return;
                    }
                }
                Err(text) => {
                    error = text;
                    outcome = CompletionOutcome::error(&error);
                    break;
                }
            }
        }
        if Protocol::Json
            .encode_completion(&mut out, &[], id, outcome)
            .is_ok()
        {
            self.order(out, None);
        }
    }

    /// Posts, and waits until it was read. It has its place among what is posted from now on.
    fn post(&self, body: BytesMut) -> impl Future<Output = Result<(), TestError>> + Send {
        let (report, reported) = oneshot::channel();
        self.order(body, Some(Report::Post(report)));
        async move {
            let clock = &self.hub.shared.clock;
            match clock.timeout(self.patience, reported).await {
                None => Err(self.nothing()),
                Some(Ok(StatusCode::OK)) => Ok(()),
                Some(Ok(StatusCode::NOT_FOUND) | Err(oneshot::Canceled)) => {
                    self.until(|state| state.end.clone().map(Err)).await
                }
                Some(Ok(status)) => Err(TestError::Refused(status.as_u16())),
            }
        }
    }

    fn order(&self, body: BytesMut, report: Option<Report>) {
        let body = body.freeze();
        // When nobody takes it the connection is over, which everybody learns from the state.
        let _ = self.outbox.send(Order { body, report });
    }

    /// Waits until the state holds what is looked for, or nothing follows.
    async fn until<T>(
        &self,
        mut look: impl FnMut(&mut State) -> Option<Result<T, TestError>>,
    ) -> Result<T, TestError> {
        let found = async {
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                changed.await;
            }
        };
        let found = self.hub.shared.clock.timeout(self.patience, found).await;
        found.unwrap_or_else(|| Err(self.nothing()))
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&mut State) -> Option<Result<T, TestError>>,
    ) -> Option<Result<T, TestError>> {
        let mut state = lock(&self.state);
        if let Some(panic) = state.panic.take() {
            drop(state);
            resume_unwind(panic);
        }
        let found = look(&mut state);
        found.or_else(|| state.end.clone().map(Err))
    }

    /// Nothing follows. The first reason counts.
    fn finish(&self, reason: TestError) {
        lock(&self.state).end.get_or_insert(reason);
        self.changed.notify_waiters();
    }

    fn nothing(&self) -> TestError {
        let mut received: Vec<(String, usize)> = Vec::new();
        let mut places = HashMap::new();
        for call in &lock(&self.state).inbox {
            let place = *places.entry(&*call.target).or_insert(received.len());
            match received.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => received.push((call.target.to_string(), 1)),
            }
        }
        TestError::Nothing {
            patience: self.patience,
            received,
        }
    }

    async fn frame(&self, incoming: &mut Incoming) -> Result<Bytes, TestError> {
        loop {
            let Incoming { frames, unread } = incoming;
            match frames.decode(unread).map_err(broken)? {
                Some(frame) => return Ok(frame),
                None => incoming.unread = self.poll().await?,
            }
        }
    }

    async fn poll(&self) -> Result<Bytes, TestError> {
        let (status, body) = self.ask(Method::GET, &self.query, Bytes::new()).await?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NO_CONTENT => Err(TestError::Closed(None)),
            status => Err(TestError::Refused(status.as_u16())),
        }
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<(StatusCode, Bytes), TestError>> + Send + use<> {
        let mut request = Request::new(Whole(body));
        *request.method_mut() = method;
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        let name = HeaderName::from_static("x-requested-with");
        let value = HeaderValue::from_static("XMLHttpRequest");
        request.headers_mut().insert(name, value);
        let uri = path.parse().map_err(broken);
        let mut hub = self.hub.service();
        async move {
            *request.uri_mut() = uri?;
            let response = match hub.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok((response.status(), whole(response).await?))
        }
    }
}

/// The connection's task, which tells that nothing follows, also when the runtime drops it.
struct End(Arc<Line>);

impl End {
    /// Receives and posts until the connection is over or the client has gone.
    async fn run(self, incoming: Incoming, orders: mpsc::UnboundedReceiver<Order>) {
        let line = &*self.0;
        let work = async {
            let receiving = pin!(line.receive(incoming));
            let posting = pin!(line.deliver(orders));
            select(receiving, posting).await;
        };
        if line.over.run_until_cancelled(work).await.is_none() {
            let _ = line.ask(Method::DELETE, &line.query, Bytes::new()).await;
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.finish(TestError::Closed(None));
        self.0.over.cancel();
    }
}

async fn whole(response: Response<HubBody>) -> Result<Bytes, TestError> {
    let mut body = pin!(response.into_body());
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(bytes) = frame.map_err(broken)?.into_data() {
            whole.extend_from_slice(&bytes);
        }
    }
    Ok(whole.freeze())
}

fn null() -> Payload {
    Payload::new(Protocol::Json, Bytes::from_static(b"null"))
}

fn broken(error: impl fmt::Display) -> TestError {
    TestError::Broken(error.to_string().into())
}

fn mistyped(error: impl fmt::Display) -> TestError {
    TestError::Type(error.to_string().into())
}

/// A request's body that is here already.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = std::mem::take(&mut self.0);
        let frame = (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)));
        std::task::Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

/// Shows neither query nor headers: they may hold tokens.
impl fmt::Debug for TestClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClientBuilder")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for TestStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream")
            .field("ended", &matches!(self.call, Ok(None)))
            .finish_non_exhaustive()
    }
}
