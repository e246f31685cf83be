//! What happens, one thing after the other.

use super::*;

impl World {
    pub(super) fn client_input(&mut self, input: Input) {
        self.client.input(self.schedule.now, input);
        self.poll_client();
    }

    pub(super) fn server_input(&mut self, index: usize, input: ServerInput) {
        let now = self.schedule.now;
        self.connection(index).input(now, input);
        self.poll_server(index);
    }

    pub(super) fn arrive(&mut self, link: usize, way: Way, arrival: Arrival) {
        if !self.link(link).arrives(way, &arrival) {
            return;
        }
        let Link {
            op,
            server_op,
            connection,
            ..
        } = *self.link(link);
        let binary = self.plan.protocol == Protocol::MessagePack;
        match (way, arrival) {
            (Way::ToClient, Arrival::Bytes(bytes)) => {
                let message = if binary {
                    WsMessage::Binary(bytes)
                } else {
                    WsMessage::Text(bytes)
                };
                self.client_input(Input::Received { op, message });
            }
            (Way::ToClient, Arrival::Closed(code)) => {
                let message = WsMessage::Close(code);
                self.client_input(Input::Received { op, message });
            }
            (Way::ToClient, Arrival::Lost) => {
                self.link(link).leave(Way::ToClient);
                let input = ClientSide::lost(op, &mut self.random);
                self.client_input(input);
            }
            // What comes on a link that was given up is for the machine to ignore.
            (Way::ToServer, Arrival::Bytes(bytes)) => {
                let op = server_op;
                self.server_input(connection, ServerInput::Received { op, bytes });
            }
            (Way::ToServer, Arrival::Closed(code)) => {
                let cause = EndCause::WebSocketClose {
                    code,
                    reason: Box::default(),
                };
                let op = server_op;
                self.server_input(connection, ServerInput::Ended { op, cause });
            }
            (Way::ToServer, Arrival::Lost) => {
                let cause = EndCause::Failed {
                    detail: "reset".into(),
                };
                let op = server_op;
                self.server_input(connection, ServerInput::Ended { op, cause });
            }
        }
    }

    pub(super) fn taken(&mut self, link: usize, way: Way) {
        let link = self.link(link);
        // News of a link that was given up is for the machine to ignore.
        match way {
            Way::ToServer => {
                let op = link.op;
                self.client_input(Input::Sent { op });
            }
            Way::ToClient => {
                let (op, connection) = (link.server_op, link.connection);
                self.server_input(connection, ServerInput::Sent { op });
            }
        }
    }

    fn latency(&mut self) -> Duration {
        self.random.up_to(self.plan.delays.latency)
    }

    fn is_rough(&mut self, percent: u64) -> bool {
        self.plan.weather == Weather::Rough
            && self.started
            && !self.is_over()
            && self.random.percent(percent)
    }

    /// Whether the applications have done all they wanted.
    fn is_over(&self) -> bool {
        self.acts >= self.plan.acts
    }

    pub(super) fn negotiate(&mut self, op: OpId, request: &Request<Bytes>) {
        let answer = if self.is_rough(5) {
            Err(EndCause::Failed {
                detail: "unreachable".into(),
            })
        } else {
            Ok(self.server.negotiate(self.schedule.now, request))
        };
        let delay = self.latency();
        self.schedule.after(delay, Happening::Answer(op, answer));
    }

    pub(super) fn upgrade(&mut self, op: OpId, request: &Request<()>) {
        if self.aborted.contains(&op) {
            return;
        }
        let delay = self.latency();
        let refused = if self.is_rough(15) {
            Some(503)
        } else {
            match self.server.upgrade(self.schedule.now, request) {
                Upgrade::Arrived(connection, server_op) => {
                    self.links.push(Link::new(op, server_op, connection));
                    self.poll_server(connection);
                    None
                }
                Upgrade::Refused(status) => Some(status),
            }
        };
        if let Some(status) = refused {
            self.refuse(op, status, delay);
        }
    }

    fn refuse(&mut self, op: OpId, status: u16, delay: Duration) {
        let answer = Err(EndCause::Refused { status });
        self.schedule.after(delay, Happening::Answer(op, answer));
    }

    /// The server opens a WebSocket.
    fn open(&mut self, index: usize, connection: usize) {
        let delay = self.latency();
        let at = self.schedule.now.after(delay);
        self.link(index).not_before(Way::ToClient, at);
        self.link = Some(index);
        self.schedule.after(delay, Happening::Opened(index));
        if self.is_rough(30) {
            // It may not even last until everything has been said again.
            self.troubles += 1;
            let soon = delay + self.latency();
            self.schedule.after(soon, Happening::Breaks);
        }
        if self.connection(connection).link.replace(index).is_some() {
            self.tally.taken_over += 1;
        }
    }

    /// One end drops a link: it hears nothing more of it, and the other learns of that some time, or never.
    fn hang_up(&mut self, link: usize, way: Way) {
        self.link(link).leave(way);
        let other = match way {
            Way::ToClient => Way::ToServer,
            Way::ToServer => Way::ToClient,
        };
        let delay = self.latency();
        self.schedule
            .after(delay, Happening::Arrival(link, other, Arrival::Lost));
    }

