//! One connection, as its task and whoever waits for something share it.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_core::stream::BoxStream;
use futures_util::future::select;
use futures_util::stream::StreamExt as _;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{CompletionOutcome, HubMessage, Invocation, Outcome, Role, handshake};
use signalr_proto::transport::negotiate::NegotiateResponse;
use signalr_proto::{Arguments, Payload, Protocol};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::error::{TestError, broken};
use super::request::{Whole, whole};
use crate::locks::lock;
use crate::server::HubServer;

/// Larger than anything a test sends.
const MAX_MESSAGE: usize = 64 << 20;

/// What a client uploads.
pub(super) type Items = BoxStream<'static, Result<Payload, String>>;

pub(super) type AnyAnswer = Box<dyn FnMut(&Arguments) -> Result<Payload, String> + Send>;

/// One connection, as its task and whoever waits for something share it.
pub(super) struct Line {
    pub(super) hub: HubServer,
    pub(super) headers: HeaderMap,
    pub(super) extensions: Extensions,
    /// Of each request: the test's own parameters, and the connection's token once there is one.
    pub(super) query: String,
    pub(super) patience: Duration,
    pub(super) state: Mutex<State>,
    /// None for questions that are left open.
    pub(super) answers: Mutex<HashMap<String, Option<AnyAnswer>>>,
    /// Fires whenever the state has changed.
    pub(super) changed: Notify,
    /// Fires when the client has gone or the connection is over.
    pub(super) over: CancellationToken,
    pub(super) outbox: mpsc::UnboundedSender<Order>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) inbox: VecDeque<Invocation>,
    pub(super) calls: HashMap<String, Answered>,
    /// Why nothing follows.
    pub(super) end: Option<TestError>,
    /// What an answer of the test panicked with.
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

/// What has come of an answer.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) items: VecDeque<Payload>,
    pub(super) outcome: Option<Result<Outcome, TestError>>,
}

/// Something to post, one after the other.
pub(super) struct Order {
    pub(super) body: Bytes,
    pub(super) report: Option<Report>,
}

/// Who wants to know what became of it.
pub(super) enum Report {
    Call(String),
    Post(oneshot::Sender<StatusCode>),
}

/// Received bytes that are not read yet.
pub(super) struct Incoming {
    pub(super) frames: FrameDecoder,
    pub(super) unread: Bytes,
}

impl Line {
    /// Negotiates, opens the connection and shakes hands.
    pub(super) async fn open(&mut self) -> Result<(Box<str>, Incoming), TestError> {
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
            Some(Some(answer)) => catch_unwind(AssertUnwindSafe(|| answer(&call.arguments))),
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

    pub(super) async fn upload(&self, id: &str, mut items: Items) {
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
    pub(super) fn post(
        &self,
        body: BytesMut,
    ) -> impl Future<Output = Result<(), TestError>> + Send {
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

    pub(super) fn order(&self, body: BytesMut, report: Option<Report>) {
        let body = body.freeze();
        // When nobody takes it the connection is over, which everybody learns from the state.
        let _ = self.outbox.send(Order { body, report });
    }

    /// Waits until the state holds what is looked for, or nothing follows.
    pub(super) async fn until<T>(
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

    pub(super) fn nothing(&self) -> TestError {
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
pub(super) struct End(pub(super) Arc<Line>);

impl End {
    /// Receives and posts until the connection is over or the client has gone.
    pub(super) async fn run(self, incoming: Incoming, orders: mpsc::UnboundedReceiver<Order>) {
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
