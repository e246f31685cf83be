//! The requests and sockets of a connection that are under way.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::Response;
use signalr_proto::server::{Action, Arrival, Input, Port, ServerConnection};
use signalr_proto::{EndCause, Instant, OpId};

use crate::body::{Eaten, Feeder, HubBody};
use crate::request_body::RequestBody;
use crate::user::User;
use crate::web_socket::{Left, Socket, Upgrade, Written};

/// What a request brings beside its head.
pub(crate) enum Incoming {
    Nothing,
    Body(RequestBody),
    Upgrade(Upgrade),
}

/// A request on its way to its connection, with the place for its answer.
pub(crate) struct Exchange {
    pub(crate) arrival: Arrival,
    pub(crate) user: Option<User>,
    pub(crate) incoming: Incoming,
    pub(crate) answer: oneshot::Sender<Answered>,
}

impl Exchange {
    /// Answers when the connection is over.
    pub(crate) fn gone(self) {
        let asked = Asked {
            port: self.arrival.port,
            answer: self.answer,
            incoming: self.incoming,
        };
        asked.gone();
    }
}

/// The answer to a request, and what nobody read of it.
pub(crate) struct Answered {
    pub(crate) response: Response<HubBody>,
    pub(crate) unread: Incoming,
}

struct Wire {
    op: OpId,
    kind: WireKind,
}

enum WireKind {
    /// Waits for its answer.
    Waiting(Asked),
    /// An answer that the web server takes in pieces.
    Fed(Feeder),
    Socket(Box<Socket>),
}

struct Asked {
    port: Port,
    answer: oneshot::Sender<Answered>,
    incoming: Incoming,
}

impl Asked {
    fn respond(self, response: Response<HubBody>) {
        // Nobody hears it when the request was given up meanwhile. A fed body that is dropped here tells so.
        let _ = self.answer.send(Answered {
            response,
            unread: self.incoming,
        });
    }

    fn gone(self) {
        let response = self.port.gone().map(HubBody::whole);
        self.respond(response);
    }
}

/// Everything that is under way.
pub(crate) struct Wires {
    wires: Vec<Wire>,
    leaving: Vec<Leaving>,
    close_timeout: Duration,
}

/// A socket that was told to close and waits for its client to do the same.
struct Leaving {
    socket: Socket,
    /// When the client is not waited for any longer.
    until: Option<Instant>,
}

impl Wires {
    pub(crate) const fn new(close_timeout: Duration) -> Self {
        Self {
            wires: Vec::new(),
            leaving: Vec::new(),
            close_timeout,
        }
    }

    /// What was empty before may have filled.
    pub(crate) fn begin_turn(&mut self) {
        for wire in &mut self.wires {
            if let WireKind::Socket(socket) = &mut wire.kind {
                socket.begin_turn();
            }
        }
    }

    /// Whether another look at everything would find nothing to do before the task is woken. It tells so of a WebSocket only.
    pub(crate) fn is_settled(&self, machine: &ServerConnection) -> bool {
        let reading = machine.reading();
        self.leaving.is_empty()
            && self.wires.iter().all(|wire| match &wire.kind {
                WireKind::Socket(socket) => socket.is_settled(reading == Some(wire.op)),
                WireKind::Waiting(_) | WireKind::Fed(_) => false,
            })
    }

    fn leave(&mut self, socket: Socket) {
        let until = None;
        self.leaving.push(Leaving { socket, until });
    }

