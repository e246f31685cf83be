//! What nodes tell, and what the model makes of it.

use super::*;

impl World {
    pub(super) fn told(&mut self, server: usize, event: BackplaneEvent) {
        match event {
            BackplaneEvent::Deliver {
                audience,
                invocation,
            } => self.deliver(server, &audience, &invocation),
            BackplaneEvent::Ask {
                connection_id,
                result_request,
                ..
            } => {
                let id = number(&connection_id);
                let wait = self.random.up_to(2_000);
                // Some never answer, unless they leave.
                if self.random.percent(80) {
                    let life = self.servers[server].life;
                    let happening = Happening::Answers {
                        server,
                        life,
                        id,
                        question: result_request,
                    };
                    self.schedule(self.now.after(wait), happening);
                }
            }
            BackplaneEvent::Joined {
                connection_id,
                group,
            } => {
                let entry = (u64::from(number(&group)), number(&connection_id));
                assert!(self.servers[server].members.insert(entry), "joined twice");
            }
            BackplaneEvent::Left {
                connection_id,
                group,
            } => {
                let entry = (u64::from(number(&group)), number(&connection_id));
                assert!(self.servers[server].members.remove(&entry), "left twice");
            }
            BackplaneEvent::Done { operation, result } => self.done(server, operation, result),
            BackplaneEvent::Answered { operation, outcome } => {
                let purpose = self.servers[server].purposes.remove(&operation);
                let Some((_, OperationPurpose::Ask(question))) = purpose else {
                    panic!("{operation:?} was no question, or was answered twice");
                };
                match outcome {
                    Outcome::Result(payload) => {
                        assert_eq!(payload.decode::<String>().expect("a text"), question);
                        self.model.tally.answers += 1;
                    }
                    other => assert_eq!(other, Outcome::Error("gone".into())),
                }
            }
            BackplaneEvent::Counted { operation, count } => {
                let purpose = self.servers[server].purposes.remove(&operation);
                assert!(
                    matches!(purpose, Some((_, OperationPurpose::Count))),
                    "{operation:?}"
                );
                // Whoever came or left meanwhile may have been counted or not, and nobody twice.
                assert!(count <= u64::from(self.last_client), "{count}");
            }
            BackplaneEvent::Up => self.model.outage_ends(server, self.now),
            BackplaneEvent::Away { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self, server: usize, audience: &Audience, invocation: &Invocation) {
        let Some(message) = number_of(invocation) else {
            // A probe.
            assert!(invocation.payloads.iter().all(|(_, frame)| frame.is_none()));
            return;
        };
        let local = |(id, client): (&Id, &Client)| (client.server == server).then_some(*id);
        let (meant, hearers): (Recipients, Vec<Id>) = match audience {
            Audience::All => (
                Recipients::All,
                self.clients.iter().filter_map(local).collect(),
            ),
            Audience::Group(group) => {
                let group = u64::from(number(group));
                let members = self.servers[server].members.iter();
                let members = members.filter(|(known, _)| *known == group);
                (
                    Recipients::Group(group),
                    members.map(|(_, id)| *id).collect(),
                )
            }
            Audience::User(user) => {
                let user = u64::from(number(user));
                let own = self
                    .clients
                    .iter()
                    .filter(|(_, client)| client.user == Some(user));
                (Recipients::User(user), own.filter_map(local).collect())
            }
            Audience::Connection(id) => {
                let id = number(id);
                let one = self.clients.get_key_value(&id).and_then(local);
                (Recipients::One(id), one.into_iter().collect())
            }
        };
        for id in hearers {
            if let Recipients::Group(group) = meant {
                let standing = self.standing(id, group);
                assert_ne!(
                    standing,
                    MembershipState::Out,
                    "{id} is not in group {group}"
                );
            }
            self.model.hears(id, message, &meant);
        }
    }

    fn done(&mut self, server: usize, operation: OperationId, result: Result<(), BackplaneError>) {
        let purpose = self.servers[server].purposes.remove(&operation);
        let Some((begun, purpose)) = purpose else {
            panic!("{operation:?} ended twice");
        };
        assert!(
            self.now.since(begun) <= PATIENCE,
            "{purpose:?} took too long"
        );
        if result.is_err() {
            assert!(
                !self.calm || self.may_fail(&purpose),
                "{purpose:?}: {result:?} without a reason"
            );
            self.model.tally.failures += 1;
        }
        let now = self.now;
        match purpose {
            OperationPurpose::Connect(id) => self.connected(id, result.is_ok()),
            OperationPurpose::Join(id, group, before) => {
                let local = self
                    .clients
                    .get(&id)
                    .is_none_or(|client| client.server == server);
                let after = match (result, before) {
                    (Ok(()), MembershipState::In(_)) | (Err(_), MembershipState::In(_)) => before,
                    (Ok(()), _) => {
                        if let Some(client) = self.clients.get(&id) {
                            let meant = Recipients::Group(group);
                            self.model.memberships(id, client.server, meant, now);
                        }
                        self.model.tally.commands += u64::from(!local);
                        MembershipState::In(now)
                    }
                    (Err(_), _) if local && before == MembershipState::Out => MembershipState::Out,
                    (Err(_), _) => self.unknown(),
                };
                self.stand(id, group, after);
            }
            OperationPurpose::Leave(id, group) => {
                let local = self
                    .clients
                    .get(&id)
                    .is_none_or(|client| client.server == server);
                self.model.tally.commands += u64::from(result.is_ok() && !local);
                let after = if result.is_ok() {
                    MembershipState::Out
                } else {
                    self.unknown()
                };
                self.stand(id, group, after);
            }
            OperationPurpose::Send | OperationPurpose::Ask(_) | OperationPurpose::Count => {}
        }
    }

    /// What may fail although nothing is broken: what concerns a connection that is not there, or is asked and says nothing.
    fn may_fail(&self, purpose: &OperationPurpose) -> bool {
        match purpose {
            OperationPurpose::Join(id, ..) | OperationPurpose::Leave(id, _) => {
                !self.clients.contains_key(id)
            }
            OperationPurpose::Ask(_) => true,
            // The end of a session is calm, and ends what the storm has begun.
            OperationPurpose::Connect(_) | OperationPurpose::Send | OperationPurpose::Count => {
                self.plan.weather == Weather::Rough
            }
        }
        .max(self.plan.weather == Weather::Rough)
    }

    /// A command may still be on its way.
    pub(super) const fn unknown(&self) -> MembershipState {
        MembershipState::Unknown(
            self.now
                .after(Duration::from_millis(4 * self.plan.delay + 1)),
        )
    }

    pub(super) fn stand(&mut self, id: Id, group: u64, standing: MembershipState) {
        if self.clients.contains_key(&id) {
            self.standings.insert((id, group), standing);
        }
    }

    pub(super) fn standing(&self, id: Id, group: u64) -> MembershipState {
        self.standings
            .get(&(id, group))
            .copied()
            .unwrap_or_default()
    }

    fn connected(&mut self, id: Id, well: bool) {
        if !well {
            return self.disconnect(id);
        }
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.confirmed = true;
        let (server, user) = (client.server, client.user);
        self.model.memberships(id, server, Recipients::All, now);
        self.model.memberships(id, server, Recipients::One(id), now);
        if let Some(user) = user {
            self.model
                .memberships(id, server, Recipients::User(user), now);
        }
    }

    pub(super) fn client_answers(
        &mut self,
        server: usize,
        life: u32,
        id: Id,
        question: &ResultRequest,
    ) {
        if self.servers[server].life != life {
            return;
        }
        let there = self
            .clients
            .get(&id)
            .is_some_and(|client| client.server == server);
        let payload = Payload::from_value(Protocol::MessagePack, &question.id.to_string());
        let payload = payload.expect("a text can be encoded");
        let outcome = if there {
            CompletionOutcome::Result(&payload)
        } else {
            CompletionOutcome::Error("gone")
        };
        let now = self.now;
        let node = &mut self.servers[server].node;
        let answered = node.answer(now, question, Protocol::MessagePack, outcome);
        answered.expect("a text can be encoded");
    }
}
