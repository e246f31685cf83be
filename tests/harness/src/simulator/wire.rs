//! What both machines want of the network, and what the network brings them.

use super::network::{Arrival, Direction, Link, LinkView, RequestKind, pieces};
use super::server::RequestOutcome;
use super::*;

/// What arrives.
impl World {
    pub(super) fn arrive(&mut self, link: usize, way: Direction, arrival: Arrival) {
        if !self.link(link).arrives(way, &arrival) {
            return;
        }
        match way {
            Direction::ToClient => self.client_gets(link, arrival),
            Direction::ToServer => self.server_gets(link, arrival),
        }
    }

    fn client_gets(&mut self, index: usize, arrival: Arrival) {
        let Link { op, kind, .. } = *self.link(index);
        let input = match arrival {
            Arrival::Opened => Input::Opened { op },
            Arrival::Bytes(bytes) if kind == RequestKind::Socket => Input::Received { op, bytes },
            Arrival::Bytes(bytes) => Input::Chunk { op, bytes },
            Arrival::Closed(code) => {
                let reason = Box::default();
                let cause = EndCause::WebSocketClose { code, reason };
                Input::Ended { op, cause }
            }
            Arrival::Head(response) => Input::Response {
                op,
                response: *response,
            },
            Arrival::Answer(response) => {
                self.link(index).leave(Direction::ToClient);
                let status = response.status().as_u16();
                match kind {
                    RequestKind::Socket => {
                        let cause = EndCause::Refused { status };
                        Input::Ended { op, cause }
                    }
                    _ => Input::Response {
                        op,
                        response: *response,
                    },
                }
            }
            Arrival::End => {
                self.link(index).leave(Direction::ToClient);
                let cause = EndCause::Clean;
                Input::Ended { op, cause }
            }
            Arrival::Lost => {
                self.link(index).leave(Direction::ToClient);
                let cause = self.loss(kind);
                Input::Ended { op, cause }
            }
            other @ (Arrival::Request(_) | Arrival::Last(_)) => panic!("a client gets {other:?}"),
        };
        self.client_input(input);
    }

    fn loss(&mut self, kind: RequestKind) -> EndCause {
        if kind == RequestKind::Socket && self.random.percent(50) {
            return EndCause::WebSocketClose {
                code: 1006,
                reason: Box::default(),
            };
        }
        EndCause::Failed {
            detail: "reset".into(),
        }
    }

    fn server_gets(&mut self, index: usize, arrival: Arrival) {
        let link = self.link(index);
        match (arrival, link.server) {
            (Arrival::Request(request), _) => self.request(index, &request),
            // It has not even heard of the request.
            (Arrival::Lost, None) => link.leave(Direction::ToServer),
            (Arrival::Lost, Some((connection, op))) => {
                let taken = link.kind == RequestKind::Poll && core::mem::take(&mut link.taking);
                link.leave(Direction::ToServer);
                if taken {
                    // What the transport has taken, the client may have got.
                    self.server_input(connection, ServerInput::Sent { op });
                } else {
                    let cause = self.loss(RequestKind::Post);
                    self.server_input(connection, ServerInput::Ended { op, cause });
                }
            }
            (_, None) => {}
            (arrival, Some((connection, _))) => {
                link.inbox.push_back(arrival);
                self.feed(connection);
            }
        }
    }

    /// Hands a machine what it wants to read.
    pub(super) fn feed(&mut self, connection: usize) {
        while let Some(input) = self.next_read(connection) {
            let now = self.schedule.now;
            self.connection(connection).input(now, input);
            self.carry_out_server(connection);
        }
    }

    fn next_read(&mut self, connection: usize) -> Option<ServerInput> {
        let machine = self.connection(connection).machine.as_ref()?;
        let op = machine.reading()?;
        let link = *self.links_of_server.get(&op)?;
        let link = self.link(link);
        let socket = link.kind == RequestKind::Socket;
        Some(match link.inbox.pop_front()? {
            Arrival::Bytes(bytes) if socket => ServerInput::Received { op, bytes },
            Arrival::Closed(code) => {
                link.leave(Direction::ToServer);
                let reason = Box::default();
                let cause = EndCause::WebSocketClose { code, reason };
                ServerInput::Ended { op, cause }
            }
            Arrival::Bytes(bytes) => {
                let last = false;
                ServerInput::Body { op, bytes, last }
            }
            Arrival::Last(bytes) => {
                let last = true;
                ServerInput::Body { op, bytes, last }
            }
            other => panic!("a server gets {other:?}"),
        })
    }

