//! A connection that is watched while it is made: the client's machine with a driver that keeps times.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use signalr::CloseReason;
use signalr::Tokio;
use signalr::client::{NetTransport, Transport};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ClientConnection, Event, Input, Output,
};
use signalr_proto::transport::TransportFailureReason;
use signalr_proto::transport::WsMessage;
use signalr_proto::transport::negotiate::{AccessToken, NegotiateResponse};
use signalr_proto::{BodyMode, EndCause, HubArguments, NegotiateError, OpId, Payload};

use crate::hub::token::TokenSource;

type Net = NetTransport<Tokio>;
type Socket = <Net as Transport>::WebSocket;
type Body = <Net as Transport>::Body;

/// How long a clean end may take.
const STOP_TIME: Duration = Duration::from_secs(2);

/// What is watched.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The negotiations, one for each redirect and one more.
    pub(super) negotiations: Vec<Negotiation>,
    /// From the request for an event stream to the head of its answer, and to the first bytes of its body.
    pub(super) stream_head: Option<Duration>,
    pub(super) stream_body: Option<Duration>,
    /// Whether an event stream was asked for.
    pub(super) stream_asked: Option<Instant>,
}

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Negotiation {
    /// Host, port and path; the query may hold secrets.
    pub(super) place: String,
    pub(super) status: Option<u16>,
    pub(super) took: Duration,
    pub(super) answer: Option<NegotiateResponse>,
}

/// What a task brings.
struct Told {
    op: OpId,
    input: Input,
    then: Then,
}

/// What goes on after it.
enum Then {
    Nothing,
    Read(Body),
    Split(Box<Socket>),
    Receive(SplitStream<Socket>),
    Sent(SplitSink<Socket, WsMessage>),
}

/// The connection.
pub(super) struct Probe {
    machine: ClientConnection,
    net: Net,
    token: TokenSource,
    tasks: FuturesUnordered<LocalBoxFuture<'static, Option<Told>>>,
    aborts: HashMap<OpId, Vec<AbortHandle>>,
    sink: Option<SplitSink<Socket, WsMessage>>,
    /// The negotiation under way and when it began.
    asked: HashMap<OpId, (String, Instant)>,
    streams: HashMap<OpId, Instant>,
    pub(super) seen: Seen,
}

/// Where a connection has got to.
enum Progress {
    Event(Event),
    /// Negotiation is over and the transport is about to begin.
    Negotiated,
}

