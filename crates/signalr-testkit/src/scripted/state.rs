//! What a scripted hub knows, and what it does by itself.

use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use signalr_proto::codec::{HubMessage, Invocation, Outcome, Role, handshake};
use signalr_proto::transport::WsMessage;
use signalr_proto::{Arguments, Payload, Protocol};

use crate::describe;
use crate::link::{Outbox, Part, Peer, Reader};
use crate::runtime::{Clock, Patience};
use crate::transcript::Transcript;

/// How often the hub shows that it lives, as servers do by default.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How the names of the hub's own questions begin; no client names its uploads so.
pub(super) const QUESTION: &str = "hub-";

/// The answer to calls of one name.
pub(super) type AnyAnswer = Box<dyn FnMut(&Arguments) -> Result<Payload, String> + Send>;

/// A call that was not looked at yet.
pub(super) struct IncomingCall {
    pub(super) link: u64,
    pub(super) streaming: bool,
    pub(super) invocation: Invocation,
}

/// What has come of an upload.
#[derive(Default)]
pub(super) struct Uploaded {
    pub(super) items: VecDeque<Payload>,
    /// How it ended, if it did: the client's error, if there was one.
    pub(super) end: Option<Option<String>>,
}

/// One client's WebSocket.
struct Link {
    id: u64,
    outbox: Arc<Outbox>,
    reader: Reader,
    protocol: Option<Protocol>,
}

pub(super) struct Shared {
    pub(super) clock: Clock,
    began: Duration,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) patience: Patience,
    pub(super) keep_alive: Option<Duration>,
    /// The newest, as long as it is open.
    link: Option<Link>,
    links: u64,
    /// Handshakes so far, and those that the test has looked at.
    pub(super) connections: u64,
    pub(super) accepted: u64,
    pub(super) calls: VecDeque<IncomingCall>,
    pub(super) cancelled: HashSet<(u64, String)>,
    pub(super) uploads: HashMap<(u64, String), Uploaded>,
    pub(super) answers: HashMap<String, AnyAnswer>,
    /// What the client answered to the hub's questions, by their ids.
    pub(super) results: HashMap<String, Outcome>,
    /// The client's Close message, with its error.
    pub(super) closed: Option<Option<String>>,
    pub(super) questions: u64,
    pub(super) transcript: Transcript,
    waiting: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            began: clock.now(),
            clock,
            state: Mutex::new(State {
                patience: Patience::DEFAULT,
                keep_alive: Some(KEEP_ALIVE),
                link: None,
                links: 0,
                connections: 0,
                accepted: 0,
                calls: VecDeque::new(),
                cancelled: HashSet::new(),
                uploads: HashMap::new(),
                answers: HashMap::new(),
                results: HashMap::new(),
                closed: None,
                questions: 0,
                transcript: Transcript::default(),
                waiting: Vec::new(),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes those who wait for that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, waiting) = {
            let mut state = self.lock();
            let changed = change(&mut state);
            (changed, core::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        changed
    }

    pub(super) fn tell(&self, line: impl core::fmt::Display) {
        let since = self.clock.now().saturating_sub(self.began);
        self.lock().transcript.tell(since, line);
    }

    /// Waits until something is there. `Err` is how long was waited.
    pub(super) async fn until<T>(
        &self,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Duration> {
        let patience = self.lock().patience;
        let found = core::future::poll_fn(|cx| {
            let mut state = self.lock();
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        patience.wait(&self.clock, found).await
    }

    /// A new WebSocket: what is said to it.
    pub(super) fn open(&self) -> (u64, Arc<Outbox>, Option<Duration>) {
        let outbox = Arc::new(Outbox::default());
        self.change(|state| {
            state.links += 1;
            state.link = Some(Link {
                id: state.links,
                outbox: Arc::clone(&outbox),
                reader: Reader::new(),
                protocol: None,
            });
            (state.links, outbox, state.keep_alive)
        })
    }

    /// The protocol of the client that is connected, by the number of its connection.
    pub(super) fn connected(&self) -> Option<(u64, Protocol)> {
        let state = self.lock();
        let link = state.link.as_ref()?;
        Some((link.id, link.protocol?))
    }

    /// Says a message, if the connection is still there.
    pub(super) fn say(&self, link: u64, message: &HubMessage) {
        let Some((_, protocol)) = self.connected().filter(|(id, _)| *id == link) else {
            let words = describe::message(message);
            self.tell(format_args!(
                "hub: {words} (too late: the connection is gone)"
            ));
            return;
        };
        let mut out = BytesMut::new();
        match protocol.encode(&mut out, message) {
            Ok(()) => {
                self.tell(format_args!("hub: {}", describe::message(message)));
                self.push(
                    link,
                    WsMessage::carrying(out.freeze(), protocol.transfer_format()),
                );
            }
            Err(error) => panic!("the hub's message cannot be encoded: {error}"),
        }
    }

    pub(super) fn push(&self, link: u64, message: WsMessage) {
        let outbox = {
            let state = self.lock();
            let link = state.link.as_ref().filter(|open| open.id == link);
            link.map(|link| Arc::clone(&link.outbox))
        };
        if let Some(outbox) = outbox {
            outbox.push(Ok(message));
        }
    }

    /// Takes the next piece of what a client said.
    fn next(&self, link: u64, bytes: &mut Bytes) -> Option<(Part, Option<Protocol>)> {
        let mut state = self.lock();
        let link = state.link.as_mut().filter(|open| open.id == link)?;
        let protocol = link.protocol;
        match link.reader.next(bytes, protocol) {
            Ok(part) => Some((part?, protocol)),
            Err(error) => {
                drop(state);
                self.tell(format_args!("client: bytes that are no message: {error}"));
                None
            }
        }
    }

    fn shake(&self, link: u64, record: &Bytes) {
        let asked = handshake::decode_request(record);
        let protocol = asked
            .as_ref()
            .ok()
            .and_then(|asked| Protocol::from_name(&asked.protocol));
        let mut answer = BytesMut::new();
        let Some(protocol) = protocol else {
            handshake::encode_response(&mut answer, Some("The handshake names no protocol."));
            self.tell("client: a handshake that names no protocol");
            self.push(link, WsMessage::Text(answer.freeze()));
            return;
        };
        handshake::encode_response(&mut answer, None);
        self.tell(format_args!("client: connected, {}", protocol.name()));
        self.push(
            link,
            WsMessage::carrying(answer.freeze(), protocol.transfer_format()),
        );
        self.change(|state| {
            if let Some(open) = state.link.as_mut().filter(|open| open.id == link) {
                open.protocol = Some(protocol);
                state.connections += 1;
                state.closed = None;
            }
        });
    }

    fn take(&self, link: u64, message: HubMessage) {
        if message != HubMessage::Ping {
            self.tell(format_args!("client: {}", describe::message(&message)));
        }
        match message {
            HubMessage::Invocation(call) => self.called(link, false, call),
            HubMessage::StreamInvocation(call) => self.called(link, true, call),
            HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            } => self.change(|state| {
                let upload = state.uploads.entry((link, invocation_id.to_string()));
                upload.or_default().items.push_back(item);
            }),
            HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            } => self.change(|state| state.completed(link, invocation_id.to_string(), outcome)),
            HubMessage::CancelInvocation { invocation_id, .. } => self.change(|state| {
                state.cancelled.insert((link, invocation_id.to_string()));
            }),
            HubMessage::Close { error, .. } => self.change(|state| {
                state.closed = Some(error.map(|error| error.to_string()));
            }),
            // Signs of life, and what stateful reconnect has, which a scripted hub does not offer.
            HubMessage::Ping | HubMessage::Ack { .. } | HubMessage::Sequence { .. } | _ => {}
        }
    }

    fn called(&self, link: u64, streaming: bool, invocation: Invocation) {
        let answer = self.lock().answers.remove(&*invocation.target);
        let Some(mut answer) = answer else {
            self.change(|state| {
                state.calls.push_back(IncomingCall {
                    link,
                    streaming,
                    invocation,
                });
            });
            return;
        };
        // The test's own code, without the lock: it may use the hub.
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&invocation.arguments)))
            .unwrap_or_else(|_| Err("the test's answer panicked".to_owned()));
        let target = invocation.target.to_string();
        self.change(|state| {
            // One that the test has set meanwhile counts.
            state.answers.entry(target).or_insert(answer);
        });
        if let Some(id) = &invocation.invocation_id {
            let outcome = match answered {
                Ok(result) => Outcome::Result(result),
                Err(error) => Outcome::Error(error.into()),
            };
            self.say(link, &completion(id, outcome));
        }
    }
}

