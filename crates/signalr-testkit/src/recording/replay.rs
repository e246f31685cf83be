//! A recording as a hub.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use serde_json::Value;
use signalr_client::{HubConnection, HubConnectionBuilder};
use signalr_proto::codec::{HubMessage, Role, handshake};
use signalr_proto::transport::WsMessage;
use signalr_proto::{Payload, Protocol};

use super::Recording;
use super::file::{Entry, Line, told};
use super::secrets::Secrets;
use crate::link::{Outbox, Part, Peer, Reader, ScriptSocket};
use crate::network::{HubSocket, MemoryError, Network, Script};
use crate::runtime::{Clock, Patience, words};

/// How often the hub shows that it lives, which recordings do not tell.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The hub of a [`Recording`]: it says what the hub said, as soon as the client has said all that came before, over WebSockets.
///
/// A client that says something else loses its connection, and is told what the recording has in this place;
/// [`finish`](Self::finish) says so as well. Messages are compared by their values: members of objects have no order.
///
/// ```
/// use signalr_client::HubConnection;
/// use signalr_testkit::Recording;
///
/// signalr_testkit::run(async {
///     let recording: Recording = r#"signalr-recording 1
/// connect json
/// > {"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}
/// < {"type":3,"invocationId":"1","result":3}
/// "#.parse().unwrap();
///     let replay = recording.replay();
///     let connection = replay.connect(HubConnection::builder("http://test/calc")).await;
///     assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
///     replay.finish().await;
/// });
/// ```
#[derive(Clone)]
pub struct Replay {
    shared: Arc<Shared>,
    network: Network,
}

impl Recording {
    /// A hub that plays this recording.
    ///
    /// # Panics
    /// Outside of [`run`](crate::run) and of tokio.
    #[must_use]
    pub fn replay(self) -> Replay {
        let clock = Clock::current();
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            state: Mutex::new(State {
                name: self.name,
                lines: self.lines,
                position: 0,
                links: 0,
                link: None,
                failure: None,
                secrets: Secrets::default(),
                waiting: Vec::new(),
            }),
        });
        let network = Network::to_script(Arc::new(ReplaySide(Arc::clone(&shared))), clock);
        Replay { shared, network }
    }
}

impl Replay {
    /// A connection to the recorded hub that is not started yet.
    ///
    /// # Panics
    /// When it is configured wrongly.
    #[track_caller]
    pub fn build(&self, builder: HubConnectionBuilder) -> HubConnection {
        self.network.build(builder)
    }

    /// A connection to the recorded hub that is started.
    ///
    /// # Panics
    /// When it is configured wrongly, or cannot be started.
    #[track_caller]
    pub fn connect(&self, builder: HubConnectionBuilder) -> impl Future<Output = HubConnection> {
        self.network.connect(builder)
    }

    /// The way to this hub, and what can go wrong on it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Waits until all of the recording was played.
    ///
    /// # Panics
    /// When the client has said something else, or does not say what is left: with the line of the recording.
    #[track_caller]
    pub fn finish(&self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let played = core::future::poll_fn(|cx| {
                let mut state = self.shared.lock();
                if let Some(failure) = &state.failure {
                    return Poll::Ready(Err(failure.clone()));
                }
                // Who is to leave need not have left.
                let rest = state.lines.iter().skip(state.position);
                if rest.clone().all(|line| line.entry == Entry::Left) {
                    return Poll::Ready(Ok(()));
                }
                state.waiting.push(cx.waker().clone());
                Poll::Pending
            });
            match Patience::DEFAULT.wait(&self.shared.clock, played).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => panic!("{at}: {failure}"),
                Err(waited) => {
                    let place = self.shared.lock().place();
                    panic!("{at}: {place} was not played within {}", words(waited))
                }
            }
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    name: String,
    lines: Vec<Line>,
    /// The line that is next.
    position: usize,
    links: u64,
    link: Option<Link>,
    /// What did not fit. Nothing goes on then.
    failure: Option<String>,
    secrets: Secrets,
    waiting: Vec<Waker>,
}

struct Link {
    id: u64,
    outbox: Arc<Outbox>,
    reader: Reader,
    protocol: Option<Protocol>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, waiting) = {
            let mut state = self.lock();
            let changed = change(&mut state);
            (changed, core::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        changed
    }
}

impl State {
    fn next(&self) -> Option<&Entry> {
        self.lines.get(self.position).map(|line| &line.entry)
    }

    /// The line that is next, as `file:line: what it says`.
    fn place(&self) -> String {
        match self.lines.get(self.position) {
            Some(line) => format!("{}:{}: {}", self.name, line.number, line.entry.words()),
            None => format!("{}: the end", self.name),
        }
    }

    fn fail(&mut self, said: &str) {
        let failure = format!(
            "{} is next in the recording, and the client said {said}",
            self.place()
        );
        if let Some(link) = &self.link {
            link.outbox.push(Err(MemoryError::failed(failure.clone())));
        }
        self.failure.get_or_insert(failure);
    }

    /// Says all that is the hub's turn to say.
    fn play(&mut self) {
        while let (Some(link), Some(entry)) = (&self.link, self.next()) {
            let said = match entry {
                Entry::Server(protocol, message) => {
                    let framed = framed(*protocol, message);
                    Ok(WsMessage::carrying(framed, protocol.transfer_format()))
                }
                Entry::Close(code) => Ok(WsMessage::Close(*code)),
                Entry::Lost => Err(MemoryError::closed(1006, "")),
                Entry::Connect(_) | Entry::Refuse(_) | Entry::Client(..) | Entry::Left => return,
            };
            let is_over = !matches!(entry, Entry::Server(..));
            link.outbox.push(said);
            self.position += 1;
            if is_over {
                self.link = None;
            }
        }
    }

