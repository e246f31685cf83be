//! What applications and fate do.

use super::*;

impl World {
    pub(super) fn act(&mut self) {
        if !self.calm && self.random.percent(8) {
            return self.misfortune();
        }
        let server = self.random.index(SERVERS);
        match self.random.below(100) {
            0..=14 => self.come(server),
            15..=19 => self.go(),
            20..=44 => self.change_group(server),
            45..=82 => self.send(server),
            83 | 84 => {
                let now = self.now;
                let operation = self.servers[server].node.count(now, Counted::All);
                self.begin(server, operation, OperationPurpose::Count);
            }
            _ => self.ask(server),
        }
    }

    fn misfortune(&mut self) {
        match self.random.below(10) {
            0..=4 => {
                let links = self.broker.links();
                if !links.is_empty() {
                    let id = links[self.random.index(links.len())];
                    self.model.tally.cuts += 1;
                    self.cut(id);
                }
            }
            5..=7 => {
                self.model.tally.restarts += 1;
                self.broker.up = false;
                for id in self.broker.links() {
                    self.cut(id);
                }
                let away = self.random.up_to(15_000);
                self.schedule(self.now.after(away), Happening::BrokerIsBack);
            }
            _ => self.die(),
        }
    }

    /// A server dies with all its clients, and another one takes its place.
    fn die(&mut self) {
        self.model.tally.deaths += 1;
        let server = self.random.index(SERVERS);
        self.outage_begins(server);
        for id in self.broker.links() {
            if id.server == server {
                self.broker.forget(id);
            }
        }
        let clients = self
            .clients
            .iter()
            .filter(|(_, client)| client.server == server);
        let ids: Vec<Id> = clients.map(|(id, _)| *id).collect();
        for id in ids {
            self.clients.remove(&id);
            self.standings.retain(|(known, _), _| *known != id);
            self.model.leaves(id, None, self.now);
        }
        let life = self.servers[server].life + 1;
        let born = self.born(server, life);
        let dead = std::mem::replace(&mut self.servers[server], born);
        // What it asked of others may be done or not.
        for (_, purpose) in dead.purposes.into_values() {
            if let OperationPurpose::Join(id, group, _) | OperationPurpose::Leave(id, group) =
                purpose
            {
                let unknown = self.unknown();
                self.stand(id, group, unknown);
            }
        }
    }

    fn begin(&mut self, server: usize, operation: OperationId, purpose: OperationPurpose) {
        let now = self.now;
        self.servers[server]
            .purposes
            .insert(operation, (now, purpose));
    }

    fn come(&mut self, server: usize) {
        self.last_client += 1;
        let (id, now) = (self.last_client, self.now);
        let user = self.random.percent(50).then(|| self.random.below(USERS));
        let client = Client {
            server,
            user,
            confirmed: false,
        };
        self.clients.insert(id, client);
        let user = user.map(|user| user.to_string());
        let node = &mut self.servers[server].node;
        let operation = node.connect(now, &id.to_string(), user.as_deref());
        self.begin(server, operation, OperationPurpose::Connect(id));
    }

    fn go(&mut self) {
        let ids: Vec<Id> = self.clients.keys().copied().collect();
        if !ids.is_empty() {
            let id = ids[self.random.index(ids.len())];
            self.disconnect(id);
        }
    }

    pub(super) fn disconnect(&mut self, id: Id) {
        let now = self.now;
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.standings.retain(|(known, _), _| *known != id);
        self.model.leaves(id, None, now);
        let server = &mut self.servers[client.server];
        server.node.disconnect(now, &id.to_string());
        server.members.retain(|(_, known)| *known != id);
    }

    /// Someone that is there, or nearly never someone that is not.
    fn someone(&mut self) -> Option<Id> {
        let there = self.clients.iter().filter(|(_, client)| client.confirmed);
        let ids: Vec<Id> = there.map(|(id, _)| *id).collect();
        if ids.is_empty() || self.random.percent(2) {
            return self.random.percent(10).then_some(1_000_000);
        }
        Some(ids[self.random.index(ids.len())])
    }

    fn change_group(&mut self, server: usize) {
        let Some(id) = self.someone() else { return };
        let (group, now) = (self.random.below(GROUPS), self.now);
        let before = self.standing(id, group);
        let busy = match before {
            MembershipState::Changing => true,
            MembershipState::Unknown(until) => until > now,
            MembershipState::Out | MembershipState::In(_) => false,
        };
        if busy {
            return;
        }
        self.stand(id, group, MembershipState::Changing);
        // Mostly on its own server.
        let owner = self.clients.get(&id).map(|client| client.server);
        let server = if self.random.percent(50) {
            owner.unwrap_or(server)
        } else {
            server
        };
        let node = &mut self.servers[server].node;
        let (connection, name) = (id.to_string(), group.to_string());
        if self.random.percent(65) {
            let operation = node.join(now, &connection, &name).expect("within limits");
            self.begin(server, operation, OperationPurpose::Join(id, group, before));
        } else {
            let operation = node.leave(now, &connection, &name);
            self.model.leaves(id, Some(&Recipients::Group(group)), now);
            self.begin(server, operation, OperationPurpose::Leave(id, group));
        }
    }

    fn send(&mut self, server: usize) {
        let meant = match self.random.below(10) {
            0..=3 => Recipients::All,
            4..=6 => Recipients::Group(self.random.below(GROUPS)),
            7 => Recipients::User(self.random.below(USERS)),
            _ => match self.someone() {
                Some(id) => Recipients::One(id),
                None => return,
            },
        };
        let excluded: BTreeSet<Id> = if self.random.percent(30) {
            self.someone().into_iter().collect()
        } else {
            BTreeSet::new()
        };
        let now = self.now;
        let names = excluded.iter().map(|id| id.to_string().into()).collect();
        let message = self.model.sending(meant.clone(), excluded, now);
        let text = Bytes::from(format!("{message}\x1e"));
        let payload = encoded(&Invocation {
            excluded: names,
            payloads: vec![("json".into(), Some(text))],
            result_request: None,
        });
        let name = match &meant {
            Recipients::All => String::new(),
            Recipients::Group(name) | Recipients::User(name) => name.to_string(),
            Recipients::One(id) => id.to_string(),
        };
        let channel = match meant {
            Recipients::All => Channel::All,
            Recipients::Group(_) => Channel::Group(&name),
            Recipients::User(_) => Channel::User(&name),
            Recipients::One(_) => Channel::Connection(&name),
        };
        let node = &mut self.servers[server].node;
        let operation = node.publish(now, [channel], &payload);
        self.begin(server, operation, OperationPurpose::Send);
    }

    fn ask(&mut self, server: usize) {
        let Some(id) = self.someone() else { return };
        let own = self.clients.get(&id).map(|client| client.server);
        if own == Some(server) {
            return;
        }
        self.questions += 1;
        let question = format!("q{}", self.questions);
        let now = self.now;
        let node = &mut self.servers[server].node;
        let payload = encoded(&Invocation {
            excluded: Vec::new(),
            payloads: vec![("messagepack".into(), Some(Bytes::from_static(b"\x01?")))],
            result_request: Some(node.result_request(&question)),
        });
        let timeout = Duration::from_secs(30);
        let operation = node.ask(now, &id.to_string(), &question, payload, timeout);
        self.begin(server, operation, OperationPurpose::Ask(question));
    }
}