    pub(super) fn answer(&mut self, op: OpId, answer: Result<Response<Bytes>, EndCause>) {
        self.client_input(match answer {
            Ok(response) => Input::Response { op, response },
            Err(cause) => Input::Ended { op, cause },
        });
    }

    /// Something is said on both sides, so that much is under way when the network fails.
    pub(super) fn cut(&mut self) {
        for _ in 0..self.random.below(6) {
            self.client_act();
            self.server_act();
        }
        let delay = self.latency();
        self.schedule.after(delay, Happening::Breaks);
    }

    /// Both ways fail, one a little later than the other, and each end learns of it in its own time.
    pub(super) fn breaks(&mut self) {
        self.troubles -= 1;
        let Some(link) = self.link.filter(|_| self.can_be_cut()) else {
            return;
        };
        self.tally.cuts += 1;
        for way in [Way::ToClient, Way::ToServer] {
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
            Happening::Arrival(link, Way::ToClient, Arrival::Lost),
        );
        // A server may be left with a half-open link until long after everything has timed out.
        let least = self.random.of(&[0, 0, 100_000]);
        let most = self.random.of(&[10, slow, slow * 3]);
        let server = soonest + Duration::from_millis(least) + self.random.up_to(most);
        self.schedule.after(
            server,
            Happening::Arrival(link, Way::ToServer, Arrival::Lost),
        );
    }

    fn can_be_cut(&self) -> bool {
        // A first start that fails is not repeated, so it is left alone.
        match self.plan.weather {
            Weather::Rough => self.started,
            Weather::Gentle => self.client.is_connected(),
        }
    }

    pub(super) fn client_acts(&mut self) {
        self.acts += 1;
        if self.is_over() {
            return;
        }
        self.client_act();
        let rest = self.rest();
        self.schedule.after(rest, Happening::ClientActs);
    }

    fn client_act(&mut self) {
        self.client.act(self.schedule.now, &mut self.random);
        self.poll_client();
    }

    pub(super) fn server_acts(&mut self) {
        if self.is_over() {
            return;
        }
        self.server_act();
        let rest = self.rest();
        self.schedule.after(rest, Happening::ServerActs);
    }

    fn rest(&mut self) -> Duration {
        let most = if self.random.percent(BURST) {
            self.plan.rest
        } else {
            5
        };
        self.random.up_to(most)
    }

    /// Mostly on the connection of the client, sometimes on one that it has forgotten.
    fn server_act(&mut self) {
        let any = self.random.index(self.server.connections.len());
        let index = self
            .joined
            .filter(|_| self.random.percent(90))
            .unwrap_or(any);
        if index < self.server.connections.len() {
            self.server_acts_for(index);
        }
    }

    fn server_acts_for(&mut self, index: usize) {
        let now = self.schedule.now;
        let (close, abort) = (self.is_rough(1), self.is_rough(1));
        let pause = self.random.percent(2);
        let random = &mut self.random.clone();
        self.random.any();
        let connection = self.connection(index);
        connection.act(now, random);
        match &mut connection.machine {
            Some(machine) if close => machine.close(now, true),
            Some(machine) if abort => machine.abort(now),
            Some(_) | None => {}
        }
        self.poll_server(index);
        if pause {
            self.server_pauses(index, true);
        }
    }

    pub(super) fn client_pauses(&mut self, pause: bool) {
        if pause {
            let delay = self.random.up_to(3_000);
            self.schedule.after(delay, Happening::ClientPauses(false));
            self.client_input(Input::ReadPaused);
        } else {
            self.client_input(Input::ReadResumed);
        }
    }

    pub(super) fn server_pauses(&mut self, index: usize, pause: bool) {
        if pause {
            let delay = self.random.up_to(3_000);
            self.schedule
                .after(delay, Happening::ServerPauses(index, false));
            self.server_input(index, ServerInput::ReadPaused);
        } else {
            self.server_input(index, ServerInput::ReadResumed);
        }
    }

