//! Writes down what goes over a transport.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::{Method, Request, Response, StatusCode, header};
use signalr_client::Transport;
use signalr_proto::codec::{HubMessage, Role, handshake};
use signalr_proto::transport::EventStream;
use signalr_proto::transport::WsMessage;
use signalr_proto::{EndCause, Instant, Protocol};

use super::Recording;
use super::file::Entry;
use super::secrets::Secrets;
use crate::link::{Part, Reader};

/// Larger than any event of a test.
const MAX_EVENT: usize = 64 << 20;

/// A transport that writes down what a client and its hub say, whatever they say it over; see [`Recording`].
///
/// It wraps any transport: that of a [`Network`](crate::Network), for which there is [`Network::record`](crate::Network::record), or
/// one over real sockets, for a session with a real server. It is for one connection.
///
/// ```no_run
/// use signalr_client::{HubConnection, NetOptions, NetTransport};
/// use signalr_testkit::Recorder;
/// # use signalr_client::Runtime;
///
/// # async fn example(runtime: impl Runtime + Clone) -> Result<(), Box<dyn std::error::Error>> {
/// let recorder = Recorder::new(NetTransport::new(runtime, NetOptions::default())?);
/// let (connection, driver) = HubConnection::builder("http://localhost:5000/chat").build_with(recorder.clone())?;
/// let talk = async {
///     connection.start().await?;
///     connection.call("Send", ("me", "hello")).await?;
///     connection.stop().await;
///     drop(connection);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// };
/// futures_util::future::join(talk, driver.run()).await.0?;
/// recorder.recording().save("tests/chat.txt")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Recorder<T> {
    inner: T,
    state: Arc<Mutex<State>>,
}

impl<T> Recorder<T> {
    /// A recorder of what goes over this transport.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// What was said so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let state = lock(&self.state);
        Recording::of(&state.entries)
    }
}

impl<T> core::fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is written, and by whom.
#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// By the id that requests carry, or by a name of their own.
    sessions: HashMap<String, Session>,
    opened: u64,
    secrets: Secrets,
}

struct Session {
    protocol: Option<Protocol>,
    /// The handshake was answered well, and the end was not yet written.
    open: bool,
    up: Reader,
    down: Reader,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            protocol: None,
            open: false,
            up: Reader::new(),
            down: Reader::new(),
        }
    }
}

impl State {
    fn client(&mut self, session: &str, mut bytes: Bytes) {
        let session = self.sessions.entry(session.to_owned()).or_default();
        while let Ok(Some(part)) = session.up.next(&mut bytes, session.protocol) {
            match (part, session.protocol) {
                (Part::Handshake(record), _) => {
                    let asked = handshake::decode_request(&record).ok();
                    session.protocol = asked.and_then(|asked| Protocol::from_name(&asked.protocol));
                }
                (Part::Message(message), Some(protocol)) if session.open => {
                    if is_kept(protocol, Role::Server, &message) {
                        let message = self.secrets.hide(protocol, &message);
                        self.entries.push(Entry::Client(protocol, message));
                    }
                }
                (Part::Message(_), _) => {}
            }
        }
    }

    fn server(&mut self, session: &str, mut bytes: Bytes) {
        let session = self.sessions.entry(session.to_owned()).or_default();
        while let Ok(Some(part)) = session.down.next(&mut bytes, session.protocol) {
            match (part, session.protocol) {
                (Part::Handshake(record), Some(protocol)) => {
                    let error = handshake::decode_response(&record).map(|answer| answer.error);
                    session.open = matches!(error, Ok(None));
                    self.entries.push(match error {
                        Ok(None) => Entry::Connect(protocol),
                        Ok(Some(error)) => Entry::Refuse(self.secrets.hide_in_text(&error)),
                        Err(error) => Entry::Refuse(error.to_string()),
                    });
                }
                (Part::Message(message), Some(protocol)) if session.open => {
                    if is_kept(protocol, Role::Client, &message) {
                        let message = self.secrets.hide(protocol, &message);
                        self.entries.push(Entry::Server(protocol, message));
                    }
                }
                (Part::Handshake(_) | Part::Message(_), _) => {}
            }
        }
    }

    fn end(&mut self, session: &str, entry: Entry) {
        if let Some(session) = self.sessions.remove(session)
            && session.open
        {
            self.entries.push(entry);
        }
    }
}

/// Whether a message belongs into a recording: one that can be read, and that does not depend on the time.
fn is_kept(protocol: Protocol, role: Role, message: &Bytes) -> bool {
    use HubMessage::{Ack, Ping, Sequence};
    match protocol.decode(role, message) {
        Ok(message) => !matches!(message, Some(Ping | Ack { .. } | Sequence { .. })),
        Err(_) => false,
    }
}

fn ending(cause: &EndCause) -> Entry {
    match cause {
        EndCause::WebSocketClose { code: 1006, .. } => Entry::Lost,
        EndCause::WebSocketClose { code, .. } => Entry::Close(*code),
        EndCause::Clean => Entry::Close(1000),
        EndCause::Refused { .. } | EndCause::Redirected { .. } | EndCause::Failed { .. } | _ => {
            Entry::Lost
        }
    }
}

impl<T: Transport> Transport for Recorder<T> {
    type WebSocket = RecordedSocket<T>;
    type Body = RecordedBody<T>;
    type Error = T::Error;