    /// When a socket has to be dropped whose client does not close it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.leaving
            .iter()
            .filter_map(|leaving| leaving.until)
            .min()
    }

    pub(crate) fn add(
        &mut self,
        (op, port): (OpId, Port),
        incoming: Incoming,
        answer: oneshot::Sender<Answered>,
    ) {
        let kind = WireKind::Waiting(Asked {
            port,
            answer,
            incoming,
        });
        self.wires.push(Wire { op, kind });
    }

    fn position(&self, op: OpId) -> Option<usize> {
        self.wires.iter().position(|wire| wire.op == op)
    }

    fn take(&mut self, op: OpId) -> Option<WireKind> {
        let position = self.position(op)?;
        Some(self.wires.swap_remove(position).kind)
    }

    fn get(&mut self, op: OpId) -> Option<&mut WireKind> {
        self.wires
            .iter_mut()
            .find(|wire| wire.op == op)
            .map(|wire| &mut wire.kind)
    }

    /// Carries out what the machine wants.
    pub(crate) fn perform(
        &mut self,
        cx: &mut Context<'_>,
        action: Action,
        machine: &mut ServerConnection,
        now: Instant,
    ) {
        match action {
            Action::Send { op, bytes, format } => {
                if let Some(WireKind::Socket(socket)) = self.get(op) {
                    socket.send(bytes, format);
                    // Mostly it goes out at once. What goes wrong is seen in the next round.
                    if let Poll::Ready(Ok(Written::Message)) = socket.poll_write(cx) {
                        machine.handle_input(now, Input::Sent { op });
                    }
                }
            }
            Action::Chunk { op, bytes } => {
                if let Some(WireKind::Fed(feeder)) = self.get(op) {
                    feeder.feed(bytes);
                }
            }
            Action::Respond { op, response } => {
                if let Some(WireKind::Waiting(asked)) = self.take(op) {
                    asked.respond(response.map(HubBody::whole));
                }
            }
            Action::Deliver { op, response } => self.deliver(op, *response),
            Action::Stream { op, head } => {
                let (feeder, body) = HubBody::fed();
                self.answer(op, head.map(|()| body), WireKind::Fed(feeder));
            }
            Action::Finish { op } => {
                if let Some(WireKind::Fed(feeder)) = self.take(op) {
                    feeder.finish();
                }
            }
            Action::Accept { op } => self.accept(op),
            Action::Close { op, code } => {
                if let Some(WireKind::Socket(mut socket)) = self.take(op) {
                    socket.close(code);
                    self.leave(*socket);
                }
            }
            // Whatever else a later machine may want, these wires cannot give it.
            Action::Abort { op } => drop(self.take(op)),
            _ => {}
        }
    }

    fn deliver(&mut self, op: OpId, response: Response<Bytes>) {
        let (head, bytes) = response.into_parts();
        let (feeder, body) = HubBody::reported(bytes);
        self.answer(op, Response::from_parts(head, body), WireKind::Fed(feeder));
    }

    fn accept(&mut self, op: OpId) {
        let Some(WireKind::Waiting(Asked {
            answer,
            incoming: Incoming::Upgrade(upgrade),
            ..
        })) = self.take(op)
        else {
            return;
        };
        // When the request was given up, the upgrade fails, and that is told.
        let _ = answer.send(Answered {
            response: upgrade.response(),
            unread: Incoming::Nothing,
        });
        let socket = Box::new(Socket::new(upgrade));
        self.wires.push(Wire {
            op,
            kind: WireKind::Socket(socket),
        });
    }

    /// Answers a request whose body goes on.
    fn answer(&mut self, op: OpId, response: Response<HubBody>, then: WireKind) {
        if let Some(wire) = self.get(op) {
            if let WireKind::Waiting(asked) = std::mem::replace(wire, then) {
                asked.respond(response);
            }
        }
    }

    /// Moves everything as far as it goes and tells the machine. Tells whether anything happened.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut ServerConnection,
        now: Instant,
    ) -> bool {
        let until = now.after(self.close_timeout);
        self.leaving.retain_mut(|leaving| {
            *leaving.until.get_or_insert(until) > now && leaving.socket.poll_left(cx).is_pending()
        });
        let mut happened = false;
        let mut index = 0;
        while let Some(wire) = self.wires.get_mut(index) {
            let op = wire.op;
            let ended = match &mut wire.kind {
                WireKind::Socket(socket) => {
                    poll_socket(socket, op, cx, machine, now, &mut happened)
                }
                WireKind::Fed(feeder) => poll_fed(feeder, op, cx, machine, now, &mut happened),
                WireKind::Waiting(asked) => {
                    poll_waiting(asked, op, cx, machine, now, &mut happened)
                }
            };
            match ended {
                None => index += 1,
                Some(cause) => {
                    happened = true;
                    let wire = self.wires.swap_remove(index);
                    if let WireKind::Socket(socket) = wire.kind {
                        if socket.is_leaving() {
                            self.leave(*socket);
                        }
                    }
                    machine.handle_input(now, Input::Ended { op, cause });
                }
            }
        }
        happened
    }

    /// Is ready when every socket that is leaving has left.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.leaving
            .retain_mut(|leaving| leaving.socket.poll_left(cx).is_pending());
        if self.leaving.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Loses everything as a broken network would.
    pub(crate) fn cut(&mut self, machine: &mut ServerConnection, now: Instant) {
        for wire in self.wires.drain(..) {
            let cause = EndCause::Failed {
                detail: "the connection was cut".into(),
            };
            machine.handle_input(now, Input::Ended { op: wire.op, cause });
        }
    }

    /// Answers what still waits when the connection is over.
    pub(crate) fn dismiss(&mut self) {
        for wire in self.wires.drain(..) {
            if let WireKind::Waiting(asked) = wire.kind {
                asked.gone();
            }
        }
    }
}

