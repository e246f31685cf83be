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

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{
    CompletionOutcome, HubMessage, Invocation, InvocationHead, Outcome, Role, handshake,
};
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_proto::{FromArguments, HubArguments, Payload, Protocol};
use tower_service::Service as _;

use crate::body::HubBody;
use crate::error::BodyError;
use crate::server::HubServer;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Larger than anything a test sends.
const MAX_MESSAGE: usize = 64 << 20;

/// Why a step of a test did not work out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The hub answered a call with this error.
    #[error("{0}")]
    Call(Box<str>),
    /// The connection was not let in.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The handshake was refused with this text.
    #[error("the handshake failed: {0}")]
    Handshake(Box<str>),
    /// The hub ended the connection, with this error if there was one.
    #[error("the hub closed the connection{}{}", if .0.is_some() { ": " } else { "" }, .0.as_deref().unwrap_or_default())]
    Closed(Option<Box<str>>),
    /// What came does not fit the type that was asked for.
    #[error("{0}")]
    Type(Box<str>),
    /// Nothing of the kind came in time. Tells which calls have come.
    #[error("nothing came within {PATIENCE:?}; received so far: {0:?}")]
    Nothing(Vec<String>),
    /// The hub's answer makes no sense, which is a fault of this library.
    #[error("the hub answered with {0}")]
    Broken(Box<str>),
}

type Answer = Box<dyn FnMut(&Invocation) -> Result<Payload, String> + Send>;

/// A client of a hub, within the same process. See the [module](self).
///
/// Nothing runs in the background: calls of the hub are received while something is awaited.
pub struct TestClient {
    hub: HubServer,
    headers: HeaderMap,
    connection_id: Box<str>,
    query: String,
    frames: FrameDecoder,
    unread: Bytes,
    next_id: u64,
    inbox: VecDeque<Invocation>,
    completions: HashMap<String, Outcome>,
    items: HashMap<String, Vec<Payload>>,
    /// None for questions that are left open.
    answers: HashMap<String, Option<Answer>>,
    closed: Option<Option<Box<str>>>,
}