    fn open(&mut self) -> Result<(u64, Arc<Outbox>), MemoryError> {
        if let Some(failure) = &self.failure {
            return Err(MemoryError::failed(failure.clone()));
        }
        self.leave();
        if !matches!(self.next(), Some(Entry::Connect(_) | Entry::Refuse(_))) {
            self.fail("nothing but connects anew");
            let failure = self.failure.clone().unwrap_or_default();
            return Err(MemoryError::failed(failure));
        }
        self.links += 1;
        let outbox = Arc::new(Outbox::default());
        self.link = Some(Link {
            id: self.links,
            outbox: Arc::clone(&outbox),
            reader: Reader::new(),
            protocol: None,
        });
        Ok((self.links, outbox))
    }

    /// The client goes, as the recording may have it.
    fn leave(&mut self) {
        if self.next() == Some(&Entry::Left) {
            self.position += 1;
        }
    }

    fn shake(&mut self, record: &Bytes) {
        let asked = handshake::decode_request(record).ok();
        let protocol = asked.and_then(|asked| Protocol::from_name(&asked.protocol));
        let Some(protocol) = protocol else {
            return self.fail("a handshake that names no protocol");
        };
        let error = match self.next() {
            Some(Entry::Connect(recorded)) if *recorded == protocol => None,
            Some(Entry::Refuse(error)) => Some(error.clone()),
            _ => return self.fail(&format!("it speaks {}", protocol.name())),
        };
        self.position += 1;
        let mut answer = BytesMut::new();
        handshake::encode_response(&mut answer, error.as_deref());
        if let Some(link) = &mut self.link {
            link.protocol = Some(protocol);
            let answer = WsMessage::carrying(answer.freeze(), protocol.transfer_format());
            link.outbox.push(Ok(answer));
        }
        if error.is_some() {
            self.link = None;
        }
        self.play();
    }

    fn take(&mut self, protocol: Protocol, frame: &Bytes) {
        use HubMessage::{Ack, Ping, Sequence};
        let decoded = protocol.decode(Role::Server, frame);
        if let Ok(Some(Ping | Ack { .. } | Sequence { .. })) = decoded {
            return;
        }
        let said = self.secrets.hide(protocol, frame);
        match self.next() {
            Some(Entry::Client(_, recorded)) if same(protocol, recorded, &said) => {
                self.position += 1;
                self.play();
            }
            _ => self.fail(&told(protocol, Role::Server, &said)),
        }
    }
}

/// Whether two messages say the same, however it is written.
fn same(protocol: Protocol, one: &Bytes, other: &Bytes) -> bool {
    let value = |bytes: &Bytes| Payload::new(protocol, bytes.clone()).decode::<Value>();
    one == other || matches!((value(one), value(other)), (Ok(one), Ok(other)) if one == other)
}

/// A message with what it has on the wire: its separator, or its length before it.
fn framed(protocol: Protocol, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    if protocol == Protocol::Json {
        out.put_slice(message);
        out.put_u8(0x1e);
        return out.freeze();
    }
    let mut rest = message.len();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        out.put_u8(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    out.put_slice(message);
    out.freeze()
}

impl Peer for Shared {
    fn received(&self, id: u64, message: WsMessage) {
        let (WsMessage::Text(mut bytes) | WsMessage::Binary(mut bytes)) = message else {
            return;
        };
        self.change(|state| {
            while state.failure.is_none() {
                let Some(link) = state.link.as_mut().filter(|link| link.id == id) else {
                    return;
                };
                let protocol = link.protocol;
                match (link.reader.next(&mut bytes, protocol), protocol) {
                    (Ok(Some(Part::Handshake(record))), _) => state.shake(&record),
                    (Ok(Some(Part::Message(frame))), Some(protocol)) => {
                        state.take(protocol, &frame);
                    }
                    (Ok(_), _) => return,
                    (Err(error), _) => state.fail(&error),
                }
            }
        });
    }

    fn gone(&self, id: u64) {
        self.change(|state| {
            if state.link.as_ref().is_some_and(|link| link.id == id) {
                state.link = None;
                state.leave();
            }
        });
    }

    fn keep_alive(&self, id: u64) -> Option<Duration> {
        let state = self.lock();
        let link = state.link.as_ref().filter(|link| link.id == id)?;
        if let Some(protocol) = link.protocol {
            let mut ping = BytesMut::new();
            protocol.encode_ping(&mut ping);
            let ping = WsMessage::carrying(ping.freeze(), protocol.transfer_format());
            link.outbox.push(Ok(ping));
        }
        Some(KEEP_ALIVE)
    }
}

/// The recorded hub's side of the network.
struct ReplaySide(Arc<Shared>);

impl Script for ReplaySide {
    fn request(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.0.lock().secrets.learn(request);
        if request.uri().path().ends_with("/negotiate") {
            return Response::new(crate::scripted::offer());
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }

    fn open_web_socket(
        &self,
        request: &Request<()>,
    ) -> Result<Pin<Box<dyn HubSocket>>, MemoryError> {
        let shared = &self.0;
        let (id, outbox) = shared.change(|state| {
            state.secrets.learn(request);
            state.open()
        })?;
        let peer: Arc<dyn Peer> = Arc::clone(shared) as Arc<dyn Peer>;
        let (clock, ping) = (&shared.clock, Some(KEEP_ALIVE));
        Ok(Box::pin(ScriptSocket::new(id, peer, outbox, clock, ping)))
    }
}