    async fn request(&self, request: Request<Bytes>) -> Result<Response<Self::Body>, T::Error> {
        lock(&self.state).secrets.learn(&request);
        let session = session_of(&request);
        let is_poll = request.method() == Method::GET;
        if let Some(session) = &session {
            match *request.method() {
                Method::POST => lock(&self.state).client(session, request.body().clone()),
                Method::DELETE => lock(&self.state).end(session, Entry::Left),
                _ => {}
            }
        }
        let response = self.inner.request(request).await?;
        let reading = match session {
            Some(session) if is_poll => self.reading(&response, session),
            _ => Reading::Nothing,
        };
        Ok(response.map(|inner| RecordedBody {
            inner,
            state: Arc::clone(&self.state),
            reading,
        }))
    }

    async fn open_web_socket(&self, request: Request<()>) -> Result<Self::WebSocket, T::Error> {
        lock(&self.state).secrets.learn(&request);
        let inner = self.inner.open_web_socket(request).await?;
        let mut state = lock(&self.state);
        state.opened += 1;
        Ok(RecordedSocket {
            inner,
            session: format!("WebSocket {}", state.opened),
            state: Arc::clone(&self.state),
        })
    }

    async fn sleep_until(&self, deadline: Instant) {
        self.inner.sleep_until(deadline).await;
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn end_cause(error: &T::Error) -> EndCause {
        T::end_cause(error)
    }
}

impl<T> Recorder<T> {
    fn reading<B>(&self, response: &Response<B>, session: String) -> Reading {
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => {
                lock(&self.state).end(&session, Entry::Close(1000));
                return Reading::Nothing;
            }
            _ => {
                lock(&self.state).end(&session, Entry::Lost);
                return Reading::Nothing;
            }
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            let events = Box::new(EventStream::new(MAX_EVENT));
            return Reading::Events(session, events);
        }
        Reading::Poll(session)
    }
}

/// The connection that a request belongs to; none for negotiation and what else is no part of one.
fn session_of<B>(request: &Request<B>) -> Option<String> {
    let last = request.uri().path().rsplit('/').next();
    if matches!(last, Some("negotiate" | "refresh")) {
        return None;
    }
    let mut parts = request.uri().query()?.rsplit('&');
    let id = parts.find_map(|part| part.strip_prefix("id="))?;
    Some(id.to_owned())
}

/// A WebSocket of a [`Recorder`].
pub struct RecordedSocket<T: Transport> {
    inner: T::WebSocket,
    session: String,
    state: Arc<Mutex<State>>,
}

impl<T: Transport> Stream for RecordedSocket<T> {
    type Item = Result<WsMessage, T::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.inner).poll_next(cx));
        let mut state = lock(&self.state);
        match &item {
            Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) => {
                state.server(&self.session, bytes.clone());
            }
            Some(Ok(WsMessage::Close(code))) => state.end(&self.session, Entry::Close(*code)),
            Some(Err(error)) => state.end(&self.session, ending(&T::end_cause(error))),
            None => state.end(&self.session, Entry::Lost),
        }
        drop(state);
        Poll::Ready(item)
    }
}

impl<T: Transport> Sink<WsMessage> for RecordedSocket<T> {
    type Error = T::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: WsMessage) -> Result<(), T::Error> {
        if let WsMessage::Text(bytes) | WsMessage::Binary(bytes) = &message {
            lock(&self.state).client(&self.session, bytes.clone());
        }
        Pin::new(&mut self.inner).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl<T: Transport> Drop for RecordedSocket<T> {
    fn drop(&mut self) {
        lock(&self.state).end(&self.session, Entry::Left);
    }
}

impl<T: Transport> core::fmt::Debug for RecordedSocket<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordedSocket").finish_non_exhaustive()
    }
}

/// The body of an answer to a [`Recorder`].
pub struct RecordedBody<T: Transport> {
    inner: T::Body,
    state: Arc<Mutex<State>>,
    reading: Reading,
}

/// What is in a body.
enum Reading {
    Nothing,
    /// What the hub says, as it is.
    Poll(String),
    /// What the hub says, as events.
    Events(String, Box<EventStream>),
}

impl<T: Transport> Stream for RecordedBody<T> {
    type Item = Result<Bytes, T::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.inner).poll_next(cx));
        let this = &mut *self;
        let mut state = lock(&this.state);
        match (&mut this.reading, &item) {
            (Reading::Poll(session), Some(Ok(bytes))) => state.server(session, bytes.clone()),
            (Reading::Events(session, events), Some(Ok(bytes))) => {
                let mut bytes = bytes.clone();
                while let Ok(Some(data)) = events.decode(&mut bytes) {
                    state.server(session, data);
                }
            }
            (Reading::Events(session, _), None) => state.end(session, Entry::Close(1000)),
            (Reading::Poll(session) | Reading::Events(session, _), Some(Err(_))) => {
                state.end(session, Entry::Lost);
            }
            (Reading::Poll(_), None) | (Reading::Nothing, _) => {}
        }
        drop(state);
        Poll::Ready(item)
    }
}

impl<T: Transport> Drop for RecordedBody<T> {
    /// An event stream that the client does not want any more is all that there is of its going.
    fn drop(&mut self) {
        if let Reading::Events(session, _) = &self.reading {
            lock(&self.state).end(session, Entry::Left);
        }
    }
}

impl<T: Transport> core::fmt::Debug for RecordedBody<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordedBody").finish_non_exhaustive()
    }
}