impl TestClient {
    /// Connects.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect(hub: &HubServer) -> Result<Self, TestError> {
        Self::connect_with(hub, HeaderMap::new()).await
    }

    /// Connects with this bearer token.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_as(hub: &HubServer, token: &str) -> Result<Self, TestError> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) {
            headers.insert(header::AUTHORIZATION, value);
        }
        Self::connect_with(hub, headers).await
    }

    /// Connects with these headers in each request.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_with(hub: &HubServer, headers: HeaderMap) -> Result<Self, TestError> {
        let mut client = Self {
            hub: hub.clone(),
            headers,
            connection_id: Box::default(),
            query: String::new(),
            frames: FrameDecoder::new(Protocol::Json, MAX_MESSAGE),
            unread: Bytes::new(),
            next_id: 0,
            inbox: VecDeque::new(),
            completions: HashMap::new(),
            items: HashMap::new(),
            answers: HashMap::new(),
            closed: None,
        };
        client.negotiate().await?;
        client.shake_hands().await?;
        Ok(client)
    }

    async fn negotiate(&mut self) -> Result<(), TestError> {
        let (status, body) = self
            .ask(Method::POST, "/negotiate?negotiateVersion=1", Bytes::new())
            .await?;
        if status != StatusCode::OK {
            return Err(TestError::Refused(status.as_u16()));
        }
        let answer = NegotiateResponse::decode(&body).map_err(broken)?;
        let NegotiateResponse::Connect(offer) = answer else {
            return Err(broken("no offer"));
        };
        self.connection_id.clone_from(&offer.connection_id);
        self.query = format!("/?id={}", offer.token());
        self.poll().await
    }

    async fn shake_hands(&mut self) -> Result<(), TestError> {
        let mut out = BytesMut::new();
        handshake::encode_request(&mut out, Protocol::Json, Protocol::VERSION);
        self.post(out).await?;
        let answer = self.next_frame().await?;
        match handshake::decode_response(&answer).map_err(broken)?.error {
            None => Ok(()),
            Some(error) => Err(TestError::Handshake((*error).into())),
        }
    }

    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// [`TestError::Call`] with the words that a client sees.
    pub async fn invoke<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<T, TestError> {
        let id = self.call(false, target, &arguments).await?;
        match self.completion(&id).await? {
            Outcome::Error(error) => Err(TestError::Call((*error).into())),
            Outcome::Result(result) => result.decode().map_err(mistyped),
            Outcome::Void => null().decode().map_err(mistyped),
        }
    }

    /// Calls a method without waiting for anything.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<(), TestError> {
        let head = head(false, None, target);
        let mut out = BytesMut::new();
        Protocol::Json
            .encode_invocation(&mut out, head, &arguments)
            .map_err(broken)?;
        self.post(out).await
    }

    /// Calls a streaming method and waits for the end of its stream.
    ///
    /// # Errors
    /// [`TestError::Call`] with the words that a client sees.
    pub async fn stream<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<Vec<T>, TestError> {
        let id = self.call(true, target, &arguments).await?;
        if let Outcome::Error(error) = self.completion(&id).await? {
            return Err(TestError::Call((*error).into()));
        }
        let items = self.items.remove(&id).unwrap_or_default();
        items
            .iter()
            .map(|item| item.decode().map_err(mistyped))
            .collect()
    }

    /// The arguments of the hub's next call of this name, as a tuple. Waits for it if it has not come yet.
    ///
    /// # Errors
    /// When none comes, or the arguments are of other types.
    pub async fn received<A: FromArguments>(&mut self, target: &str) -> Result<A, TestError> {
        let deadline = self.hub.shared.clock.now().after(PATIENCE);
        loop {
            let place = self.inbox.iter().position(|call| *call.target == *target);
            if let Some(call) = place.and_then(|place| self.inbox.remove(place)) {
                return call.arguments.decode().map_err(mistyped);
            }
            self.wait(deadline).await?;
        }
    }

    /// The names of the hub's calls that have come and were not looked at. Does not wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.inbox
            .iter()
            .map(|call| call.target.to_string())
            .collect()
    }

    /// Answers the hub's questions of this name from now on.
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
        self.answers
            .insert(target.to_owned(), Some(Box::new(answer)));
    }

    /// Leaves the hub's questions of this name without an answer from now on.
    pub fn ignore(&mut self, target: &str) {
        self.answers.insert(target.to_owned(), None);
    }

    /// Leaves, as a client does that is stopped.
    ///
    /// # Errors
    /// When the connection is over already.
    pub async fn close(mut self) -> Result<(), TestError> {
        let query = self.query.clone();
        let (status, _) = self.ask(Method::DELETE, &query, Bytes::new()).await?;
        if status == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(TestError::Refused(status.as_u16()))
        }
    }

    /// Waits until the hub has ended the connection. Gives its words, if there were any.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> Result<Option<Box<str>>, TestError> {
        let deadline = self.hub.shared.clock.now().after(PATIENCE);
        loop {
            if let Some(error) = &self.closed {
                return Ok(error.clone());
            }
            self.wait(deadline).await?;
        }
    }

    async fn call(
        &mut self,
        streaming: bool,
        target: &str,
        arguments: &impl HubArguments,
    ) -> Result<String, TestError> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let mut out = BytesMut::new();
        Protocol::Json
            .encode_invocation(&mut out, head(streaming, Some(&id), target), arguments)
            .map_err(broken)?;
        self.post(out).await?;
        Ok(id)
    }

    async fn completion(&mut self, id: &str) -> Result<Outcome, TestError> {
        let deadline = self.hub.shared.clock.now().after(PATIENCE);
        loop {
            if let Some(outcome) = self.completions.remove(id) {
                return Ok(outcome);
            }
            self.wait(deadline).await?;
        }
    }

    /// Receives whatever comes next.
    async fn wait(&mut self, deadline: signalr_proto::Instant) -> Result<(), TestError> {
        if let Some(error) = &self.closed {
            return Err(TestError::Closed(error.clone()));
        }
        let clock = self.hub.shared.clock.clone();
        let left = deadline.since(clock.now());
        match clock.timeout(left, self.receive()).await {
            Some(received) => received,
            None => Err(TestError::Nothing(self.waiting())),
        }
    }

    async fn receive(&mut self) -> Result<(), TestError> {
        let frame = self.next_frame().await?;
        let message = Protocol::Json
            .decode(Role::Client, &frame)
            .map_err(broken)?;
        match message {
            Some(HubMessage::Invocation(call)) => self.invoked(call).await?,
            Some(HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            }) => {
                let items = self.items.entry(invocation_id.to_string());
                items.or_default().push(item);
            }
            Some(HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            }) => {
                self.completions.insert(invocation_id.to_string(), outcome);
            }
            Some(HubMessage::Close { error, .. }) => {
                self.closed = Some(error.map(|error| (*error).into()));
            }
            // Pings and the like.
            Some(_) | None => {}
        }
        Ok(())
    }

    async fn invoked(&mut self, call: Invocation) -> Result<(), TestError> {
        let Some(id) = &call.invocation_id else {
            self.inbox.push_back(call);
            return Ok(());
        };
        let answer = match self.answers.get_mut(&*call.target) {
            Some(Some(answer)) => answer(&call),
            Some(None) => return Ok(()),
            None => Err("Client didn't provide a result.".to_owned()),
        };
        let outcome = match &answer {
            Ok(result) => CompletionOutcome::Result(result),
            Err(error) => CompletionOutcome::Error(error),
        };
        let mut out = BytesMut::new();
        Protocol::Json
            .encode_completion(&mut out, &[], id, outcome)
            .map_err(broken)?;
        self.post(out).await
    }

    async fn next_frame(&mut self) -> Result<Bytes, TestError> {
        loop {
            match self.frames.decode(&mut self.unread).map_err(broken)? {
                Some(frame) => return Ok(frame),
                None => self.poll().await?,
            }
        }
    }

    async fn poll(&mut self) -> Result<(), TestError> {
        let query = self.query.clone();
        let (status, body) = self.ask(Method::GET, &query, Bytes::new()).await?;
        match status {
            StatusCode::OK => {
                self.unread = body;
                Ok(())
            }
            StatusCode::NO_CONTENT => {
                self.closed = Some(None);
                Err(TestError::Closed(None))
            }
            status => Err(TestError::Refused(status.as_u16())),
        }
    }

    async fn post(&mut self, body: BytesMut) -> Result<(), TestError> {
        let query = self.query.clone();
        let (status, _) = self.ask(Method::POST, &query, body.freeze()).await?;
        if status == StatusCode::OK {
            Ok(())
        } else {
            Err(TestError::Refused(status.as_u16()))
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), TestError> {
        let mut request = Request::new(Whole(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(broken)?;
        *request.headers_mut() = self.headers.clone();
        let name = HeaderName::from_static("x-requested-with");
        let value = HeaderValue::from_static("XMLHttpRequest");
        request.headers_mut().insert(name, value);
        let response = match self.hub.service().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        Ok((response.status(), whole(response).await?))
    }
}

async fn whole(response: Response<HubBody>) -> Result<Bytes, TestError> {
    let mut body = std::pin::pin!(response.into_body());
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(bytes) = frame.map_err(broken)?.into_data() {
            whole.extend_from_slice(&bytes);
        }
    }
    Ok(whole.freeze())
}

const fn head<'a>(streaming: bool, id: Option<&'a str>, target: &'a str) -> InvocationHead<'a> {
    InvocationHead {
        streaming,
        headers: &[],
        invocation_id: id,
        target,
        stream_ids: &[],
    }
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