impl Probe {
    pub(super) fn new(net: Net, config: ClientConfig, token: TokenSource) -> Self {
        Self {
            machine: ClientConnection::new(config, 0),
            net,
            token,
            tasks: FuturesUnordered::new(),
            aborts: HashMap::new(),
            sink: None,
            asked: HashMap::new(),
            streams: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// Negotiates and goes no further.
    pub(super) async fn negotiate(&mut self) -> Result<(), CloseReason> {
        self.start();
        loop {
            match self.progress(true).await {
                Progress::Negotiated | Progress::Event(Event::Connected { .. }) => return Ok(()),
                Progress::Event(event) => ended(event)?,
            }
        }
    }

    /// Connects, the handshake included.
    pub(super) async fn connect(&mut self) -> Result<(), CloseReason> {
        self.start();
        loop {
            match self.progress(false).await {
                Progress::Event(Event::Connected { .. }) => return Ok(()),
                Progress::Event(event) => ended(event)?,
                Progress::Negotiated => {}
            }
        }
    }

    /// Calls a method and waits for its answer, whatever that is.
    pub(super) async fn call<A: HubArguments + ?Sized>(
        &mut self,
        method: &str,
        arguments: &A,
    ) -> Result<Result<Option<Payload>, CallError>, CloseReason> {
        let now = self.net.now();
        let called = self.machine.invoke(now, method, arguments);
        let call = called.map_err(|error| CloseReason::TransportFailed {
            detail: error.to_string().into(),
        })?;
        loop {
            match self.progress(false).await {
                Progress::Event(Event::Completion {
                    invocation_id,
                    outcome,
                }) if invocation_id == call.id() => {
                    if let Err(CallError::ConnectionLost(reason)) = outcome {
                        return Err(reason);
                    }
                    return Ok(outcome);
                }
                Progress::Event(event) => ended(event)?,
                Progress::Negotiated => {}
            }
        }
    }

    /// Ends the connection in an orderly way, if that does not take long.
    pub(super) async fn close(mut self) {
        let now = self.net.now();
        self.machine.stop(now);
        let closing = async {
            loop {
                if let Progress::Event(Event::Closed { .. } | Event::StartFailed { .. }) =
                    self.progress(false).await
                {
                    return;
                }
            }
        };
        // Whoever does not come to an end is dropped.
        let _ = tokio::time::timeout(STOP_TIME, closing).await;
    }

    fn start(&mut self) {
        // Checked before: the address is right and nothing was started.
        let _ = self.machine.start(self.net.now());
    }

    async fn progress(&mut self, only_negotiation: bool) -> Progress {
        loop {
            match self.machine.poll_output() {
                Output::Event(event) => return Progress::Event(event),
                Output::Wait(deadline) => self.wait(deadline).await,
                Output::Action(action) => {
                    if only_negotiation && !is_before_transport(&action) {
                        return Progress::Negotiated;
                    }
                    self.carry_out(action);
                }
            }
        }
    }

    async fn wait(&mut self, deadline: Option<signalr_proto::Instant>) {
        let net = self.net.clone();
        let timeout = async {
            match deadline {
                Some(deadline) => net.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            biased;
            Some(told) = self.tasks.next() => told,
            () = timeout => {
                self.machine.handle_input(self.net.now(), Input::Timeout);
                return;
            }
        };
        if let Some(told) = told {
            self.hear(told);
        }
    }

    fn hear(&mut self, told: Told) {
        self.watch(told.op, &told.input);
        self.machine.handle_input(self.net.now(), told.input);
        match told.then {
            Then::Nothing => {}
            Then::Read(body) => self.spawn(told.op, read(told.op, body)),
            Then::Split(socket) => {
                let (sink, stream) = (*socket).split();
                self.sink = Some(sink);
                self.spawn(told.op, receive(told.op, stream));
            }
            Then::Receive(stream) => self.spawn(told.op, receive(told.op, stream)),
            Then::Sent(sink) => self.sink = Some(sink),
        }
    }

    /// Keeps what the steps want to know.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only answers to requests matter"
    )]
    fn watch(&mut self, op: OpId, input: &Input) {
        if let Some(asked) = self.streams.get(&op) {
            match input {
                Input::Response { response, .. } if response.status().is_success() => {
                    self.seen.stream_head.get_or_insert_with(|| asked.elapsed());
                }
                Input::Chunk { .. } => {
                    self.seen.stream_body.get_or_insert_with(|| asked.elapsed());
                }
                _ => {}
            }
        }
        let Some((place, asked)) = self.asked.remove(&op) else {
            return;
        };
        let response = match input {
            Input::Response { response, .. } => Some(response),
            _ => None,
        };
        self.seen.negotiations.push(Negotiation {
            place,
            status: response.map(|response| response.status().as_u16()),
            took: asked.elapsed(),
            answer: response.and_then(|response| NegotiateResponse::decode(response.body()).ok()),
        });
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Request { op, request, body } => self.request(op, *request, body),
            Action::OpenWebSocket { op, request } => {
                self.spawn(op, open(self.net.clone(), op, *request));
            }
            Action::Send { op, bytes, format } => {
                self.write(op, WsMessage::carrying(bytes, format));
            }
            Action::Close { op, code } => self.write(op, WsMessage::Close(code)),
            Action::GetAccessToken { op } => {
                let token = self.token.now();
                let token = token
                    .map(|token| token.and_then(AccessToken::new))
                    .map_err(Into::into);
                self.machine
                    .handle_input(self.net.now(), Input::AccessToken { op, token });
            }
            Action::Abort { op } => {
                for abort in self.aborts.remove(&op).unwrap_or_default() {
                    abort.abort();
                }
            }
            // Nobody asked for a policy, and there are no other actions.
            Action::NextRetryDelay { .. } | _ => {}
        }
    }

    fn request(&mut self, op: OpId, request: http::Request<Bytes>, body: BodyMode) {
        let now = Instant::now();
        if is_negotiate(&request) {
            self.asked.insert(op, (place(request.uri()), now));
        }
        let limit = match body {
            BodyMode::Whole { limit } => Some(limit),
            BodyMode::Streamed | _ => {
                self.streams.insert(op, now);
                self.seen.stream_asked.get_or_insert(now);
                None
            }
        };
        self.spawn(op, ask(self.net.clone(), op, request, limit));
    }