    pub(super) fn poll_client(&mut self) {
        for wish in self.client.poll() {
            match wish {
                client::Wish::Act(action) => self.carry_out(*action),
                client::Wish::Heard(number) => self.client_heard(number),
                client::Wish::Joined(id) => {
                    self.joined = Some(ServerSide::index(&id));
                    self.started = true;
                }
                client::Wish::Lost => self.lost(),
                client::Wish::Closed => self.closed = true,
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let delay = self.latency();
        match action {
            Action::Request { op, request, .. } => {
                self.schedule
                    .after(delay, Happening::Negotiate(op, *request));
            }
            Action::OpenWebSocket { op, request } => {
                self.schedule.after(delay, Happening::Upgrade(op, *request));
            }
            Action::Send { op, message } => {
                if let Some(link) = self.link_of(op) {
                    self.transmit(link, Way::ToServer, message);
                }
            }
            Action::Abort { op } => {
                self.aborted.insert(op);
                if let Some(link) = self.link_of(op) {
                    self.hang_up(link, Way::ToClient);
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn link_of(&self, op: OpId) -> Option<usize> {
        self.links.iter().position(|link| link.op == op)
    }

    fn transmit(&mut self, index: usize, way: Way, message: WsMessage) {
        if let Some(link) = self.links.get_mut(index) {
            let delays = self.plan.delays;
            transmit(
                index,
                link,
                way,
                message,
                delays,
                &mut self.schedule,
                &mut self.random,
            );
        }
    }

    /// What the client has not heard before this number was said in answer to calls it has cancelled.
    fn client_heard(&mut self, number: u64) {
        let joined = self.joined.expect("the client is on a connection");
        self.tally.messages += 1;
        self.skip_cancelled(joined, number);
        let connection = self.connection(joined);
        assert_eq!(connection.heard_by_client, number, "a message comes twice");
        connection.heard_by_client += 1;
    }

    fn skip_cancelled(&mut self, joined: usize, until: u64) {
        while self.connection(joined).heard_by_client < until {
            let connection = self.connection(joined);
            let number = connection.heard_by_client;
            connection.heard_by_client += 1;
            let skipped = self.is_cancelled(joined, number);
            assert!(skipped, "a message of the server is missing");
        }
    }

    /// Whether the server said this in answer to a call that the client has cancelled.
    fn is_cancelled(&self, joined: usize, number: u64) -> bool {
        let said = self.server.connections.get(joined).and_then(|connection| {
            let index = usize::try_from(number).ok()?;
            connection.said.get(index).copied().flatten()
        });
        said.is_some_and(|call| self.client.cancelled.contains(&call))
    }

    fn lost(&mut self) {
        self.tally.lost += 1;
        self.joined = None;
        let excused = self.plan.weather == Weather::Rough || !self.plan.stateful;
        assert!(excused, "a connection was lost that could be resumed");
    }

    pub(super) fn poll_server(&mut self, index: usize) {
        let now = self.schedule.now;
        let wishes = self.connection(index).poll(now);
        self.server.note_end(index);
        for wish in wishes {
            match wish {
                server::Wish::Act(action) => self.serve(index, action),
                server::Wish::Greet => {
                    let delay = self.random.up_to(50);
                    self.schedule.after(delay, Happening::Greet(index));
                }
                server::Wish::Resumed => self.tally.resumed += 1,
            }
        }
    }

    fn serve(&mut self, index: usize, action: ServerAction) {
        match action {
            ServerAction::Send { op, message } => {
                let link = self.link_of_server(op);
                self.transmit(link, Way::ToClient, message);
            }
            ServerAction::Accept { op } => self.open(self.link_of_server(op), index),
            ServerAction::Respond { op, response } => {
                let link = self.link_of_server(op);
                let (op, delay) = (self.link(link).op, self.latency());
                self.refuse(op, response.status().as_u16(), delay);
            }
            ServerAction::Close { op, code } => {
                let link = self.link_of_server(op);
                self.transmit(link, Way::ToClient, WsMessage::Close(code));
                self.link(link).leave(Way::ToServer);
            }
            ServerAction::Abort { op } => self.hang_up(self.link_of_server(op), Way::ToServer),
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn link_of_server(&self, op: OpId) -> usize {
        let link = self.links.iter().position(|link| link.server_op == op);
        link.expect("the server knows no other links")
    }

    /// Nothing disturbs any more: whatever was begun comes to its end.
    pub(super) fn settle(&mut self) {
        let end = self.schedule.now.after(PATIENCE);
        while self.schedule.now < end && !self.is_settled() {
            self.run_until(|_| false, Some(Duration::from_millis(100)));
            self.schedule.now = self.schedule.now.after(Duration::from_millis(100));
            let now = self.schedule.now;
            self.client.answer(now);
            self.poll_client();
            if let Some(joined) = self.joined {
                self.connection(joined).answer(now);
                self.poll_server(joined);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let Some(joined) = self.joined else {
            return false;
        };
        let Some(connection) = self.server.connections.get(joined) else {
            return false;
        };
        let mut unheard = connection.heard_by_client..connection.said.len() as u64;
        self.client.is_connected()
            && self.client.is_settled()
            && connection.is_settled()
            && connection.heard == self.client.said
            && unheard.all(|number| self.is_cancelled(joined, number))
    }

    pub(super) fn check_settled(&mut self) {
        assert!(
            self.is_settled(),
            "something never ends: {:?} {:?}",
            self.client,
            self.joined
                .and_then(|joined| self.server.connections.get(joined))
        );
        let joined = self.joined.expect("a settled client is on a connection");
        self.tally.messages += self.connection(joined).heard;
    }

    /// The client takes its leave, and then nobody is left.
    pub(super) fn finish(&mut self) {
        self.client.machine.stop(self.schedule.now);
        self.poll_client();
        self.run_until(|_| false, Some(PATIENCE));
        assert!(self.closed, "stop has no end");
        self.client.nothing_pends();
        assert_eq!(self.client.deadline, None, "a deadline after the end");
        for connection in &self.server.connections {
            let ended = connection.over || connection.machine.is_none();
            assert!(ended, "a connection has no end: {connection:?}");
        }
    }
}