    pub(super) fn taken(&mut self, index: usize, way: Direction) {
        let link = self.link(index);
        // News of a link that was given up is for the machine to ignore.
        match way {
            Direction::ToServer => {
                let op = link.op;
                self.client_input(Input::Sent { op });
            }
            Direction::ToClient => {
                let was_taking = core::mem::take(&mut link.taking);
                let Some((connection, op)) = link.server.filter(|_| was_taking) else {
                    return;
                };
                if link.kind == RequestKind::Poll {
                    link.leave(Direction::ToServer);
                }
                self.server_input(connection, ServerInput::Sent { op });
            }
        }
    }

    /// A request reaches the server, or what stands before it.
    fn request(&mut self, index: usize, request: &Request<Bytes>) {
        let kind = self.link(index).kind;
        let fails = match kind {
            RequestKind::Negotiate => self.is_rough(5),
            RequestKind::Events | RequestKind::Poll | RequestKind::Post => self.is_rough(1),
            RequestKind::Socket | RequestKind::Delete => false,
        };
        if fails {
            return self.put(index, Direction::ToClient, [Arrival::Lost]);
        }
        let refused = match kind {
            RequestKind::Socket => self.is_rough(15),
            RequestKind::Events | RequestKind::Poll | RequestKind::Post => self.is_rough(1),
            RequestKind::Negotiate | RequestKind::Delete => false,
        };
        if refused {
            return self.answer(index, status(503));
        }
        let socket = kind == RequestKind::Socket;
        match self.server.route(self.schedule.now, request, socket) {
            RequestOutcome::Answer(response) => self.answer(index, response),
            RequestOutcome::Arrived(connection, op) => {
                self.link(index).server = Some((connection, op));
                self.links_of_server.insert(op, index);
                self.poll_server(connection);
            }
        }
    }
}

fn status(status: u16) -> Response<Bytes> {
    let response = Response::builder().status(status).body(Bytes::new());
    response.expect("the status is one")
}

