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

    pub(super) fn latency(&mut self) -> Duration {
        self.random.up_to(self.plan.delays.latency)
    }

    pub(super) fn is_rough(&mut self, percent: u64) -> bool {
        self.plan.weather == Weather::Rough
            && self.started
            && !self.is_over()
            && self.random.percent(percent)
    }

    /// Whether the applications have done all they wanted.
    fn is_over(&self) -> bool {
        self.acts >= self.plan.acts
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
        let cut = !self.plan.stateful && self.tally.cuts > 0;
        let excused = self.plan.weather == Weather::Rough || cut;
        assert!(excused, "a connection was lost that could go on");
    }

    pub(super) fn poll_server(&mut self, index: usize) {
        self.carry_out_server(index);
        self.feed(index);
    }

    pub(super) fn carry_out_server(&mut self, index: usize) {
        let now = self.schedule.now;
        for wish in self.connection(index).poll(now) {
            match wish {
                server::Wish::Act(action) => self.serve(index, action),
                server::Wish::Greet => {
                    let delay = self.random.up_to(50);
                    self.schedule.after(delay, Happening::Greet(index));
                }
                server::Wish::Resumed => self.tally.resumed += 1,
                server::Wish::Over => self.server.closed(index),
            }
        }
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
        let left = self.server.endpoint.waiting() + self.server.endpoint.connections();
        assert_eq!(left, 0, "the endpoint keeps what is over");
    }
}