/// The end of a call.
pub(super) fn completion(id: &str, outcome: Outcome) -> HubMessage {
    HubMessage::Completion {
        headers: Vec::new(),
        invocation_id: id.into(),
        outcome,
    }
}

/// A value in a protocol.
pub(super) fn payload<T: serde::Serialize + ?Sized>(protocol: Protocol, value: &T) -> Payload {
    match Payload::from_value(protocol, value) {
        Ok(payload) => payload,
        Err(error) => panic!("the value cannot be encoded: {error}"),
    }
}

impl State {
    /// Whether a client is there.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    fn completed(&mut self, link: u64, id: String, outcome: Outcome) {
        // The hub's own questions have names that no upload has.
        if id.starts_with(QUESTION) {
            self.results.insert(id, outcome);
            return;
        }
        let error = match outcome {
            Outcome::Error(error) => Some(error.to_string()),
            Outcome::Void | Outcome::Result(_) => None,
        };
        self.uploads.entry((link, id)).or_default().end = Some(error);
    }
}

impl Peer for Shared {
    fn received(&self, link: u64, message: WsMessage) {
        let (WsMessage::Text(mut bytes) | WsMessage::Binary(mut bytes)) = message else {
            return;
        };
        while let Some((part, protocol)) = self.next(link, &mut bytes) {
            match (part, protocol) {
                (Part::Handshake(record), _) => self.shake(link, &record),
                (Part::Message(frame), Some(protocol)) => {
                    match protocol.decode(Role::Server, &frame) {
                        Ok(Some(message)) => self.take(link, message),
                        Ok(None) => self.tell("client: a message of an unknown type"),
                        Err(error) => self.tell(format_args!("client: no message: {error}")),
                    }
                }
                (Part::Message(_), None) => {}
            }
        }
    }

    fn gone(&self, link: u64) {
        let was_open = self.change(|state| {
            let is_it = state.link.as_ref().is_some_and(|open| open.id == link);
            if is_it {
                state.link = None;
            }
            is_it
        });
        if was_open {
            self.tell("client: gone");
        }
    }

    fn keep_alive(&self, link: u64) -> Option<Duration> {
        if let Some((id, protocol)) = self.connected()
            && id == link
        {
            let mut out = BytesMut::new();
            protocol.encode_ping(&mut out);
            self.push(
                link,
                WsMessage::carrying(out.freeze(), protocol.transfer_format()),
            );
        }
        self.lock().keep_alive
    }
}