/// What goes out.
impl World {
    fn wire(&mut self, index: usize) -> LinkView<'_> {
        let link = self.links.get_mut(index);
        LinkView {
            index,
            link: link.expect("the link is there"),
            delays: self.plan.delays,
            schedule: &mut self.schedule,
            random: &mut self.random,
        }
    }

    fn put(&mut self, index: usize, way: Direction, arrivals: impl IntoIterator<Item = Arrival>) {
        self.wire(index).put(way, arrivals);
    }

    fn transmit(&mut self, index: usize, way: Direction, bytes: Bytes) {
        let pieces = pieces(bytes, &mut self.random);
        self.wire(index).transmit(way, pieces);
    }

    /// One end drops a link: it hears nothing more of it, and the other learns of that some time, or never.
    fn hang_up(&mut self, index: usize, way: Direction) {
        self.link(index).leave(way);
        let other = match way {
            Direction::ToClient => Direction::ToServer,
            Direction::ToServer => Direction::ToClient,
        };
        let delay = self.latency();
        let lost = Happening::Arrival(index, other, Arrival::Lost);
        self.schedule.after(delay, lost);
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Request { op, request, body } => {
                let whole = body != BodyMode::Streamed;
                self.ask(RequestKind::of(&request), op, whole, *request);
            }
            Action::OpenWebSocket { op, request } => {
                self.ask(
                    RequestKind::Socket,
                    op,
                    true,
                    request.map(|()| Bytes::new()),
                );
            }
            Action::Send { op, bytes, .. } => {
                self.transmit(self.link_of_client(op), Direction::ToServer, bytes);
            }
            Action::Close { op, code } => {
                let close = [Arrival::Closed(code)];
                let link = self.link_of_client(op);
                self.wire(link).transmit(Direction::ToServer, close);
            }
            Action::Abort { op } => self.hang_up(self.link_of_client(op), Direction::ToClient),
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn ask(&mut self, kind: RequestKind, op: OpId, whole: bool, mut request: Request<Bytes>) {
        let index = self.links.len();
        self.links.push(Link::new(kind, op, whole));
        self.links_of_client.insert(op, index);
        let body = core::mem::take(request.body_mut());
        self.put(
            index,
            Direction::ToServer,
            [Arrival::Request(Box::new(request))],
        );
        if kind == RequestKind::Post {
            let mut pieces = pieces(body, &mut self.random);
            if let Some(Arrival::Bytes(last)) = pieces.pop() {
                pieces.push(Arrival::Last(last));
            }
            self.put(index, Direction::ToServer, pieces);
        }
    }

    fn link_of_client(&self, op: OpId) -> usize {
        let link = self.links_of_client.get(&op).copied();
        link.expect("the client knows no other links")
    }

    fn link_of_server(&self, op: OpId) -> usize {
        let link = self.links_of_server.get(&op).copied();
        link.expect("the server knows no other links")
    }

    pub(super) fn serve(&mut self, connection: usize, action: ServerAction) {
        match action {
            ServerAction::Accept { op } => self.open(self.link_of_server(op), connection),
            ServerAction::Send { op, bytes, .. } => {
                self.transmit(self.link_of_server(op), Direction::ToClient, bytes);
            }
            ServerAction::Close { op, code } => {
                let link = self.link_of_server(op);
                self.put(link, Direction::ToClient, [Arrival::Closed(code)]);
                self.link(link).leave(Direction::ToServer);
            }
            ServerAction::Abort { op } => {
                self.hang_up(self.link_of_server(op), Direction::ToServer)
            }
            ServerAction::Respond { op, response } => {
                self.answer(self.link_of_server(op), *response);
            }
            ServerAction::Deliver { op, response } => {
                let link = self.link_of_server(op);
                let arrivals = self.parts(link, *response);
                self.wire(link).transmit(Direction::ToClient, arrivals);
            }
            ServerAction::Stream { op, head } => {
                let head = Box::new(head.map(|()| Bytes::new()));
                let link = self.link_of_server(op);
                self.put(link, Direction::ToClient, [Arrival::Head(head)]);
                self.began(connection, link);
            }
            ServerAction::Chunk { op, bytes } => {
                self.transmit(self.link_of_server(op), Direction::ToClient, bytes);
            }
            ServerAction::Finish { op } => {
                let link = self.link_of_server(op);
                self.put(link, Direction::ToClient, [Arrival::End]);
                self.link(link).leave(Direction::ToServer);
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Answers a request, and that is the end of it.
    fn answer(&mut self, index: usize, response: Response<Bytes>) {
        let arrivals = self.parts(index, response);
        self.put(index, Direction::ToClient, arrivals);
        self.link(index).leave(Direction::ToServer);
    }

    fn parts(&mut self, index: usize, mut response: Response<Bytes>) -> Vec<Arrival> {
        if self.link(index).whole {
            return vec![Arrival::Answer(Box::new(response))];
        }
        let body = core::mem::take(response.body_mut());
        let mut parts = vec![Arrival::Head(Box::new(response))];
        if !body.is_empty() {
            parts.extend(pieces(body, &mut self.random));
        }
        parts.push(Arrival::End);
        parts
    }

    /// The server opens a WebSocket.
    fn open(&mut self, index: usize, connection: usize) {
        self.put(index, Direction::ToClient, [Arrival::Opened]);
        self.began(connection, index);
    }

    /// The server has a WebSocket or an event stream.
    fn began(&mut self, connection: usize, index: usize) {
        if self.connection(connection).link.replace(index).is_some() {
            self.tally.taken_over += 1;
        }
        if self.is_rough(30) {
            // It may not even last until everything has been said again.
            self.troubles += 1;
            let soon = self.latency() + self.latency();
            self.schedule.after(soon, Happening::Breaks);
        }
    }
}

/// What the network does to them.
impl World {
    /// Both ways of whatever the client has under way fail, one a little later than the other, and each end learns of it in its
    /// own time.
    pub(super) fn breaks(&mut self) {
        self.troubles -= 1;
        if !self.can_be_cut() {
            return;
        }
        let victims: Vec<usize> = (0..self.links.len())
            .filter(|index| self.is_victim(*index))
            .collect();
        self.tally.cuts += u64::from(!victims.is_empty());
        for link in victims {
            self.break_link(link);
        }
    }

    fn is_victim(&self, index: usize) -> bool {
        let link = self.links.get(index);
        link.is_some_and(|link| link.is_live() && link.kind != RequestKind::Negotiate)
    }

    fn break_link(&mut self, link: usize) {
        for way in [Direction::ToClient, Direction::ToServer] {
            let delay = self.latency();
            self.schedule.after(delay, Happening::Dies(link, way));
        }
        let slow = match self.plan.weather {
            Weather::Gentle => 2_000,
            Weather::Rough => 6_000,
        };
        let soonest = Duration::from_millis(self.plan.delays.latency);
        let most = self.random.of(&[10, slow]);
        let client = soonest + self.random.up_to(most);
        self.schedule.after(
            client,
            Happening::Arrival(link, Direction::ToClient, Arrival::Lost),
        );
        // A server may be left with a half-open link until long after everything has timed out.
        let least = self.random.of(&[0, 0, 100_000]);
        let most = self.random.of(&[10, slow, slow * 3]);
        let server = soonest + Duration::from_millis(least) + self.random.up_to(most);
        self.schedule.after(
            server,
            Happening::Arrival(link, Direction::ToServer, Arrival::Lost),
        );
    }

    fn can_be_cut(&self) -> bool {
        // A first start that fails is not repeated, so it is left alone.
        match self.plan.weather {
            Weather::Rough => self.started,
            Weather::Gentle => self.client.is_connected(),
        }
    }
}
