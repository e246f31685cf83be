//! A client machine under a virtual clock, with a server played by the test.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use signalr_proto::client::{
    Action, Call, ClientConfig, ClientConnection, ConnectionState, Event, Input, Output,
};
use signalr_proto::transport::negotiate::TransportKind;
use signalr_proto::{CloseReason, EndCause, Instant, OpId};

mod requests;
mod words;

pub use requests::{OpenRequest, Wish, granted, offer, offer_with};
pub use words::Words;

/// An answer to negotiate that offers WebSockets; the public id is `id`, the token `token`.
pub const OFFER: &str = concat!(
    r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":"#,
    r#"[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#
);

/// A client machine, the time, and everything it wanted that was not yet looked at.
#[derive(Debug)]
pub struct Script {
    /// The machine under test.
    pub client: ClientConnection,
    /// The virtual time.
    pub now: Instant,
    /// Actions in the order they came.
    pub actions: Vec<Action>,
    /// Events in the order they came, but for those of [`progress`](Self::progress).
    pub events: Vec<Event>,
    /// What was told of attempts and of fallbacks, which comes between the other events.
    pub progress: Vec<Event>,
    /// Every byte the client sent, as one stream; of a `POST` once it was answered with success.
    pub sent: Vec<u8>,
    /// The last deadline.
    pub deadline: Option<Instant>,
    /// The socket that is open or being opened.
    pub socket: Option<OpId>,
    /// The requests under way, in the order they were made.
    pub requests: Vec<OpenRequest>,
    /// Questions for an access token without an answer.
    pub questions: Vec<OpId>,
    /// Whether sends are taken at once (the default) or stay in flight until [`Script::take_sends`].
    pub takes_sends: bool,
    in_flight: Option<OpId>,
}