    fn write(&mut self, op: OpId, message: WsMessage) {
        if let Some(sink) = self.sink.take() {
            self.spawn(op, send(op, sink, message));
        }
    }

    fn spawn(&mut self, op: OpId, task: impl Future<Output = Told> + 'static) {
        let (handle, registration) = AbortHandle::new_pair();
        self.aborts.entry(op).or_default().push(handle);
        let task = Abortable::new(task, registration).map(Result::ok);
        self.tasks.push(task.boxed_local());
    }
}

/// Why the one transport that was tried failed, without the words about those that were not.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others were not tried")]
fn innermost(reason: CloseReason) -> CloseReason {
    let CloseReason::Negotiate(NegotiateError::NoTransport { failures }) = &reason else {
        return reason;
    };
    let tried = failures.iter().find_map(|failure| match &failure.reason {
        TransportFailureReason::Failed(reason) => Some(CloseReason::clone(reason)),
        _ => None,
    });
    tried.unwrap_or(reason)
}

/// The end of a connection as an error; other events do not matter here.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only two events end a connection"
)]
fn ended(event: Event) -> Result<(), CloseReason> {
    match event {
        Event::StartFailed { reason } | Event::Closed { reason } => Err(innermost(reason)),
        _ => Ok(()),
    }
}

fn is_negotiate(request: &http::Request<Bytes>) -> bool {
    request.method() == http::Method::POST && request.uri().path().ends_with("/negotiate")
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "there are more actions after negotiation than before"
)]
fn is_before_transport(action: &Action) -> bool {
    match action {
        Action::Request { request, .. } => is_negotiate(request),
        Action::GetAccessToken { .. } | Action::Abort { .. } => true,
        _ => false,
    }
}

/// Host, port and path.
fn place(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = uri.path();
    format!("{host}{}", path.strip_suffix("/negotiate").unwrap_or(path))
}

fn end(op: OpId, cause: EndCause) -> Told {
    Told {
        op,
        input: Input::Ended { op, cause },
        then: Then::Nothing,
    }
}

async fn ask(net: Net, op: OpId, request: http::Request<Bytes>, limit: Option<usize>) -> Told {
    let (head, body) = match net.request(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => return end(op, Net::end_cause(&error)),
    };
    let Some(limit) = limit else {
        let response = http::Response::from_parts(head, Bytes::new());
        return Told {
            op,
            input: Input::Response { op, response },
            then: Then::Read(body),
        };
    };
    match collect(body, limit).await {
        Err(cause) => end(op, cause),
        Ok(bytes) => Told {
            op,
            input: Input::Response {
                op,
                response: http::Response::from_parts(head, bytes),
            },
            then: Then::Nothing,
        },
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, EndCause> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Net::end_cause(&error))?;
        if whole.len().saturating_add(chunk.len()) > limit {
            return Err(EndCause::Failed {
                detail: format!("the answer is longer than {limit} bytes").into(),
            });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

async fn read(op: OpId, mut body: Body) -> Told {
    match body.next().await {
        Some(Ok(bytes)) => Told {
            op,
            input: Input::Chunk { op, bytes },
            then: Then::Read(body),
        },
        Some(Err(error)) => end(op, Net::end_cause(&error)),
        None => end(op, EndCause::Clean),
    }
}

async fn open(net: Net, op: OpId, request: http::Request<()>) -> Told {
    match net.open_web_socket(request).await {
        Ok(socket) => Told {
            op,
            input: Input::Opened { op },
            then: Then::Split(Box::new(socket)),
        },
        Err(error) => end(op, Net::end_cause(&error)),
    }
}

async fn receive(op: OpId, mut stream: SplitStream<Socket>) -> Told {
    match stream.next().await {
        Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) => Told {
            op,
            input: Input::Received { op, bytes },
            then: Then::Receive(stream),
        },
        Some(Ok(WsMessage::Close(code))) => {
            let reason = Box::default();
            end(op, EndCause::WebSocketClose { code, reason })
        }
        Some(Err(error)) => end(op, Net::end_cause(&error)),
        None => end(op, EndCause::Clean),
    }
}

async fn send(op: OpId, mut sink: SplitSink<Socket, WsMessage>, message: WsMessage) -> Told {
    match sink.send(message).await {
        Ok(()) => Told {
            op,
            input: Input::Sent { op },
            then: Then::Sent(sink),
        },
        Err(error) => end(op, Net::end_cause(&error)),
    }
}