fn gone() -> EndCause {
    EndCause::Failed {
        detail: "the client gave the request up".into(),
    }
}

fn poll_waiting(
    asked: &mut Asked,
    op: OpId,
    cx: &mut Context<'_>,
    machine: &mut ServerConnection,
    now: Instant,
    happened: &mut bool,
) -> Option<EndCause> {
    if asked.answer.poll_canceled(cx).is_ready() {
        return Some(gone());
    }
    let Incoming::Body(body) = &mut asked.incoming else {
        return None;
    };
    while machine.reading() == Some(op) {
        let bytes = match body.poll_data(cx, now) {
            Poll::Pending => return None,
            Poll::Ready(None) => Bytes::new(),
            Poll::Ready(Some(Ok(bytes))) => bytes,
            Poll::Ready(Some(Err(_))) => return Some(gone()),
        };
        let last = body.is_end();
        *happened = true;
        machine.handle_input(now, Input::Body { op, bytes, last });
        if last {
            asked.incoming = Incoming::Nothing;
            return None;
        }
    }
    None
}

fn poll_fed(
    feeder: &Feeder,
    op: OpId,
    cx: &mut Context<'_>,
    machine: &mut ServerConnection,
    now: Instant,
    happened: &mut bool,
) -> Option<EndCause> {
    match feeder.poll_eaten(cx) {
        Poll::Pending => None,
        Poll::Ready(Eaten::Taken) => {
            *happened = true;
            machine.handle_input(now, Input::Sent { op });
            None
        }
        // A client has no other way to end an event stream than to leave it.
        Poll::Ready(Eaten::Left) => Some(EndCause::Clean),
    }
}

fn poll_socket(
    socket: &mut Socket,
    op: OpId,
    cx: &mut Context<'_>,
    machine: &mut ServerConnection,
    now: Instant,
    happened: &mut bool,
) -> Option<EndCause> {
    match socket.poll_write(cx) {
        Poll::Pending | Poll::Ready(Ok(Written::Nothing)) => {}
        Poll::Ready(Ok(Written::Message)) => {
            *happened = true;
            machine.handle_input(now, Input::Sent { op });
        }
        Poll::Ready(Err(Left(cause))) => return Some(cause),
    }
    if machine.reading() != Some(op) {
        return None;
    }
    let read = socket.poll_read(cx, |bytes| {
        machine.handle_input(now, Input::Received { op, bytes });
    });
    match read {
        Poll::Pending => None,
        Poll::Ready(Ok(())) => {
            *happened = true;
            None
        }
        Poll::Ready(Err(Left(cause))) => Some(cause),
    }
}