impl Script {
    /// A client that was not started.
    #[must_use]
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            client: ClientConnection::new(config, 7),
            now: Instant(Duration::from_secs(1000)),
            actions: Vec::new(),
            events: Vec::new(),
            progress: Vec::new(),
            sent: Vec::new(),
            deadline: None,
            socket: None,
            requests: Vec::new(),
            questions: Vec::new(),
            takes_sends: true,
            in_flight: None,
        }
    }

    /// A client of `http://host/hub` with the defaults, changed by `change`.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::new("http://host/hub").expect("the address is valid");
        change(&mut config);
        Self::new(config)
    }

    /// A client that is connected, with the log of how it got there cleared.
    #[must_use]
    pub fn connected(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut script = Self::with(change);
        script.start();
        script.connect();
        script.clear();
        script
    }

    /// As [`connected`](Self::connected), over an HTTP transport.
    #[must_use]
    pub fn connected_over(kind: TransportKind, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut script = Self::with(change);
        script.start();
        script.connect_http(kind);
        script.clear();
        script
    }

    /// Starts the client.
    pub fn start(&mut self) {
        self.client
            .start(self.now)
            .expect("the client is not started");
        self.poll();
    }

    /// Stops the client.
    pub fn stop(&mut self) {
        self.client.stop(self.now);
        self.poll();
    }

    /// Calls a method without arguments and without an answer.
    ///
    /// # Panics
    /// When the client refuses.
    pub fn send(&mut self, target: &str) -> Call {
        let call = self.client.send(self.now, target, &());
        self.poll();
        call.expect("the message is taken")
    }

    /// Calls a method without arguments for an answer.
    ///
    /// # Panics
    /// When the client refuses.
    pub fn invoke(&mut self, target: &str) -> Call {
        let call = self.client.invoke(self.now, target, &());
        self.poll();
        call.expect("the message is taken")
    }

    /// The reason of the only event, which is the end of a connection.
    ///
    /// # Panics
    /// When the events are others.
    #[must_use]
    pub fn closed(&self) -> &CloseReason {
        match self.events.as_slice() {
            [Event::Closed { reason }] => reason,
            other => panic!("expected Closed, got {other:?}"),
        }
    }

    /// The reason of the only event, which is the end of a first start.
    ///
    /// # Panics
    /// When the events are others.
    #[must_use]
    pub fn start_failed(&self) -> &CloseReason {
        match self.events.as_slice() {
            [Event::StartFailed { reason }] => reason,
            other => panic!("expected StartFailed, got {other:?}"),
        }
    }

    /// Makes sure that nothing is under way and nothing is to come.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_over(&self) {
        assert_eq!(self.client.state(), ConnectionState::Disconnected);
        assert_eq!((self.wishes(), self.deadline), (vec![], None));
        assert_eq!(self.questions, []);
    }

    /// Plays the server up to the accepted handshake, wherever the client stands before it.
    pub fn connect(&mut self) {
        if let Some(op) = self.request() {
            self.respond(op, 200, OFFER);
        }
        self.open();
        self.receive(b"{}\x1e");
    }

    /// The last request.
    #[must_use]
    pub fn request(&self) -> Option<OpId> {
        self.actions.iter().rev().find_map(|action| {
            if let Action::Request { op, .. } = action {
                Some(*op)
            } else {
                None
            }
        })
    }

    /// Answers a request.
    ///
    /// # Panics
    /// When the status is none.
    pub fn respond(&mut self, op: OpId, status: u16, body: &str) {
        self.requests.retain(|open| open.op != op);
        let response = Response::builder()
            .status(status)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .expect("the status is valid");
        self.input(Input::Response { op, response });
    }

    /// Opens the WebSocket that the client asked for.
    pub fn open(&mut self) {
        let op = self.socket.expect("a WebSocket is being opened");
        self.input(Input::Opened { op });
    }

    /// Lets the client receive these bytes: as one WebSocket message, one event, or the body of one poll.
    ///
    /// # Panics
    /// When the client has no way to receive anything.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.find(Wish::Events).is_some() {
            return self.event(bytes);
        } else if self.find(Wish::Poll).is_some() {
            return self.answer_poll(bytes);
        }
        let op = self.socket.expect("a WebSocket is open");
        self.input(Input::Received {
            op,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    /// Lets the client receive a JSON message; the separator is added.
    pub fn receive_json(&mut self, text: &str) {
        self.receive(format!("{text}\x1e").as_bytes());
    }

    /// Ends the socket.
    pub fn end(&mut self, cause: EndCause) {
        let op = self.socket.take().expect("a WebSocket is open");
        self.in_flight = self.in_flight.filter(|flying| *flying != op);
        self.input(Input::Ended { op, cause });
    }

    /// Lets the client receive a close frame.
    pub fn receive_close(&mut self, code: u16) {
        let op = self.socket.take().expect("a WebSocket is open");
        self.in_flight = self.in_flight.filter(|flying| *flying != op);
        let reason = Box::default();
        let cause = EndCause::WebSocketClose { code, reason };
        self.input(Input::Ended { op, cause });
    }

    /// Ends the socket as a cut cable does.
    pub fn cut(&mut self) {
        self.end(EndCause::WebSocketClose {
            code: 1006,
            reason: Box::default(),
        });
    }

    /// Hands in an input and polls.
    pub fn input(&mut self, input: Input) {
        self.client.handle_input(self.now, input);
        self.poll();
    }

    /// Takes the send in flight and those that follow it.
    pub fn take_sends(&mut self) {
        self.takes_sends = true;
        self.take_send();
    }

    /// Takes the send in flight.
    pub fn take_send(&mut self) {
        if let Some(op) = self.in_flight.take() {
            self.input(Input::Sent { op });
        }
    }

    /// Polls until the machine waits.
    ///
    /// # Panics
    /// When it never does.
    pub fn poll(&mut self) {
        for _ in 0..100_000 {
            match self.client.poll_output() {
                Output::Action(action) => self.carry_out(action),
                Output::Event(
                    event @ (Event::ReconnectAttempt { .. } | Event::Fallback { .. }),
                ) => self.progress.push(event),
                Output::Event(event) => self.events.push(event),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
        panic!("the machine never waits");
    }

    fn carry_out(&mut self, action: Action) {
        match &action {
            Action::OpenWebSocket { op, .. } => self.socket = Some(*op),
            Action::Send { op, bytes, .. } => {
                assert!(self.in_flight.is_none(), "two sends in flight");
                self.sent.extend_from_slice(bytes);
                if self.takes_sends {
                    self.client.handle_input(self.now, Input::Sent { op: *op });
                } else {
                    self.in_flight = Some(*op);
                }
            }
            Action::Close { .. } => self.in_flight = None,
            Action::Abort { op } => {
                self.in_flight = self.in_flight.filter(|flying| flying != op);
                self.socket = self.socket.filter(|socket| socket != op);
                self.requests.retain(|open| open.op != *op);
                self.questions.retain(|question| question != op);
            }
            Action::Request { op, request, .. } => self.note_request(*op, request),
            Action::GetAccessToken { op } => self.questions.push(*op),
            _ => {}
        }
        self.actions.push(action);
    }

    /// Lets time pass, firing each deadline on its way.
    ///
    /// # Panics
    /// When a deadline stands still, which would make a driver spin.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let before = (self.actions.len(), self.events.len());
            self.input(Input::Timeout);
            let progressed = self.deadline != Some(deadline)
                || before != (self.actions.len(), self.events.len());
            assert!(
                progressed,
                "the deadline {deadline:?} stands still ({})",
                self.client.wait_reason()
            );
        }
        self.now = end;
    }

    /// What was sent since the last look, as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn take_sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).expect("text was sent")
    }

    /// The events since the last look.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// How often the client wanted something of this kind since the last look.
    #[must_use]
    pub fn count(&self, is_it: impl Fn(&Action) -> bool) -> usize {
        self.actions.iter().filter(|action| is_it(action)).count()
    }

    /// Forgets the log.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.events.clear();
        self.progress.clear();
        self.sent.clear();
    }
}
